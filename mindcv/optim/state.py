"""Optimizer state from a checkpoint."""

import logging
import os

import numpy as np
from mindspore import Tensor, nn

from ..weights import read_ckpt

__all__ = ["load_optimizer_state"]

_logger = logging.getLogger(__name__)

# In files of MindSpore's and upstream's optimizers, but no state here: the configuration's values, and powers of beta
# that follow from the step.
_NOT_STATE = ("learning_rate", "momentum", "beta1_power", "beta2_power", "stat.")


def load_optimizer_state(optimizer: nn.Optimizer, path: str | os.PathLike[str]) -> None:
    """Sets an optimizer's slots and step from a MindSpore checkpoint (upstream's `optim_<model>.ckpt`).

    The model's parameters, the learning rates and hyper-parameters in the file are left alone: they come from the
    model's checkpoint and from the configuration.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a checkpoint, or lacks a part of this optimizer's state or has it in another shape.
    """
    arrays = read_ckpt(path)
    trained = {param.name for param in optimizer.parameters}
    state = {
        param.name: param
        for param in optimizer.get_parameters()
        if param.name not in trained and not param.name.startswith(_NOT_STATE)
    }
    name = type(optimizer).__name__
    missing = [key for key in state if key not in arrays]
    if missing:
        raise ValueError(
            f"{path}: {len(missing)} of {len(state)} entries of the state of {name} for this model are missing, "
            f"the first is {missing[0]!r}; use the file of a run with the same model and optimizer"
        )
    for key, param in state.items():
        if arrays[key].size != param.size or arrays[key].squeeze().shape != tuple(n for n in param.shape if n != 1):
            raise ValueError(f"{path}: {key!r} has the shape {arrays[key].shape}, but the model needs {param.shape}")
    for key, param in state.items():
        values = np.asarray(arrays[key]).reshape(param.shape)
        param.set_data(Tensor(values, param.dtype))
    unused = [key for key in arrays if key not in state and key not in trained and not key.startswith(_NOT_STATE)]
    if unused:
        _logger.warning("%s: %d entries were not used, the first is %r", path, len(unused), unused[0])
