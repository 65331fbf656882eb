"""Published weights of HRNet; docs/weights.md says where the figures are from. `ms` are the authors' weights."""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_authors = partial(
    timm_hub,
    source="timm, from the authors",
    licence="MIT",
    interpolation="bilinear",
    model_args={"upsample_dtype": "float32"},
)

WEIGHTS = {
    "hrnet_w32.mindcv_in1k": _mindcv(f"{MINDCV}/hrnet/hrnet_w32-cc4fbd91.ckpt", 80.64, top5=95.44),
    "hrnet_w32.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/hrnet/hrnet_w32-e616cdcb-910v2.ckpt", 80.66, top5=95.3),
    "hrnet_w32.ms_in1k": _authors("hrnet_w32.ms_in1k", 78.444, top5=94.188),
    "hrnet_w48.mindcv_in1k": _mindcv(f"{MINDCV}/hrnet/hrnet_w48-2e3399cd.ckpt", 81.19, top5=95.69),
    "hrnet_w48.ms_in1k": _authors("hrnet_w48.ms_in1k", 79.302, top5=94.516),
}
