"""A student beside its teacher, which sees the same images."""

from collections.abc import Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

__all__ = ["RenormalizedNetwork", "WithTeacher"]

_PREFIX = "teacher."


class RenormalizedNetwork(nn.Cell):
    """A network that takes images which were normalised with another mean and deviation than its own.

    Args:
        network: Takes images normalised with its own mean and deviation.
        mean: What the images had taken off, one value a channel, on the 0 to 255 scale.
        std: What they were divided by.
        own_mean: The network's own mean.
        own_std: Its own deviation.

    Inputs: images float32 `(N, C, H, W)`. Output: what the network gives.
    """

    def __init__(
        self,
        network: nn.Cell,
        mean: Sequence[float],
        std: Sequence[float],
        own_mean: Sequence[float],
        own_std: Sequence[float],
    ) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        factor = np.divide(std, own_std)
        shift = np.subtract(mean, own_mean) / np.asarray(own_std)
        self.factor = Tensor(factor.reshape(1, -1, 1, 1), ms.float32)
        self.shift = Tensor(shift.reshape(1, -1, 1, 1), ms.float32)

    def construct(self, image: Tensor) -> Tensor:
        return self.network(image * self.factor + self.shift)


class WithTeacher(nn.Cell):
    """A student that in training gives its teacher's logits too, behind its own, for `mindcv.loss.DistillationLoss`.

    The teacher is in evaluation mode always and gets no gradient. It is no cell of this one: its weights are in no
    checkpoint, moving average or optimizer of the student.

    Args:
        network: The student.
        teacher: Takes the same images and gives logits `(N, C)`, or a tuple whose first entry they are.

    Inputs: images. Output: in training a tuple of the student's logits, one or several, and the teacher's; else what
    the student gives.
    """

    def __init__(self, network: nn.Cell, teacher: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        for parameter in teacher.get_parameters():
            parameter.requires_grad = False
            if not parameter.name.startswith(_PREFIX):  # in one graph with the student, names must differ
                parameter.name = f"{_PREFIX}{parameter.name}"
        teacher.set_train(False)
        object.__setattr__(self, "teacher", teacher)  # past nn.Cell

    def construct(self, image: Tensor) -> Any:
        output = self.network(image)
        if not self.training:
            return output
        teacher = self.teacher(image)
        if isinstance(teacher, (tuple, list)):
            teacher = teacher[0]
        teacher = ops.stop_gradient(teacher)
        if isinstance(output, (tuple, list)):
            return (*output, teacher)
        return output, teacher
