"""Published weights of MobileNetV3; docs/weights.md says where the figures are from.

The first of a model is its default. `ra` and `lamb` are timm's recipes; timm's `tf_*` pad the stem otherwise.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, PretrainedCfg, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_tv = partial(
    published, source="torchvision", licence="BSD-3-Clause", model_args={"norm_eps": 1e-3, "conv_pad": "both"}
)
_timm = partial(timm_hub, model_args={"conv_pad": "both"})
_FOLDER = "mobilenet/mobilenetv3"

WEIGHTS = {
    "mobilenet_v3_small_100.mindcv_in1k": _mindcv(
        f"{MINDCV}/{_FOLDER}/mobilenet_v3_small_100-509c6047.ckpt", 68.1, top5=87.86
    ),
    "mobilenet_v3_small_100.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/{_FOLDER}/mobilenet_v3_small_100-6fa3c17d-910v2.ckpt", 68.07, top5=87.77
    ),
    "mobilenet_v3_small_100.tv_in1k": _tv(f"{TORCHVISION}/mobilenet_v3_small-047dcff4.pth", 67.668, top5=87.402),
    "mobilenet_v3_small_100.lamb_in1k": _timm("mobilenetv3_small_100.lamb_in1k", 67.656, top5=87.636),
    "mobilenet_v3_large_100.mindcv_in1k": _mindcv(
        f"{MINDCV}/{_FOLDER}/mobilenet_v3_large_100-1279ad5f.ckpt", 75.23, top5=92.31
    ),
    "mobilenet_v3_large_100.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/{_FOLDER}/mobilenet_v3_large_100-bd4e7bdc-910v2.ckpt", 75.59, top5=92.57
    ),
    "mobilenet_v3_large_100.tv2_in1k": _tv(
        f"{TORCHVISION}/mobilenet_v3_large-5c1a4163.pth", 75.274, crop_pct=0.965517, top5=92.566
    ),
    "mobilenet_v3_large_100.ra_in1k": _timm("mobilenetv3_large_100.ra_in1k", 75.766, top5=92.538),
    "mobilenet_v3_large_100.miil_in21k_ft_in1k": _timm(
        "mobilenetv3_large_100.miil_in21k_ft_in1k",
        77.918,
        top5=92.914,
        interpolation="bilinear",
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
    ),
    "mobilenet_v3_small_075": PretrainedCfg(),
    "mobilenet_v3_large_075": PretrainedCfg(),
}
