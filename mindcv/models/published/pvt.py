"""Published weights of PVT; docs/weights.md says where the figures are from. The first of a model is its default."""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published

_mindcv = partial(published, crop_pct=0.9, source="MindCV", licence="Apache-2.0", interpolation="bicubic")

WEIGHTS = {
    "pvt_tiny.mindcv_in1k": _mindcv(f"{MINDCV}/pvt/pvt_tiny-6abb953d.ckpt", 74.81, top5=92.18),
    "pvt_tiny.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/pvt/pvt_tiny-6676051f-910v2.ckpt", 74.88, top5=92.12),
    "pvt_small.mindcv_in1k": _mindcv(f"{MINDCV}/pvt/pvt_small-213c2ed1.ckpt", 79.66, top5=94.71),
    "pvt_medium.mindcv_in1k": _mindcv(f"{MINDCV}/pvt/pvt_medium-469e6802.ckpt", 81.82, top5=95.81),
    "pvt_large.mindcv_in1k": _mindcv(f"{MINDCV}/pvt/pvt_large-bb6895d7.ckpt", 81.75, top5=95.7),
}
