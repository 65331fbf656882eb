"""Dropout whose random numbers follow from a seed and the number of the step.

MindSpore's own operator keeps its state out of reach: in graph mode neither `set_seed` nor `set_rng_state` touches it,
so a run that is resumed would drop other values than the run it goes on with.
"""

import itertools

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ..utils.cells import replace_cells

__all__ = ["StepDropout", "follow_steps"]

# Of 4 rounds and more, the statistics of the bits cannot be told from random ones (tests/engine/test_dropout.py).
_ROUNDS = 6
_LOW = 0xFFFF


class StepDropout(nn.Cell):
    """Stands in for `nn.Dropout`; what it drops depends on the seed, the step and the position in the batch alone.

    The random numbers are a Feistel cipher of step, sample and index. Its products are of a 16-bit and a 15-bit number
    and so stay in int32: all devices compute the same.

    Args:
        rate: Probability of dropping a value.
        seed: Seeds of this cell, which no other cell should have.
        step: The number of the step, an int32 scalar. It is read, not owned: it is none of the network's parameters.

    Inputs: `(N, ...)`, float. Output: the same; while training scaled by `1 / (1 - rate)` where it is not dropped.
    """

    def __init__(self, rate: float, seed: tuple[int, ...], step: Parameter) -> None:
        super().__init__()
        self.rate = rate
        # Past nn.Cell, which would make the step part of the network's weights.
        object.__setattr__(self, "step", step)
        random = np.random.Generator(np.random.PCG64(seed))
        self.factors = tuple((random.integers(1 << 13, 1 << 14, _ROUNDS) * 2 + 1).tolist())
        self.summands = tuple(random.integers(0, 1 << 16, _ROUNDS).tolist())
        # Kept numbers are those up to here, of 2**16.
        self.limit = max(round((1.0 - rate) * (_LOW + 1)), 1)
        self.scale = (_LOW + 1) / self.limit

    def construct(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        num_elements = 1
        for size in x.shape[1:]:
            num_elements *= size
        keep = self.random_numbers(x.shape[0], num_elements).reshape(x.shape) < self.limit
        return x * (ops.cast(keep, x.dtype) * ops.cast(self.scale, x.dtype))

    def random_numbers(self, samples: int, num_elements: int) -> Tensor:
        """Returns whole numbers from 0 to 2**16 - 1 for this step, int32 (samples, num_elements)."""
        sample = Tensor(np.arange(samples).reshape(-1, 1), ms.int32)
        left = ops.bitwise_and(self.step, _LOW)
        right = ops.floor_divide(self.step, _LOW + 1)
        left, right = self._mix(left, ops.bitwise_xor(right, sample))
        if num_elements > 1:
            index = np.arange(num_elements).reshape(1, -1)
            left = ops.bitwise_xor(left, Tensor(index >> 16, ms.int32))
            right = ops.bitwise_xor(right, Tensor(index & _LOW, ms.int32))
            left, right = self._mix(left, right)
        return right

    def _mix(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Six rounds of the cipher on the two halves, numbers of 16 bits."""
        for factor, summand in zip(self.factors, self.summands):  # noqa: B905 (the graph compiler knows no `strict`)
            # Not a shift, which on Ascend is an operator of its slow scalar cores (AICPU).
            middle = ops.bitwise_and(ops.floor_divide(right * factor + summand, 256), _LOW)
            left, right = right, ops.bitwise_xor(left, middle)
        return left, right


def follow_steps(network: nn.Cell, seed: int, step: Parameter) -> int:
    """Replaces the `nn.Dropout` cells inside a network, in place, by such as follow the step.

    Args:
        network: The network.
        seed: Seed; another one for each rank, whose images are other ones.
        step: What the cells read the number of the step from.

    Returns:
        How many there were.
    """
    numbers = itertools.count()

    def that_follows(cell: nn.Cell) -> nn.Cell | None:
        if not isinstance(cell, nn.Dropout) or type(cell).construct is not nn.Dropout.construct:
            return None
        rate = cell.p if cell.p is not None else 1.0 - cell.keep_prob
        if rate == 0:
            return None
        new = StepDropout(rate, (seed, next(numbers)), step)
        return new.set_train(cell.training)

    return replace_cells(network, that_follows)
