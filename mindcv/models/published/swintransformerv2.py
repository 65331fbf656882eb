"""Published weights of Swin Transformer V2; docs/weights.md says where the figures are from.

The first of a model is its default.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, published, timm_hub

_TORCH = {"act": "gelu", "norm_eps": 1e-5}

_mindcv = partial(published, side=256, crop_pct=0.9, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_tv = partial(
    published,
    side=256,
    crop_pct=0.98462,
    source="torchvision",
    licence="BSD-3-Clause",
    interpolation="bicubic",
    model_args=_TORCH,
)
_timm = partial(timm_hub, side=256, crop_pct=0.9, licence="MIT", model_args=_TORCH)

WEIGHTS = {
    "swinv2_tiny_window8.mindcv_in1k": _mindcv(f"{MINDCV}/swinv2/swinv2_tiny_window8-3ef8b787.ckpt", 81.42, top5=95.43),
    "swinv2_tiny_window8.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/swinv2/swinv2_tiny_window8-70c5e903-910v2.ckpt", 81.38, top5=95.46
    ),
    "swinv2_tiny_window8.tv_in1k": _tv(f"{TORCHVISION}/swin_v2_t-b137f0e2.pth", 82.072, top5=96.132),
    "swinv2_tiny_window8.ms_in1k": _timm("swinv2_tiny_window8_256.ms_in1k", top1=81.82, top5=95.994),
    "swinv2_tiny_window16.ms_in1k": _timm("swinv2_tiny_window16_256.ms_in1k", top1=82.804, top5=96.236),
    "swinv2_small_window8.ms_in1k": _timm("swinv2_small_window8_256.ms_in1k", top1=83.854, top5=96.644),
    "swinv2_small_window8.tv_in1k": _tv(f"{TORCHVISION}/swin_v2_s-637d8ceb.pth", 83.712, top5=96.816),
    "swinv2_small_window16.ms_in1k": _timm("swinv2_small_window16_256.ms_in1k", top1=84.224, top5=96.868),
    "swinv2_base_window8.ms_in1k": _timm("swinv2_base_window8_256.ms_in1k", top1=84.25, top5=96.924),
    "swinv2_base_window8.tv_in1k": _tv(f"{TORCHVISION}/swin_v2_b-781e5279.pth", 84.112, crop_pct=0.94118, top5=96.864),
    "swinv2_base_window16.ms_in1k": _timm("swinv2_base_window16_256.ms_in1k", top1=84.6, top5=97.09),
    "swinv2_base_window16.ms_in22k_ft_in1k": _timm(
        "swinv2_base_window12to16_192to256.ms_in22k_ft_in1k",
        top1=86.268,
        top5=97.882,
        model_args={**_TORCH, "pretrained_window_sizes": (12, 12, 12, 6)},
    ),
}
