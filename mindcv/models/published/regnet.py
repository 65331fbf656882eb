"""Published weights of RegNet; docs/weights.md says where the figures are from.

The first of a model is its default: MindCV's where there is one, else the best whose licence is known. MindCV calls
the file of regnet_y_16gf the one of regnet_x_16gf, which it does not fit.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_mindcv_bicubic = partial(_mindcv, interpolation="bicubic")
_tv2 = partial(published, crop_pct=0.965517, source="torchvision", licence="BSD-3-Clause")
_pycls = partial(timm_hub, source="timm, from pycls", licence="MIT")

WEIGHTS = {
    "regnet_x_200mf.mindcv_in1k": _mindcv_bicubic(f"{MINDCV}/regnet/regnet_x_200mf-0c2b1eb5.ckpt", 68.74, top5=88.38),
    "regnet_x_200mf.pycls_in1k": _pycls("regnetx_002.pycls_in1k", 68.746, top5=88.536),
    "regnet_x_400mf.mindcv_in1k": _mindcv_bicubic(f"{MINDCV}/regnet/regnet_x_400mf-4848837d.ckpt", 73.16, top5=91.35),
    "regnet_x_400mf.tv2_in1k": _tv2(
        f"{TORCHVISION}/regnet_x_400mf-62229a5f.pth", 74.864, top5=92.322, model_args={"rounding": "divisible"}
    ),
    "regnet_x_400mf.pycls_in1k": _pycls("regnetx_004.pycls_in1k", 72.398, top5=90.828),
    "regnet_x_600mf.mindcv_in1k": _mindcv_bicubic(f"{MINDCV}/regnet/regnet_x_600mf-ccd76c94.ckpt", 74.34, top5=92.0),
    "regnet_x_600mf.pycls_in1k": _pycls("regnetx_006.pycls_in1k", 73.868, top5=91.678),
    "regnet_x_800mf.mindcv_in1k": _mindcv(f"{MINDCV}/regnet/regnet_x_800mf-617227f4.ckpt", 76.04, top5=92.97),
    "regnet_x_800mf.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/regnet/regnet_x_800mf-68fe1cca-910v2.ckpt", 76.11, top5=93.0
    ),
    "regnet_x_800mf.tv2_in1k": _tv2(f"{TORCHVISION}/regnet_x_800mf-94a99ebd.pth", 77.522, top5=93.826),
    "regnet_x_800mf.pycls_in1k": _pycls("regnetx_008.pycls_in1k", 75.03, top5=92.338),
    "regnet_x_1_6gf.tv2_in1k": _tv2(f"{TORCHVISION}/regnet_x_1_6gf-a12f2b72.pth", 79.668, top5=94.922),
    "regnet_x_1_6gf.pycls_in1k": _pycls("regnetx_016.pycls_in1k", 76.924, top5=93.416),
    "regnet_x_3_2gf.tv2_in1k": _tv2(f"{TORCHVISION}/regnet_x_3_2gf-7071aa85.pth", 81.196, top5=95.43),
    "regnet_x_3_2gf.pycls_in1k": _pycls("regnetx_032.pycls_in1k", 78.168, top5=94.082),
    "regnet_x_4_0gf.pycls_in1k": _pycls("regnetx_040.pycls_in1k", 78.492, top5=94.242),
    "regnet_x_6_4gf.pycls_in1k": _pycls("regnetx_064.pycls_in1k", 79.066, top5=94.458),
    "regnet_x_8_0gf.tv2_in1k": _tv2(f"{TORCHVISION}/regnet_x_8gf-2b70d774.pth", 81.682, top5=95.678),
    "regnet_x_8_0gf.pycls_in1k": _pycls("regnetx_080.pycls_in1k", 79.202, top5=94.552),
    "regnet_x_12gf.pycls_in1k": _pycls("regnetx_120.pycls_in1k", 79.588, top5=94.742),
    "regnet_x_16gf.tv2_in1k": _tv2(f"{TORCHVISION}/regnet_x_16gf-ba3796d7.pth", 82.716, top5=96.196),
    "regnet_x_16gf.pycls_in1k": _pycls("regnetx_160.pycls_in1k", 79.866, top5=94.828),
    "regnet_x_32gf.tv2_in1k": _tv2(f"{TORCHVISION}/regnet_x_32gf-6eb8fdc6.pth", 83.014, top5=96.288),
    "regnet_x_32gf.pycls_in1k": _pycls("regnetx_320.pycls_in1k", 80.246, top5=95.022),
    "regnet_y_200mf.mindcv_in1k": _mindcv_bicubic(f"{MINDCV}/regnet/regnet_y_200mf-76a2f720.ckpt", 70.3, top5=89.61),
    "regnet_y_200mf.pycls_in1k": _pycls("regnety_002.pycls_in1k", 70.278, top5=89.528),
    "regnet_y_400mf.mindcv_in1k": _mindcv_bicubic(f"{MINDCV}/regnet/regnet_y_400mf-d496799d.ckpt", 73.91, top5=91.84),
    "regnet_y_400mf.tv2_in1k": _tv2(f"{TORCHVISION}/regnet_y_400mf-e6988f5f.pth", 75.804, top5=92.742),
    "regnet_y_400mf.pycls_in1k": _pycls("regnety_004.pycls_in1k", 74.028, top5=91.75),
    "regnet_y_600mf.mindcv_in1k": _mindcv_bicubic(f"{MINDCV}/regnet/regnet_y_600mf-a84e19b2.ckpt", 75.69, top5=92.5),
    "regnet_y_600mf.pycls_in1k": _pycls("regnety_006.pycls_in1k", 75.27, top5=92.526),
    "regnet_y_800mf.mindcv_in1k": _mindcv_bicubic(f"{MINDCV}/regnet/regnet_y_800mf-9b5211bd.ckpt", 76.52, top5=93.1),
    "regnet_y_800mf.tv2_in1k": _tv2(
        f"{TORCHVISION}/regnet_y_800mf-58fc7688.pth", 78.828, top5=94.502, model_args={"rounding": "divisible"}
    ),
    "regnet_y_800mf.pycls_in1k": _pycls("regnety_008.pycls_in1k", 76.302, top5=93.06),
    "regnet_y_1_6gf.tv2_in1k": _tv2(f"{TORCHVISION}/regnet_y_1_6gf-0d7bc02a.pth", 80.876, top5=95.444),
    "regnet_y_1_6gf.pycls_in1k": _pycls("regnety_016.pycls_in1k", 77.862, top5=93.718),
    "regnet_y_3_2gf.ra_in1k": timm_hub("regnety_032.ra_in1k", 82.728, 288, 1.0, top5=96.416),
    "regnet_y_3_2gf.tv2_in1k": _tv2(f"{TORCHVISION}/regnet_y_3_2gf-9180c971.pth", 81.982, top5=95.972),
    "regnet_y_3_2gf.pycls_in1k": _pycls("regnety_032.pycls_in1k", 78.876, top5=94.408),
    "regnet_y_4_0gf.ra3_in1k": timm_hub("regnety_040.ra3_in1k", 83.044, 288, 1.0, top5=96.498),
    "regnet_y_4_0gf.pycls_in1k": _pycls("regnety_040.pycls_in1k", 79.232, top5=94.656),
    "regnet_y_6_4gf.ra3_in1k": timm_hub("regnety_064.ra3_in1k", 83.72, 288, 1.0, top5=96.722),
    "regnet_y_6_4gf.pycls_in1k": _pycls("regnety_064.pycls_in1k", 79.714, top5=94.766),
    "regnet_y_8_0gf.ra3_in1k": timm_hub("regnety_080.ra3_in1k", 83.926, 288, 1.0, top5=96.89),
    "regnet_y_8_0gf.tv2_in1k": _tv2(
        f"{TORCHVISION}/regnet_y_8gf-dc2b1b54.pth", 82.828, top5=96.33, model_args={"rounding": "divisible"}
    ),
    "regnet_y_8_0gf.pycls_in1k": _pycls("regnety_080.pycls_in1k", 79.868, top5=94.832),
    "regnet_y_12gf.pycls_in1k": _pycls("regnety_120.pycls_in1k", 80.386, top5=95.128),
    "regnet_y_16gf.mindcv_in1k": _mindcv_bicubic(
        f"{MINDCV}/regnet/regnet_y_16gf-c30a856f.ckpt", 82.92, crop_pct=0.9, top5=96.29
    ),
    "regnet_y_16gf.tv2_in1k": _tv2(f"{TORCHVISION}/regnet_y_16gf-3e4a00f9.pth", 82.886, top5=96.328),
    "regnet_y_16gf.pycls_in1k": _pycls("regnety_160.pycls_in1k", 80.298, top5=94.962),
    "regnet_y_32gf.tv2_in1k": _tv2(f"{TORCHVISION}/regnet_y_32gf-8db6d4b5.pth", 83.368, top5=96.498),
    "regnet_y_32gf.pycls_in1k": _pycls("regnety_320.pycls_in1k", 80.808, top5=95.238),
}
