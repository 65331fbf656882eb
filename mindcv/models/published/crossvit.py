"""Published weights of CrossViT; docs/weights.md says where the figures are from.

The first of a model is its default. MindCV fed the larger ones with 224 pixels, which the network enlarges to 240.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, crop_pct=0.935, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(timm_hub, side=240, model_args={"act": "gelu", "norm_eps": 1e-6, "resample": "bicubic"})

WEIGHTS = {
    "crossvit_9.mindcv_in1k": _mindcv(f"{MINDCV}/crossvit/crossvit_9-e74c8e18.ckpt", 73.56, side=240, top5=91.79),
    "crossvit_9.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/crossvit/crossvit_9-32c69c96-910v2.ckpt", 73.38, side=240, top5=91.51
    ),
    "crossvit_9.in1k": _timm("crossvit_9_240.in1k", top1=73.958, top5=91.968),
    "crossvit_15.mindcv_in1k": _mindcv(f"{MINDCV}/crossvit/crossvit_15-eaa43c02.ckpt", 81.08, top5=95.33),
    "crossvit_15.in1k": _timm("crossvit_15_240.in1k", top1=81.534, top5=95.692),
    "crossvit_18.mindcv_in1k": _mindcv(f"{MINDCV}/crossvit/crossvit_18-ca0a2e43.ckpt", 81.93, top5=95.75),
    "crossvit_18.in1k": _timm("crossvit_18_240.in1k", top1=82.396, top5=96.06),
}
