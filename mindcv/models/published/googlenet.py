"""Published weights of GoogLeNet; docs/weights.md says where the figures are from."""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")

WEIGHTS = {
    "googlenet.mindcv_in1k": _mindcv(f"{MINDCV}/googlenet/googlenet-5552fcd3.ckpt", 72.68, top5=90.89),
    "googlenet.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/googlenet/googlenet-de74c31d-910v2.ckpt", 72.89, top5=90.89
    ),
}
