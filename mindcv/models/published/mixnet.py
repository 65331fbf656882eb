"""Published weights of MixNet; docs/weights.md says where the figures are from.

The first of a model is its default. `tf_in1k` are TensorFlow's, published by timm as `tf_mixnet_*`.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(timm_hub, model_args={"se_act": "silu"})
_tf = partial(timm_hub, model_args={"se_act": "silu", "conv_pad": "same", "norm_eps": 1e-3})

WEIGHTS = {
    "mixnet_s.mindcv_in1k": _mindcv(f"{MINDCV}/mixnet/mixnet_s-2a5ef3a3.ckpt", 75.52, top5=92.52),
    # MindCV states a top-5 of 95.54 for it, which cannot be beside this top-1.
    "mixnet_s.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/mixnet/mixnet_s-fe4fcc63-910v2.ckpt", 75.58),
    "mixnet_s.ft_in1k": _timm("mixnet_s.ft_in1k", 75.994, top5=92.798),
    "mixnet_s.tf_in1k": _tf("tf_mixnet_s.in1k", 75.652, top5=92.636),
    "mixnet_m.mindcv_in1k": _mindcv(f"{MINDCV}/mixnet/mixnet_m-74cc4cb1.ckpt", 76.64, top5=93.05),
    "mixnet_m.ft_in1k": _timm("mixnet_m.ft_in1k", 77.258, top5=93.418),
    "mixnet_m.tf_in1k": _tf("tf_mixnet_m.in1k", 76.954, top5=93.154),
    "mixnet_l.mindcv_in1k": _mindcv(f"{MINDCV}/mixnet/mixnet_l-978edf2b.ckpt", 78.73, top5=94.31),
    "mixnet_l.ft_in1k": _timm("mixnet_l.ft_in1k", 78.966, top5=94.18),
    "mixnet_l.tf_in1k": _tf("tf_mixnet_l.in1k", 78.776, top5=94.002),
}
