"""Published weights of Visformer; docs/weights.md says where the figures are from.

The first of a model is its default.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(timm_hub, crop_pct=0.9, model_args={"act": "gelu"})

WEIGHTS = {
    "visformer_tiny.mindcv_in1k": _mindcv(f"{MINDCV}/visformer/visformer_tiny-daee0322.ckpt", 78.28, top5=94.15),
    "visformer_tiny.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/visformer/visformer_tiny-df995ba4-910v2.ckpt", 78.4, top5=94.3
    ),
    "visformer_tiny.in1k": _timm("visformer_tiny.in1k", top1=78.162, top5=94.164),
    "visformer_small.mindcv_in1k": _mindcv(f"{MINDCV}/visformer/visformer_small-6c83b6db.ckpt", 81.76, top5=95.88),
    "visformer_small.in1k": _timm("visformer_small.in1k", top1=82.102, top5=95.878),
    "visformer_tiny_v2.mindcv_in1k": _mindcv(f"{MINDCV}/visformer/visformer_tiny_v2-6711a758.ckpt", 78.82, top5=94.41),
    "visformer_small_v2.mindcv_in1k": _mindcv(f"{MINDCV}/visformer/visformer_small_v2-63674ade.ckpt", 82.17, top5=95.9),
}
