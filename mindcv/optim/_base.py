"""What all optimizers here share: checked hyper-parameters, unscaled gradients, and rates and decays by group.

What an update is written of decides how long a training step takes to compile, as it is compiled for each parameter
anew: one operator that updates in place costs little, a Python number among tensors costs a conversion, and a tuple
with a tensor for each parameter more than the update. So constants are tensors, and rates and decays come by group.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops
from mindspore import dtype as mstype

from ..kernels.multi_tensor import has_kernels, operator
from ._multi_tensor import update_constants
from .gradients import as_type_of, clip_to_norm, global_norm, scale

# Upstream's `clip=True` of AdamW and Lion: the norm that all gradients together may have.
_CLIP_NORM = 5.0

# The last step of a learning rate that is computed and not looked up.
_NO_LAST = 2**31 - 1

# Stands for 0 where a logarithm is taken; 0 after one step all the same.
_TINY = 1e-30

LearningRate = float | Sequence[float] | Tensor | nn.Cell


def require_positive(name: str, value: float) -> float:
    """Returns `value` as a float; a ValueError in one line when it is not a finite number above 0."""
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be a finite number above 0, but got {value!r}")
    return float(value)


def require_non_negative(name: str, value: float) -> float:
    """Returns `value` as a float; a ValueError in one line when it is not a finite number from 0 on."""
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be a finite number from 0 on, but got {value!r}")
    return float(value)


def require_rate(name: str, value: float) -> float:
    """Returns a decay rate of moments as a float; a ValueError in one line when it is not in [0, 1)."""
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be in [0, 1), but got {value!r}")
    return float(value)


def require_lr(name: str, lr: LearningRate | None) -> float | list[float] | nn.Cell:
    """Returns a learning rate as a float, or as a list with one for every step. A schedule cell is returned as it is.

    Raises:
        ValueError: A rate is missing, negative or not finite; the message has the first bad one and its step.
    """
    if isinstance(lr, nn.Cell):
        return lr
    if lr is None:
        raise ValueError("lr is missing: give a number, or a list with one for every step")
    values = np.asarray(lr.asnumpy() if isinstance(lr, Tensor) else lr, dtype=np.float64)
    if values.ndim > 1 or values.size == 0:
        raise ValueError(f"{name} must be a number or a list with one for every step, but got the shape {values.shape}")
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if bad.size:
        where = f" at step {bad[0]}" if values.ndim else ""
        raise ValueError(f"{name} must be a finite number from 0 on, but got {values.flat[bad[0]]}{where}")
    return values.tolist()


class OptimizerBase(nn.Optimizer):
    """The base of the optimizers: `nn.Optimizer` with one way through groups, loss scale and weight decay.

    Subclasses implement `update(gradients)` with `prepare`, `advance` and, for their weight decay, `add_l2` or
    `decays`. Parameters of one learning rate and one weight decay are a group; `groups` has the index of every
    parameter's. State is in Parameters named `<slot>.<parameter name>`. When all is set they call `use_kernel`: on a
    CPU one operator then does the same for all parameters at once, which compiles and runs faster.

    Args:
        params: Parameters, or groups: dicts with `params` and optionally `lr`, `weight_decay`, `grad_centralization`; a
            dict with `order_params` gives the order in which gradients come.
        learning_rate: A number, or one for every step; after the last one the last one stays.
        weight_decay: The decay of parameters whose group has none of its own. Without groups, nn.Optimizer leaves out
            parameters with `beta` or `gamma` in their names.
        loss_scale: The factor by which the loss was multiplied; gradients are divided by it before anything else.
        clip: Whether to clip the gradients to a global norm of 5.

    Raises:
        ValueError: A learning rate or weight decay is negative or not finite, or the loss scale is not above 0.
    """

    def __init__(
        self,
        params: Sequence[Parameter] | Sequence[dict[str, Any]],
        learning_rate: LearningRate,
        weight_decay: float,
        loss_scale: float,
        clip: bool = False,
    ) -> None:
        params = list(params)
        groups = [group for group in params if isinstance(group, dict)]
        lr = require_lr("lr", learning_rate)
        lrs = [lr, *(require_lr("lr", group["lr"]) for group in groups if "lr" in group)]
        for decay in (weight_decay, *(group.get("weight_decay", 0.0) for group in groups)):
            if not isinstance(decay, nn.Cell):
                require_non_negative("weight_decay", decay)
        # nn.Optimizer multiplies its weight decay by its loss scale, which is right only for a decay that is added to
        # scaled gradients. It is told of no scale, and gradients are unscaled first.
        super().__init__(lr, params, weight_decay)
        self.loss_scale = require_positive("loss_scale", loss_scale)
        self.reciprocal_scale = Tensor(1.0 / self.loss_scale, mstype.float32)
        self.need_scale = self.loss_scale != 1.0
        self.clip = clip
        self.clip_norm = Tensor(_CLIP_NORM, mstype.float32)
        self.centralizes = any(group.get("grad_centralization", False) for group in groups)
        rates = [len(rate) for rate in lrs if isinstance(rate, list)]
        self.last_rate = Tensor([max(rates) - 1 if rates else _NO_LAST], mstype.int32)
        if not self.exec_weight_decay:
            self.decay_flags = (False,) * self.param_length
        settings = [
            (id(self.learning_rate[index]) if self.is_group_lr else 0, self._decay_key(index))
            for index in range(self.param_length)
        ]
        distinct = list(dict.fromkeys(settings))
        self.groups = tuple(distinct.index(setting) for setting in settings)
        self.group_heads = tuple(settings.index(setting) for setting in distinct)
        self.is_at_once = False
        self.why_not_at_once = "it has no kernel"

    def _decay_key(self, index: int) -> float | int:
        """Returns what tells a parameter's weight decay from another one."""
        if not self.is_group:
            return 0
        decay = self.group_weight_decay[index]
        return id(decay) if self.dynamic_decay_flags[index] else decay

    def use_kernel(self, kind: str, hypers: Sequence[float], slots: Sequence[Sequence[Parameter]]) -> None:
        """Has the parameters updated at once from here on, where that is possible; `why_not_at_once` says why not.

        Args:
            kind: One of `_multi_tensor.KINDS`.
            hypers: What the kind takes.
            slots: The states, in the order in which the kind takes them.
        """
        self.kernel_kind, self.kernel_hypers = kind, tuple(hypers)
        others = sorted({str(param.dtype) for param in self.parameters if param.dtype != mstype.float32})
        if not has_kernels():
            self.why_not_at_once = "its CPU kernel is off, not built, or from other sources (see mindcv doctor)"
        elif others:
            self.why_not_at_once = f"it has parameters of {', '.join(others)}"
        elif self.centralizes:
            self.why_not_at_once = "gradients are centralised"
        elif type(self).construct is not OptimizerBase.construct:
            self.why_not_at_once = f"{type(self).__name__} has an update of its own"
        else:
            self.is_at_once, self.why_not_at_once = True, ""
        if not self.is_at_once:
            return
        self.kernel = operator("update")
        # Past nn.Cell, which has these parameters already.
        tables = [self.get_lr_parameter(self._parameters[head]) for head in self.group_heads]
        self.has_tables = all(isinstance(table, Parameter) for table in tables)
        object.__setattr__(self, "rate_tables", ParameterTuple(tables) if self.has_tables else ())
        object.__setattr__(self, "kernel_slots", ParameterTuple([param for slot in slots for param in slot]))
        self.fixed_decays = Tensor(self._fixed_decays(), mstype.float32)
        self.one = Tensor([1.0], mstype.float32)
        self.own_constants = self.kernel_constants(scale=self.loss_scale)

    def kernel_constants(self, **settings: Any) -> tuple[Tensor, Tensor]:
        """Returns the constants of `update_at_once`, see `_multi_tensor.update_constants`."""
        own_largest_norm = _CLIP_NORM if self.clip else 0.0
        return update_constants(
            *(self.kernel_kind, self.kernel_hypers, self.groups, self.decay_flags),
            own_largest_norm=own_largest_norm,
            **settings,
        )

    def _fixed_decays(self) -> list[float]:
        """Returns the weight decay of every group, 0 for one that changes."""
        if not self.is_group:
            return [0.0 if self.dynamic_decay_flags else float(self.weight_decay.asnumpy())]
        return [
            0.0 if self.dynamic_decay_flags[head] else float(self.group_weight_decay[head]) for head in self.group_heads
        ]

    def construct(self, gradients: tuple[Tensor, ...]) -> Any:
        if self.is_at_once:
            none = (self.one, self.one, self.one, self.one)
            return self.update_at_once(self.own_constants, none, gradients, (), ())
        return self.update(gradients)

    def update(self, gradients: tuple[Tensor, ...]) -> Any:
        """Updates all parameters and counts a step, written of MindSpore's operators."""
        raise NotImplementedError

    def update_at_once(
        self,
        constants: tuple[Tensor, Tensor],
        controls: tuple[Tensor, ...],
        gradients: tuple[Tensor, ...],
        cleared: tuple[Tensor, ...],
        averages: tuple[Tensor, ...],
    ) -> Tensor:
        """Updates all parameters by one operator and counts a step.

        Args:
            constants: What `kernel_constants` returned.
            controls: One value each: what the gradients are to be divided by, their norm before that, whether there is
                an update at all (0 or 1), and the parameters' share in their averages, 0 where those stay.
            gradients: In float32, float16 or bfloat16.
            cleared: Sums of gradients to set to 0, with or without an update.
            averages: Averages of the parameters, of other tensors, and those tensors.
        """
        layout, hyper = constants
        divisor, norm, is_wanted, share = controls
        return self.kernel(
            *(layout, hyper, self.global_step, self._kernel_decays(), divisor, norm, is_wanted),
            *(self.kernel_schedule(), share),
            *self._kernel_rates(),
            *gradients,
            *self.parameters,
            *self.kernel_slots,
            *cleared,
            *averages,
        )

    def kernel_schedule(self) -> Tensor:
        """Returns the one value, besides the states, that an update changes."""
        return self.one

    def _kernel_rates(self) -> tuple[Tensor, ...]:
        """Returns the learning rate of every group, or all those of a run."""
        if self.has_tables:
            return self.rate_tables
        rates = ()
        for head in self.group_heads:
            rates += (self._rate_of(self.learning_rate[head] if self.is_group_lr else self.learning_rate),)
        return rates

    def _kernel_decays(self) -> Tensor:
        if not self.dynamic_weight_decay:
            return self.fixed_decays
        decays = ()
        for decay in self.decays():
            decays += (ops.cast(decay, mstype.float32).reshape(()),)
        return ops.stack(decays)

    def slot(self, prefix: str, init: str | float = "zeros") -> tuple[Parameter, ...]:
        """Returns a state tensor for every parameter, named `<prefix>.<parameter name>`."""
        return self.parameters.clone(prefix=prefix, init=init)

    def prepare(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Returns the gradients unscaled, clipped when asked to, and centralised in groups that want it."""
        if self.need_scale:
            gradients = self.hyper_map(ops.partial(scale, self.reciprocal_scale), gradients)
        if self.clip:
            gradients = clip_to_norm(gradients, global_norm(gradients), self.clip_norm)
        if self.centralizes:
            gradients = self.hyper_map(_centralize, self.grad_centralization_flags, gradients)
        return gradients

    def add_l2(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Returns the gradients with those of the L2 penalty added: `weight_decay * p`."""
        if self.exec_weight_decay:
            add = ops.partial(_add_decay, self.decays())
            gradients = self.hyper_map(add, self.groups, self.decay_flags, self.parameters, gradients)
        return gradients

    def get_lr(self) -> Tensor | tuple[Tensor, ...]:
        """Returns the learning rate of the next step: one, or one for every parameter when groups have their own."""
        if not self.is_group_lr:
            return self._rate_of(self.learning_rate)
        rates = ()
        for rate in self.learning_rate:
            rates += (self._rate_of(rate),)
        return rates

    def _rate_of(self, rate: Parameter | nn.Cell) -> Tensor:
        """Returns the learning rate of the next step by a number or a schedule."""
        if not self.dynamic_lr:
            return rate
        # MindSpore looks a list up without a check of its end, which reads beyond it after the last step.
        return rate(ops.minimum(self.global_step, self.last_rate)).reshape(())

    def step_number(self) -> Tensor:
        """Returns the number of the next step, from 1, as a float32 scalar; asked before `advance`."""
        return ops.cast(self.global_step, mstype.float32).reshape(()) + 1.0

    def advance(self) -> tuple[Tensor, ...]:
        """Counts a step and returns its learning rate for every group."""
        rates = ()
        for head in self.group_heads:
            rates += (self._rate_of(self.learning_rate[head] if self.is_group_lr else self.learning_rate),)
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        return rates

    def decays(self) -> tuple[Tensor, ...]:
        """Returns the weight decay of every group; asked before `advance`. `decay_flags` says whose are not 0."""
        decays = ()
        for head in self.group_heads:
            if not self.is_group:
                decay = self.get_weight_decay()
            elif self.dynamic_decay_flags[head]:
                decay = self.weight_decay[head](self.global_step)
            else:
                decay = self.weight_decay[head]
            decays += (decay,)
        return decays

    def shrinkages(self, rates: tuple[Tensor, ...], decays: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Returns `rate * decay` for every group: what a decoupled weight decay takes of a parameter."""
        products = ()
        for index in range(len(rates)):
            products += (rates[index] * decays[index],)
        return products


class AdamBase(OptimizerBase):
    """The base of Adam and its kin: two moments `moments1` and `moments2`, their decay rates, and `eps`.

    Args:
        params: Parameters or groups, see `OptimizerBase`.
        learning_rate: A number, or one for every step.
        betas: Decay rates of the first and of the second moment.
        eps: Added to the denominator.
        weight_decay: See `OptimizerBase`.
        loss_scale: What gradients are divided by.
        slots: What the moments' states are named by, see `OptimizerBase.slot`.
        clip: Whether to clip the gradients to a global norm of 5.

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self,
        params: Sequence[Parameter] | Sequence[dict[str, Any]],
        learning_rate: LearningRate,
        betas: tuple[float, float],
        eps: float,
        weight_decay: float,
        loss_scale: float,
        slots: tuple[str, str],
        clip: bool = False,
    ) -> None:
        super().__init__(params, learning_rate, weight_decay, loss_scale, clip)
        self.beta1 = require_rate("beta1", betas[0])
        self.beta2 = require_rate("beta2", betas[1])
        self.eps = require_positive("eps", eps)
        # The operators' inputs.
        self.betas = constants(self.beta1, self.beta2)
        self.rests = constants(1.0 - self.beta1, 1.0 - self.beta2)
        self.eps_tensor = Tensor(self.eps, mstype.float32)
        self.moments1 = self.slot(slots[0])
        self.moments2 = self.slot(slots[1])
        self.kernel_betas = (self.beta1, self.beta2, self.eps)

    def adam_constants(self) -> tuple[Tensor, ...]:
        """Returns what `ops.Adam` needs for the paper's sum in the next step: eps and the powers of the betas.

        The operator adds eps to `sqrt(v)` before v is corrected, so that this eps is smaller.
        """
        beta1, beta2 = self.betas
        step = self.step_number()
        power2 = ops.pow(beta2, step)
        return self.eps_tensor * ops.sqrt(1.0 - power2), ops.pow(beta1, step), power2


def constants(*values: float) -> tuple[Tensor, ...]:
    """Returns numbers as float32 scalars."""
    return tuple(Tensor(value, mstype.float32) for value in values)


def bias_correction(beta: float, step: Tensor) -> Tensor:
    """Returns `1 - beta ** step`, which as such would lose most of float32's digits in the first steps."""
    return -ops.expm1(step * math.log(max(beta, _TINY)))


def _centralize(wanted, gradient):
    """Gradient centralization (arXiv 2004.01461): no mean over all but the first dimension."""
    if wanted and gradient.ndim > 1:
        return gradient - gradient.mean(tuple(range(1, gradient.ndim)), keep_dims=True)
    return gradient


def _add_decay(decays, group, is_decayed, param, gradient):
    if is_decayed:
        return gradient + as_type_of(decays[group], param) * param
    return gradient
