"""Cells of a network that compute by the kernels while a training step or an evaluation runs.

Nothing is replaced: for that time a cell has another class, with its parameters, names and flags. Outside of it the
network is what it was, also for an export.
"""

import collections
import logging
from types import TracebackType

import mindspore as ms
from mindspore import Tensor, nn, ops

from . import onednn
from .convolution import as_tensor, configuration, convolution, takes_convolution

_logger = logging.getLogger(__name__)

__all__ = ["KernelCells", "missed"]

# What a cell was asked for and left to MindSpore, and how often one was compiled so (run, in PyNative mode).
missed: collections.Counter[str] = collections.Counter()


def _takes(is_fp32: bool, x: tuple[int, ...], w: tuple[int, ...], config: tuple[int, ...], has_bias: bool) -> bool:
    """Asks for a convolution, and counts what is left to MindSpore."""
    if is_fp32 and takes_convolution(tuple(x), tuple(w), tuple(config), has_bias):
        return True
    missed[f"convolution {tuple(w)} of {tuple(x)}" + ("" if is_fp32 else ", not in fp32")] += 1
    return False


_takes_in_graph = ops.constexpr(_takes)


@ops.constexpr
def _miss_dynamic(w: tuple[int, ...]) -> None:
    missed[f"convolution {tuple(w)} of a shape known only when it runs"] += 1


class _Conv2d(nn.Conv2d):
    """A convolution by the kernels where they have it."""

    def construct(self, x: Tensor) -> Tensor:
        if not ops.isconstant(x.shape):
            _miss_dynamic(self.weight.shape)
        elif _takes_in_graph(x.dtype == ms.float32, x.shape, self.weight.shape, self.kernel_config, self.has_bias):
            if self.has_bias:
                return self.kernel(x, self.weight, self.bias, self.kernel_config_tensor)
            return self.kernel(x, self.weight, self.kernel_config_tensor)
        # Written out, since the graph compiler takes `super()` for this very class.
        output = self.conv2d(x, self.weight)
        return self.bias_add(output, self.bias) if self.has_bias else output


def _prepare_convolution(cell: nn.Conv2d) -> None:
    cell.kernel_config = configuration(cell)
    cell.kernel_config_tensor = as_tensor(cell.kernel_config)
    cell.kernel = convolution(cell.kernel_config, cell.has_bias)


_CLASSES = {nn.Conv2d: (_Conv2d, _prepare_convolution)}


def _is_half(cell: nn.Cell) -> bool:
    """Whether `to_float` has put the cell in half precision: in PyNative mode operators cast, and not the input."""
    flags = cell.get_flags()
    return bool(flags.get("fp16") or flags.get("bf16"))


class KernelCells:
    """Lets the cells of a network compute by the kernels inside a `with` block; without kernels it does nothing.

    Args:
        network: The network. Its cells are looked for when the block is first entered.
    """

    def __init__(self, network: nn.Cell) -> None:
        self._network = network
        self._cells: list[tuple[nn.Cell, type, type]] | None = None
        self._depth = 0
        self._is_told = False

    def __enter__(self) -> "KernelCells":
        if self._cells is None:
            self._cells = self._find()
        self._depth += 1
        if self._depth == 1:
            for cell, _, own in self._cells:
                cell.__class__ = own
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            for cell, former, _ in self._cells or ():
                cell.__class__ = former
            if self._cells and not self._is_told:
                self._is_told = True
                left = ", ".join(f"{what} ({count})" for what, count in missed.items()) or "nothing"
                _logger.info("CPU kernels: %d cells by them; left to MindSpore: %s", len(self._cells), left)

    def _find(self) -> list[tuple[nn.Cell, type, type]]:
        if onednn.start().path is None:
            return []
        found = []
        for _, cell in self._network.cells_and_names():
            former = type(cell)
            if former not in _CLASSES:
                continue
            if _is_half(cell):
                missed[f"{former.__name__} in half precision"] += 1
            else:
                own, prepare = _CLASSES[former]
                prepare(cell)
                found.append((cell, former, own))
        return found
