"""Published weights of PoolFormer; docs/weights.md says where the figures are from.

The first of a model is its default.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, crop_pct=0.9, source="MindCV", licence="Apache-2.0")
_timm = partial(timm_hub, crop_pct=0.9, model_args={"head_norm": "mean"})
_timm95 = partial(_timm, crop_pct=0.95)

WEIGHTS = {
    "poolformer_s12.mindcv_in1k": _mindcv(f"{MINDCV}/poolformer/poolformer_s12-5be5c4e4.ckpt", 77.33, top5=93.34),
    "poolformer_s12.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/poolformer/poolformer_s12-c7e14eea-910v2.ckpt", 77.49, top5=93.55
    ),
    "poolformer_s12.sail_in1k": _timm("poolformer_s12.sail_in1k", top1=77.234, top5=93.532),
    "poolformer_s24.sail_in1k": _timm("poolformer_s24.sail_in1k", top1=80.296, top5=95.072),
    "poolformer_s36.sail_in1k": _timm("poolformer_s36.sail_in1k", top1=81.43, top5=95.444),
    "poolformer_m36.sail_in1k": _timm95("poolformer_m36.sail_in1k", top1=82.102, top5=95.698),
    "poolformer_m48.sail_in1k": _timm95("poolformer_m48.sail_in1k", top1=82.482, top5=95.966),
}
