"""Published weights of Xception; docs/weights.md says where the figures are from."""

from functools import partial

from .._pretrained import MINDCV, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")

WEIGHTS = {
    "xception.mindcv_in1k": _mindcv(f"{MINDCV}/xception/xception-2c1e711df.ckpt", 79.01, 299, top5=94.25),
}
