"""Published weights of ResNet and ResNeXt; docs/weights.md says where the figures are from.

The first of a model is its default: MindCV's where there is one, as users of MindCV expect. The accuracies are those of
the publisher at the given input; `a1` to `d` are the recipes of "ResNet strikes back", arXiv:2110.00476.
"""

from functools import partial

from .._pretrained import FACEBOOK, GLUON, MINDCV, MINDCV_910V2, TIMM, TIMM_OLD, TORCHVISION, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_torch = partial(published, model_args={"stem_pool_pad": "both"})
_tv = partial(_torch, source="torchvision", licence="BSD-3-Clause")
_timm = partial(_torch, source="timm", licence="Apache-2.0", interpolation="bicubic")
_gluon = partial(_timm, source="timm, from GluonCV")
_fb = partial(_torch, source="timm, from Facebook", licence="CC-BY-NC-4.0")

WEIGHTS = {
    "resnet18.mindcv_in1k": _mindcv(f"{MINDCV}/resnet/resnet18-1e65cd21.ckpt", 70.21, top5=89.62),
    "resnet18.tv_in1k": _tv(f"{TORCHVISION}/resnet18-f37072fd.pth", 69.758, top5=89.078),
    "resnet18.a1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet18_a1_0-d63eafa0.pth", 73.158, 288, 1.0, top5=91.026),
    "resnet18.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet18_a2_0-b61bd467.pth", 72.372, 288, 1.0, top5=90.596),
    "resnet18.a3_in1k": _timm(
        f"{TIMM}/v0.1-rsb-weights/resnet18_a3_0-40c531c8.pth", 68.254, crop_pct=0.95, top5=88.176
    ),
    "resnet18.fb_ssl_yfcc100m_ft_in1k": _fb(f"{FACEBOOK}/semi_supervised_resnet18-d92f0530.pth", 72.594, top5=91.418),
    "resnet18.fb_swsl_ig1b_ft_in1k": _fb(
        f"{FACEBOOK}/semi_weakly_supervised_resnet18-118f1556.pth", 73.282, top5=91.732
    ),
    "resnet18.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnet18_v1b-0757602b.pth", 70.838, top5=89.754),
    "resnet34.mindcv_in1k": _mindcv(f"{MINDCV}/resnet/resnet34-f297d27e.ckpt", 74.15, top5=91.98),
    "resnet34.tv_in1k": _tv(f"{TORCHVISION}/resnet34-b627a593.pth", 73.314, top5=91.42),
    "resnet34.a1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet34_a1_0-46f8f793.pth", 77.918, 288, 1.0, top5=93.766),
    "resnet34.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet34_a2_0-82d47d71.pth", 77.158, 288, 1.0, top5=93.274),
    "resnet34.a3_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet34_a3_0-a20cabb6.pth", 72.97, crop_pct=0.95, top5=91.108),
    "resnet34.bt_in1k": _timm(f"{TIMM_OLD}/v0.1-weights/resnet34-43635321.pth", 76.48, 288, 0.95, top5=93.354),
    "resnet34.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnet34_v1b-c6d82d59.pth", 74.578, top5=91.984),
    "resnet50.mindcv_in1k": _mindcv(f"{MINDCV}/resnet/resnet50-e0733ab8.ckpt", 76.69, top5=93.5),
    "resnet50.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/resnet/resnet50-f369a08d-910v2.ckpt", 76.76, top5=93.31),
    "resnet50.tv_in1k": _tv(f"{TORCHVISION}/resnet50-0676ba61.pth", 76.13, top5=92.862),
    "resnet50.tv2_in1k": _tv(f"{TORCHVISION}/resnet50-11ad3fa6.pth", 80.858, crop_pct=0.965517, top5=95.434),
    "resnet50.a1_in1k": _timm(f"{TIMM_OLD}/v0.1-rsb-weights/resnet50_a1_0-14fe96d1.pth", 81.214, 288, 1.0, top5=95.102),
    "resnet50.a1h_in1k": _timm(
        f"{TIMM}/v0.1-rsb-weights/resnet50_a1h2_176-001a1197.pth", 80.676, crop_pct=1.0, top5=95.306
    ),
    "resnet50.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_a2_0-a2746f79.pth", 80.772, 288, 1.0, top5=94.988),
    "resnet50.a3_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_a3_0-59cae1ef.pth", 78.048, crop_pct=0.95, top5=93.78),
    "resnet50.b1k_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_b1k-532a802a.pth", 80.706, 288, 1.0, top5=95.432),
    "resnet50.b2k_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_b2k-1ba180c1.pth", 80.454, 288, 1.0, top5=95.318),
    "resnet50.c1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_c1-5ba5e060.pth", 80.912, 288, 1.0, top5=95.552),
    "resnet50.c2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_c2-d01e05b2.pth", 80.87, 288, 1.0, top5=95.534),
    "resnet50.d_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_d-f39db8af.pth", 80.972, 288, 1.0, top5=95.43),
    "resnet50.ram_in1k": _timm(f"{TIMM}/v0.1-weights/resnet50_ram-a26f946b.pth", 79.976, 288, 0.95, top5=95.052),
    "resnet50.am_in1k": _timm(f"{TIMM}/v0.1-weights/resnet50_am-6c502b37.pth", 78.998, top5=94.396),
    "resnet50.ra_in1k": _timm(f"{TIMM}/v0.1-weights/resnet50_ra-85ebb6e5.pth", 79.836, 288, 0.95, top5=94.966),
    "resnet50.bt_in1k": _timm(f"{TIMM}/v0.1-weights/rw_resnet50-86acaeed.pth", 79.64, 288, 0.95, top5=94.892),
    "resnet50.fb_ssl_yfcc100m_ft_in1k": _fb(f"{FACEBOOK}/semi_supervised_resnet50-08389792.pth", 79.234, top5=94.826),
    "resnet50.fb_swsl_ig1b_ft_in1k": _fb(
        f"{FACEBOOK}/semi_weakly_supervised_resnet50-16a12f1b.pth", 81.182, top5=95.992
    ),
    "resnet50.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnet50_v1b-0ebe02e2.pth", 77.58, top5=93.718),
    "resnet101.mindcv_in1k": _mindcv(f"{MINDCV}/resnet/resnet101-689c5e77.ckpt", 78.24, top5=94.09),
    "resnet101.tv_in1k": _tv(f"{TORCHVISION}/resnet101-63fe2227.pth", 77.374, top5=93.546),
    "resnet101.tv2_in1k": _tv(f"{TORCHVISION}/resnet101-cd907fc2.pth", 81.886, crop_pct=0.965517, top5=95.78),
    "resnet101.a1h_in1k": _timm(
        f"{TIMM_OLD}/v0.1-rsb-weights/resnet101_a1h-36d3f2aa.pth", 82.778, 288, 1.0, top5=96.31
    ),
    "resnet101.a1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet101_a1_0-cdcb52a9.pth", 82.322, 288, 1.0, top5=95.632),
    "resnet101.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet101_a2_0-6edb36c7.pth", 82.236, 288, 1.0, top5=95.73),
    "resnet101.a3_in1k": _timm(
        f"{TIMM}/v0.1-rsb-weights/resnet101_a3_0-1db14157.pth", 79.814, crop_pct=0.95, top5=94.606
    ),
    "resnet101.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnet101_v1b-3b017079.pth", 79.31, top5=94.522),
    "resnet152.mindcv_in1k": _mindcv(f"{MINDCV}/resnet/resnet152-beb689d8.ckpt", 78.72, top5=94.45),
    "resnet152.tv_in1k": _tv(f"{TORCHVISION}/resnet152-394f9c45.pth", 78.312, top5=94.046),
    "resnet152.tv2_in1k": _tv(f"{TORCHVISION}/resnet152-f82ba261.pth", 82.284, crop_pct=0.965517, top5=96.002),
    "resnet152.a1h_in1k": _timm(
        f"{TIMM_OLD}/v0.1-rsb-weights/resnet152_a1h-dc400468.pth", 83.45, 288, 1.0, top5=96.538
    ),
    "resnet152.a1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet152_a1_0-2eee8a7a.pth", 82.732, 288, 1.0, top5=95.72),
    "resnet152.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet152_a2_0-b4c6978f.pth", 82.608, 288, 1.0, top5=95.752),
    "resnet152.a3_in1k": _timm(
        f"{TIMM}/v0.1-rsb-weights/resnet152_a3_0-134d4688.pth", 80.546, crop_pct=0.95, top5=95.0
    ),
    "resnet152.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnet152_v1b-c1edb0dd.pth", 79.694, top5=94.736),
    "resnext50_32x4d.mindcv_in1k": _mindcv(f"{MINDCV}/resnext/resnext50_32x4d-af8aba16.ckpt", 78.53, top5=94.1),
    "resnext50_32x4d.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/resnext/resnext50_32x4d-988f75bc-910v2.ckpt", 78.64, top5=94.18
    ),
    "resnext50_32x4d.tv_in1k": _tv(f"{TORCHVISION}/resnext50_32x4d-7cdf4587.pth", 77.618, top5=93.698),
    "resnext50_32x4d.tv2_in1k": _tv(
        f"{TORCHVISION}/resnext50_32x4d-1a0047aa.pth", 81.198, crop_pct=0.965517, top5=95.34
    ),
    "resnext50_32x4d.a1h_in1k": _timm(
        f"{TIMM_OLD}/v0.1-rsb-weights/resnext50_32x4d_a1h-0146ab0a.pth", 82.014, 288, 1.0, top5=95.934
    ),
    "resnext50_32x4d.a1_in1k": _timm(
        f"{TIMM}/v0.1-rsb-weights/resnext50_32x4d_a1_0-b5a91a1d.pth", 81.466, 288, 1.0, top5=95.174
    ),
    "resnext50_32x4d.a2_in1k": _timm(
        f"{TIMM}/v0.1-rsb-weights/resnext50_32x4d_a2_0-efc76add.pth", 81.304, 288, 1.0, top5=95.096
    ),
    "resnext50_32x4d.a3_in1k": _timm(
        f"{TIMM}/v0.1-rsb-weights/resnext50_32x4d_a3_0-3e450271.pth", 79.268, crop_pct=0.95, top5=94.306
    ),
    "resnext50_32x4d.ra_in1k": _timm(
        f"{TIMM}/v0.1-weights/resnext50_32x4d_ra-d733960d.pth", 80.698, 288, 0.95, top5=95.39
    ),
    "resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k": _fb(
        f"{FACEBOOK}/semi_supervised_resnext50_32x4-ddb3e555.pth", 80.338, top5=95.398
    ),
    "resnext50_32x4d.fb_swsl_ig1b_ft_in1k": _fb(
        f"{FACEBOOK}/semi_weakly_supervised_resnext50_32x4-72679e44.pth", 82.174, top5=96.222
    ),
    "resnext50_32x4d.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnext50_32x4d-e6a097c1.pth", 79.36, top5=94.43),
    "resnext101_32x4d.mindcv_in1k": _mindcv(f"{MINDCV}/resnext/resnext101_32x4d-3c1e9c51.ckpt", 79.83, top5=94.8),
    "resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k": _fb(
        f"{FACEBOOK}/semi_supervised_resnext101_32x4-dc43570a.pth", 80.924, top5=95.734
    ),
    "resnext101_32x4d.fb_swsl_ig1b_ft_in1k": _fb(
        f"{FACEBOOK}/semi_weakly_supervised_resnext101_32x4-3f87e46b.pth", 83.232, top5=96.758
    ),
    "resnext101_32x4d.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnext101_32x4d-b253c8c4.pth", 80.34, top5=94.93),
    "resnext101_64x4d.mindcv_in1k": _mindcv(f"{MINDCV}/resnext/resnext101_64x4d-8929255b.ckpt", 80.3, top5=94.82),
    "resnext101_64x4d.tv_in1k": _tv(
        f"{TORCHVISION}/resnext101_64x4d-173b62eb.pth", 83.246, crop_pct=0.965517, top5=96.454
    ),
    "resnext101_64x4d.c1_in1k": _timm(
        f"{TIMM_OLD}/v0.1-tpu-weights/resnext101_64x4d_c-0d0e0cc0.pth", 83.156, 288, 1.0, top5=96.374
    ),
    "resnext101_64x4d.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnext101_64x4d-f9a8e184.pth", 80.6, top5=94.992),
    "resnext152_64x4d.mindcv_in1k": _mindcv(f"{MINDCV}/resnext/resnext152_64x4d-3aba275c.ckpt", 80.52, top5=95.0),
}
