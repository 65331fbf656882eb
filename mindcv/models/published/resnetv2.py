"""Published weights of ResNetV2; docs/weights.md says where the figures are from."""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")

WEIGHTS = {
    "resnetv2_50.mindcv_in1k": _mindcv(f"{MINDCV}/resnetv2/resnetv2_50-3c2f143b.ckpt", 76.90, top5=93.37),
    "resnetv2_50.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/resnetv2/resnetv2_50-a0b9f7f8-910v2.ckpt", 77.03, top5=93.29
    ),
    "resnetv2_101.mindcv_in1k": _mindcv(f"{MINDCV}/resnetv2/resnetv2_101-5d4c49a1.ckpt", 78.48, top5=94.23),
}
