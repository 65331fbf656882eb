"""Published weights of Res2Net; docs/weights.md says where the figures are from.

timm states no licence for its own, so they are not here; they load as `hf-hub:timm/res2net50d.in1k`.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")

WEIGHTS = {
    "res2net50.mindcv_in1k": _mindcv(f"{MINDCV}/res2net/res2net50-f42cf71b.ckpt", 79.35, top5=94.64),
    "res2net50.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/res2net/res2net50-aa758355-910v2.ckpt", 79.33, top5=94.64),
    "res2net101.mindcv_in1k": _mindcv(f"{MINDCV}/res2net/res2net101-8ae60132.ckpt", 79.56, top5=94.70),
    "res2net50_v1b.mindcv_in1k": _mindcv(f"{MINDCV}/res2net/res2net50_v1b-99304e92.ckpt", 80.32, top5=95.09),
    "res2net101_v1b.mindcv_in1k": _mindcv(f"{MINDCV}/res2net/res2net101_v1b-7e6db001.ckpt", 81.14, top5=95.41),
}
