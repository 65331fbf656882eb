"""Published weights of CoaT; docs/weights.md says where the figures are from.

The first of a model is its default.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, crop_pct=0.9, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_lite = partial(timm_hub, crop_pct=0.9, model_args={"cpe_shortcut": True})
_timm = partial(timm_hub, crop_pct=0.9, model_args={"cpe_shortcut": True, "align_corners": False})

WEIGHTS = {
    "coat_tiny.mindcv_in1k": _mindcv(f"{MINDCV}/coat/coat_tiny-071cb792.ckpt", 79.67, top5=94.88),
    "coat_tiny.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/coat/coat_tiny-dcca16b1-910v2.ckpt", 79.27, top5=94.29),
    "coat_tiny.in1k": _timm("coat_tiny.in1k", top1=78.426, top5=94.048),
    "coat_mini.mindcv_in1k": _mindcv(f"{MINDCV}/coat/coat_mini-57c5bce7.ckpt", 81.08, top5=95.34),
    "coat_mini.in1k": _timm("coat_mini.in1k", top1=81.27, top5=95.382),
    "coat_small.in1k": _timm("coat_small.in1k", top1=82.362, top5=96.208),
    "coat_lite_tiny.mindcv_in1k": _mindcv(f"{MINDCV}/coat/coat_lite_tiny-fa7bf894.ckpt", 77.35, top5=93.43),
    "coat_lite_tiny.in1k": _lite("coat_lite_tiny.in1k", top1=77.52, top5=93.922),
    "coat_lite_mini.mindcv_in1k": _mindcv(f"{MINDCV}/coat/coat_lite_mini-55a52f05.ckpt", 78.51, top5=93.84),
    "coat_lite_mini.in1k": _lite("coat_lite_mini.in1k", top1=79.102, top5=94.608),
    "coat_lite_small.in1k": _lite("coat_lite_small.in1k", top1=82.314, top5=95.848),
    "coat_lite_medium.in1k": _lite("coat_lite_medium.in1k", top1=83.6, top5=96.728),
    "coat_lite_medium.in1k_384": _lite(
        "coat_lite_medium_384.in1k", side=384, crop_pct=1.0, crop_mode="squash", top1=84.878, top5=97.372
    ),
}
