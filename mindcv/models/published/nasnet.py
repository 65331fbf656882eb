"""Published weights of NASNet; docs/weights.md says where the figures are from."""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")

WEIGHTS = {
    "nasnet_a_4x1056.mindcv_in1k": _mindcv(f"{MINDCV}/nasnet/nasnet_a_4x1056-0fbb5cdd.ckpt", 73.65, top5=91.25),
    "nasnet_a_4x1056.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/nasnet/nasnet_a_4x1056-015ba575c-910v2.ckpt", 74.12, top5=91.36
    ),
}
