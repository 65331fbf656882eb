"""Published weights of XCiT; docs/weights.md says where the figures are from. The first is the default."""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(timm_hub, crop_pct=1.0, model_args={"act": "gelu", "qk_norm": True})

WEIGHTS = {
    "xcit_tiny_12_p16_224.mindcv_in1k": _mindcv(f"{MINDCV}/xcit/xcit_tiny_12_p16_224-1b1c9301.ckpt", 77.67, top5=93.79),
    "xcit_tiny_12_p16_224.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/xcit/xcit_tiny_12_p16_224-bd90776e-910v2.ckpt", 77.27, top5=93.56
    ),
    "xcit_tiny_12_p16_224.fb_dist_in1k": _timm("xcit_tiny_12_p16_224.fb_dist_in1k", top1=78.574, top5=94.198),
    "xcit_tiny_12_p16_224.fb_in1k": _timm("xcit_tiny_12_p16_224.fb_in1k", top1=77.14, top5=93.716),
}
