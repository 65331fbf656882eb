"""Published weights of ReXNet; docs/weights.md says where the figures are from.

The first of a model is its default. `nav` are the authors' weights, published by timm.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_authors = partial(timm_hub, source="timm, from the authors", licence="MIT")

WEIGHTS = {
    "rexnet_09.mindcv_in1k": _mindcv(f"{MINDCV}/rexnet/rexnet_09-da498331.ckpt", 77.06, top5=93.41),
    "rexnet_09.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/rexnet/rexnet_09-00223eb4-910v2.ckpt", 76.14, top5=92.96),
    "rexnet_10.mindcv_in1k": _mindcv(f"{MINDCV}/rexnet/rexnet_10-c5fb2dc7.ckpt", 77.38, top5=93.60),
    "rexnet_10.nav_in1k": _authors("rexnet_100.nav_in1k", 77.862, top5=93.866),
    "rexnet_13.mindcv_in1k": _mindcv(f"{MINDCV}/rexnet/rexnet_13-a49c41e5.ckpt", 79.06, top5=94.28),
    "rexnet_13.nav_in1k": _authors("rexnet_130.nav_in1k", 79.504, top5=94.678),
    "rexnet_15.mindcv_in1k": _mindcv(f"{MINDCV}/rexnet/rexnet_15-37a931d3.ckpt", 79.94, top5=94.74),
    "rexnet_15.nav_in1k": _authors("rexnet_150.nav_in1k", 80.324, top5=95.174),
    "rexnet_20.mindcv_in1k": _mindcv(f"{MINDCV}/rexnet/rexnet_20-c5810914.ckpt", 80.6, top5=94.99),
    "rexnet_20.nav_in1k": _authors("rexnet_200.nav_in1k", 81.636, top5=95.664),
}
