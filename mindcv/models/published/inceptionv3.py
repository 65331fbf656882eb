"""Published weights of Inception-v3; docs/weights.md says where the figures are from.

The first of a model is its default. torchvision's file is TensorFlow's, whose images are normalised to -1 ... 1, and so
is timm's `tf_in1k`; `gluon_in1k` is MXNet's.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_HALF = (127.5, 127.5, 127.5)
_BOTH = {"pool_pad": "both"}

WEIGHTS = {
    "inception_v3.mindcv_in1k": _mindcv(f"{MINDCV}/inception_v3/inception_v3-38f67890.ckpt", 79.11, 299, top5=94.40),
    "inception_v3.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/inception_v3/inception_v3-61a8e9ed-910v2.ckpt", 79.25, 299, top5=94.47
    ),
    "inception_v3.gluon_in1k": timm_hub("inception_v3.gluon_in1k", 78.806, 299, top5=94.374, model_args=_BOTH),
    "inception_v3.tf_in1k": timm_hub(
        "inception_v3.tf_in1k", 77.862, 299, top5=93.644, mean=_HALF, std=_HALF, model_args=_BOTH
    ),
    "inception_v3.tv_in1k": published(
        f"{TORCHVISION}/inception_v3_google-0cc3c7bd.pth",
        77.294,
        299,
        0.874269,
        top5=93.45,
        mean=_HALF,
        std=_HALF,
        source="torchvision",
        licence="BSD-3-Clause",
        model_args=_BOTH,
    ),
}
