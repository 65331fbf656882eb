"""Published weights of DenseNet; docs/weights.md says where the figures are from.

MindCV's first files name no digest.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, PretrainedCfg, published, timm_hub

_mindcv = partial(PretrainedCfg, source="MindCV", licence="Apache-2.0")
_tv = partial(published, source="torchvision", licence="BSD-3-Clause")

WEIGHTS = {
    "densenet121.mindcv_in1k": _mindcv(
        url=f"{MINDCV}/densenet/densenet121-120_5004_Ascend.ckpt", top1=75.64, top5=92.84
    ),
    "densenet121.mindcv_910v2_in1k": published(
        f"{MINDCV_910V2}/densenet/densenet121-bf4ab27f-910v2.ckpt",
        75.67,
        top5=92.77,
        source="MindCV",
        licence="Apache-2.0",
    ),
    "densenet121.tv_in1k": _tv(f"{TORCHVISION}/densenet121-a639ec97.pth", 74.434, top5=91.972),
    "densenet121.ra_in1k": timm_hub("densenet121.ra_in1k", 76.500, 288, 0.95, top5=93.368),
    "densenet161.mindcv_in1k": _mindcv(
        url=f"{MINDCV}/densenet/densenet161-120_5004_Ascend.ckpt", top1=79.09, top5=94.66
    ),
    "densenet161.tv_in1k": _tv(f"{TORCHVISION}/densenet161-8d451a50.pth", 77.138, top5=93.56),
    "densenet169.mindcv_in1k": _mindcv(
        url=f"{MINDCV}/densenet/densenet169-120_5004_Ascend.ckpt", top1=77.26, top5=93.71
    ),
    "densenet169.tv_in1k": _tv(f"{TORCHVISION}/densenet169-b2777c0a.pth", 75.6, top5=92.806),
    "densenet201.mindcv_in1k": _mindcv(
        url=f"{MINDCV}/densenet/densenet201-120_5004_Ascend.ckpt", top1=78.14, top5=94.08
    ),
    "densenet201.tv_in1k": _tv(f"{TORCHVISION}/densenet201-c1103571.pth", 76.896, top5=93.37),
}
