"""Published weights of GhostNet; docs/weights.md says where the figures are from.

The first of a model is its default. `in1k` of timm is the authors' file.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")

WEIGHTS = {
    "ghostnet_050.mindcv_in1k": _mindcv(f"{MINDCV}/ghostnet/ghostnet_050-85b91860.ckpt", 66.03, top5=86.64),
    "ghostnet_050.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/ghostnet/ghostnet_050-ae7771cb-910v2.ckpt", 65.93, top5=86.65
    ),
    "ghostnet_100.mindcv_in1k": _mindcv(f"{MINDCV}/ghostnet/ghostnet_100-bef8025a.ckpt", 73.78, top5=91.66),
    "ghostnet_100.in1k": timm_hub(
        "ghostnet_100.in1k", 73.982, top5=91.466, interpolation="bilinear", source="timm, from the authors"
    ),
    "ghostnet_130.mindcv_in1k": _mindcv(f"{MINDCV}/ghostnet/ghostnet_130-cf4c235c.ckpt", 75.50, top5=92.56),
}
