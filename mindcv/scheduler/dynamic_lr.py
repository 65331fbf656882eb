"""Learning rates of a whole run as a list: one float per step, `steps_per_epoch * epochs` of them.

The names and the positional arguments are those of `torch.optim.lr_scheduler`. Where torch changes the rate once an
epoch, a function named `*_refined_lr` follows the same curve at every step. `lr` (or `eta_max`, `max_lr`) is the
optimizer's base rate; durations without a unit in their name (`total_iters`, `t_max`, `te`, `step_size`, `milestones`)
are epochs, as upstream has them, except in `cyclic_lr`, whose `step_size_up` and `step_size_down` are steps.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

__all__ = [
    "constant_lr",
    "cosine_annealing_lr",
    "cosine_annealing_warm_restarts_lr",
    "cosine_decay_lr",
    "cosine_decay_refined_lr",
    "cyclic_lr",
    "exponential_lr",
    "exponential_refined_lr",
    "linear_lr",
    "linear_refined_lr",
    "multi_step_lr",
    "one_cycle_lr",
    "polynomial_lr",
    "polynomial_refined_lr",
    "step_lr",
]


def _each_epoch(rate: Callable[[int], float], steps_per_epoch: int, epochs: int) -> list[float]:
    """Returns `rate(epoch)` for every step, where the epoch is a whole number."""
    return [rate(step // steps_per_epoch) for step in range(steps_per_epoch * epochs)]


def _each_step(rate: Callable[[float], float], steps_per_epoch: int, epochs: int) -> list[float]:
    """Returns `rate(epoch)` for every step, where the epoch is a fraction that grows with every step."""
    return [rate(step / steps_per_epoch) for step in range(steps_per_epoch * epochs)]


def _progress(position: float, start: float, end: float) -> float:
    """Returns how much of the way from `start` to `end` is done, 0 to 1; an empty way is done."""
    return min(max((position - start) / (end - start), 0.0), 1.0) if end > start else 1.0


def _anneal_cosine(start: float, end: float, progress: float) -> float:
    return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * progress))


def _anneal_linear(start: float, end: float, progress: float) -> float:
    return start + progress * (end - start)


def constant_lr(factor: float, total_iters: int, *, lr: float, steps_per_epoch: int, epochs: int) -> list[float]:
    """`lr * factor` for `total_iters` epochs, then `lr`."""
    return _each_epoch(lambda epoch: lr * factor if epoch < total_iters else lr, steps_per_epoch, epochs)


def _linear(start_factor: float, end_factor: float, total_iters: float, lr: float) -> Callable[[float], float]:
    return lambda epoch: _anneal_linear(lr * start_factor, lr * end_factor, _progress(epoch, 0, total_iters))


def linear_lr(
    start_factor: float, end_factor: float, total_iters: int, *, lr: float, steps_per_epoch: int, epochs: int
) -> list[float]:
    """A straight line from `lr * start_factor` to `lr * end_factor` in `total_iters` epochs; changes every epoch."""
    return _each_epoch(_linear(start_factor, end_factor, total_iters, lr), steps_per_epoch, epochs)


def linear_refined_lr(
    start_factor: float, end_factor: float, total_iters: int, *, lr: float, steps_per_epoch: int, epochs: int
) -> list[float]:
    """As `linear_lr`, changing every step."""
    return _each_step(_linear(start_factor, end_factor, total_iters, lr), steps_per_epoch, epochs)


def _polynomial(total_iters: float, power: float, lr: float) -> Callable[[float], float]:
    return lambda epoch: lr * (1.0 - _progress(epoch, 0, total_iters)) ** power


def polynomial_lr(total_iters: int, power: float, *, lr: float, steps_per_epoch: int, epochs: int) -> list[float]:
    """`lr * (1 - epoch / total_iters) ** power`, 0 from `total_iters` on; changes every epoch."""
    return _each_epoch(_polynomial(total_iters, power, lr), steps_per_epoch, epochs)


def polynomial_refined_lr(
    total_iters: int, power: float, *, lr: float, steps_per_epoch: int, epochs: int
) -> list[float]:
    """As `polynomial_lr`, changing every step."""
    return _each_step(_polynomial(total_iters, power, lr), steps_per_epoch, epochs)


def exponential_lr(gamma: float, *, lr: float, steps_per_epoch: int, epochs: int) -> list[float]:
    """`lr * gamma ** epoch`; changes every epoch."""
    return _each_epoch(lambda epoch: lr * gamma**epoch, steps_per_epoch, epochs)


def exponential_refined_lr(gamma: float, *, lr: float, steps_per_epoch: int, epochs: int) -> list[float]:
    """As `exponential_lr`, changing every step."""
    return _each_step(lambda epoch: lr * gamma**epoch, steps_per_epoch, epochs)


def step_lr(step_size: int, gamma: float, *, lr: float, steps_per_epoch: int, epochs: int) -> list[float]:
    """`lr`, multiplied by `gamma` every `step_size` epochs."""
    return _each_epoch(lambda epoch: lr * gamma ** (epoch // step_size), steps_per_epoch, epochs)


def multi_step_lr(
    milestones: Sequence[int], gamma: float, *, lr: float, steps_per_epoch: int, epochs: int
) -> list[float]:
    """`lr`, multiplied by `gamma` at the start of each epoch of `milestones`."""
    ordered = sorted(milestones)
    return _each_epoch(lambda epoch: lr * gamma ** bisect_right(ordered, epoch), steps_per_epoch, epochs)


def cosine_annealing_lr(
    t_max: int, eta_min: float, *, eta_max: float, steps_per_epoch: int, epochs: int
) -> list[float]:
    """A cosine down from `eta_max` to `eta_min` in `t_max` epochs, up in the next `t_max`; changes every epoch."""
    return _each_epoch(lambda epoch: _anneal_cosine(eta_max, eta_min, epoch / t_max), steps_per_epoch, epochs)


def cosine_annealing_warm_restarts_lr(
    te: int, tm: float, eta_min: float, *, eta_max: float, steps_per_epoch: int, epochs: int
) -> list[float]:
    """A cosine from `eta_max` to `eta_min` that starts anew after `te` epochs (SGDR, arXiv 1608.03983).

    Each cosine is `tm` times as long as the one before; changes every step.
    """
    lrs: list[float] = []
    start, length = 0.0, float(te)
    for step in range(steps_per_epoch * epochs):
        epoch = step / steps_per_epoch
        if epoch >= start + length:
            start, length = start + length, length * tm
        lrs.append(_anneal_cosine(eta_max, eta_min, (epoch - start) / length))
    return lrs


def _cosine_cycles(
    decay_epochs: int, eta_min: float, eta_max: float, num_cycles: int, cycle_decay: float
) -> Callable[[float], float]:
    def rate(epoch: float) -> float:
        cycle, position = divmod(epoch, decay_epochs)
        if cycle >= num_cycles:
            return eta_min
        return _anneal_cosine(eta_max * cycle_decay**cycle, eta_min, position / decay_epochs)

    return rate


def cosine_decay_lr(
    decay_epochs: int,
    eta_min: float,
    *,
    eta_max: float,
    steps_per_epoch: int,
    epochs: int,
    num_cycles: int = 1,
    cycle_decay: float = 1.0,
) -> list[float]:
    """`num_cycles` cosines of `decay_epochs` epochs each, then `eta_min`; changes every epoch.

    Cycle c (from 0) falls from `eta_max * cycle_decay ** c` to `eta_min`.
    """
    rate = _cosine_cycles(decay_epochs, eta_min, eta_max, num_cycles, cycle_decay)
    return _each_epoch(rate, steps_per_epoch, epochs)


def cosine_decay_refined_lr(
    decay_epochs: int,
    eta_min: float,
    *,
    eta_max: float,
    steps_per_epoch: int,
    epochs: int,
    num_cycles: int = 1,
    cycle_decay: float = 1.0,
) -> list[float]:
    """As `cosine_decay_lr`, changing every step."""
    rate = _cosine_cycles(decay_epochs, eta_min, eta_max, num_cycles, cycle_decay)
    return _each_step(rate, steps_per_epoch, epochs)


_ANNEALINGS = {"cos": _anneal_cosine, "linear": _anneal_linear}


def one_cycle_lr(
    max_lr: float,
    pct_start: float = 0.3,
    anneal_strategy: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 10000.0,
    three_phase: bool = False,
    *,
    steps_per_epoch: int,
    epochs: int,
) -> list[float]:
    """One cycle over the whole run (Super-Convergence, arXiv 1708.07120); changes every step.

    The rate rises from `max_lr / div_factor` to `max_lr`, then falls to `max_lr / div_factor / final_div_factor`.

    Args:
        max_lr: The highest rate.
        pct_start: The part of the steps in which the rate rises.
        anneal_strategy: "cos" or "linear".
        div_factor: `max_lr` over the first rate.
        final_div_factor: The first rate over the last one.
        three_phase: Whether to fall as fast as the rate rose, back to the first rate, and only then to the last one.
        steps_per_epoch: Steps in an epoch.
        epochs: Epochs of the run.

    Raises:
        ValueError: `anneal_strategy` is neither "cos" nor "linear".
    """
    if anneal_strategy not in _ANNEALINGS:
        raise ValueError(f"anneal_strategy must be one of 'cos' and 'linear', but got {anneal_strategy!r}")
    anneal = _ANNEALINGS[anneal_strategy]
    first_lr = max_lr / div_factor
    last_lr = first_lr / final_div_factor
    total = steps_per_epoch * epochs
    top, bottom, end = pct_start * total - 1, 2 * pct_start * total - 2, total - 1

    lrs = []
    for step in range(total):
        if step <= top:
            lrs.append(anneal(first_lr, max_lr, _progress(step, 0, top)))
        elif not three_phase:
            lrs.append(anneal(max_lr, last_lr, _progress(step, top, end)))
        elif step <= bottom:
            lrs.append(anneal(max_lr, first_lr, _progress(step, top, bottom)))
        else:
            lrs.append(anneal(first_lr, last_lr, _progress(step, bottom, end)))
    return lrs


# mode -> (scale of a cycle's height from the cycle's number or the step, and gamma; which of the two it takes)
_CYCLE_SCALES: dict[str, tuple[Callable[[float, float], float], str]] = {
    "triangular": (lambda cycle, gamma: 1.0, "cycle"),
    "triangular2": (lambda cycle, gamma: 0.5 ** (cycle - 1), "cycle"),
    "exp_range": (lambda step, gamma: gamma**step, "iterations"),
}


def cyclic_lr(
    base_lr: float,
    max_lr: float,
    step_size_up: float = 2000,
    step_size_down: float | None = None,
    mode: str = "triangular",
    gamma: float = 1.0,
    scale_fn: Callable[[float], float] | None = None,
    scale_mode: str = "cycle",
    *,
    steps_per_epoch: int,
    epochs: int,
) -> list[float]:
    """Triangles between `base_lr` and `max_lr` (Cyclical Learning Rates, arXiv 1506.01186); changes every step.

    Args:
        base_lr: The lowest rate.
        max_lr: The rate at the top of an unscaled cycle.
        step_size_up: Steps in which the rate rises.
        step_size_down: Steps in which it falls; None for as many as it rises.
        mode: "triangular" (all cycles alike), "triangular2" (each half as high as the last) or "exp_range" (the height
            is multiplied by `gamma ** step`). Ignored when `scale_fn` is given.
        gamma: The base of "exp_range".
        scale_fn: Your own height, as a function of what `scale_mode` says.
        scale_mode: What `scale_fn` takes: the number of the cycle, from 1 ("cycle"), or of the step, from 0
            ("iterations").
        steps_per_epoch: Steps in an epoch.
        epochs: Epochs of the run.

    Raises:
        ValueError: An unknown `mode` or `scale_mode`.
    """
    if scale_fn is None:
        if mode not in _CYCLE_SCALES:
            raise ValueError(f"mode must be one of {', '.join(_CYCLE_SCALES)}, but got {mode!r}")
        scale, scale_mode = _CYCLE_SCALES[mode]
    else:
        own_scale = scale_fn
        scale = lambda x, gamma: own_scale(x)  # noqa: E731
    if scale_mode not in ("cycle", "iterations"):
        raise ValueError(f"scale_mode must be one of 'cycle' and 'iterations', but got {scale_mode!r}")

    down = step_size_up if step_size_down is None else step_size_down
    period = step_size_up + down
    lrs = []
    for step in range(steps_per_epoch * epochs):
        whole, position = divmod(step, period)
        cycle = int(whole)
        height = position / step_size_up if position <= step_size_up else (period - position) / down
        factor = scale(cycle + 1 if scale_mode == "cycle" else step, gamma)
        lrs.append(base_lr + (max_lr - base_lr) * height * factor)
    return lrs
