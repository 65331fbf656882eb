"""Published weights of MobileViT; docs/weights.md says where the figures are from.

The first of a model is its default. timm's are Apple's, under the licence of its CVNets.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, side=256, source="MindCV", licence="Apache-2.0", interpolation="bilinear")
_timm = partial(
    timm_hub,
    side=256,
    crop_pct=0.9,
    mean=(0.0, 0.0, 0.0),
    std=(255.0, 255.0, 255.0),
    licence="Apple-CVNets",
    model_args={"embed_norm": False, "norm_eps": 1e-5, "align_corners": False},
)

WEIGHTS = {
    "mobilevit_xx_small.mindcv_in1k": _mindcv(
        f"{MINDCV}/mobilevit/mobilevit_xx_small-af9da8a0.ckpt", 68.91, top5=88.91
    ),
    "mobilevit_xx_small.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/mobilevit/mobilevit_xx_small-6f2745c3-910v2.ckpt", 67.11, top5=87.85
    ),
    "mobilevit_xx_small.cvnets_in1k": _timm("mobilevit_xxs.cvnets_in1k", top1=68.932, top5=88.942),
    "mobilevit_x_small.mindcv_in1k": _mindcv(f"{MINDCV}/mobilevit/mobilevit_x_small-673fc6f2.ckpt", 74.99, top5=92.32),
    "mobilevit_x_small.cvnets_in1k": _timm("mobilevit_xs.cvnets_in1k", top1=74.636, top5=92.346),
    "mobilevit_small.mindcv_in1k": _mindcv(f"{MINDCV}/mobilevit/mobilevit_small-caf79638.ckpt", 78.47, top5=94.18),
    "mobilevit_small.cvnets_in1k": _timm("mobilevit_s.cvnets_in1k", top1=78.312, top5=94.144),
}
