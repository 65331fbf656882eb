"""Published weights of PVTv2; docs/weights.md says where the figures are from.

The first of a model is its default. Top-1 of MindCV's larger ones is that of its model zoo's list, without top-5.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, crop_pct=0.9, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(timm_hub, crop_pct=0.9, model_args={"act": "gelu", "pad": "both", "norm_eps": 1e-5})

WEIGHTS = {
    "pvt_v2_b0.mindcv_in1k": _mindcv(f"{MINDCV}/pvt_v2/pvt_v2_b0-1c4f6683.ckpt", 71.5, top5=90.6),
    "pvt_v2_b0.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/pvt_v2/pvt_v2_b0-d9cd9d6a-910v2.ckpt", 71.25, top5=90.5),
    "pvt_v2_b0.in1k": _timm("pvt_v2_b0.in1k", top1=70.66, top5=90.196),
    "pvt_v2_b1.mindcv_in1k": _mindcv(f"{MINDCV}/pvt_v2/pvt_v2_b1-3ceb171a.ckpt", 78.91),
    "pvt_v2_b1.in1k": _timm("pvt_v2_b1.in1k", top1=78.702, top5=94.502),
    "pvt_v2_b2.mindcv_in1k": _mindcv(f"{MINDCV}/pvt_v2/pvt_v2_b2-0565d18e.ckpt", 81.99),
    "pvt_v2_b2.in1k": _timm("pvt_v2_b2.in1k", top1=82.086, top5=95.956),
    "pvt_v2_b3.mindcv_in1k": _mindcv(f"{MINDCV}/pvt_v2/pvt_v2_b3-feaae3fc.ckpt", 82.84),
    "pvt_v2_b3.in1k": _timm("pvt_v2_b3.in1k", top1=83.12, top5=96.554),
    "pvt_v2_b4.mindcv_in1k": _mindcv(f"{MINDCV}/pvt_v2/pvt_v2_b4-1cf4bc03.ckpt", 83.14),
    "pvt_v2_b4.in1k": _timm("pvt_v2_b4.in1k", top1=83.71, top5=96.674),
    "pvt_v2_b5.in1k": _timm("pvt_v2_b5.in1k", top1=83.742, top5=96.634),
}
