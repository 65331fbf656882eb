"""Which keys have an effect only beside others, so that a value in vain is not taken for one that counts."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .values import format_value

if TYPE_CHECKING:
    from .schema import Config

__all__ = ["NEEDS", "WITH_MOMENTS", "Need", "without_effect"]


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


# Optimizers with `beta1` and `beta2`.
WITH_MOMENTS = ("adam", "adamw", "lion", "nadam", "adan", "lamb")
# Datasets whose pictures are small and have a crop, mean and deviation of their own; those of mnist are not augmented.
_OWN_CROP = ("cifar10", "cifar100", "mnist")


def _mixes(cfg: "Config") -> bool:
    return (cfg.mixup > 0 or cfg.cutmix > 0) and cfg.batch_size > 1


def _jitters(cfg: "Config") -> bool:
    return not cfg.auto_augment or cfg.auto_augment.startswith("3a")


def _is_cropped(cfg: "Config") -> bool:
    return cfg.dataset.lower() not in _OWN_CROP


def _is_augmented(cfg: "Config") -> bool:
    return cfg.dataset.lower() != "mnist"


NEEDS = (
    # MindCV's keys
    Need(
        ("mixup", "cutmix"),
        lambda cfg: cfg.batch_size > 1 and cfg.cutmix_prob > 0,
        "batch_size above 1 and cutmix_prob above 0",
        is_upstreams=True,
    ),
    Need(
        ("scale", "ratio", "mean", "std", "crop_pct"),
        _is_cropped,
        f"a dataset that has none of its own, as {', '.join(_OWN_CROP)} have",
        is_upstreams=True,
    ),
    Need(
        ("hflip", "vflip", "color_jitter", "re_prob"),
        _is_augmented,
        "a dataset that is augmented, which mnist is not",
        is_upstreams=True,
    ),
    Need(("warmup_factor",), lambda cfg: cfg.warmup_epochs > 0, "warmup_epochs", is_upstreams=True),
    Need(("cycle_decay",), lambda cfg: cfg.num_cycles > 1, "num_cycles above 1", is_upstreams=True),
    Need(("clip_value",), lambda cfg: cfg.clip_grad, "clip_grad", is_upstreams=True),
    Need(("ema_decay",), lambda cfg: cfg.ema, "ema", is_upstreams=True),
    Need(("cutmix_prob",), _mixes, "mixup or cutmix", is_upstreams=True),
    Need(("scale", "ratio"), lambda cfg: cfg.train_crop != "simple", "train_crop: random_resized", is_upstreams=True),
    Need(("color_jitter",), _jitters, "auto_augment: None or 3a", is_upstreams=True),
    Need(
        ("re_scale", "re_ratio", "re_value", "re_max_attempts"),
        lambda cfg: cfg.re_prob > 0,
        "re_prob",
        is_upstreams=True,
    ),
    Need(("val_interval",), lambda cfg: cfg.val_while_train, "val_while_train", is_upstreams=True),
    Need(("keep_checkpoint_max",), lambda cfg: cfg.ckpt_save_policy, "ckpt_save_policy", is_upstreams=True),
    Need(
        ("loss_scale",),
        lambda cfg: cfg.loss_scale_type != "auto",
        "loss_scale_type: fixed or dynamic",
        is_upstreams=True,
    ),
    # what launchers of MindCV's and of its kind pass always
    Need(("data_url", "ckpt_url", "train_url"), lambda cfg: cfg.enable_modelarts, "enable_modelarts", True),
    Need(("jit_level",), lambda cfg: cfg.mode == 0, "mode: 0", is_upstreams=True),
    # ours
    Need(("ema_warmup", "ema_interval"), lambda cfg: cfg.ema, "ema"),
    Need(("clip_mode",), lambda cfg: cfg.clip_grad, "clip_grad"),
    Need(("beta1", "beta2"), lambda cfg: cfg.opt in WITH_MOMENTS, f"opt: {', '.join(WITH_MOMENTS)}"),
    Need(("fold",), lambda cfg: cfg.folds is not None, "folds"),
    Need(("re_count",), lambda cfg: cfg.re_prob > 0, "re_prob"),
    Need(("switch_prob",), lambda cfg: cfg.mixup > 0 and cfg.cutmix > 0, "both mixup and cutmix"),
    Need(("mixup_off_epoch",), _mixes, "mixup or cutmix"),
    Need(("mixup_off_epoch",), lambda cfg: cfg.mixup_off_epoch < cfg.epoch_size, "an epoch_size above it"),
    Need(("train_crop",), _is_cropped, f"a dataset that has no crop of its own, as {', '.join(_OWN_CROP)} have"),
    Need(("resize_rounding",), lambda cfg: cfg.crop_mode != "squash", "crop_mode: center"),
    Need(("focal_gamma",), lambda cfg: cfg.loss in ("focal", "focal_multi_label"), "loss: focal or focal_multi_label"),
    Need(("bce_target_threshold",), lambda cfg: cfg.loss == "BCE", "loss: BCE"),
    Need(("teacher_ckpt_path", "distill", "distill_alpha"), lambda cfg: cfg.teacher, "teacher"),
    Need(
        ("runtime", "precision"),
        lambda cfg: cfg.model.lower().endswith(".onnx"),
        "an exported model (model: FILE.onnx)",
    ),
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
