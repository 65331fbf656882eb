"""Published weights of PiT; docs/weights.md says where the figures are from.

The first of a model is its default. Top-1 of MindCV's larger ones is that of its model zoo's list, without top-5.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(timm_hub, crop_pct=0.9, model_args={"act": "gelu"})

WEIGHTS = {
    "pit_ti.mindcv_in1k": _mindcv(f"{MINDCV}/pit/pit_ti-e647a593.ckpt", 72.96, top5=91.33),
    "pit_ti.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/pit/pit_ti-33466a0d-910v2.ckpt", 73.26, top5=91.57),
    "pit_ti.in1k": _timm("pit_ti_224.in1k", top1=72.91, top5=91.4),
    "pit_xs.mindcv_in1k": _mindcv(f"{MINDCV}/pit/pit_xs-fea0d37e.ckpt", 78.41),
    "pit_xs.in1k": _timm("pit_xs_224.in1k", top1=78.18, top5=94.164),
    "pit_s.mindcv_in1k": _mindcv(f"{MINDCV}/pit/pit_s-3c1ba36f.ckpt", 80.56),
    "pit_s.in1k": _timm("pit_s_224.in1k", top1=81.092, top5=95.332),
    "pit_b.mindcv_in1k": _mindcv(f"{MINDCV}/pit/pit_b-2411c9b6.ckpt", 81.87, crop_pct=0.9),
    "pit_b.in1k": _timm("pit_b_224.in1k", top1=82.438, top5=95.716),
}
