"""Published weights of SKNet; docs/weights.md says where the figures are from.

MindCV's table of addresses has skresnet18 under a name that is not there; this is the file's.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_mindcv_bicubic = partial(_mindcv, interpolation="bicubic")
_ARGUMENTS = {"stem_pool_pad": "both", "conv1_act": True}
_timm = partial(timm_hub, model_args=_ARGUMENTS)
_timm_next = partial(timm_hub, model_args={**_ARGUMENTS, "groups": 32, "base_width": 4})

WEIGHTS = {
    "skresnet18.mindcv_in1k": _mindcv_bicubic(f"{MINDCV}/sknet/skresnet18-868228e5.ckpt", 73.09, top5=91.20),
    "skresnet18.mindcv_910v2_in1k": _mindcv_bicubic(
        f"{MINDCV_910V2}/sknet/skresnet18-9d8b1afc-910v2.ckpt", 72.85, top5=90.83
    ),
    "skresnet18.ra_in1k": _timm("skresnet18.ra_in1k", 73.038, top5=91.172),
    "skresnet34.mindcv_in1k": _mindcv(f"{MINDCV}/sknet/skresnet34-d668b629.ckpt", 76.71, top5=93.10),
    "skresnet34.ra_in1k": _timm("skresnet34.ra_in1k", 76.910, top5=93.316),
    "skresnext50_32x4d.mindcv_in1k": _mindcv_bicubic(
        f"{MINDCV}/sknet/skresnext50_32x4d-395413a2.ckpt", 79.08, top5=94.60
    ),
    "skresnext50_32x4d.ra_in1k": _timm_next("skresnext50_32x4d.ra_in1k", 80.162, top5=94.640),
}
