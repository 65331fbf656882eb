"""Published weights of ConvNeXt and ConvNeXt V2; docs/weights.md says where the figures are from.

The first of a model is its default: MindCV's where there is one, else the best whose licence allows commercial use. Of
the V2 models without MindCV's weights there are only Facebook's, which do not: they have no default.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, PretrainedCfg, published, timm_hub

_TORCH = {"act": "gelu", "pad": "valid"}

_mindcv = partial(published, crop_pct=0.95, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_tv = partial(published, source="torchvision", licence="BSD-3-Clause", model_args=_TORCH)
_timm = partial(timm_hub, side=288, crop_pct=1.0, model_args=_TORCH)
_timm384 = partial(_timm, side=384, crop_mode="squash")
_v2 = partial(_timm, licence="CC-BY-NC-4.0")
_plain = PretrainedCfg(interpolation="bicubic")

WEIGHTS = {
    "convnext_tiny.mindcv_in1k": _mindcv(f"{MINDCV}/convnext/convnext_tiny-ae5ff8d7.ckpt", 81.91, top5=95.79),
    "convnext_tiny.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/convnext/convnext_tiny-db11dc82-910v2.ckpt", 81.28, top5=95.61
    ),
    "convnext_tiny.in12k_ft_in1k_384": _timm384("convnext_tiny.in12k_ft_in1k_384", top1=85.122, top5=97.606),
    "convnext_tiny.in12k_ft_in1k": _timm("convnext_tiny.in12k_ft_in1k", top1=84.45, top5=97.34),
    "convnext_tiny.fb_in1k": _timm("convnext_tiny.fb_in1k", top1=82.698, top5=96.144),
    "convnext_tiny.tv_in1k": _tv(f"{TORCHVISION}/convnext_tiny-983f1562.pth", 82.52, crop_pct=0.949153, top5=96.146),
    "convnext_small.mindcv_in1k": _mindcv(f"{MINDCV}/convnext/convnext_small-e23008f3.ckpt", 83.4, top5=96.36),
    "convnext_small.in12k_ft_in1k_384": _timm384("convnext_small.in12k_ft_in1k_384", top1=86.182, top5=97.922),
    "convnext_small.in12k_ft_in1k": _timm("convnext_small.in12k_ft_in1k", top1=85.33, top5=97.546),
    "convnext_small.fb_in1k": _timm("convnext_small.fb_in1k", top1=83.7, top5=96.808),
    "convnext_small.tv_in1k": _tv(f"{TORCHVISION}/convnext_small-0c510722.pth", 83.616, crop_pct=0.973913, top5=96.65),
    "convnext_base.mindcv_in1k": _mindcv(f"{MINDCV}/convnext/convnext_base-ee3544b8.ckpt", 83.32, top5=96.24),
    "convnext_base.fb_in22k_ft_in1k_384": _timm384("convnext_base.fb_in22k_ft_in1k_384", top1=86.796, top5=98.264),
    "convnext_base.fb_in22k_ft_in1k": _timm("convnext_base.fb_in22k_ft_in1k", top1=86.274, top5=98.092),
    "convnext_base.fb_in1k": _timm("convnext_base.fb_in1k", top1=84.428, top5=96.968),
    "convnext_base.tv_in1k": _tv(f"{TORCHVISION}/convnext_base-6075fbad.pth", 84.062, crop_pct=0.965517, top5=96.87),
    "convnext_large.fb_in22k_ft_in1k": _timm("convnext_large.fb_in22k_ft_in1k", top1=87.026, top5=98.204),
    "convnext_large.fb_in22k_ft_in1k_384": _timm384("convnext_large.fb_in22k_ft_in1k_384", top1=87.472, top5=98.386),
    "convnext_large.fb_in1k": _timm("convnext_large.fb_in1k", top1=84.846, top5=97.214),
    "convnext_large.tv_in1k": _tv(f"{TORCHVISION}/convnext_large-ea097f82.pth", 84.414, crop_pct=0.965517, top5=96.976),
    "convnext_xlarge.fb_in22k_ft_in1k": _timm("convnext_xlarge.fb_in22k_ft_in1k", top1=87.33, top5=98.328),
    "convnext_xlarge.fb_in22k_ft_in1k_384": _timm384("convnext_xlarge.fb_in22k_ft_in1k_384", top1=87.752, top5=98.556),
    "convnextv2_atto": _plain,
    "convnextv2_atto.fcmae_ft_in1k": _v2("convnextv2_atto.fcmae_ft_in1k", top1=77.76, top5=93.726, crop_pct=0.95),
    "convnextv2_femto": _plain,
    "convnextv2_femto.fcmae_ft_in1k": _v2("convnextv2_femto.fcmae_ft_in1k", top1=79.338, top5=94.56, crop_pct=0.95),
    "convnextv2_pico": _plain,
    "convnextv2_pico.fcmae_ft_in1k": _v2("convnextv2_pico.fcmae_ft_in1k", top1=81.086, top5=95.48, crop_pct=0.95),
    "convnextv2_nano": _plain,
    "convnextv2_nano.fcmae_ft_in22k_in1k": _v2("convnextv2_nano.fcmae_ft_in22k_in1k", top1=82.664, top5=96.52),
    "convnextv2_nano.fcmae_ft_in1k": _v2("convnextv2_nano.fcmae_ft_in1k", top1=82.486, top5=96.226),
    "convnextv2_tiny.mindcv_in1k": _mindcv(f"{MINDCV}/convnextv2/convnextv2_tiny-d441ba2c.ckpt", 82.43, top5=95.98),
    "convnextv2_tiny.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/convnextv2/convnextv2_tiny-a35b79ce-910v2.ckpt", 82.39, top5=95.95
    ),
    "convnextv2_tiny.fcmae_ft_in22k_in1k": _v2("convnextv2_tiny.fcmae_ft_in22k_in1k", top1=84.416, top5=97.26),
    "convnextv2_tiny.fcmae_ft_in1k": _v2("convnextv2_tiny.fcmae_ft_in1k", top1=83.464, top5=96.718),
    "convnextv2_base": _plain,
    "convnextv2_base.fcmae_ft_in22k_in1k": _v2("convnextv2_base.fcmae_ft_in22k_in1k", top1=86.998, top5=98.168),
    "convnextv2_base.fcmae_ft_in1k": _v2("convnextv2_base.fcmae_ft_in1k", top1=85.474, top5=97.384),
    "convnextv2_large": _plain,
    "convnextv2_large.fcmae_ft_in22k_in1k": _v2("convnextv2_large.fcmae_ft_in22k_in1k", top1=87.484, top5=98.356),
    "convnextv2_large.fcmae_ft_in1k": _v2("convnextv2_large.fcmae_ft_in1k", top1=86.118, top5=97.822),
    "convnextv2_huge": _plain,
    "convnextv2_huge.fcmae_ft_in1k": _v2("convnextv2_huge.fcmae_ft_in1k", top1=86.58, top5=97.972),
}
