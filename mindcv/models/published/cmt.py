"""Published weights of CMT; docs/weights.md says where the figures are from.

The first of a model is its default. Entries under a plain name say what models without weights are fed with.
"""

from functools import partial

from .._pretrained import MINDCV, PretrainedCfg, published

_mindcv = partial(published, crop_pct=0.9, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_plain = partial(PretrainedCfg, crop_pct=0.96, interpolation="bicubic")

WEIGHTS = {
    "cmt_tiny": _plain(input_size=(3, 160, 160)),
    "cmt_xsmall": _plain(input_size=(3, 192, 192)),
    "cmt_small.mindcv_in1k": _mindcv(f"{MINDCV}/cmt/cmt_small-6858ee22.ckpt", 83.24, top5=96.41),
    "cmt_base": _plain(input_size=(3, 256, 256)),
}
