"""The typed schema of all configuration keys: flat, and grouped in code by section (`data_keys`, `training_keys`).

A key is declared once, with its type, range or choices, default, help, unit, the keyword of the factory it goes to
where that differs, and its old spellings. The YAML check, the command line, `docs/reference/configuration.md` and
`config.schema.json` are made from it.
"""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import (
    model_validator,
)
from pydantic_core import PydanticCustomError

from ..utils.pixel_scale import unit_scale_problem
from .data_keys import AugmentationKeys, DataKeys, MixingKeys, RunKeys
from .effects import without_effect
from .fields import AGC_CLIP_VALUE, PACKAGED_DATASETS, Key, Section, describe
from .training_keys import (
    CheckpointKeys,
    DistillationKeys,
    LossKeys,
    ModelArtsKeys,
    ModelKeys,
    OptimizerKeys,
    PrecisionKeys,
    ScheduleKeys,
    TrainingKeys,
)

SECTIONS: tuple[type[Section], ...] = (
    RunKeys,
    DataKeys,
    AugmentationKeys,
    MixingKeys,
    ModelKeys,
    CheckpointKeys,
    TrainingKeys,
    OptimizerKeys,
    ScheduleKeys,
    LossKeys,
    DistillationKeys,
    PrecisionKeys,
    ModelArtsKeys,
)


# pydantic collects fields from the last base to the first, so this is the order of `SECTIONS` reversed.
class Config(
    ModelArtsKeys,
    PrecisionKeys,
    DistillationKeys,
    LossKeys,
    ScheduleKeys,
    OptimizerKeys,
    TrainingKeys,
    CheckpointKeys,
    ModelKeys,
    MixingKeys,
    AugmentationKeys,
    DataKeys,
    RunKeys,
):
    """All keys of a run, checked and frozen. Keys are attributes: `config.batch_size`.

    Raises:
        pydantic.ValidationError: A key or value is not allowed; `read_config` turns it into a readable report.
    """

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """Lets defaults follow what is set, so that it need not be said twice."""
        if not isinstance(values, Mapping):
            return values
        return {**_following_defaults(values), **values}

    @model_validator(mode="after")
    def _check(self) -> "Config":
        problems = contradictions(self)
        if problems:
            text = "; ".join(text for _, text in problems)
            raise PydanticCustomError("contradiction", "{text}", {"text": text, "problems": problems})
        return self

    def checked(self) -> "Config":
        """Returns this config; `Arguments`, whose keys can be set, has to check them together for it."""
        return self

    @classmethod
    def free_keys(cls) -> frozenset[str]:
        """Returns the keys that a run can be resumed with other values of."""
        return frozenset(name for name, known in KEYS.items() if known.may_change)

    def arguments(self, factory: str) -> dict[str, Any]:
        """Returns the keyword arguments for one factory: its section's keys under its own names.

        Args:
            factory: `create_transforms`, `create_optimizer`, `create_scheduler` or `create_loss`.

        Raises:
            KeyError: No section goes to that factory as a whole.
        """
        section = {section.factory: section for section in SECTIONS if section.factory}[factory]
        return {KEYS[name].keyword: getattr(self, name) for name in section.model_fields}


def _following_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the defaults that are others than usual because of what is set.

    A dynamic loss scale always drops overflowing updates. A schedule fits the run: the warm-up is no longer than a
    third of a short one, a cosine lasts to the end, and no floor is above the rate that falls to it. Clipping by the
    weights gets its paper's factor.
    """
    follow: dict[str, Any] = {}
    if str(values.get("loss_scale_type")).lower() == "dynamic":
        follow["drop_overflow_update"] = True
    if str(values.get("clip_mode")).strip().lower() == "agc":
        follow["clip_value"] = AGC_CLIP_VALUE
    scheduler = str(values.get("scheduler", KEYS["scheduler"].default)).strip().lower()
    epochs = _as_number(values.get("epoch_size"))
    warmup_default = KEYS["warmup_epochs"].default
    if scheduler in ("one_cycle", "cyclic"):  # they have a rise of their own
        follow["warmup_epochs"] = 0
    elif epochs is not None:
        follow["warmup_epochs"] = min(warmup_default, int(epochs // 3))
    warmup = _as_number(values.get("warmup_epochs", follow.get("warmup_epochs", warmup_default)))
    cycles = _as_number(values.get("num_cycles", 1))
    if epochs is not None and warmup is not None and cycles and scheduler in ("cosine_decay", "warmup_cosine_decay"):
        start = 0 if str(values.get("warmup_prefix")).strip().lower() == "false" else warmup
        follow["decay_epochs"] = max(1, int((epochs - start) // cycles))
    lr = _as_number(values.get("lr"))
    if lr is not None and 0 <= lr < KEYS["min_lr"].default:
        follow["min_lr"] = lr
    return follow


def _as_number(value: Any) -> float | None:
    """A value as a finite number; None for what is none, which the check of its own key then refuses."""
    try:
        converted = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return converted if math.isfinite(converted) and abs(converted) < 1e12 else None


def contradictions(config: Config) -> list[tuple[str, str]]:
    """Returns what no value alone makes wrong but two together do, as (key, one line)."""
    off_scale = unit_scale_problem(config.mean, config.std)
    falls_to_min_lr = ("cosine_decay", "warmup_cosine_decay", "one_cycle", "cyclic")
    rules = (
        (
            config.ckpt_save_policy == "top_k" and not config.val_while_train,
            "ckpt_save_policy",
            "ckpt_save_policy 'top_k' needs accuracies; set val_while_train: True, or ckpt_save_policy: latest_k",
        ),
        (
            config.resume_opt and not config.ckpt_path,
            "resume_opt",
            "resume_opt needs the checkpoint to resume from; set ckpt_path",
        ),
        (
            config.amp_dtype == "bfloat16" and config.amp_level == "O0" == config.val_amp_level,
            "amp_dtype",
            "amp_dtype 'bfloat16' has no effect at amp_level O0; set amp_level: O1, O2 or O3",
        ),
        (
            config.mode == 1 and config.recompute,
            "recompute",
            "recompute works in graph mode only: in PyNative mode MindSpore would move BatchNorm's statistics twice a "
            "step; set mode: 0 or recompute: False",
        ),
        (
            config.loss_scale_type == "dynamic" and not config.drop_overflow_update,
            "drop_overflow_update",
            "loss_scale_type 'dynamic' always drops overflowing updates; remove drop_overflow_update: False",
        ),
        (
            config.scheduler in falls_to_min_lr and config.min_lr > config.lr,
            "min_lr",
            f"min_lr {config.min_lr:g} is above lr {config.lr:g}, the largest of {config.scheduler}; set min_lr <= lr",
        ),
        (
            config.use_nesterov and config.opt in ("sgd", "momentum", "nesterov") and config.momentum == 0,
            "use_nesterov",
            "use_nesterov needs momentum > 0; set momentum or use_nesterov: False",
        ),
        (
            config.loss == "jsd" and config.aug_splits == 0,
            "loss",
            "loss 'jsd' compares three views of an image; set aug_splits: 3",
        ),
        (
            config.aug_splits > 0 and config.auto_augment is None,
            "aug_splits",
            "aug_splits needs the augmentation that makes the views differ; set auto_augment",
        ),
        (
            config.folds is not None and config.fold >= config.folds,
            "fold",
            f"fold {config.fold} is not one of the {config.folds} folds, which are counted from 0",
        ),
        (
            config.folds is not None and isinstance(config.val_split, float),
            "folds",
            "folds and a share as val_split both say what is held out; remove one of them",
        ),
        (
            config.sampler == "balanced" and (not config.shuffle or config.aug_repeats > 1),
            "sampler",
            "sampler 'balanced' draws at random; set shuffle: True and aug_repeats: 0, or sampler: uniform",
        ),
        (
            config.dataset.lower() in PACKAGED_DATASETS and config.data_dir not in ("", KEYS["data_dir"].default),
            "data_dir",
            f"data_dir {config.data_dir!r} would not be read: the dataset {config.dataset!r} is part of the package; "
            "for the folder set dataset: imagenet (with num_classes: None and image_resize), else leave out data_dir",
        ),
        (
            config.class_weights == "balanced" and config.sampler == "balanced",
            "class_weights",
            "class_weights 'balanced' and sampler 'balanced' would both make up for rare classes; remove one of them",
        ),
        (
            len(config.mean) != len(config.std),
            "std",
            f"mean has {len(config.mean)} channels and std has {len(config.std)}; give both the same number",
        ),
        (
            bool(config.teacher) and config.distill is None,
            "teacher",
            "teacher needs distill, which says what is learned from it; set distill: soft or hard",
        ),
        (
            bool(config.teacher) and config.distill_alpha == 0,
            "distill_alpha",
            "distill_alpha 0 leaves teacher without effect; set it above 0, or leave out teacher",
        ),
        (
            config.mixup > 0 and config.cutmix > 0 and config.switch_prob in (0, 1),
            "switch_prob",
            f"switch_prob {config.switch_prob:g} leaves {'mixup' if config.switch_prob else 'cutmix'} without effect; "
            f"leave out both, or set switch_prob between 0 and 1",
        ),
        (
            config.bce_target_threshold is not None and config.label_smoothing > 0,
            "label_smoothing",
            "label_smoothing has no effect with bce_target_threshold, which makes labels whole again; leave one of "
            "them out",
        ),
        (
            config.sam_rho > 0 and config.gradient_accumulation_steps > 1,
            "sam_rho",
            "sam_rho and gradient_accumulation_steps above 1 do not go together: the weights uphill are those of one "
            "batch; leave one of them out",
        ),
        (bool(off_scale), "mean", f"{off_scale}"),
    )
    in_vain = [
        (name, f"{text}; set it, or leave out {name}") for name, text in without_effect(config, is_upstreams=False)
    ]
    return [*((name, text) for wrong, name, text in rules if wrong), *in_vain]


KEYS: dict[str, Key] = {
    name: describe(name, field) for section in SECTIONS for name, field in section.model_fields.items()
}
