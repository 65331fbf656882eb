"""Published weights of Swin Transformer; docs/weights.md says where the figures are from.

The first of a model is its default.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, published, timm_hub

_TORCH = {"act": "gelu", "merge_norm_eps": 1e-5}

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(timm_hub, crop_pct=0.9, licence="MIT", model_args=_TORCH)

WEIGHTS = {
    "swin_tiny.mindcv_in1k": _mindcv(f"{MINDCV}/swin/swin_tiny-0ff2f96d.ckpt", 80.82, top5=94.8),
    "swin_tiny.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/swin/swin_tiny-72b3c5e6-910v2.ckpt", 80.9, top5=94.9),
    "swin_tiny.tv_in1k": published(
        f"{TORCHVISION}/swin_t-704ceda3.pth",
        81.474,
        top5=95.776,
        crop_pct=0.96552,
        interpolation="bicubic",
        source="torchvision",
        licence="BSD-3-Clause",
        model_args=_TORCH,
    ),
    "swin_tiny.ms_in1k": _timm("swin_tiny_patch4_window7_224.ms_in1k", top1=81.376, top5=95.544),
}
