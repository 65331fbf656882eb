"""Which keys have an effect only beside others, so that a value in vain is not taken for one that counts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .values import format_value

if TYPE_CHECKING:
    from .schema import Config

__all__ = ["NEEDS", "Need", "without_effect"]


@dataclass(frozen=True)
class Need:
    """What keys need beside them.

    Args:
        keys: The keys; at their defaults they may stand anywhere.
        is_met: Whether a config has what they need.
        words: What that is, behind "has no effect without".
        is_upstreams: Whether they are keys of MindCV, whose recipes carry them in vain; that is told, not refused.
    """

    keys: tuple[str, ...]
    is_met: Callable[["Config"], Any]
    words: str
    is_upstreams: bool = False


NEEDS = (
    Need(("warmup_factor",), lambda cfg: cfg.warmup_epochs > 0, "warmup_epochs", is_upstreams=True),
    Need(("cycle_decay",), lambda cfg: cfg.num_cycles > 1, "num_cycles above 1", is_upstreams=True),
    Need(("clip_value",), lambda cfg: cfg.clip_grad, "clip_grad", is_upstreams=True),
    Need(("ema_decay",), lambda cfg: cfg.ema, "ema", is_upstreams=True),
    Need(("ema_warmup", "ema_interval"), lambda cfg: cfg.ema, "ema"),
    Need(("focal_gamma",), lambda cfg: cfg.loss in ("focal", "focal_multi_label"), "loss: focal or focal_multi_label"),
    Need(("bce_target_threshold",), lambda cfg: cfg.loss == "BCE", "loss: BCE"),
    Need(("teacher_ckpt_path", "distill", "distill_alpha"), lambda cfg: cfg.teacher, "teacher"),
    Need(("distill_temperature",), lambda cfg: cfg.distill == "soft", "distill: soft"),
)


def without_effect(config: "Config", is_upstreams: bool) -> Iterator[tuple[str, str]]:
    """Yields the keys that are set, not to their defaults, and have no effect, each with one line that says so.

    Args:
        config: The config.
        is_upstreams: Whether to look at MindCV's keys, or at those that only this library has.
    """
    for need in NEEDS:
        if need.is_upstreams != is_upstreams or need.is_met(config):
            continue
        for name in need.keys:
            value = getattr(config, name)
            if value != type(config).model_fields[name].default:
                yield name, f"{name}: {format_value(value)} has no effect without {need.words}"
