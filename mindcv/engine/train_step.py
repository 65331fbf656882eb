"""One training step for every case.

Its order: scale, backward, unscale, accumulate, reduce over ranks, overflow check, clip, update, EMA. Schedules and the
moving average advance once per update, so neither moves on an overflow or between accumulated batches. An update that
is dropped leaves no trace: what its batches moved in the forward pass, the statistics of BatchNorm and the step that
dropout draws for, is taken back.
"""

import dataclasses
import logging
from collections.abc import Collection
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from ..kernels.cells import KernelCells
from ..kernels.multi_tensor import operator
from ..optim.gradients import are_finite, as_type_of, clip_adaptively, clip_to_norm, descend, global_norm, scale
from ..utils.registry import unknown_name_message
from .distributed import STATISTICS, world_size
from .dropout import follow_steps
from .ema import EMA_WARMUP_MOVES, check_ema
from .sharpness import SharpnessAware

_logger = logging.getLogger(__name__)

__all__ = ["LossScale", "LossWithNetwork", "TrainStep"]

CLIP_MODES = ("norm", "agc")
LOSS_SCALE_TYPES = ("fixed", "dynamic", "auto")

_AUTO_SCALE = 2.0**24

# What a dynamic scale grows to at most: the inverse of a larger one is no normal fp32 number.
_LARGEST_SCALE = 2.0**126

_INTEGERS = (ms.int32, ms.int64, ms.bool_)

# Names of the statistics as they were before the batches of the next update.
KEPT_STATISTICS = "kept_statistics"


# The functions below are mapped over tensors; those of `optim.gradients` too.


def add_into(factor: Tensor, buffer: Tensor, gradient: Tensor) -> Tensor:
    return descend(buffer, as_type_of(factor, buffer), as_type_of(gradient, buffer))


def clear(buffer: Tensor) -> Tensor:
    return ops.assign(buffer, ops.zeros_like(buffer))


def _set(target: Tensor, value: Tensor) -> Tensor:
    return ops.assign(target, value)


def _after(done: Tensor, value: Tensor) -> Tensor:
    return ops.depend(value, done)


def _move_average(share: Tensor, average: Tensor, weight: Tensor) -> Tensor:
    if average.dtype in _INTEGERS:
        return ops.assign(average, weight)
    return descend(average, as_type_of(share, average), average - weight)


@dataclasses.dataclass(frozen=True)
class LossScale:
    """How the loss is scaled before the backward pass.

    Attributes:
        value: The (initial) scale, at least 1.
        dynamic: Halve it (by `factor`) on an overflow and raise it after `window` updates without one.
        drop_overflow: Skip an update whose gradients are not finite. Always on with a dynamic scale.
        factor: By how much a dynamic scale changes.
        window: Updates without overflow after which a dynamic scale is raised.
    """

    value: float = 1.0
    dynamic: bool = False
    drop_overflow: bool = False
    factor: float = 2.0
    window: int = 2000

    def __post_init__(self) -> None:
        if not (np.isfinite(self.value) and self.value >= 1.0):
            raise ValueError(f"loss_scale is {self.value}; it must be at least 1")

    @property
    def checks_overflow(self) -> bool:
        """Whether the step looks for gradients that are not finite."""
        return self.dynamic or self.drop_overflow

    @classmethod
    def of_type(
        cls,
        kind: str,
        value: float = 1.0,
        drop_overflow: bool = False,
        amp_level: str = "O0",
        amp_dtype: str = "float16",
    ) -> "LossScale":
        """Makes it from the config keys `loss_scale_type`, `loss_scale`, `drop_overflow_update` and those of precision.

        bfloat16 has the exponents of fp32, so that nothing needs to be scaled. A scale that is asked for is used all
        the same, and a line says so.

        Args:
            kind: fixed; dynamic; or auto, MindSpore's choice: dynamic from 2^24 at amp_level O2 in float16, else none.
            value: The (initial) scale.
            drop_overflow: Skip updates whose gradients are not finite; a dynamic scale always does.
            amp_level: Level of mixed precision.
            amp_dtype: float16 or bfloat16.

        Raises:
            ValueError: The kind is unknown, or the scale is below 1.
        """
        if kind not in LOSS_SCALE_TYPES:
            raise ValueError(unknown_name_message("loss_scale_type", kind, LOSS_SCALE_TYPES))
        if kind == "auto":
            is_scaled = amp_level == "O2" and amp_dtype == "float16"
            return cls(_AUTO_SCALE, True, True) if is_scaled else cls(drop_overflow=drop_overflow)
        if amp_dtype == "bfloat16" and (kind == "dynamic" or value != 1.0):
            _logger.info("bfloat16 needs no loss scale; loss_scale_type: fixed with loss_scale: 1 would do")
        return cls(float(value), kind == "dynamic", drop_overflow or kind == "dynamic")

    @classmethod
    def of(cls, scale: Any) -> "LossScale":
        """Reads what upstream's `TrainStep` takes as `scale_sense`: a number, a Tensor or MindSpore's update cells."""
        if isinstance(scale, cls):
            return scale
        if isinstance(scale, (int, float)):
            return cls(float(scale))
        if isinstance(scale, Tensor):
            return cls(float(scale.asnumpy()))
        if isinstance(scale, nn.DynamicLossScaleUpdateCell):
            return cls(float(scale.loss_scale_value), True, True, float(scale.scale_factor), int(scale.scale_window))
        if isinstance(scale, nn.FixedLossScaleUpdateCell):
            return cls(float(scale.loss_scale_value), drop_overflow=True)
        raise ValueError(
            f"scale_sense is a {type(scale).__name__}; allowed: a number, a Tensor, LossScale, "
            "nn.FixedLossScaleUpdateCell or nn.DynamicLossScaleUpdateCell"
        )


class LossWithNetwork(nn.Cell):
    """The network followed by the loss, which is computed in fp32 whatever the network's precision.

    Inputs: images `(N, C, H, W)` and labels `(N,)` or `(N, num_classes)`. Output: the loss.
    """

    def __init__(self, network: nn.Cell, loss: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss

    def construct(self, image: Tensor, label: Tensor) -> Tensor:
        return self.loss(to_fp32(self.network(image)), label)


def to_fp32(logits: Any) -> Any:
    """Casts logits, or each entry of a tuple of them, to fp32."""
    if isinstance(logits, (tuple, list)):
        outputs: tuple[Tensor, ...] = ()
        for output in logits:
            outputs += (ops.cast(output, ms.float32),)
        return outputs
    return ops.cast(logits, ms.float32)


class _ScaledLoss(nn.Cell):
    """Gives the scaled loss, which is differentiated, and the loss itself."""

    def __init__(self, network: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network = network

    def construct(self, scale: Tensor, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        loss = self.network(*inputs)
        return loss * ops.cast(scale, loss.dtype), loss


def state(value: float | int, dtype: Any, name: str) -> Parameter:
    return Parameter(Tensor(value, dtype), name=name, requires_grad=False)


class TrainStep(nn.Cell):
    """Runs forward, backward and, every `gradient_accumulation_steps` calls, one update of the weights.

    All state lives in parameters of this cell (weights, optimizer slots, EMA, loss scale, accumulated gradients, the
    step that dropout draws for), so that `parameters_dict()` is what a checkpoint has to hold. For that, the network's
    `nn.Dropout` cells are replaced by `StepDropout`, in place.

    On a CPU what is done to all parameters is one operator each (`mindcv/kernels`), where the optimizer is one of ours
    and all is in fp32; else it is mapped over them, which gives the same and takes longer to compile. `is_at_once` says
    which.

    Args:
        network: Gives the loss for a batch; see `LossWithNetwork`.
        optimizer: Updates the weights. When it was made with a `loss_scale`, its own division is allowed for.
        scale_sense: Loss scale: a number, `LossScale`, or one of MindSpore's update cells.
        ema: Keep an exponential moving average of all parameters of the network, in parameters named `ema.*`.
        ema_decay: Decay of the average.
        clip_grad: Clip the gradients by their global norm.
        clip_value: The largest global norm.
        gradient_accumulation_steps: Batches per update; their gradients are averaged.
        ema_warmup: How the decay rises, see `ema_decays`.
        ema_interval: The average moves at each update of this number.
        clip_mode: What `clip_value` is: norm, the largest global norm; agc, the largest norm of an output's gradient
            over that of its weights, see `clip_adaptively`.
        not_clipped: Names of parameters that agc leaves alone; the paper's are those of the last layer.
        sam_rho: Take the gradients at weights that lie so far uphill, see `SharpnessAware`; 0 is off.

    Inputs: those of `network`. Output: the loss of this batch, unscaled.

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self,
        network: nn.Cell,
        optimizer: nn.Optimizer,
        scale_sense: Any = 1.0,
        ema: bool = False,
        ema_decay: float = 0.9999,
        clip_grad: bool = False,
        clip_value: float = 15.0,
        gradient_accumulation_steps: int = 1,
        *,
        ema_warmup: str = "mindcv",
        ema_interval: int = 1,
        sam_rho: float = 0.0,
        clip_mode: str = "norm",
        not_clipped: Collection[str] = (),
    ) -> None:
        super().__init__(auto_prefix=False)
        if gradient_accumulation_steps < 1:
            raise ValueError(f"gradient_accumulation_steps is {gradient_accumulation_steps}; it must be at least 1")
        if clip_grad and not clip_value > 0:
            raise ValueError(f"clip_value is {clip_value}; it must be greater than 0")
        check_ema(ema_decay, ema_warmup, ema_interval)
        self.network = network
        self.kernel_cells = KernelCells(network)
        dropout_step = state(0, ms.int32, "dropout_step")
        seed = ms.get_seed()
        self.has_dropout = follow_steps(network, np.random.randint(1 << 31) if seed is None else seed, dropout_step) > 0
        if self.has_dropout:
            self.dropout_step = dropout_step
        self.network.set_grad()
        self.optimizer = optimizer
        self.weights = optimizer.parameters
        self.hyper_map = ops.HyperMap()

        self.scale = LossScale.of(scale_sense)
        self.is_scaled = self.scale.value != 1.0 or self.scale.dynamic
        self.is_dynamic = self.scale.dynamic
        self.checks_overflow = self.scale.checks_overflow
        self.scale_factor = self.scale.factor
        self.scale_window = self.scale.window
        if self.is_scaled:
            self.loss_scale = state(self.scale.value, ms.float32, "loss_scale")
            self.value_and_grad = ops.value_and_grad(_ScaledLoss(network), None, self.weights, has_aux=True)
        else:
            self.value_and_grad = ops.value_and_grad(network, None, self.weights)
        if self.is_dynamic:
            self.good_updates = state(0, ms.int32, "good_updates")
        if self.checks_overflow:
            self.skipped_updates = state(0, ms.int32, "skipped_updates")
            # MindSpore's check knows how Ascend and GPU tell an overflow. On the CPU it takes longer than a norm.
            self.checks_norm = ms.get_context("device_target") == "CPU"
        self.accumulation_steps = gradient_accumulation_steps
        if self.accumulation_steps > 1:
            self.accumulated = self.weights.clone("grad_accum", init="zeros")
            self.accumulated_batches = state(0, ms.int32, "accumulated_batches")
            self.inverse_accumulation_steps = Tensor(1.0 / gradient_accumulation_steps, ms.float32)

        statistics = [parameter for parameter in network.get_parameters() if parameter.name.endswith(STATISTICS)]
        if sam_rho and self.accumulation_steps > 1:
            raise ValueError(
                f"sam_rho is {sam_rho} and gradient_accumulation_steps {self.accumulation_steps}: the weights uphill "
                "are those of one batch; leave one of them out"
            )
        self.sharpness = SharpnessAware(self.weights, statistics, sam_rho) if sam_rho else None
        self.keeps_statistics = self.checks_overflow and bool(statistics)
        if self.keeps_statistics:
            self.statistics = ParameterTuple(statistics)
            kept = self.statistics.clone(KEPT_STATISTICS, init="same")
            if self.accumulation_steps > 1:
                self.kept_statistics = kept
            else:
                # Past nn.Cell: between two steps they say nothing, so no checkpoint has them.
                object.__setattr__(self, "kept_statistics", kept)

        self.is_parallel = world_size() > 1
        if self.is_parallel:
            self.reduce = nn.DistributedGradReducer(self.weights, mean=True, degree=world_size())
            self.sum_over_ranks = ops.AllReduce()

        if clip_mode not in CLIP_MODES:
            raise ValueError(unknown_name_message("clip_mode", clip_mode, CLIP_MODES))
        self.clips_adaptively = clip_grad and clip_mode == "agc"
        self.is_clipped = tuple(weight.name not in not_clipped for weight in self.weights)
        self.clip_grad = clip_grad and not self.clips_adaptively
        self.largest_norm = Tensor(float(clip_value), ms.float32)
        self.no_norm = Tensor(0.0, ms.float32)  # where none is asked for
        self.optimizer_scale = float(optimizer.loss_scale)
        self.optimizer_scale_tensor = Tensor(self.optimizer_scale, ms.float32)

        self.ema = ema
        self.ema_decay, self.ema_warmup, self.ema_interval = ema_decay, ema_warmup, ema_interval
        if ema:
            self.averaged_weights = ParameterTuple(list(network.get_parameters()))
            self.ema_weights = self.averaged_weights.clone("ema", init="same")
            self.ema_updates = state(0.0, ms.float32, "ema_updates")
        self._use_kernels()

    def _use_kernels(self) -> None:
        """Sets up what is done to all parameters at once, where that is possible."""
        why_not = getattr(
            self.optimizer, "why_not_at_once", f"{type(self.optimizer).__name__} is not one of mindcv.optim"
        )
        if self.clips_adaptively:
            why_not = why_not or "clip_mode is agc"
        averaged = list(self.averaged_weights) if self.ema else []
        kept = list(self.statistics) if self.keeps_statistics else []
        others = {str(p.dtype) for p in averaged if p.dtype not in (ms.float32, *_INTEGERS)}
        others |= {str(p.dtype) for p in kept if p.dtype != ms.float32}
        if not why_not and others:
            why_not = f"the network has parameters of {', '.join(sorted(others))}"
        self.is_at_once = not why_not
        if ms.get_context("device_target") == "CPU":
            how = f"one by one: {why_not}" if why_not else "at once, by a CPU kernel"
            _logger.info("parameters are updated %s", how)
        if why_not:
            return
        self.norm, self.accumulate, self.copy = operator("norm"), operator("accumulate"), operator("copy")
        self.one = Tensor([1.0], ms.float32)
        trained = {id(weight) for weight in self.weights}
        average_of = (
            {id(weight): average for weight, average in zip(averaged, self.ema_weights, strict=True)}
            if averaged
            else {}
        )
        rest = [weight for weight in averaged if id(weight) not in trained]
        averages = [average_of[id(weight)] for weight in (*self.weights, *rest)] if averaged else []
        # Past nn.Cell, which has them already.
        object.__setattr__(self, "kernel_averages", ParameterTuple([*averages, *rest]) if averaged else ())
        self.kernel_constants = self.optimizer.kernel_constants(
            largest_norm=float(self.largest_norm.asnumpy()) if self.clip_grad else 0.0,
            is_cleared=self.accumulation_steps > 1,
            is_averaged=bool(averages),
            others=len(rest),
        )

    @property
    def dropped_updates(self) -> int:
        """How many updates have been dropped since the run began, as their gradients were not finite."""
        return int(self.skipped_updates.asnumpy()) if self.checks_overflow else 0

    @property
    def waiting_batches(self) -> int:
        """How many batches have been accumulated for an update that is not made yet."""
        return int(self.accumulated_batches.asnumpy()) if self.accumulation_steps > 1 else 0

    def __call__(self, *inputs: Tensor) -> Tensor:
        with self.kernel_cells:
            self.kernel_cells.compile(self, inputs)
            return super().__call__(*inputs)

    def construct(self, *inputs: Tensor) -> Tensor:
        if self.keeps_statistics:
            inputs = (ops.depend(inputs[0], self._keep_statistics()), *inputs[1:])
        loss, gradients = self._differentiate(*inputs)
        if self.sharpness is not None:
            gradients = self.sharpness(self._differentiate, gradients, *inputs)
        if self.has_dropout:
            # Only when the backward pass has read the old number too.
            loss = ops.depend(loss, ops.assign_add(self.dropout_step, ops.depend(Tensor(1, ms.int32), gradients)))
        if self.accumulation_steps > 1:
            return self._accumulate(loss, gradients)
        if self.is_at_once:
            return ops.depend(loss, self._update_at_once(gradients, self.loss_scale if self.is_scaled else self.one))
        if self.is_scaled:
            gradients = self.hyper_map(ops.partial(scale, 1.0 / self.loss_scale), gradients)
        return ops.depend(loss, self._update(gradients))

    def _differentiate(self, *inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Returns the loss of a batch, and the gradients of the scaled one."""
        if self.is_scaled:
            (_, loss), gradients = self.value_and_grad(self.loss_scale, *inputs)
            return loss, gradients
        return self.value_and_grad(*inputs)

    def _set_all(self, targets: tuple[Tensor, ...], values: tuple[Tensor, ...]) -> Tensor:
        if self.is_at_once:
            return self.copy(self.one, *targets, *values)
        return ops.depend(Tensor(True), self.hyper_map(_set, targets, values))

    def _set_all_if(self, is_wanted: Tensor, targets: tuple[Tensor, ...], values: tuple[Tensor, ...]) -> Tensor:
        if self.is_at_once:
            return self.copy(ops.cast(is_wanted, ms.float32), *targets, *values)
        if is_wanted:
            return self._set_all(targets, values)
        return Tensor(True)

    def _keep_statistics(self) -> Tensor:
        """Copies the statistics before the first batch of an update."""
        if self.accumulation_steps == 1:
            return self._set_all(self.kept_statistics, self.statistics)
        return self._set_all_if(self.accumulated_batches == 0, self.kept_statistics, self.statistics)

    def _accumulate(self, loss: Tensor, gradients: tuple[Tensor, ...]) -> Tensor:
        factor = self.inverse_accumulation_steps
        if self.is_scaled:
            factor = factor / self.loss_scale
        if self.keeps_statistics:
            loss = ops.depend(loss, self._take_back_wild_statistics(gradients))
            factor = ops.depend(factor, loss)
        if self.is_at_once:
            norm = self.accumulate(factor, *self.accumulated, *gradients)
            loss = ops.depend(loss, norm)
        else:
            loss = ops.depend(loss, self.hyper_map(ops.partial(add_into, -factor), self.accumulated, gradients))
        batches = self.accumulated_batches + 1
        if batches >= self.accumulation_steps:
            if self.is_at_once:
                loss = ops.depend(loss, self._update_at_once(self.accumulated, self.one, norm))
            else:
                loss = ops.depend(loss, self._update(self.accumulated))
                loss = ops.depend(loss, self.hyper_map(clear, self.accumulated))
            batches = ops.zeros_like(batches)
        return ops.depend(loss, ops.assign(self.accumulated_batches, batches))

    def _take_back_wild_statistics(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """Takes back statistics that are not finite at once, since the run may be saved or evaluated before the update.

        The update will be dropped: the gradients that wait for it get a NaN.
        """
        finite = self._are_statistics_finite(gradients)
        mark = ops.select(finite, Tensor(0.0, ms.float32), Tensor(float("nan"), ms.float32))
        first = self.accumulated[0]
        done = ops.assign_add(first, ops.zeros_like(first) + ops.cast(mark, first.dtype))
        return ops.depend(done, self._set_all_if(ops.logical_not(finite), self.statistics, self.kept_statistics))

    def _update_at_once(self, gradients: tuple[Tensor, ...], divisor: Tensor, norm: Tensor | None = None) -> Tensor:
        """Does what `_update` does, for gradients that are to be divided and whose norm may be known."""
        if self.is_parallel:
            gradients = self.reduce(gradients)
        if not (self.clip_grad or self.checks_overflow):
            norm = self.one
        elif norm is None or self.is_parallel:
            norm = self.norm(*gradients)
        finite = self._agree(ops.isfinite(norm).reshape(()), gradients) if self.checks_overflow else self.one
        is_wanted = ops.cast(finite, ms.float32)
        done = self.optimizer.update_at_once(
            self.kernel_constants,
            (divisor, norm, is_wanted, self._next_share() if self.ema else self.one),
            gradients,
            self.accumulated if self.accumulation_steps > 1 else (),
            self.kernel_averages,
        )
        if self.ema:
            count = is_wanted if self.checks_overflow else Tensor(1.0, ms.float32)
            done = ops.depend(done, ops.assign_add(self.ema_updates, ops.depend(count, done)))
        if self.checks_overflow:
            done = ops.depend(done, self._drop_at_once(1.0 - is_wanted))
        if self.is_dynamic:
            done = ops.depend(done, self._adjust_loss_scale(finite))
        return done

    def _drop_at_once(self, is_dropped: Tensor) -> Tensor:
        """Does what `_drop` does where `is_dropped` is 1, and nothing where it is 0."""
        count = ops.cast(is_dropped, ms.int32)
        done = ops.assign_add(self.skipped_updates, count)
        if self.keeps_statistics:
            done = ops.depend(done, self._set_all_if(is_dropped, self.statistics, self.kept_statistics))
        if self.has_dropout:
            done = ops.depend(done, ops.assign_sub(self.dropout_step, self.accumulation_steps * count))
        return done

    def _update(self, gradients: tuple[Tensor, ...]) -> Tensor:
        if self.is_parallel:
            gradients = self.reduce(gradients)
        if not self.checks_overflow:
            return self._apply(gradients, global_norm(gradients) if self.clip_grad else self.no_norm)
        norm = global_norm(gradients) if self.clip_grad or self.checks_norm else self.no_norm
        finite = ops.isfinite(norm) if self.checks_norm else ms.amp.all_finite(gradients)
        finite = self._agree(finite, gradients)
        if finite:  # noqa: SIM108 (a branch of the graph, not a value)
            done = self._apply(gradients, norm)
        else:
            done = self._drop()
        if self.is_dynamic:
            done = ops.depend(done, self._adjust_loss_scale(finite))
        return done

    def _agree(self, finite: Tensor, gradients: tuple[Tensor, ...]) -> Tensor:
        """Returns whether gradients that may be finite, and the statistics, are finite on all ranks."""
        if self.keeps_statistics and self.accumulation_steps == 1:
            # A ReLU hides what is not finite from the gradients, but not from the statistics.
            finite = ops.logical_and(finite, self._are_statistics_finite(gradients))
        if self.is_parallel:
            # Saturating arithmetic can hide one rank's overflow in the reduced gradients: all ranks must agree.
            overflows = self.sum_over_ranks(1.0 - ops.cast(finite, ms.float32))
            finite = overflows < 0.5
        return finite

    def _are_statistics_finite(self, gradients: tuple[Tensor, ...]) -> Tensor:
        """Returns whether the statistics are finite after the forward pass that gave the gradients."""
        if self.is_at_once:
            # One that waits for the gradients is enough.
            return ops.isfinite(self.norm(ops.depend(self.statistics[0], gradients), *self.statistics[1:])).reshape(())
        return are_finite(self._moved_statistics(gradients))

    def _moved_statistics(self, gradients: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The statistics after the forward pass that gave the gradients."""
        return self.hyper_map(ops.partial(_after, ops.depend(Tensor(True), gradients)), self.statistics)

    def _drop(self) -> Tensor:
        """Takes back what the batches of an update have moved, and counts it."""
        done = ops.assign_add(self.skipped_updates, Tensor(1, ms.int32)) > 0
        if self.keeps_statistics:
            done = ops.depend(done, self._set_all(self.statistics, self.kept_statistics))
        if self.has_dropout:
            done = ops.depend(done, ops.assign_sub(self.dropout_step, Tensor(self.accumulation_steps, ms.int32)))
        return done

    def _apply(self, gradients: tuple[Tensor, ...], norm: Tensor) -> Tensor:
        if self.clips_adaptively:
            clip = ops.partial(clip_adaptively, self.largest_norm)
            gradients = self.hyper_map(clip, self.is_clipped, self.weights, gradients)
        if self.clip_grad:
            gradients = clip_to_norm(gradients, norm, self.largest_norm)
        if self.optimizer_scale != 1.0:
            gradients = self.hyper_map(ops.partial(scale, self.optimizer_scale_tensor), gradients)
        done = ops.depend(Tensor(True), self.optimizer(gradients))
        if self.ema:
            done = ops.depend(done, self._update_average())
        return done

    def _update_average(self) -> Tensor:
        updates = self.ema_updates + 1.0
        done = ops.assign(self.ema_updates, updates)
        if self.ema_interval == 1:
            return ops.depend(done, self._move_averages(updates))
        moves = updates / self.ema_interval
        if ops.floor(moves) == moves:
            done = ops.depend(done, self._move_averages(moves))
        return done

    def _move_averages(self, moves: Tensor) -> tuple[Tensor, ...]:
        move = ops.partial(_move_average, self._average_share(moves))
        return self.hyper_map(move, self.ema_weights, self.averaged_weights)

    def _next_share(self) -> Tensor:
        """Returns the share of the weights in their average at the next update, 0 where the average does not move."""
        moves = (self.ema_updates + 1.0) / self.ema_interval
        share = self._average_share(moves)
        if self.ema_interval == 1:
            return share
        return ops.select(ops.floor(moves) == moves, share, ops.zeros_like(share))

    def _average_share(self, moves: Tensor) -> Tensor:
        """Returns 1 - decay of the average's move of a number, counted from 1; `ema_decays` has the same formulas."""
        if self.ema_warmup == "timm":
            return ops.maximum(ops.pow(moves, -2.0 / 3.0), Tensor(1.0 - self.ema_decay, ms.float32))
        if self.ema_warmup == "none":
            return ops.select(moves < 1.5, ops.ones_like(moves), ops.zeros_like(moves) + (1.0 - self.ema_decay))
        return 1.0 - self.ema_decay * (1.0 - ops.exp(-moves / EMA_WARMUP_MOVES))

    def _adjust_loss_scale(self, finite: Tensor) -> Tensor:
        good_updates = self.good_updates + 1
        is_raised = good_updates >= self.scale_window
        larger = ops.minimum(self.loss_scale * self.scale_factor, Tensor(_LARGEST_SCALE, ms.float32))
        raised = ops.select(is_raised, larger, self.loss_scale * 1.0)
        lowered = ops.maximum(self.loss_scale / self.scale_factor, Tensor(1.0, ms.float32))
        kept = ops.select(is_raised, ops.zeros_like(good_updates), good_updates)
        done = ops.assign(self.loss_scale, ops.select(finite, raised, lowered))
        counted = ops.assign(self.good_updates, ops.select(finite, kept, ops.zeros_like(kept)))
        return ops.depend(done, counted)
