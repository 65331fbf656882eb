"""Published weights of ViT; docs/weights.md says where the figures are from.

The first of a model is its default: MindCV's where there is one, else the best whose licence is known.
"""

from functools import partial

from .._pretrained import MINDCV, TORCHVISION, published, timm_hub

_HALF = (127.5, 127.5, 127.5)
_TORCH = {"act": "gelu", "norm_eps": 1e-6}

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_tv = partial(published, source="torchvision", licence="BSD-3-Clause", model_args=_TORCH)
_timm = partial(timm_hub, crop_pct=0.9, mean=_HALF, std=_HALF, model_args=_TORCH)
_timm384 = partial(_timm, side=384, crop_pct=1.0)

_deit = partial(timm_hub, crop_pct=0.9)

WEIGHTS = {
    "deit_tiny_distilled_patch16_224.fb_in1k": _deit("deit_tiny_distilled_patch16_224.fb_in1k", top1=74.5, top5=91.9),
    "deit_small_distilled_patch16_224.fb_in1k": _deit("deit_small_distilled_patch16_224.fb_in1k", top1=81.2, top5=95.4),
    "deit_base_distilled_patch16_224.fb_in1k": _deit("deit_base_distilled_patch16_224.fb_in1k", top1=83.4, top5=96.5),
    "vit_b_16_224.augreg2_in21k_ft_in1k": _timm("vit_base_patch16_224.augreg2_in21k_ft_in1k", top1=85.096, top5=97.53),
    "vit_b_16_224.augreg_in21k_ft_in1k": _timm("vit_base_patch16_224.augreg_in21k_ft_in1k", top1=84.532, top5=97.292),
    "vit_b_16_224.augreg_in1k": _timm("vit_base_patch16_224.augreg_in1k", top1=79.154, top5=94.09),
    "vit_b_16_224.tv_in1k": _tv(f"{TORCHVISION}/vit_b_16-c867db91.pth", 81.072, top5=95.318),
    "vit_b_16_384.augreg_in21k_ft_in1k": _timm384(
        "vit_base_patch16_384.augreg_in21k_ft_in1k", top1=85.996, top5=98.002
    ),
    "vit_b_16_384.orig_in21k_ft_in1k": _timm384("vit_base_patch16_384.orig_in21k_ft_in1k", top1=84.2, top5=97.22),
    "vit_b_16_384.augreg_in1k": _timm384("vit_base_patch16_384.augreg_in1k", top1=81.102, top5=95.33),
    "vit_b_32_224.mindcv_in1k": _mindcv(f"{MINDCV}/vit/vit_b_32_224-4a1c9d8e.ckpt", 77.45, top5=93.27),
    "vit_b_32_224.augreg_in21k_ft_in1k": _timm("vit_base_patch32_224.augreg_in21k_ft_in1k", top1=80.716, top5=95.566),
    "vit_b_32_224.augreg_in1k": _timm("vit_base_patch32_224.augreg_in1k", top1=74.894, top5=91.778),
    "vit_b_32_224.tv_in1k": _tv(f"{TORCHVISION}/vit_b_32-d86f8d99.pth", 75.912, top5=92.466),
    "vit_b_32_384.augreg_in21k_ft_in1k": _timm384("vit_base_patch32_384.augreg_in21k_ft_in1k", top1=83.35, top5=96.838),
    "vit_b_32_384.augreg_in1k": _timm384("vit_base_patch32_384.augreg_in1k", top1=78.752, top5=94.224),
    "vit_l_16_224.mindcv_in1k": _mindcv(f"{MINDCV}/vit/vit_l_16_224-d2635f8b.ckpt", 81.25, top5=95.53),
    "vit_l_16_224.augreg_in21k_ft_in1k": _timm("vit_large_patch16_224.augreg_in21k_ft_in1k", top1=85.834, top5=97.818),
    "vit_l_16_224.tv_in1k": _tv(f"{TORCHVISION}/vit_l_16-852ce7e3.pth", 79.662, crop_pct=0.92562, top5=94.638),
    "vit_l_16_384.augreg_in21k_ft_in1k": _timm384(
        "vit_large_patch16_384.augreg_in21k_ft_in1k", top1=87.084, top5=98.302
    ),
    "vit_l_32_224.mindcv_in1k": _mindcv(f"{MINDCV}/vit/vit_l_32_224-8c8ea164.ckpt", 74.57, top5=91.01),
    "vit_l_32_224.tv_in1k": _tv(f"{TORCHVISION}/vit_l_32-c7638314.pth", 76.972, top5=93.07),
}
