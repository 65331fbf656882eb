"""What is done to gradients, written of few operators: each is compiled for every parameter of a network anew."""

from mindspore import Tensor, get_context, ops
from mindspore import dtype as mstype

# `descend(param, rate, direction)`: `param -= rate * direction`, in place.
descend = ops.ApplyGradientDescent()

_map = ops.HyperMap()
_sum = ops.ReduceSum()
_all = ops.ReduceAll()
_dot = ops.MatMul(transpose_b=True)


def as_type_of(value, tensor):
    """Casts a value to a tensor's type, without an operator where it has that."""
    return value if value.dtype == tensor.dtype else ops.cast(value, tensor.dtype)


def scale(factor, gradient):
    """Multiplies a gradient by a factor, in the gradient's type."""
    return gradient * as_type_of(factor, gradient)


def _as_float(x):
    return x if x.dtype == mstype.float32 else ops.cast(x, mstype.float32)


@ops.constexpr
def _is_on_cpu():
    return get_context("device_target") == "CPU"


def _squared_norm(x):
    return _sum(ops.square(_as_float(x)), ())


def _squared_norm_on_cpu(x):
    # A fifth of the time of the sum there, but other devices round what they multiply so. The one operator for it,
    # L2Loss, loses digits on the CPU (MindSpore 2.10: 6 % of 25 million squares).
    row = ops.reshape(_as_float(x), (1, -1))
    return _dot(row, row)


def squared_norms(tensors: tuple[Tensor, ...]) -> Tensor:
    """Returns the sum of squares of each tensor, `(number of tensors,)` in float32."""
    if _is_on_cpu():
        return ops.reshape(ops.concat(_map(_squared_norm_on_cpu, tensors)), (-1,))
    return ops.stack(_map(_squared_norm, tensors))


def global_norm(gradients: tuple[Tensor, ...]) -> Tensor:
    """Returns the norm of all gradients together, a float32 scalar; not finite where one of them is not."""
    return ops.sqrt(_sum(squared_norms(gradients), ()))


def clip_to_norm(gradients: tuple[Tensor, ...], norm: Tensor, largest: Tensor) -> tuple[Tensor, ...]:
    """Returns gradients of that norm scaled down to the norm `largest`, if theirs is larger; a NaN scales nothing."""
    factor = ops.select(norm > largest, largest / norm, ops.ones_like(norm))
    return _map(ops.partial(scale, factor), gradients)


def _as_row(x):
    return _as_float(x if x.ndim == 1 else ops.reshape(x, (-1,)))


def are_finite(statistics: tuple[Tensor, ...]) -> Tensor:
    """Returns whether all values are finite; for small tensors, as they are put together first."""
    return _all(ops.isfinite(ops.concat(_map(_as_row, statistics))), ())
