"""Published weights of ConViT; docs/weights.md says where the figures are from.

The first of a model is its default.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(timm_hub, model_args={"act": "gelu", "norm_eps": 1e-6})

WEIGHTS = {
    "convit_tiny.mindcv_in1k": _mindcv(f"{MINDCV}/convit/convit_tiny-e31023f2.ckpt", 73.66, top5=91.72),
    "convit_tiny.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/convit/convit_tiny-1961717e-910v2.ckpt", 73.79, top5=91.7
    ),
    "convit_tiny.fb_in1k": _timm("convit_tiny.fb_in1k", top1=73.112, top5=91.712),
    "convit_tiny_plus.mindcv_in1k": _mindcv(
        f"{MINDCV}/convit/convit_tiny_plus-e9d7fb92.ckpt", 77.0, crop_pct=0.87, top5=93.6
    ),
    "convit_small.mindcv_in1k": _mindcv(
        f"{MINDCV}/convit/convit_small-ba858604.ckpt", 81.63, crop_pct=0.915, top5=95.59
    ),
    "convit_small.fb_in1k": _timm("convit_small.fb_in1k", top1=81.42, top5=95.744),
    "convit_small_plus.mindcv_in1k": _mindcv(
        f"{MINDCV}/convit/convit_small_plus-2352b9f7.ckpt", 81.8, crop_pct=0.93, top5=95.42
    ),
    "convit_base.mindcv_in1k": _mindcv(f"{MINDCV}/convit/convit_base-c61b808c.ckpt", 82.1, crop_pct=0.93, top5=95.52),
    "convit_base.fb_in1k": _timm("convit_base.fb_in1k", top1=82.29, top5=95.936),
    "convit_base_plus.mindcv_in1k": _mindcv(
        f"{MINDCV}/convit/convit_base_plus-5c61c9ce.ckpt", 81.96, crop_pct=0.925, top5=95.04
    ),
}
