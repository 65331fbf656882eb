"""Published weights of HaloNet; docs/weights.md says where the figures are from.

The first of a model is its default.
"""

from .._pretrained import MINDCV, published, timm_hub

WEIGHTS = {
    "halonet_50t.mindcv_in1k": published(
        f"{MINDCV}/halonet/halonet_50t-533da6be.ckpt",
        79.53,
        top5=94.79,
        side=256,
        crop_pct=0.95,
        interpolation="bilinear",
        source="MindCV",
        licence="Apache-2.0",
    ),
    "halonet_50t.a1h_in1k": timm_hub("halonet50ts.a1h_in1k", 81.66, side=256, crop_pct=0.94, top5=95.61),
}
