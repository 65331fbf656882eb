"""Published weights of MobileNetV1; docs/weights.md says where the figures are from.

The first of a model is its default. MindCV's were trained with 1001 classes, the last of which has no images. timm's
uses ReLU6.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", num_classes=1001, unused_classes=1)
_FOLDER = "mobilenet/mobilenetv1"

WEIGHTS = {
    "mobilenet_v1_025.mindcv_in1k": _mindcv(f"{MINDCV}/{_FOLDER}/mobilenet_v1_025-d3377fba.ckpt", 53.87, top5=77.66),
    "mobilenet_v1_025.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/{_FOLDER}/mobilenet_v1_025-cbe3d3b3-910v2.ckpt", 54.05, top5=77.74
    ),
    "mobilenet_v1_050.mindcv_in1k": _mindcv(f"{MINDCV}/{_FOLDER}/mobilenet_v1_050-23e9ddbe.ckpt", 65.94, top5=86.51),
    "mobilenet_v1_075.mindcv_in1k": _mindcv(f"{MINDCV}/{_FOLDER}/mobilenet_v1_075-5bed0c73.ckpt", 70.44, top5=89.49),
    "mobilenet_v1_100.mindcv_in1k": _mindcv(f"{MINDCV}/{_FOLDER}/mobilenet_v1_100-91c7b206.ckpt", 72.95, top5=91.01),
    "mobilenet_v1_100.ra4_e3600_r224_in1k": timm_hub(
        "mobilenetv1_100.ra4_e3600_r224_in1k",
        76.094,
        side=256,
        crop_pct=0.95,
        top5=93.004,
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
        model_args={"act": "relu6"},
    ),
}
