"""Published weights of SqueezeNet; docs/weights.md says where the figures are from.

MindCV published two trainings of each, on Ascend NPUs and on GPUs.
"""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, TORCHVISION, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_tv = partial(published, source="torchvision", licence="BSD-3-Clause", model_args={"pad": "torchvision"})

WEIGHTS = {
    "squeezenet1_0.mindcv_in1k": _mindcv(f"{MINDCV}/squeezenet/squeezenet1_0-eb911778.ckpt", 58.67, top5=80.61),
    "squeezenet1_0.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/squeezenet/squeezenet1_0-24010b28-910v2.ckpt", 58.75, top5=80.76
    ),
    "squeezenet1_0.mindcv_gpu_in1k": _mindcv(f"{MINDCV}/squeezenet/squeezenet1_0_gpu-685f5941.ckpt", 58.83, top5=81.08),
    "squeezenet1_0.tv_in1k": _tv(f"{TORCHVISION}/squeezenet1_0-b66bff10.pth", 58.092, top5=80.42),
    "squeezenet1_1.mindcv_in1k": _mindcv(f"{MINDCV}/squeezenet/squeezenet1_1-da256d3a.ckpt", 58.44, top5=80.84),
    "squeezenet1_1.mindcv_gpu_in1k": _mindcv(f"{MINDCV}/squeezenet/squeezenet1_1_gpu-0e33234a.ckpt", 59.18, top5=81.41),
    "squeezenet1_1.tv_in1k": _tv(f"{TORCHVISION}/squeezenet1_1-b8a52dc0.pth", 58.178, top5=80.624),
}
