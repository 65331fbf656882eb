"""Classes of cells that compute by the kernels, and what a cell needs before it gets one.

A cell asks whether the kernels have what it is given, and leaves the rest to MindSpore. MindSpore parses the question
with both ways anew for each cell, which makes half of the time that a deep network takes to compile; `sure_class` has
classes without it.
"""

import collections
import functools
from collections.abc import Callable
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from .attention import attention
from .batch_norm import ACTIVATIONS, NO_ACTIVATION, batch_norm, batch_norm_configuration
from .convolution import configuration, convolution, takes_convolution
from .convolution_norm import convolution_norm
from .dense import dense, dense_configuration
from .gelu import gelu
from .layer_norm import layer_norm
from .layout import Layout
from .operators import as_tensor, bits, map_dtype, takes_map, takes_tokens, takes_values
from .pooling import max_pool
from .scale import BY_COLUMN, BY_ROW, scale
from .squeeze_excite import GATES, squeeze_excite

__all__ = [
    "IN_BF16",
    "ONE_VALUE_NORM",
    "Passed",
    "activation_number",
    "class_name",
    "missed",
    "prepare_attention",
    "prepare_convolution",
    "prepare_dense",
    "prepare_drop_path",
    "prepare_gate",
    "prepare_gelu",
    "prepare_global_response_norm",
    "prepare_layer_norm",
    "prepare_layer_norm_2d",
    "prepare_layer_scale",
    "prepare_norm",
    "prepare_pair",
    "prepare_pool",
    "prepare_squeeze_excite",
    "prepare_standardised_convolution",
    "sure_class",
]

# Attribute of a cell whose products take factors rounded to bfloat16; sums stay fp32.
IN_BF16 = "kernel_in_bf16"

# What a cell was asked for and left to MindSpore, and how often one was compiled so (run, in PyNative mode).
missed: collections.Counter[str] = collections.Counter()

# Engine's, for batches that can have one value a channel.
ONE_VALUE_NORM = "mindcv.engine.batch_norm._BatchNorm"

# Numbers, since graphs cannot look up a class.
_RELU, _RELU6, _HSWISH, _SILU = (ACTIVATIONS[kind] for kind in (nn.ReLU, nn.ReLU6, nn.HSwish, nn.SiLU))
_TO_LAST, _TO_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)

# The networks' own SiLU; this level does not import them.
_SWISH = "mindcv.models.layers.activation.Swish"
_TAKES = {
    "convolution": takes_convolution,
    "BatchNorm": takes_map,
    "dense": takes_values,
    "GELU": takes_values,
    "LayerNorm": takes_values,
    "attention": takes_tokens,
    "max pooling": takes_map,
    "layer scale": takes_values,
    "stochastic depth": takes_values,
    "gate": takes_map,
    "global response norm": takes_map,
    "squeeze and excitation": takes_map,
}


def _takes(what: tuple[Any, ...], is_of_type: bool, x: tuple[int, ...]) -> bool:
    """Asks for a cell's `kernel_what`, a name of `_TAKES` and what it is of, and counts what is left to MindSpore."""
    if is_of_type and _TAKES[what[0]](x, *what[1:]):
        return True
    missed[f"{' '.join(map(str, what[:2]))} of {x}" + ("" if is_of_type else ", not in fp32")] += 1
    return False


def _miss_dynamic(what: tuple[Any, ...]) -> None:
    missed[f"{what[0]} of a shape known only when it runs"] += 1


# At compile time in graph mode
_takes_in_graph = ops.constexpr(_takes)
_miss_dynamic_in_graph = ops.constexpr(_miss_dynamic)


class _KernelCell:
    """What the classes below share: `by_kernel`, and `by_mindspore` for what the kernels do not have."""

    kernel_dtype = ms.float32  # of the input

    def construct(self, *inputs: Tensor) -> Tensor:
        if self.takes(inputs[0]):
            return self.by_kernel(*inputs)
        return self.by_mindspore(*inputs)

    def takes(self, x: Tensor) -> bool:
        if ops.isconstant(x.shape):
            return _takes_in_graph(self.kernel_what, x.dtype == self.kernel_dtype, x.shape)
        _miss_dynamic_in_graph(self.kernel_what)
        return False


class _Conv2d(_KernelCell, nn.Conv2d):
    """A convolution; takes and gives (N, H, W, C) where `kernel_takes_last` and `kernel_last` are set."""

    def by_kernel(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.weight, self.kernel_tensor)

    def by_mindspore(self, x: Tensor) -> Tensor:
        # Written out, since the graph compiler takes `super()` for this very class.
        if self.kernel_takes_last:
            x = ops.transpose(ops.cast(x, ms.float32), _TO_FIRST)
        output = self.conv2d(x, self.weight)
        if self.has_bias:
            output = self.bias_add(output, self.bias)
        if self.kernel_last:
            output = ops.transpose(output, _TO_LAST)
        return ops.cast(output, self.kernel_dtype) if self.kernel_takes_last else output


class _BiasedConv2d(_Conv2d):
    def by_kernel(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.weight, self.bias, self.kernel_tensor)


class _MaxPool2d(_KernelCell, nn.MaxPool2d):
    def by_kernel(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.kernel_tensor)

    def by_mindspore(self, x: Tensor) -> Tensor:
        return self.max_pool(x.unsqueeze(0)).squeeze(0) if x.ndim == 3 else self.max_pool(x)


class _Dense(_KernelCell, nn.Dense):
    """A dense layer, without an activation; with the GELU before it where `kernel_gelu` says by what."""

    def by_kernel(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.weight, self.kernel_tensor)

    def by_mindspore(self, x: Tensor) -> Tensor:
        if self.kernel_gelu is not None:
            x = ops.gelu(x, approximate=self.kernel_gelu)
        shape = x.shape
        y = self.matmul(x.reshape((-1, shape[-1])), self.weight)
        if self.has_bias:
            y = self.bias_add(y, self.bias)
        if self.activation_flag:
            y = self.activation(y)
        return y.reshape((*shape[:-1], -1))


class _BiasedDense(_Dense):
    def by_kernel(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.weight, self.bias, self.kernel_tensor)


class _ActivatedDense(_Dense):
    """A dense layer with an activation, and with a bias or without."""

    def by_kernel(self, x: Tensor) -> Tensor:
        parameters = (self.weight, self.bias) if self.has_bias else (self.weight,)
        return self.activation(self.kernel(x, *parameters, self.kernel_tensor))


class _GELU(_KernelCell, nn.GELU):
    def by_kernel(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.kernel_tensor)

    def by_mindspore(self, x: Tensor) -> Tensor:
        return ops.gelu(x, approximate=self.approximate)


class _LayerNorm(_KernelCell, nn.LayerNorm):
    """A LayerNorm over the last axis."""

    def by_kernel(self, x: Tensor) -> Tensor:
        return self.kernel(x, self.gamma, self.beta, self.kernel_tensor)[0]

    def by_mindspore(self, x: Tensor) -> Tensor:
        return self.layer_norm(x, self.gamma.astype(x.dtype), self.beta.astype(x.dtype))[0]


class _LayerNorm2d(_LayerNorm):
    """A LayerNorm over the channels of (N, C, H, W), or of (N, H, W, C) where `kernel_last` is set."""

    def by_kernel(self, x: Tensor) -> Tensor:
        if self.kernel_last:
            return self.kernel(x, self.gamma, self.beta, self.kernel_tensor)[0]
        x = self.kernel_to_last(x)
        return self.kernel_to_first(self.kernel(x, self.gamma, self.beta, self.kernel_tensor)[0])

    def by_mindspore(self, x: Tensor) -> Tensor:
        x = x if self.kernel_last else ops.transpose(x, _TO_LAST)
        x = self.layer_norm(x, self.gamma.astype(x.dtype), self.beta.astype(x.dtype))[0]
        return x if self.kernel_last else ops.transpose(x, _TO_FIRST)


# With these another product takes the place of MindSpore's own in a cell of mindcv.models.layers: mostly the kernel's.


def _layer_scale(self: Any, x: Tensor) -> Tensor:
    return self.kernel(x, self.gamma, self.kernel_tensor)


def _drop_path(self: Any, x: Tensor) -> Tensor:
    return self.kernel(x, self.factors(x), self.kernel_tensor) if self.training else x


def _gate(self: Any, x: Tensor) -> Tensor:
    return self.kernel(x, self.gates(x), self.kernel_tensor)


def _global_response_norm(self: Any, x: Tensor) -> Tensor:
    """By MindSpore too, whose operators keep 16 bytes for each value of a result where they broadcast by themselves."""
    return x * self.factors(x).broadcast_to(x.shape) + self.beta.broadcast_to(x.shape)


@functools.cache
def _squeeze_excite_class(kind: type[nn.Cell]) -> type[nn.Cell]:
    """The class of a squeeze and excitation of (N, H, W, C), all of which is one operator."""

    def by_kernel(self: Any, x: Tensor) -> Tensor:
        reduce, expand = self.conv_reduce, self.conv_expand
        return self.kernel(x, reduce.weight, reduce.bias, expand.weight, expand.bias, self.kernel_tensor)[0]

    def by_mindspore(self: Any, x: Tensor) -> Tensor:
        return ops.transpose(self.of_first(ops.transpose(x, _TO_FIRST)), _TO_LAST)

    methods = {"by_kernel": by_kernel, "by_mindspore": by_mindspore, "of_first": kind.construct}
    return type(kind.__name__, (_KernelCell, kind), methods)


@functools.cache
def _scaling_class(kind: type[nn.Cell], by_kernel: Callable[..., Tensor]) -> type[nn.Cell]:
    return type(kind.__name__, (_KernelCell, kind), {"by_kernel": by_kernel, "by_mindspore": kind.construct})


@functools.cache
def _standardised_class(kind: type[nn.Cell]) -> type[nn.Cell]:
    """The class of a convolution whose weight is standardised first."""

    def by_kernel(self: Any, x: Tensor) -> Tensor:
        return self.kernel(x, self.standardised(), self.kernel_tensor)

    return type(kind.__name__, (_KernelCell, kind), {"by_kernel": by_kernel, "by_mindspore": kind.construct})


@functools.cache
def _attention_class(kind: type[nn.Cell]) -> type[nn.Cell]:
    """The class of a self-attention, whose products and softmax are one operator."""

    def by_kernel(self: Any, x: Tensor) -> Tensor:
        return self.proj_drop(self.proj(self.kernel(self.qkv(x), self.kernel_tensor)[0]))

    methods = {"by_kernel": by_kernel, "by_mindspore": kind.construct}
    return type(kind.__name__, (_KernelCell, kind), methods)


class _BatchNorm2d(_KernelCell, nn.BatchNorm2d):
    """A BatchNorm with the activation behind it.

    `kernel_last`: takes (N, H, W, C). `kernel_gives_last`: gives it too. `kernel_activation`: a number of
    `ACTIVATIONS`, which is done last.
    """

    def by_kernel(self, x: Tensor) -> Tensor:
        return self.by_kernel_trained(x) if self.is_trained() else self.by_kernel_fixed(x)

    def is_trained(self) -> bool:
        """Whether it takes the batch's statistics."""
        return self.training if self.use_batch_statistics is None else self.use_batch_statistics

    def by_kernel_trained(self, x: Tensor) -> Tensor:
        return self.kernel_train(
            x, self.gamma, self.beta, self.moving_mean, self.moving_variance, self.kernel_train_tensor
        )[0]

    def by_kernel_with_convolution(self, x: Tensor) -> Tensor:
        """The convolution before it and itself, trained."""
        return self.kernel_pair(
            *(x, self.kernel_weight, self.gamma, self.beta, self.moving_mean, self.moving_variance),
            self.kernel_pair_tensor,
        )[0]

    def by_kernel_fixed(self, x: Tensor) -> Tensor:
        return self.kernel_infer(
            x, self.gamma, self.beta, self.moving_mean, self.moving_variance, self.kernel_infer_tensor
        )[0]

    def by_mindspore(self, x: Tensor) -> Tensor:
        out = self.normalized(x)
        if self.kernel_activation == _RELU:
            out = ops.relu(out)
        if self.kernel_activation == _RELU6:
            out = ops.relu6(out)
        if self.kernel_activation == _HSWISH:
            out = ops.hardswish(out)
        if self.kernel_activation == _SILU:
            out = out * ops.sigmoid(out)
        return ops.cast(out, self.kernel_dtype) if self.kernel_gives_last else out

    def normalized(self, x: Tensor) -> Tensor:
        """The norm alone; in fp32 where it gives (N, H, W, C)."""
        if self.kernel_gives_last:
            x = ops.cast(x, ms.float32)
        if self.kernel_last:
            x = ops.transpose(x, _TO_FIRST)
        norm = self.bn_train if self.is_trained() else self.bn_infer
        out = norm(x, self.gamma, self.beta, self.moving_mean, self.moving_variance)[0]
        return ops.transpose(out, _TO_LAST) if self.kernel_gives_last else out


class _AddingBatchNorm2d(_BatchNorm2d):
    """A BatchNorm with a shortcut, which is added, and the ReLU behind that."""

    def by_kernel(self, x: Tensor, shortcut: Tensor) -> Tensor:
        return self.by_kernel_trained(x, shortcut) if self.is_trained() else self.by_kernel_fixed(x, shortcut)

    def by_kernel_trained(self, x: Tensor, shortcut: Tensor) -> Tensor:
        return self.kernel_train(
            x, self.gamma, self.beta, self.moving_mean, self.moving_variance, shortcut, self.kernel_train_tensor
        )[0]

    def by_kernel_with_convolution(self, x: Tensor, shortcut: Tensor) -> Tensor:
        return self.kernel_pair(
            *(x, self.kernel_weight, self.gamma, self.beta, self.moving_mean, self.moving_variance, shortcut),
            self.kernel_pair_tensor,
        )[0]

    def by_kernel_fixed(self, x: Tensor, shortcut: Tensor) -> Tensor:
        return self.kernel_infer(
            x, self.gamma, self.beta, self.moving_mean, self.moving_variance, shortcut, self.kernel_infer_tensor
        )[0]

    def by_mindspore(self, x: Tensor, shortcut: Tensor) -> Tensor:
        if not self.kernel_gives_last:
            return ops.relu(self.normalized(x) + shortcut)
        return ops.cast(ops.relu(self.normalized(x) + ops.cast(shortcut, ms.float32)), self.kernel_dtype)


class Passed(nn.Cell):
    """A cell whose neighbour does its work: an activation, or a convolution with a BatchNorm behind it."""

    def construct(self, x: Tensor) -> Tensor:
        return x


def class_name(kind: type) -> str:
    """A class's name, with its module's."""
    return f"{kind.__module__}.{kind.__qualname__}"


def activation_number(cell: nn.Cell | None) -> int:
    """Returns the number of a cell that is one of `ACTIVATIONS`; `NO_ACTIVATION` of another."""
    kind: Any = type(cell)
    return ACTIVATIONS[nn.SiLU] if class_name(kind) == _SWISH else ACTIVATIONS.get(kind, NO_ACTIVATION)


def prepare_convolution(
    cell: nn.Conv2d, gives_last: bool = False, takes_last: bool = False, is_half: bool = False
) -> type[nn.Cell]:
    """Prepares a convolution; `is_half`: it takes and gives bfloat16."""
    config = configuration(cell, takes_last, gives_last, getattr(cell, IN_BF16, False), is_half)
    cell.kernel_last, cell.kernel_takes_last, cell.kernel_dtype = gives_last, takes_last, map_dtype(is_half)
    cell.kernel_what = ("convolution", cell.weight.shape, config, cell.has_bias)
    cell.kernel, cell.kernel_tensor = convolution(config, cell.has_bias), as_tensor(config)
    cell.kernel_config, cell.kernel_norm = config, None
    return _BiasedConv2d if cell.has_bias else _Conv2d


def prepare_standardised_convolution(cell: Any) -> type[nn.Cell]:
    """Prepares mindcv's convolution without a bias whose weight is standardised first."""
    prepare_convolution(cell)
    return _standardised_class(type(cell))


def prepare_dense(cell: nn.Dense, before: nn.GELU | None = None) -> type[nn.Cell]:
    """Prepares a dense layer; `before`: the GELU before it, which it does too."""
    config = dense_configuration(getattr(cell, IN_BF16, False), before)
    cell.kernel_what = ("dense", cell.weight.shape)
    cell.kernel, cell.kernel_tensor = dense(cell.has_bias), as_tensor(config)
    cell.kernel_gelu = None if before is None else before.approximate
    if cell.activation_flag:
        return _ActivatedDense
    return _BiasedDense if cell.has_bias else _Dense


def prepare_gelu(cell: nn.GELU) -> type[nn.Cell]:
    cell.kernel_what = ("GELU",)
    cell.kernel, cell.kernel_tensor = gelu(), as_tensor((int(cell.approximate == "tanh"),))
    return _GELU


def prepare_attention(cell: Any) -> type[nn.Cell]:
    cell.kernel_what = ("attention",)
    cell.kernel, cell.kernel_tensor = attention(cell.num_heads), as_tensor((cell.num_heads, bits(cell.scale)))
    return _attention_class(type(cell))


def prepare_layer_norm(cell: nn.LayerNorm) -> type[nn.Cell]:
    cell.kernel_what = ("LayerNorm",)
    cell.kernel, cell.kernel_tensor = layer_norm(), as_tensor((bits(cell.epsilon),))
    return _LayerNorm


def prepare_layer_norm_2d(cell: Any, is_last: bool = False) -> type[nn.Cell]:
    """Prepares mindcv's LayerNorm2d; `is_last`: it takes and gives (N, H, W, C)."""
    prepare_layer_norm(cell)
    cell.kernel_last = is_last
    # Not as cells of the network, which they are no part of
    object.__setattr__(cell, "kernel_to_last", Layout(True, False))
    object.__setattr__(cell, "kernel_to_first", Layout(False, False))
    return _LayerNorm2d


def prepare_layer_scale(cell: Any) -> type[nn.Cell]:
    cell.kernel_what = ("layer scale",)
    cell.kernel, cell.kernel_tensor = scale(adds=False), as_tensor(BY_COLUMN)
    return _scaling_class(type(cell), _layer_scale)


def prepare_drop_path(cell: Any) -> type[nn.Cell]:
    cell.kernel_what = ("stochastic depth",)
    cell.kernel, cell.kernel_tensor = scale(adds=False, has_gradient=False), as_tensor(BY_ROW)
    return _scaling_class(type(cell), _drop_path)


def prepare_gate(cell: Any) -> type[nn.Cell]:
    cell.kernel_what = ("gate",)
    cell.kernel, cell.kernel_tensor = scale(adds=False), as_tensor(BY_ROW)
    return _scaling_class(type(cell), _gate)


def prepare_global_response_norm(cell: Any) -> type[nn.Cell]:
    cell.kernel_what = ("global response norm",)
    return _scaling_class(type(cell), _global_response_norm)


def prepare_squeeze_excite(cell: Any) -> type[nn.Cell]:
    """Prepares a squeeze and excitation by 1x1 convolutions, which takes and gives (N, H, W, C) then."""
    cell.kernel_what = ("squeeze and excitation",)
    cell.kernel = squeeze_excite()
    cell.kernel_tensor = as_tensor((activation_number(cell.act), GATES[type(cell.gate)]))
    return _squeeze_excite_class(type(cell))


def prepare_pool(cell: nn.MaxPool2d) -> type[nn.Cell]:
    (height, width), (down, right) = (
        value if isinstance(value, tuple) else (value, value) for value in (cell.kernel_size, cell.stride)
    )
    config = (height, width, down, right, int(cell.pad_mode.upper() == "SAME"))
    cell.kernel_what = ("max pooling",)
    cell.kernel, cell.kernel_tensor = max_pool(config), as_tensor(config)
    return _MaxPool2d


def prepare_norm(
    cell: nn.BatchNorm2d,
    takes_last: bool = False,
    activation: int = 0,
    adds: bool = False,
    gives_last: bool = False,
    is_half: bool = False,
) -> type[nn.Cell]:
    """Prepares a BatchNorm; `is_half`: it takes and gives bfloat16."""
    keeps = class_name(type(cell)) == ONE_VALUE_NORM
    train, infer = (
        batch_norm_configuration(cell, activation, adds, is_training, takes_last, keeps, gives_last, is_half)
        for is_training in (True, False)
    )
    cell.kernel_what = ("BatchNorm",)
    cell.kernel_last, cell.kernel_activation = takes_last, activation
    cell.kernel_gives_last, cell.kernel_dtype = gives_last, map_dtype(is_half)
    cell.kernel_train, cell.kernel_infer = batch_norm(train), batch_norm(infer)
    cell.kernel_train_tensor, cell.kernel_infer_tensor = as_tensor(train), as_tensor(infer)
    cell.kernel_config, cell.kernel_pair = train, None
    return _AddingBatchNorm2d if adds else _BatchNorm2d


def prepare_pair(convolution_cell: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Prepares a convolution and the BatchNorm behind it, both of them prepared, to be one operator in a graph."""
    configs = (convolution_cell.kernel_config, norm.kernel_config)
    norm.kernel_pair, norm.kernel_pair_tensor = convolution_norm(*configs), as_tensor((*configs[0], *configs[1]))
    # Past nn.Cell: neither is a part of the other one.
    object.__setattr__(norm, "kernel_weight", convolution_cell.weight)
    object.__setattr__(convolution_cell, "kernel_norm", norm)


@functools.cache
def _sure(kind: type[nn.Cell], way: str) -> type[nn.Cell]:
    """A class of the above that asks nothing, and computes by that method."""
    return type(kind.__name__, (kind,), {"construct": getattr(kind, way)})


def sure_class(cell: nn.Cell, kind: type[nn.Cell]) -> type[nn.Cell]:
    """The class that asks nothing for a cell whose class is `kind` where it asks."""
    if not issubclass(kind, _KernelCell):
        return kind
    if issubclass(kind, _Conv2d) and cell.kernel_norm is not None and _BatchNorm2d.is_trained(cell.kernel_norm):
        return Passed
    if not issubclass(kind, _BatchNorm2d):
        return _sure(kind, "by_kernel")
    if not kind.is_trained(cell):
        return _sure(kind, "by_kernel_fixed")
    return _sure(kind, "by_kernel_trained" if cell.kernel_pair is None else "by_kernel_with_convolution")
