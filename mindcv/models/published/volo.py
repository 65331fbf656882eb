"""Published weights of VOLO; docs/weights.md says where the figures are from.

The first of a model is its default.
"""

from functools import partial

from .._pretrained import MINDCV, published, timm_hub

_TORCH = {"act": "gelu", "norm_eps": 1e-5, "aux_weight": 0.5}

_mindcv = partial(published, crop_pct=0.96, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(timm_hub, crop_pct=0.96, model_args=_TORCH)
_timm384 = partial(timm_hub, side=384, crop_pct=1.0, model_args={**_TORCH, "image_size": 384})
_timm448 = partial(timm_hub, side=448, crop_pct=1.15, model_args={**_TORCH, "image_size": 448})

WEIGHTS = {
    "volo_d1.mindcv_in1k": _mindcv(f"{MINDCV}/volo/volo_d1-c7efada9.ckpt", 82.59, top5=95.99),
    "volo_d1.sail_in1k": _timm("volo_d1_224.sail_in1k", top1=84.162, top5=96.776),
    "volo_d1.sail_in1k_384": _timm384("volo_d1_384.sail_in1k", top1=85.244, top5=97.214),
    "volo_d2.mindcv_in1k": _mindcv(f"{MINDCV}/volo/volo_d2-0910a460.ckpt", 82.95, top5=96.13),
    "volo_d2.sail_in1k": _timm("volo_d2_224.sail_in1k", top1=85.202, top5=97.19),
    "volo_d2.sail_in1k_384": _timm384("volo_d2_384.sail_in1k", top1=86.042, top5=97.574),
    "volo_d3.mindcv_in1k": _mindcv(f"{MINDCV}/volo/volo_d3-25916c36.ckpt", 83.38, top5=96.28),
    "volo_d3.sail_in1k": _timm("volo_d3_224.sail_in1k", top1=85.414, top5=97.276),
    "volo_d3.sail_in1k_448": _timm448("volo_d3_448.sail_in1k", crop_pct=1.0, top1=86.5, top5=97.71),
    "volo_d4.mindcv_in1k": _mindcv(f"{MINDCV}/volo/volo_d4-6c88cd33.ckpt", 82.5, crop_pct=1.15, top5=95.86),
    "volo_d4.sail_in1k": _timm("volo_d4_224.sail_in1k", top1=85.872, top5=97.472),
    "volo_d4.sail_in1k_448": _timm448("volo_d4_448.sail_in1k", top1=86.792, top5=97.884),
    "volo_d5.sail_in1k": _timm("volo_d5_224.sail_in1k", top1=86.07, top5=97.576),
    "volo_d5.sail_in1k_448": _timm448("volo_d5_448.sail_in1k", top1=86.952, top5=97.938),
}
