"""Published weights of VGG; docs/weights.md says where the figures are from."""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_tv = partial(published, source="torchvision", licence="BSD-3-Clause", model_args={"conv_bias": True})

WEIGHTS = {
    "vgg11.mindcv_in1k": _mindcv(f"{MINDCV}/vgg/vgg11-ef31d161.ckpt", 71.86, top5=90.50),
    "vgg11.tv_in1k": _tv(f"{TORCHVISION}/vgg11-8a719046.pth", 69.02, top5=88.628),
    "vgg13.mindcv_in1k": _mindcv(f"{MINDCV}/vgg/vgg13-da805e6e.ckpt", 72.87, top5=91.02),
    "vgg13.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/vgg/vgg13-7756f33c-910v2.ckpt", 72.81, top5=91.02),
    "vgg13.tv_in1k": _tv(f"{TORCHVISION}/vgg13-19584684.pth", 69.928, top5=89.246),
    "vgg16.mindcv_in1k": _mindcv(f"{MINDCV}/vgg/vgg16-95697531.ckpt", 74.61, top5=91.87),
    "vgg16.tv_in1k": _tv(f"{TORCHVISION}/vgg16-397923af.pth", 71.592, top5=90.382),
    "vgg19.mindcv_in1k": _mindcv(f"{MINDCV}/vgg/vgg19-bedee7b6.ckpt", 75.21, top5=92.56),
    "vgg19.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/vgg/vgg19-5104d1ea-910v2.ckpt", 75.24, top5=92.55),
    "vgg19.tv_in1k": _tv(f"{TORCHVISION}/vgg19-dcbb9e9d.pth", 72.376, top5=90.876),
}
