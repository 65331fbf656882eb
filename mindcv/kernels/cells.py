"""Cells of a network that compute by the kernels while a training step or an evaluation runs.

Nothing is replaced: for that time a cell has another class, with its parameters, names and flags. Outside of it the
network is what it was, also for an export.

A convolution, the BatchNorm behind it and the activation behind that are found where they stand one behind the other
in a SequentialCell, or in a block that `blocks.py` knows. The BatchNorm then does the activation's work, and the
convolution hands its output on with channels last, as oneDNN has it.
"""

import collections
import functools
import logging
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from . import onednn
from .attention import attention
from .batch_norm import ACTIVATIONS, NO_ACTIVATION, batch_norm, batch_norm_configuration
from .blocks import BLOCKS, block_class
from .convolution import as_tensor, bits, configuration, convolution, takes_convolution
from .dense import dense
from .gelu import gelu
from .layer_norm import layer_norm
from .pooling import max_pool

_logger = logging.getLogger(__name__)

__all__ = ["IN_BF16", "KernelCells", "missed"]

# Attribute of a cell whose products take factors rounded to bfloat16; sums stay fp32.
IN_BF16 = "kernel_in_bf16"

# What a cell was asked for and left to MindSpore, and how often one was compiled so (run, in PyNative mode).
missed: collections.Counter[str] = collections.Counter()

_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def _takes(is_fp32: bool, x: tuple[int, ...], w: tuple[int, ...], config: tuple[int, ...], has_bias: bool) -> bool:
    """Asks for a convolution, and counts what is left to MindSpore."""
    if is_fp32 and takes_convolution(tuple(x), tuple(w), tuple(config), has_bias):
        return True
    missed[f"convolution {tuple(w)} of {tuple(x)}" + ("" if is_fp32 else ", not in fp32")] += 1
    return False


def _takes_map(what: str, is_fp32: bool, x: tuple[int, ...]) -> bool:
    if is_fp32 and len(x) == 4 and min(x) > 0:
        return True
    missed[f"{what} of {tuple(x)}" + ("" if is_fp32 else ", not in fp32")] += 1
    return False


def _takes_values(what: str, is_fp32: bool, x: tuple[int, ...]) -> bool:
    if is_fp32 and len(x) > 0 and min(x) > 0:
        return True
    missed[f"{what} of {tuple(x)}" + ("" if is_fp32 else ", not in fp32")] += 1
    return False


def _takes_dense(is_fp32: bool, x: tuple[int, ...], w: tuple[int, ...]) -> bool:
    if is_fp32 and min(x) > 0:
        return True
    missed[f"dense {tuple(w)} of {tuple(x)}" + ("" if is_fp32 else ", not in fp32")] += 1
    return False


def _miss_dynamic(what: str) -> None:
    missed[f"{what} of a shape known only when it runs"] += 1


# At compile time in graph mode
_takes_in_graph = ops.constexpr(_takes)
_takes_dense_in_graph = ops.constexpr(_takes_dense)
_takes_map_in_graph = ops.constexpr(_takes_map)
_takes_values_in_graph = ops.constexpr(_takes_values)
_miss_dynamic_in_graph = ops.constexpr(_miss_dynamic)


class _Conv2d(nn.Conv2d):
    """A convolution by the kernels where they have it; gives (N, H, W, C) where `kernel_last` is set."""

    def construct(self, x: Tensor) -> Tensor:
        if not ops.isconstant(x.shape):
            _miss_dynamic_in_graph("Conv2d")
        elif _takes_in_graph(x.dtype == ms.float32, x.shape, self.weight.shape, self.kernel_config, self.has_bias):
            if self.has_bias:
                return self.kernel(x, self.weight, self.bias, self.kernel_tensor)
            return self.kernel(x, self.weight, self.kernel_tensor)
        # Written out, since the graph compiler takes `super()` for this very class.
        output = self.conv2d(x, self.weight)
        if self.has_bias:
            output = self.bias_add(output, self.bias)
        return ops.transpose(output, _TO_LAST) if self.kernel_last else output


class _MaxPool2d(nn.MaxPool2d):
    """Max pooling by the kernels."""

    def construct(self, x: Tensor) -> Tensor:
        if not ops.isconstant(x.shape):
            _miss_dynamic_in_graph("MaxPool2d")
        elif _takes_map_in_graph("max pooling", x.dtype == ms.float32, x.shape):
            return self.kernel(x, self.kernel_tensor)
        return self.max_pool(x.unsqueeze(0)).squeeze(0) if x.ndim == 3 else self.max_pool(x)


class _Dense(nn.Dense):
    """A dense layer by the kernels."""

    def construct(self, x: Tensor) -> Tensor:
        if not ops.isconstant(x.shape):
            _miss_dynamic_in_graph("Dense")
        elif _takes_dense_in_graph(x.dtype == ms.float32, x.shape, self.weight.shape):
            if self.has_bias:
                y = self.kernel(x, self.weight, self.bias, self.kernel_tensor)
            else:
                y = self.kernel(x, self.weight, self.kernel_tensor)
            return self.activation(y) if self.activation_flag else y
        shape = x.shape
        y = self.matmul(x.reshape((-1, shape[-1])), self.weight)
        if self.has_bias:
            y = self.bias_add(y, self.bias)
        if self.activation_flag:
            y = self.activation(y)
        return y.reshape((*shape[:-1], -1))


class _GELU(nn.GELU):
    """GELU by the kernels."""

    def construct(self, x: Tensor) -> Tensor:
        if not ops.isconstant(x.shape):
            _miss_dynamic_in_graph("GELU")
        elif _takes_values_in_graph("GELU", x.dtype == ms.float32, x.shape):
            return self.kernel(x, self.kernel_tensor)
        return ops.gelu(x, approximate=self.approximate)


class _LayerNorm(nn.LayerNorm):
    """A LayerNorm over the last axis by the kernels."""

    def construct(self, x: Tensor) -> Tensor:
        if not ops.isconstant(x.shape):
            _miss_dynamic_in_graph("LayerNorm")
        elif _takes_values_in_graph("LayerNorm", x.dtype == ms.float32, x.shape):
            return self.by_kernel(x)
        return self.by_mindspore(x)

    def by_kernel(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.gamma, self.beta, self.kernel_tensor)[0]

    def by_mindspore(self, x: Tensor) -> Tensor:
        return self.layer_norm(x, self.gamma.astype(x.dtype), self.beta.astype(x.dtype))[0]


class _BatchNorm2d(nn.BatchNorm2d):
    """A BatchNorm by the kernels, with what stands behind it.

    `kernel_last`: takes (N, H, W, C). `kernel_adds`: is called with a shortcut, which is added. `kernel_activation`: a
    number of `ACTIVATIONS`, which is done last.
    """

    def construct(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        is_training = self.training if self.use_batch_statistics is None else self.use_batch_statistics
        if not ops.isconstant(x.shape):
            _miss_dynamic_in_graph("BatchNorm2d")
        elif _takes_map_in_graph("BatchNorm", x.dtype == ms.float32, x.shape):
            inputs = (x, self.gamma, self.beta, self.moving_mean, self.moving_variance)
            if self.kernel_adds:
                inputs = (*inputs, shortcut)
            if not is_training:
                return self.kernel_infer(*inputs, self.kernel_infer_tensor)[0]
            # Not unpacked: the graph compiler warns of what is not used.
            outputs = self.kernel_train(*inputs, self.kernel_train_tensor)
            ops.assign(self.moving_mean, ops.stop_gradient(outputs[3]))
            ops.assign(self.moving_variance, ops.stop_gradient(outputs[4]))
            return outputs[0]
        if self.kernel_last:
            x = ops.transpose(x, _TO_FIRST)
        if is_training:
            out = self.bn_train(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
        else:
            out = self.bn_infer(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
        if self.kernel_adds:
            out = out + shortcut
        if self.kernel_activation == ACTIVATIONS[nn.ReLU]:
            return ops.relu(out)
        if self.kernel_activation == ACTIVATIONS[nn.ReLU6]:
            return ops.relu6(out)
        return ops.hardswish(out) if self.kernel_activation == ACTIVATIONS[nn.HSwish] else out


@functools.cache
def _attention_class(kind: type[nn.Cell]) -> type[nn.Cell]:
    """The class of a self-attention, whose products and softmax are one operator."""

    def construct(self: Any, x: Tensor) -> Tensor:
        if not ops.isconstant(x.shape):
            _miss_dynamic_in_graph("attention")
        elif _takes_values_in_graph("attention", x.dtype == ms.float32, x.shape):
            return self.by_kernel(x)
        return self.by_mindspore(x)

    def by_kernel(self: Any, x: Tensor) -> Tensor:
        return self.proj_drop(self.proj(self.kernel(self.qkv(x), self.kernel_tensor)[0]))

    methods = {"construct": construct, "by_kernel": by_kernel, "by_mindspore": kind.construct}
    return type(kind.__name__, (kind,), methods)


class _Passed(nn.Cell):
    """An activation that the BatchNorm before it does."""

    def construct(self, x: Tensor) -> Tensor:
        return x


def _prepare_convolution(cell: nn.Conv2d, gives_last: bool = False) -> None:
    cell.kernel_last = gives_last
    cell.kernel_config = configuration(cell, result_last=gives_last, in_bf16=getattr(cell, IN_BF16, False))
    cell.kernel_tensor = as_tensor(cell.kernel_config)
    cell.kernel = convolution(cell.kernel_config, cell.has_bias)


def _prepare_dense(cell: nn.Dense) -> None:
    cell.kernel = dense(cell.has_bias)
    cell.kernel_tensor = as_tensor((int(getattr(cell, IN_BF16, False)),))


def _prepare_gelu(cell: nn.GELU) -> None:
    cell.kernel, cell.kernel_tensor = gelu(), as_tensor((int(cell.approximate == "tanh"),))


def _prepare_attention(cell: Any) -> None:
    cell.kernel, cell.kernel_tensor = attention(cell.num_heads), as_tensor((cell.num_heads, bits(cell.scale)))


def _prepare_layer_norm(cell: nn.LayerNorm) -> None:
    cell.kernel, cell.kernel_tensor = layer_norm(), as_tensor((bits(cell.epsilon),))


def _prepare_pool(cell: nn.MaxPool2d) -> None:
    (height, width), (down, right) = (
        value if isinstance(value, tuple) else (value, value) for value in (cell.kernel_size, cell.stride)
    )
    config = (height, width, down, right, int(cell.pad_mode.upper() == "SAME"))
    cell.kernel, cell.kernel_tensor = max_pool(config), as_tensor(config)


def _prepare_norm(cell: nn.BatchNorm2d, takes_last: bool = False, activation: int = 0, adds: bool = False) -> None:
    cell.kernel_last, cell.kernel_activation, cell.kernel_adds = takes_last, activation, adds
    keeps = _name(type(cell)) == _ONE_VALUE_NORM
    train, infer = (
        batch_norm_configuration(cell, activation, adds, is_training, takes_last, keeps)
        for is_training in (True, False)
    )
    cell.kernel_train, cell.kernel_infer = batch_norm(train), batch_norm(infer)
    cell.kernel_train_tensor, cell.kernel_infer_tensor = as_tensor(train), as_tensor(infer)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


# Engine's, for batches that can have one value a channel.
_ONE_VALUE_NORM = "mindcv.engine.batch_norm._BatchNorm"


def _is_convolution(cell: nn.Cell | None) -> bool:
    return type(cell) is nn.Conv2d and not _is_half(cell)


def _is_norm(cell: nn.Cell | None) -> bool:
    is_known = type(cell) is nn.BatchNorm2d or _name(type(cell)) == _ONE_VALUE_NORM
    return is_known and not _is_half(cell)  # type: ignore[arg-type]


def _is_attention(cell: nn.Cell) -> bool:
    """Whether it is mindcv's self-attention, whose softmax nothing is dropped of."""
    return _name(type(cell)) == "mindcv.models.layers.attention.Attention" and cell.attn_drop.p == 0


def _is_layer_norm(cell: nn.Cell) -> bool:
    """Whether it is one over the last axis."""
    return (
        type(cell) is nn.LayerNorm
        and len(cell.normalized_shape) == 1
        and cell.begin_norm_axis == cell.begin_params_axis == -1
        and cell.gamma.dtype == cell.beta.dtype == ms.float32
        and not _is_half(cell)
    )


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
            self._cells = _Search(self._network).found if onednn.start().path is not None else []
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


class _Search:
    """Finds the cells of a network that the kernels compute, and prepares them: `found`, with their classes."""

    def __init__(self, network: nn.Cell) -> None:
        self.found: list[tuple[nn.Cell, type, type]] = []
        self._known: set[int] = set()
        self._places: collections.Counter[int] = collections.Counter()
        pairs = list(_parents(network))
        for parent, _ in pairs:
            self._places.update(id(child) for child in parent._cells.values())
        for parent, is_ours in pairs:
            if is_ours and _name(type(parent)) in BLOCKS:
                self._block(parent)
        for parent, is_ours in pairs:
            if is_ours and type(parent) is nn.SequentialCell:
                self._row(list(parent._cells.values()))
        for parent, _ in pairs:
            for cell in parent._cells.values():
                self._single(cell)

    def _exchange(self, cell: nn.Cell, own: type) -> None:
        self._known.add(id(cell))
        self.found.append((cell, type(cell), own))

    def _single(self, cell: nn.Cell | None) -> None:
        if cell is None or id(cell) in self._known:
            return
        if _is_convolution(cell):
            _prepare_convolution(cell)
            self._exchange(cell, _Conv2d)
        elif _is_norm(cell):
            _prepare_norm(cell)
            self._exchange(cell, _BatchNorm2d)
        elif type(cell) is nn.MaxPool2d and not cell.use_pad and not _is_half(cell):
            _prepare_pool(cell)
            self._exchange(cell, _MaxPool2d)
        elif type(cell) is nn.Dense and not _is_half(cell):
            _prepare_dense(cell)
            self._exchange(cell, _Dense)
        elif type(cell) is nn.GELU and not _is_half(cell):
            _prepare_gelu(cell)
            self._exchange(cell, _GELU)
        elif _is_attention(cell) and not _is_half(cell.qkv):
            _prepare_attention(cell)
            self._exchange(cell, _attention_class(type(cell)))
        elif _is_layer_norm(cell):
            _prepare_layer_norm(cell)
            self._exchange(cell, _LayerNorm)
        elif type(cell) in (nn.Conv2d, nn.BatchNorm2d, nn.Dense):
            self._known.add(id(cell))
            missed[f"{type(cell).__name__} in half precision"] += 1

    def _can_pair(self, convolution_cell: Any, norm: Any) -> bool:
        """Whether the second gets what the first gives, and nobody else does."""
        if not (_is_convolution(convolution_cell) and _is_norm(norm)) or convolution_cell.has_bias:
            return False
        cells = (convolution_cell, norm)
        return not any(id(cell) in self._known or self._places[id(cell)] > 1 for cell in cells)

    def _pair(self, convolution_cell: Any, norm: Any, activation: int = NO_ACTIVATION, adds: bool = False) -> None:
        # A 1x1 convolution is a matrix product of (N, C, H, W) as it is, but for bfloat16.
        is_product = convolution_cell.kernel_size == (1, 1) and convolution_cell.stride == (1, 1)
        is_product = is_product and not getattr(convolution_cell, IN_BF16, False)
        gives_last = not (is_product and convolution_cell.group == 1)
        _prepare_convolution(convolution_cell, gives_last)
        self._exchange(convolution_cell, _Conv2d)
        _prepare_norm(norm, gives_last, activation, adds)
        self._exchange(norm, _BatchNorm2d)

    def _row(self, row: list[Any]) -> None:
        """Pairs in the cells of a SequentialCell."""
        for index in range(len(row) - 1):
            if not self._can_pair(row[index], row[index + 1]):
                continue
            behind = row[index + 2] if index + 2 < len(row) else None
            number = ACTIVATIONS.get(type(behind), NO_ACTIVATION)
            if number and (self._places[id(behind)] > 1 or _is_half(behind) or id(behind) in self._known):
                number = NO_ACTIVATION
            self._pair(row[index], row[index + 1], number)
            if number:
                self._exchange(behind, _Passed)

    def _block(self, block: nn.Cell) -> None:
        """A block of `BLOCKS`: all of its pairs, or none."""
        pairs, adds, _ = BLOCKS[_name(type(block))]
        cells = [(getattr(block, conv, None), getattr(block, norm, None)) for conv, norm in pairs]
        if type(block.relu) is not nn.ReLU or not all(self._can_pair(*pair) for pair in cells):
            return
        if hasattr(block, "drop_path") and block.drop_path.drop_prob > 0:
            return
        for index, pair in enumerate(cells):
            self._pair(*pair, ACTIVATIONS[nn.ReLU], adds and index == len(cells) - 1)
        self._exchange(block, block_class(type(block)))


def _parents(network: nn.Cell) -> Iterator[tuple[nn.Cell, bool]]:
    """All cells that have cells, each once, and whether mindcv's own class decides how theirs are called."""
    seen: set[int] = set()

    def walk(cell: nn.Cell, is_ours: bool) -> Iterator[tuple[nn.Cell, bool]]:
        if id(cell) in seen:
            return
        seen.add(id(cell))
        if not type(cell).__module__.startswith("mindspore."):
            is_ours = type(cell).__module__.startswith("mindcv.")
        yield cell, is_ours
        for child in cell._cells.values():
            if child is not None:
                yield from walk(child, is_ours)

    return walk(network, False)
