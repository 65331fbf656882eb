"""What is done to gradients, written of few operators: each is compiled for every parameter of a network anew."""

from mindspore import Tensor, get_context, ops
from mindspore import dtype as mstype

from ..utils.runtime import onednn_library

# `descend(param, rate, direction)`: `param -= rate * direction`, in place.
descend = ops.ApplyGradientDescent()

# Of the weights in adaptive clipping, the paper's eps; and of what is divided by.
_LEAST_UNIT_NORM = 1e-3
_TINY_NORM = 1e-6

_map = ops.HyperMap()
_sum = ops.ReduceSum()
_sum_kept = ops.ReduceSum(keep_dims=True)
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
def _dots_keep_digits():
    # Those of other devices round what they multiply; those of oneDNN 2 (MindSpore 2.7, 2.8) add up in too few parts:
    # 1.6e-4 of 4 million squares are lost.
    return get_context("device_target") == "CPU" and onednn_library() is not None


def _squared_norm(x):
    return _sum(ops.square(_as_float(x)), ())


def _squared_norm_by_dot(x):
    # A fifth of the time of the sum on a CPU. The one operator for it, L2Loss, loses digits there (MindSpore 2.10: 6 %
    # of 25 million squares).
    row = ops.reshape(_as_float(x), (1, -1))
    return _dot(row, row)


def squared_norms(tensors: tuple[Tensor, ...]) -> Tensor:
    """Returns the sum of squares of each tensor, `(number of tensors,)` in float32."""
    if _dots_keep_digits():
        return ops.reshape(ops.concat(_map(_squared_norm_by_dot, tensors)), (-1,))
    return ops.stack(_map(_squared_norm, tensors))


def global_norm(gradients: tuple[Tensor, ...]) -> Tensor:
    """Returns the norm of all gradients together, a float32 scalar; not finite where one of them is not."""
    return ops.sqrt(_sum(squared_norms(gradients), ()))


def clip_to_norm(gradients: tuple[Tensor, ...], norm: Tensor, largest: Tensor) -> tuple[Tensor, ...]:
    """Returns gradients of that norm scaled down to the norm `largest`, if theirs is larger; a NaN scales nothing."""
    factor = ops.select(norm > largest, largest / norm, ops.ones_like(norm))
    return _map(ops.partial(scale, factor), gradients)


def _unit_norm(x):
    """Returns the norm of each row along the first axis, (rows, 1, ...); of a vector or a scalar its own."""
    if x.ndim <= 1:
        return ops.sqrt(_squared_norm(x))
    axes = tuple(range(1, x.ndim))
    return ops.sqrt(_sum_kept(ops.square(_as_float(x)), axes))


def clip_adaptively(largest, is_clipped, weight, gradient):
    """Returns a gradient each of whose rows is scaled down to `largest` times its weights' norm, if it is longer.

    Adaptive gradient clipping of NFNets, equation 3 of arXiv 2102.06171: a row is what gives one output, and the norm
    of its weights is 1e-3 at least, so that weights that start at zero can move.
    """
    if not is_clipped:
        return gradient
    longest = largest * ops.maximum(_unit_norm(weight), _LEAST_UNIT_NORM)
    norm = _unit_norm(gradient)
    factor = ops.select(norm > longest, longest / ops.maximum(norm, _TINY_NORM), ops.ones_like(norm))
    return gradient * as_type_of(factor, gradient)


def _as_row(x):
    return _as_float(x if x.ndim == 1 else ops.reshape(x, (-1,)))


def are_finite(statistics: tuple[Tensor, ...]) -> Tensor:
    """Returns whether all values are finite; for small tensors, as they are put together first."""
    return _all(ops.isfinite(ops.concat(_map(_as_row, statistics))), ())
