"""Published weights of ShuffleNetV2; docs/weights.md says where the figures are from."""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_tv = partial(
    published,
    source="torchvision",
    licence="BSD-3-Clause",
    model_args={"layout": "torchvision", "head_bias": True, "stem_pool_pad": "both"},
)
_FOLDER = "shufflenet/shufflenetv2"

WEIGHTS = {
    "shufflenet_v2_x0_5.mindcv_in1k": _mindcv(
        f"{MINDCV}/{_FOLDER}/shufflenet_v2_x0_5-8c841061.ckpt", 60.53, top5=82.11
    ),
    "shufflenet_v2_x0_5.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/{_FOLDER}/shufflenet_v2_x0_5-39d05bb6-910v2.ckpt", 60.65, top5=82.26
    ),
    "shufflenet_v2_x0_5.tv_in1k": _tv(f"{TORCHVISION}/shufflenetv2_x0.5-f707e7126e.pth", 60.552, top5=81.746),
    "shufflenet_v2_x1_0.mindcv_in1k": _mindcv(
        f"{MINDCV}/{_FOLDER}/shufflenet_v2_x1_0-0da4b7fa.ckpt", 69.47, top5=88.88
    ),
    "shufflenet_v2_x1_0.tv_in1k": _tv(f"{TORCHVISION}/shufflenetv2_x1-5666bf0f80.pth", 69.362, top5=88.316),
    "shufflenet_v2_x1_5.mindcv_in1k": _mindcv(
        f"{MINDCV}/{_FOLDER}/shufflenet_v2_x1_5-00b56131.ckpt", 72.79, top5=90.93
    ),
    "shufflenet_v2_x1_5.tv_in1k": _tv(
        f"{TORCHVISION}/shufflenetv2_x1_5-3c479a10.pth", 72.996, crop_pct=0.965517, top5=91.086
    ),
    "shufflenet_v2_x2_0.mindcv_in1k": _mindcv(
        f"{MINDCV}/{_FOLDER}/shufflenet_v2_x2_0-ed8e698d.ckpt", 75.07, top5=92.08
    ),
    "shufflenet_v2_x2_0.tv_in1k": _tv(
        f"{TORCHVISION}/shufflenetv2_x2_0-8be3c8ee.pth", 76.23, crop_pct=0.965517, top5=93.006
    ),
}
