"""Published weights of Inception-v4; docs/weights.md says where the figures are from.

The first of a model is its default. `tf_in1k` is TensorFlow's, whose images are normalised to -1 ... 1.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_HALF = (127.5, 127.5, 127.5)

WEIGHTS = {
    "inception_v4.mindcv_in1k": _mindcv(f"{MINDCV}/inception_v4/inception_v4-db9c45b3.ckpt", 80.88, 299, top5=95.34),
    "inception_v4.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/inception_v4/inception_v4-56e798fc-910v2.ckpt", 80.98, 299, top5=95.25
    ),
    "inception_v4.tf_in1k": timm_hub("inception_v4.tf_in1k", 80.156, 299, top5=94.968, mean=_HALF, std=_HALF),
}
