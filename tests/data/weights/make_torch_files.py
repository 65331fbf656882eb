"""Makes the torch files beside this script. Run once, with torch 2.13.0: `python make_torch_files.py`.

`small_zip.pth` and `small_legacy.pth` are one training checkpoint in the two formats of torch; `small.safetensors`
holds its weights alone, written by the safetensors package.
"""

from argparse import Namespace
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent


def values(shape: tuple[int, ...], start: int) -> torch.Tensor:
    count = int(np.prod(shape))
    return (torch.arange(start, start + count, dtype=torch.float32) / 8).reshape(shape)


weights = OrderedDict(
    {
        "conv1.weight": values((4, 3, 3, 3), 0).contiguous(memory_format=torch.channels_last),
        "bn1.weight": torch.nn.Parameter(values((4,), 1)),
        "bn1.bias": values((8,), 2)[4:],
        "bn1.running_mean": values((4,), 3).half(),
        "bn1.running_var": values((4,), 4).bfloat16(),
        "bn1.num_batches_tracked": torch.tensor(7),
        "fc.weight": values((4, 5), 5).t(),
        "fc.bias": values((5,), 6).double(),
        "mask": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
    }
)
averaged = OrderedDict((name, torch.zeros_like(value)) for name, value in weights.items())
checkpoint = {
    "epoch": 3,
    "arch": "small",
    "best_top1": np.float64(81.25),
    "args": Namespace(lr=0.1, device=torch.device("cpu"), model="small"),
    "state_dict": OrderedDict((f"module.{name}", value) for name, value in weights.items()),
    "state_dict_ema": averaged,
    "optimizer": torch.optim.SGD([torch.nn.Parameter(weights["fc.bias"].clone())], lr=0.1, momentum=0.9).state_dict(),
}
torch.save(checkpoint, HERE / "small_zip.pth")
torch.save(checkpoint, HERE / "small_legacy.pth", _use_new_zipfile_serialization=False)
save_file({name: value.detach().contiguous() for name, value in weights.items()}, HERE / "small.safetensors")
