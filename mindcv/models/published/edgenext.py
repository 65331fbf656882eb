"""Published weights of EdgeNeXt; docs/weights.md says where the figures are from.

The first of a model is its default.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, side=256, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(timm_hub, side=288, crop_pct=1.0, licence="MIT", model_args={"pad": "valid"})

WEIGHTS = {
    "edgenext_xx_small.mindcv_in1k": _mindcv(f"{MINDCV}/edgenext/edgenext_xx_small-afc971fb.ckpt", 71.02, top5=89.99),
    "edgenext_xx_small.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/edgenext/edgenext_xx_small-cad13d2c-910v2.ckpt", 70.64, top5=89.75
    ),
    "edgenext_xx_small.in1k": _timm("edgenext_xx_small.in1k", top1=71.878, top5=90.552),
    "edgenext_x_small.mindcv_in1k": _mindcv(f"{MINDCV}/edgenext/edgenext_x_small-a200c6fc.ckpt", 75.14, top5=92.5),
    "edgenext_x_small.in1k": _timm("edgenext_x_small.in1k", top1=75.688, top5=92.766),
    "edgenext_small.mindcv_in1k": _mindcv(f"{MINDCV}/edgenext/edgenext_small-f530c372.ckpt", 79.15, top5=94.39),
    "edgenext_small.usi_in1k": _timm("edgenext_small.usi_in1k", side=320, top1=81.564, top5=95.712),
    "edgenext_base.mindcv_in1k": _mindcv(f"{MINDCV}/edgenext/edgenext_base-4335e9dc.ckpt", 82.24, top5=95.94),
    "edgenext_base.in21k_ft_in1k": _timm("edgenext_base.in21k_ft_in1k", side=320, top1=84.054, top5=97.196),
    "edgenext_base.usi_in1k": _timm("edgenext_base.usi_in1k", side=320, top1=83.958, top5=96.77),
}
