"""Published weights of CaiT; docs/weights.md says where the figures are from. MindCV publishes none."""

from functools import partial

from .._pretrained import timm_hub

_timm = partial(timm_hub, crop_pct=1.0, model_args={"act": "gelu", "attn_bias": True})
_timm384 = partial(_timm, side=384)

WEIGHTS = {
    "cait_xxs24_224.fb_dist_in1k": _timm("cait_xxs24_224.fb_dist_in1k", top1=78.384, top5=94.316),
    "cait_xs24_384.fb_dist_in1k": _timm384("cait_xs24_384.fb_dist_in1k", top1=84.062, top5=96.884),
    "cait_s24_224.fb_dist_in1k": _timm("cait_s24_224.fb_dist_in1k", top1=83.442, top5=96.574),
    "cait_s24_384.fb_dist_in1k": _timm384("cait_s24_384.fb_dist_in1k", top1=85.048, top5=97.346),
    "cait_s36_384.fb_dist_in1k": _timm384("cait_s36_384.fb_dist_in1k", top1=85.454, top5=97.478),
    "cait_m36_384.fb_dist_in1k": _timm384("cait_m36_384.fb_dist_in1k", top1=86.06, top5=97.73),
    "cait_m48_448.fb_dist_in1k": _timm("cait_m48_448.fb_dist_in1k", side=448, top1=86.492, top5=97.752),
}
