"""What is done to gradients, written of few operators: each is compiled for every parameter of a network anew."""

from mindspore import Tensor, ops
from mindspore import dtype as mstype

# `descend(param, rate, direction)`: `param -= rate * direction`, in place.
descend = ops.ApplyGradientDescent()

_map = ops.HyperMap()
_sum = ops.ReduceSum()
_all = ops.ReduceAll()


def as_type_of(value, tensor):
    """Casts a value to a tensor's type, without an operator where it has that."""
    return value if value.dtype == tensor.dtype else ops.cast(value, tensor.dtype)


def scale(factor, gradient):
    """Multiplies a gradient by a factor, in the gradient's type."""
    return gradient * as_type_of(factor, gradient)


def _as_float(x):
    return x if x.dtype == mstype.float32 else ops.cast(x, mstype.float32)


def squared_norm(x):
    """Returns the sum of squares as a float32 scalar. The operator L2Loss is no use: it loses digits on the CPU."""
    return _sum(ops.square(_as_float(x)), ())


def clip_by_global_norm(gradients: tuple[Tensor, ...], largest: Tensor) -> tuple[Tensor, ...]:
    """Returns gradients scaled down so that the norm of all together is at most `largest`; a NaN scales nothing."""
    norm = ops.sqrt(_sum(ops.stack(_map(squared_norm, gradients)), ()))
    factor = ops.select(norm > largest, largest / norm, ops.ones_like(norm))
    return _map(ops.partial(scale, factor), gradients)


def _total(x):
    return _sum(_as_float(x), ())


def sums_are_finite(tensors: tuple[Tensor, ...]) -> Tensor:
    """Returns whether the sum of each tensor is finite; it is not where a value is not, or where the sum overflows."""
    return _all(ops.isfinite(ops.stack(_map(_total, tensors))), ())
