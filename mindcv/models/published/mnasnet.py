"""Published weights of MnasNet; docs/weights.md says where the figures are from.

The first of a model is its default.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_EPS = {"norm_eps": 1e-5}
_tv = partial(published, source="torchvision", licence="BSD-3-Clause", model_args=_EPS)

WEIGHTS = {
    "mnasnet_050.mindcv_in1k": _mindcv(
        f"{MINDCV}/mnasnet/mnasnet_050-7d8bf4db.ckpt", 68.07, top5=88.09, interpolation="bicubic"
    ),
    # The digits at the end of torchvision's two older files are a sha256's too.
    "mnasnet_050.tv_in1k": _tv(f"{TORCHVISION}/mnasnet0.5_top1_67.823-3ffadce67e.pth", 67.734, top5=87.49),
    "mnasnet_075.mindcv_in1k": _mindcv(f"{MINDCV}/mnasnet/mnasnet_075-465d366d.ckpt", 71.81, top5=90.53),
    "mnasnet_075.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/mnasnet/mnasnet_075-083b2bc4-910v2.ckpt", 71.77, top5=90.52
    ),
    "mnasnet_075.tv_in1k": _tv(f"{TORCHVISION}/mnasnet0_75-7090bc5f.pth", 71.18, crop_pct=0.965517, top5=90.496),
    "mnasnet_100.mindcv_in1k": _mindcv(f"{MINDCV}/mnasnet/mnasnet_100-1bcf43f8.ckpt", 74.28, top5=91.70),
    "mnasnet_100.tv_in1k": _tv(f"{TORCHVISION}/mnasnet1.0_top1_73.512-f206786ef8.pth", 73.456, top5=91.51),
    "mnasnet_100.rmsp_in1k": timm_hub("mnasnet_100.rmsp_in1k", 74.65, top5=92.124, model_args=_EPS),
    "mnasnet_130.mindcv_in1k": _mindcv(
        f"{MINDCV}/mnasnet/mnasnet_130-a43a150a.ckpt", 75.65, top5=92.64, interpolation="bicubic"
    ),
    "mnasnet_130.tv_in1k": _tv(f"{TORCHVISION}/mnasnet1_3-a4c69d6f.pth", 76.506, crop_pct=0.965517, top5=93.522),
    "mnasnet_140.mindcv_in1k": _mindcv(f"{MINDCV}/mnasnet/mnasnet_140-7e20bb30.ckpt", 76.01, top5=92.83),
}
