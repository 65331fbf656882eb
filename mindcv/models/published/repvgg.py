"""Published weights of RepVGG; docs/weights.md says where the figures are from.

The first of a model is its default: MindCV's. `rvgg` are the authors' weights, published by timm.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, PretrainedCfg, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_mindcv_bicubic = partial(_mindcv, interpolation="bicubic")
_authors = partial(timm_hub, source="timm, from the authors", licence="MIT", interpolation="bilinear")

WEIGHTS = {
    "repvgg_a0.mindcv_in1k": _mindcv_bicubic(f"{MINDCV}/repvgg/repvgg_a0-6e71139d.ckpt", 72.19, top5=90.75),
    "repvgg_a0.mindcv_910v2_in1k": _mindcv_bicubic(
        f"{MINDCV_910V2}/repvgg/repvgg_a0-b67a9f15-910v2.ckpt", 72.29, top5=90.78
    ),
    "repvgg_a1.mindcv_in1k": _mindcv(f"{MINDCV}/repvgg/repvgg_a1-539513ac.ckpt", 74.19, top5=91.89),
    "repvgg_a1.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/repvgg/repvgg_a1-a40aa623-910v2.ckpt", 73.68, top5=91.51),
    "repvgg_a2.mindcv_in1k": _mindcv(f"{MINDCV}/repvgg/repvgg_a2-cdc90b11.ckpt", 76.63, top5=93.42),
    "repvgg_a2.rvgg_in1k": _authors("repvgg_a2.rvgg_in1k", 76.458, top5=93.002),
    "repvgg_b0.mindcv_in1k": _mindcv(f"{MINDCV}/repvgg/repvgg_b0-54d5862c.ckpt", 74.99, top5=92.4),
    "repvgg_b0.rvgg_in1k": _authors("repvgg_b0.rvgg_in1k", 75.142, top5=92.416),
    "repvgg_b1.mindcv_in1k": PretrainedCfg(  # the name has seven digits, which may not be the first of its sha256
        url=f"{MINDCV}/repvgg/repvgg_b1-4673797.ckpt", top1=78.81, top5=94.37, source="MindCV", licence="Apache-2.0"
    ),
    "repvgg_b1.rvgg_in1k": _authors("repvgg_b1.rvgg_in1k", 78.368, top5=94.096),
    "repvgg_b2.mindcv_in1k": _mindcv(f"{MINDCV}/repvgg/repvgg_b2-7c91ccd4.ckpt", 79.29, top5=94.66),
    "repvgg_b2.rvgg_in1k": _authors("repvgg_b2.rvgg_in1k", 78.792, top5=94.42),
    "repvgg_b3.mindcv_in1k": _mindcv(f"{MINDCV}/repvgg/repvgg_b3-30b35f52.ckpt", 80.46, top5=95.34),
    "repvgg_b3.rvgg_in1k": _authors("repvgg_b3.rvgg_in1k", 80.506, top5=95.254),
    "repvgg_b1g2.mindcv_in1k": _mindcv_bicubic(f"{MINDCV}/repvgg/repvgg_b1g2-f0dc714f.ckpt", 78.03, top5=94.09),
    "repvgg_b1g4.mindcv_in1k": _mindcv_bicubic(f"{MINDCV}/repvgg/repvgg_b1g4-bd93230e.ckpt", 77.64, top5=94.03),
    "repvgg_b1g4.rvgg_in1k": _authors("repvgg_b1g4.rvgg_in1k", 77.582, top5=93.836),
    "repvgg_b2g4.mindcv_in1k": _mindcv(f"{MINDCV}/repvgg/repvgg_b2g4-e79eeadd.ckpt", 78.8, top5=94.36),
    "repvgg_b2g4.rvgg_in1k": _authors("repvgg_b2g4.rvgg_in1k", 79.382, top5=94.676),
}
