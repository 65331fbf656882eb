"""Published weights of MobileNetV2; docs/weights.md says where the figures are from.

The first of a model is its default.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, PretrainedCfg, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_tv = partial(published, source="torchvision", licence="BSD-3-Clause")
_FOLDER = "mobilenet/mobilenetv2"

WEIGHTS = {
    "mobilenet_v2_140.mindcv_in1k": _mindcv(f"{MINDCV}/{_FOLDER}/mobilenet_v2_140-98776171.ckpt", 75.56, top5=92.56),
    "mobilenet_v2_140.ra_in1k": timm_hub("mobilenetv2_140.ra_in1k", 76.52, top5=92.986),
    "mobilenet_v2_100.mindcv_in1k": _mindcv(f"{MINDCV}/{_FOLDER}/mobilenet_v2_100-d5532038.ckpt", 72.27, top5=90.72),
    "mobilenet_v2_100.tv_in1k": _tv(f"{TORCHVISION}/mobilenet_v2-b0353104.pth", 71.878, top5=90.286),
    "mobilenet_v2_100.tv2_in1k": _tv(
        f"{TORCHVISION}/mobilenet_v2-7ebf99e0.pth", 72.154, crop_pct=0.965517, top5=90.822
    ),
    "mobilenet_v2_100.ra_in1k": timm_hub("mobilenetv2_100.ra_in1k", 72.976, top5=91.01),
    "mobilenet_v2_075.mindcv_in1k": _mindcv(f"{MINDCV}/{_FOLDER}/mobilenet_v2_075-bd7bd4c4.ckpt", 69.98, top5=89.32),
    "mobilenet_v2_075.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/{_FOLDER}/mobilenet_v2_075-755932c4-910v2.ckpt", 69.73, top5=89.35
    ),
    "mobilenet_v2_050_224.lamb_in1k": timm_hub("mobilenetv2_050.lamb_in1k", 65.95, top5=86.088),
    **{
        f"mobilenet_v2_{width}_{side}": PretrainedCfg(input_size=(3, side, side))
        for width in ("100", "075", "050", "035")
        for side in (192, 160, 128, 96)
    },
}
