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
    "resnet18.mindcv_in1k": _mindcv(f"{MINDCV}/resnet/resnet18-1e65cd21.ckpt", 70.21),
    "resnet18.tv_in1k": _tv(f"{TORCHVISION}/resnet18-f37072fd.pth", 69.758),
    "resnet18.a1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet18_a1_0-d63eafa0.pth", 73.164, 288, 1.0),
    "resnet18.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet18_a2_0-b61bd467.pth", 72.362, 288, 1.0),
    "resnet18.a3_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet18_a3_0-40c531c8.pth", 68.246, crop_pct=0.95),
    "resnet18.fb_ssl_yfcc100m_ft_in1k": _fb(f"{FACEBOOK}/semi_supervised_resnet18-d92f0530.pth", 72.636),
    "resnet18.fb_swsl_ig1b_ft_in1k": _fb(f"{FACEBOOK}/semi_weakly_supervised_resnet18-118f1556.pth", 73.288),
    "resnet18.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnet18_v1b-0757602b.pth", 70.844),
    "resnet34.mindcv_in1k": _mindcv(f"{MINDCV}/resnet/resnet34-f297d27e.ckpt", 74.15),
    "resnet34.tv_in1k": _tv(f"{TORCHVISION}/resnet34-b627a593.pth", 73.314),
    "resnet34.a1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet34_a1_0-46f8f793.pth", 77.938, 288, 1.0),
    "resnet34.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet34_a2_0-82d47d71.pth", 77.148, 288, 1.0),
    "resnet34.a3_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet34_a3_0-a20cabb6.pth", 72.982, crop_pct=0.95),
    "resnet34.bt_in1k": _timm(f"{TIMM_OLD}/v0.1-weights/resnet34-43635321.pth", 76.508, 288, 0.95),
    "resnet34.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnet34_v1b-c6d82d59.pth", 74.574),
    "resnet50.mindcv_in1k": _mindcv(f"{MINDCV}/resnet/resnet50-e0733ab8.ckpt", 76.69),
    "resnet50.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/resnet/resnet50-f369a08d-910v2.ckpt", 76.76),
    "resnet50.tv_in1k": _tv(f"{TORCHVISION}/resnet50-0676ba61.pth", 76.13),
    "resnet50.tv2_in1k": _tv(f"{TORCHVISION}/resnet50-11ad3fa6.pth", 80.858, crop_pct=0.965517),
    "resnet50.a1_in1k": _timm(f"{TIMM_OLD}/v0.1-rsb-weights/resnet50_a1_0-14fe96d1.pth", 81.24, 288, 1.0),
    "resnet50.a1h_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_a1h2_176-001a1197.pth", 80.652, crop_pct=1.0),
    "resnet50.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_a2_0-a2746f79.pth", 80.78, 288, 1.0),
    "resnet50.a3_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_a3_0-59cae1ef.pth", 78.052, crop_pct=0.95),
    "resnet50.b1k_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_b1k-532a802a.pth", 80.706, 288, 1.0),
    "resnet50.b2k_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_b2k-1ba180c1.pth", 80.47, 288, 1.0),
    "resnet50.c1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_c1-5ba5e060.pth", 80.928, 288, 1.0),
    "resnet50.c2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_c2-d01e05b2.pth", 80.856, 288, 1.0),
    "resnet50.d_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet50_d-f39db8af.pth", 81.012, 288, 1.0),
    "resnet50.ram_in1k": _timm(f"{TIMM}/v0.1-weights/resnet50_ram-a26f946b.pth", 79.974, 288, 0.95),
    "resnet50.am_in1k": _timm(f"{TIMM}/v0.1-weights/resnet50_am-6c502b37.pth", 79.004),
    "resnet50.ra_in1k": _timm(f"{TIMM}/v0.1-weights/resnet50_ra-85ebb6e5.pth", 79.86, 288, 0.95),
    "resnet50.bt_in1k": _timm(f"{TIMM}/v0.1-weights/rw_resnet50-86acaeed.pth", 79.652, 288, 0.95),
    "resnet50.fb_ssl_yfcc100m_ft_in1k": _fb(f"{FACEBOOK}/semi_supervised_resnet50-08389792.pth", 79.252),
    "resnet50.fb_swsl_ig1b_ft_in1k": _fb(f"{FACEBOOK}/semi_weakly_supervised_resnet50-16a12f1b.pth", 81.146),
    "resnet50.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnet50_v1b-0ebe02e2.pth", 77.58),
    "resnet101.mindcv_in1k": _mindcv(f"{MINDCV}/resnet/resnet101-689c5e77.ckpt", 78.24),
    "resnet101.tv_in1k": _tv(f"{TORCHVISION}/resnet101-63fe2227.pth", 77.374),
    "resnet101.tv2_in1k": _tv(f"{TORCHVISION}/resnet101-cd907fc2.pth", 81.886, crop_pct=0.965517),
    "resnet101.a1h_in1k": _timm(f"{TIMM_OLD}/v0.1-rsb-weights/resnet101_a1h-36d3f2aa.pth", 82.802, 288, 1.0),
    "resnet101.a1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet101_a1_0-cdcb52a9.pth", 82.322, 288, 1.0),
    "resnet101.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet101_a2_0-6edb36c7.pth", 82.224, 288, 1.0),
    "resnet101.a3_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet101_a3_0-1db14157.pth", 79.82, crop_pct=0.95),
    "resnet101.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnet101_v1b-3b017079.pth", 79.306),
    "resnet152.mindcv_in1k": _mindcv(f"{MINDCV}/resnet/resnet152-beb689d8.ckpt", 78.72),
    "resnet152.tv_in1k": _tv(f"{TORCHVISION}/resnet152-394f9c45.pth", 78.312),
    "resnet152.tv2_in1k": _tv(f"{TORCHVISION}/resnet152-f82ba261.pth", 82.284, crop_pct=0.965517),
    "resnet152.a1h_in1k": _timm(f"{TIMM_OLD}/v0.1-rsb-weights/resnet152_a1h-dc400468.pth", 83.494, 288, 1.0),
    "resnet152.a1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet152_a1_0-2eee8a7a.pth", 82.744, 288, 1.0),
    "resnet152.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet152_a2_0-b4c6978f.pth", 82.62, 288, 1.0),
    "resnet152.a3_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnet152_a3_0-134d4688.pth", 80.548, crop_pct=0.95),
    "resnet152.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnet152_v1b-c1edb0dd.pth", 79.712),
    "resnext50_32x4d.mindcv_in1k": _mindcv(f"{MINDCV}/resnext/resnext50_32x4d-af8aba16.ckpt", 78.53),
    "resnext50_32x4d.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/resnext/resnext50_32x4d-988f75bc-910v2.ckpt", 78.64),
    "resnext50_32x4d.tv_in1k": _tv(f"{TORCHVISION}/resnext50_32x4d-7cdf4587.pth", 77.618),
    "resnext50_32x4d.tv2_in1k": _tv(f"{TORCHVISION}/resnext50_32x4d-1a0047aa.pth", 81.198, crop_pct=0.965517),
    "resnext50_32x4d.a1h_in1k": _timm(
        f"{TIMM_OLD}/v0.1-rsb-weights/resnext50_32x4d_a1h-0146ab0a.pth", 82.012, 288, 1.0
    ),
    "resnext50_32x4d.a1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnext50_32x4d_a1_0-b5a91a1d.pth", 81.484, 288, 1.0),
    "resnext50_32x4d.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/resnext50_32x4d_a2_0-efc76add.pth", 81.298, 288, 1.0),
    "resnext50_32x4d.a3_in1k": _timm(
        f"{TIMM}/v0.1-rsb-weights/resnext50_32x4d_a3_0-3e450271.pth", 79.252, crop_pct=0.95
    ),
    "resnext50_32x4d.ra_in1k": _timm(f"{TIMM}/v0.1-weights/resnext50_32x4d_ra-d733960d.pth", 80.706, 288, 0.95),
    "resnext50_32x4d.fb_ssl_yfcc100m_ft_in1k": _fb(f"{FACEBOOK}/semi_supervised_resnext50_32x4-ddb3e555.pth", 80.316),
    "resnext50_32x4d.fb_swsl_ig1b_ft_in1k": _fb(
        f"{FACEBOOK}/semi_weakly_supervised_resnext50_32x4-72679e44.pth", 82.162
    ),
    "resnext50_32x4d.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnext50_32x4d-e6a097c1.pth", 79.354),
    "resnext101_32x4d.mindcv_in1k": _mindcv(f"{MINDCV}/resnext/resnext101_32x4d-3c1e9c51.ckpt", 79.83),
    "resnext101_32x4d.fb_ssl_yfcc100m_ft_in1k": _fb(f"{FACEBOOK}/semi_supervised_resnext101_32x4-dc43570a.pth", 80.936),
    "resnext101_32x4d.fb_swsl_ig1b_ft_in1k": _fb(
        f"{FACEBOOK}/semi_weakly_supervised_resnext101_32x4-3f87e46b.pth", 83.268
    ),
    "resnext101_32x4d.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnext101_32x4d-b253c8c4.pth", 80.336),
    "resnext101_64x4d.mindcv_in1k": _mindcv(f"{MINDCV}/resnext/resnext101_64x4d-8929255b.ckpt", 80.3),
    "resnext101_64x4d.tv_in1k": _tv(f"{TORCHVISION}/resnext101_64x4d-173b62eb.pth", 83.246, crop_pct=0.965517),
    "resnext101_64x4d.c1_in1k": _timm(f"{TIMM_OLD}/v0.1-tpu-weights/resnext101_64x4d_c-0d0e0cc0.pth", 83.158, 288, 1.0),
    "resnext101_64x4d.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_resnext101_64x4d-f9a8e184.pth", 80.64),
    "resnext152_64x4d.mindcv_in1k": _mindcv(f"{MINDCV}/resnext/resnext152_64x4d-3aba275c.ckpt", 80.52),
}
