"""Operators over lists of tensors, one for all of them, so that they cost little to compile and to start.

They change parameters in place, through the memory that MindSpore hands to the library. MindSpore is told of the side
effect, so that what reads those parameters keeps its place before or after.
"""

import functools

from mindspore import dtype as mstype
from mindspore import ops

from . import library

__all__ = ["has_kernels", "operator"]

_NAME = "multi_tensor"


def has_kernels() -> bool:
    """Whether the operators can be used: on a CPU, where the library was built and is not switched off."""
    return library(_NAME) is not None


@functools.cache
def operator(function: str) -> ops.Custom:
    """Returns the operator of one of the library's functions. All give one float32, `(1,)`, which something must need.

    Args:
        function: What to do with tensors, which are float32 parameters where they are changed. What is only read may
            be float16 or bfloat16 too.

            * `norm(*tensors)`: the norm of all values together, not finite where one of them is not.
            * `accumulate(factor, *sums, *tensors)`: `sum += factor * tensor`; the norm of all sums.
            * `copy(is_wanted, *targets, *sources)`: `target = source`, of any type, where `is_wanted` is not 0.
            * `update(...)`: an optimizer's update of all parameters, see `optim.OptimizerBase.update_at_once`.
    """
    # Of one dimension: MindSpore takes the result of shape () for a Python number in graph mode.
    custom = ops.Custom(f"{library(_NAME)}:{function}", out_shape=(1,), out_dtype=mstype.float32, func_type="aot")
    custom.add_prim_attr("side_effect_mem", True)
    custom.__deepcopy__ = lambda memo: custom  # a copied step has the same; MindSpore's own copying fails
    return custom
