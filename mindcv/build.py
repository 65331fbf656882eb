"""The parts of a run, each built by its factory from the config: data, model, loss, optimizer, feed, checkpoints."""

import functools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn

from . import engine, models
from ._version import __version__
from .config import Config
from .config.effects import without_effect
from .config.schema import KEYS
from .config.training_keys import OptimizerKeys, ScheduleKeys
from .config.values import format_value
from .data import (
    DataFingerprint,
    EvalPreprocess,
    Part,
    check_num_classes,
    class_weights,
    create_dataset,
    create_loader,
    create_transforms,
    divide,
    epoch_batches,
    epoch_indices,
    evaluation_policy,
    get_class_names,
    get_num_classes,
    get_samples,
    is_encoded,
    is_multi_label,
    known_outputs,
    other_classes,
    picture_of,
    single_labels,
    view_operations,
)
from .export.images import ImageReader
from .loss import DistillationLoss, create_loss
from .models import checkpoint_marks
from .optim import create_optimizer, optimizer_arguments
from .report.evaluation import Facts, PredictionRecorder
from .report.grad_cam import explain, overlay
from .report.grid import drawable
from .scheduler import create_scheduler, scheduler_arguments
from .utils.writing import WriteRule
from .weights import ModelOutputs, read_outputs
from .weights.load_report import OtherClasses
from .weights.outputs import MULTIPLE, SINGLE

__all__ = [
    "build_class_weights",
    "build_compile_cache",
    "build_eval_loader",
    "build_evaluator",
    "build_feed",
    "build_learning_rates",
    "build_loss",
    "build_network",
    "build_recorder",
    "build_saver",
    "build_step",
    "build_train_loader",
    "check_head",
    "check_loss",
    "check_resumed_rates",
    "find_outputs",
    "get_outputs",
    "prepare_network",
    "warn_of_ignored_keys",
]

_logger = logging.getLogger(__name__)

# Losses that several labels of a sample have a meaning for.
_LOSSES_OF_SEVERAL = ("BCE", "asl_multi_label", "focal_multi_label")


def warn_of_ignored_keys(cfg: Config) -> None:
    """Says in one line each which keys, not at their defaults, have no effect with what is chosen beside them."""
    for section, choice, used in (
        (ScheduleKeys, f"scheduler {cfg.scheduler}", scheduler_arguments(cfg.scheduler)),
        (OptimizerKeys, f"opt {cfg.opt}", optimizer_arguments(cfg.opt)),
    ):
        ignored = [
            f"{name}: {format_value(getattr(cfg, name))}"
            for name in section.model_fields
            if KEYS[name].keyword not in used and getattr(cfg, name) != KEYS[name].default
        ]
        if ignored:
            _logger.warning("%s does not use %s", choice, ", ".join(ignored))
    for _, line in without_effect(cfg, is_upstreams=True):
        _logger.warning("%s", line)


def find_outputs(cfg: Config, resumed: engine.Resumed | None = None) -> ModelOutputs | None:
    """Returns what the outputs of the run's model mean: as its checkpoint says, else as `class_names` does.

    Classes belong to the checkpoint. What stands in the data folder today is brought to them by name.

    Args:
        cfg: The config.
        resumed: The checkpoint that the run goes on from; without one, that of `ckpt_path` counts.

    Returns:
        None where the data alone tells.

    Raises:
        FileNotFoundError: There is no such checkpoint or file of names.
        ValueError: They contradict each other.
    """
    if resumed is not None:
        return known_outputs(cfg, str(resumed.path), ModelOutputs.from_arrays(resumed.arrays, resumed.path))
    return known_outputs(cfg, cfg.ckpt_path, read_outputs(cfg.ckpt_path) if cfg.ckpt_path else None)


def get_outputs(loader: Any, num_classes: int) -> ModelOutputs:
    """Returns what the outputs of a network that learns from a loader mean."""
    return ModelOutputs.of(num_classes, get_class_names(loader), MULTIPLE if is_multi_label(loader) else SINGLE)


def build_network(
    cfg: Config, num_classes: int, ema: bool = False, class_names: Sequence[str] | None = None
) -> nn.Cell:
    """Returns the model with its weights: those of `ckpt_path` (with `ema` their average), pretrained or fresh ones.

    The head of a `pretrained` file whose classes have other names than `class_names` starts fresh.

    Raises:
        ValueError: The weights do not fit; where it is the number of classes, it says so and what to do.
    """
    try:
        return models.build_network(cfg, num_classes, ema, class_names)
    except OtherClasses as error:
        whose = "the data" if cfg.num_classes is None else "num_classes says"
        raise ValueError(other_classes(cfg.ckpt_path, error.given, f"{whose} {error.wanted}")) from error


def build_train_loader(cfg: Config, outputs: ModelOutputs | None = None) -> tuple[Any, int]:
    """Returns the training loader (this rank's part) and the number of classes.

    Args:
        cfg: The config.
        outputs: What the model's outputs mean, as for `build_eval_loader`.
    """
    separate = cfg.aug_splits > 0
    transforms = create_transforms(
        cfg.dataset,
        is_training=True,
        separate=separate,
        in_channels=cfg.in_channels,
        **cfg.arguments("create_transforms"),
    )
    split, part = _splits(cfg)[0]
    dataset, num_classes = _build_dataset(
        cfg,
        split,
        outputs,
        part=part,
        shuffle=cfg.shuffle,
        num_samples=cfg.num_samples,
        num_aug_repeats=cfg.aug_repeats,
        sampler=cfg.sampler,
        bad_samples=cfg.bad_samples or "replace",
        bad_samples_file=Path(cfg.ckpt_save_dir) / "bad_samples.tsv",
    )
    _require_classes(dataset, num_classes, cfg)
    loader = create_loader(
        dataset,
        cfg.batch_size,
        drop_remainder=cfg.drop_remainder,
        is_training=True,
        mixup=cfg.mixup,
        cutmix=cfg.cutmix,
        cutmix_prob=cfg.cutmix_prob,
        switch_prob=cfg.switch_prob,
        mixup_off_epoch=cfg.mixup_off_epoch,
        num_classes=num_classes,
        transform=transforms,
        num_parallel_workers=cfg.num_parallel_workers,
        separate=separate,
        mix_on_device=cfg.normalize_on_device,
    )
    return loader, num_classes


def mixes_batches(cfg: Config) -> bool:
    """Whether a run mixes the samples of a batch, by mixup or cutmix; `create_loader` has the same rule."""
    return cfg.batch_size > 1 and cfg.cutmix_prob > 0 and (cfg.mixup > 0 or cfg.cutmix > 0)


def _require_classes(dataset: Any, num_classes: int, cfg: Config) -> None:
    """Refuses to train on one class, which any network gets right, and warns when all images are of one.

    Raises:
        ValueError: There is one class.
    """
    samples = get_samples(dataset)
    labels = None if samples is None else single_labels(samples)
    if labels is None:
        return
    where = f"the training data in {cfg.data_dir} ({cfg.train_split})"
    if num_classes == 1:
        raise ValueError(
            f"{where} has 1 class, so that every answer is right; training needs 2 or more: a folder for each class"
        )
    if len(np.unique(labels)) == 1:
        _logger.warning(
            "all images of %s are of one class out of %d: loss 0 and accuracy 1 will mean nothing", where, num_classes
        )


def build_eval_loader(
    cfg: Config, outputs: ModelOutputs | None = None, transforms: Sequence[Callable] | None = None
) -> tuple[Any, int]:
    """Returns the validation loader (this rank's part of it, each sample once) and the number of classes.

    Args:
        cfg: The config.
        outputs: What the model's outputs mean; labels are brought to its classes by name. None: the data alone tells.
        transforms: How images are prepared. None: as the config says.

    Raises:
        FileNotFoundError: The data is not there.
        ValueError: It does not fit the model.
    """
    if transforms is None and cfg.tta:
        is_raw = cfg.normalize_on_device
        preprocess = EvalPreprocess.from_config(cfg)
        transforms = view_operations(preprocess, cfg.tta, is_encoded(cfg.dataset.lower()), not is_raw, is_raw)
    elif transforms is None:
        arguments = cfg.arguments("create_transforms")
        arguments["image_resize"] = cfg.val_image_resize or cfg.image_resize
        transforms = create_transforms(cfg.dataset, is_training=False, in_channels=cfg.in_channels, **arguments)
    split, part = _splits(cfg)[1]
    dataset, num_classes = _build_dataset(
        cfg,
        split,
        outputs,
        part=part,
        shuffle=cfg.eval_shuffle,
        shard_batch=cfg.batch_size,
        bad_samples=evaluation_policy(cfg.bad_samples),
        # A split that lacks a class of the training split must not number the others anew.
        class_split=cfg.train_split,
    )
    loader = create_loader(dataset, cfg.batch_size, transform=transforms, num_parallel_workers=cfg.num_parallel_workers)
    return loader, num_classes


def build_evaluator(
    cfg: Config, network: nn.Cell, loader: Any, num_classes: int, compile_cache: engine.CompileCache | None = None
) -> engine.Evaluator:
    """Returns what evaluates a network on the loader of `build_eval_loader`."""
    check_loss(cfg, loader)
    loss = build_loss(cfg, reduction="none")
    return engine.Evaluator(
        *(network, loss, loader, num_classes, cfg.batch_size),
        is_shared=loader.num_shards > 1,
        is_multi_label=is_multi_label(loader),
        compile_cache=compile_cache,
    )


def build_recorder(
    cfg: Config,
    loader: Any,
    num_classes: int,
    are_probabilities: bool = False,
    network: nn.Cell | None = None,
) -> PredictionRecorder | None:
    """Returns what writes down the predictions of an evaluation on the loader of `build_eval_loader`.

    Args:
        cfg: The config.
        loader: The loader.
        num_classes: Number of classes.
        are_probabilities: Whether the model gives probabilities, not scores.
        network: The network that is evaluated, for pictures of where it looks; None: it is none of MindSpore's.

    Returns:
        None where the key `report` names no folder.

    Raises:
        ValueError: The folder cannot be written to.
    """
    if isinstance(cfg.report, bool):
        return None
    samples = get_samples(loader)
    return PredictionRecorder(
        *(cfg.report, num_classes, samples, epoch_indices(loader)),
        Facts(
            model=cfg.model,
            checkpoint=cfg.ckpt_path or cfg.ckpt_url or ("published weights" if cfg.pretrained else ""),
            dataset=cfg.dataset,
            data_dir=cfg.data_dir,
            split=str(cfg.val_split),
            class_names=get_class_names(loader),
        ),
        functools.partial(picture_of, samples),
        are_probabilities,
        None if network is None else functools.partial(_explain, cfg, network, samples),
        is_multi_label(loader),
    )


def _explain(
    cfg: Config, network: nn.Cell, samples: Any, indices: Sequence[int], classes: Sequence[int]
) -> list[np.ndarray]:
    """Returns pictures of where a network looks in samples, uint8 (H, W, 3) each.

    Raises:
        ValueError: The network has no maps, or an image cannot be read.
    """
    if cfg.val_amp_level != "O0":
        raise ValueError(f"gradients are taken in float32, and val_amp_level is {cfg.val_amp_level}")
    preprocess = EvalPreprocess.from_config(cfg)
    images = np.stack([ImageReader(preprocess)(picture_of(samples, index)) for index in indices])
    maps = explain(network, images, classes).maps
    if not np.ptp(maps, axis=(1, 2)).any():
        raise ValueError(f"the network's last map is one place for images of {images.shape[2]} x {images.shape[3]}")
    pixels = drawable(images, preprocess.mean, preprocess.std)
    return [overlay(*pair) for pair in zip(pixels, maps, strict=True)]


def _splits(cfg: Config) -> tuple[tuple[str, Part | None], tuple[str, Part | None]]:
    """Returns the splits for training and for evaluation, with the part of them that is meant."""
    return divide(cfg.train_split, cfg.val_split, cfg.folds, cfg.fold, cfg.seed)


def _build_dataset(cfg: Config, split: str, outputs: ModelOutputs | None, **options: Any) -> tuple[Any, int]:
    """Returns one split, in an order that all ranks share, and the number of classes."""
    if outputs is not None:
        options |= {"num_classes": outputs.num_classes, "class_names": outputs.class_names}
    dataset = create_dataset(
        cfg.dataset,
        root=cfg.data_dir,
        split=split,
        num_shards=engine.world_size(),
        shard_id=engine.rank(),
        num_parallel_workers=cfg.num_parallel_workers,
        download=cfg.dataset_download,
        seed=cfg.seed,
        unknown_classes=cfg.unknown_classes,
        **options,
    )
    num_classes = outputs.num_classes if outputs is not None else cfg.num_classes or get_num_classes(dataset)
    check_num_classes(dataset, num_classes)
    return dataset, num_classes


def check_head(outputs: ModelOutputs, loader: Any, source: str) -> None:
    """Checks that the samples have as many labels as a model gives: one, or several.

    Raises:
        ValueError: They have not.
    """
    if (outputs.head == MULTIPLE) != is_multi_label(loader):
        gives, has = ("several labels", "one") if outputs.head == MULTIPLE else ("one label", "several")
        raise ValueError(
            f"{source} was trained on images of {gives} each, but those of the data have {has}; give data of the same "
            "kind (several labels: a list with a column labels, see docs/data.md)"
        )


def check_loss(cfg: Config, loader: Any) -> None:
    """Checks that the loss, and a teacher beside it, have a meaning for samples of several labels, if there are such.

    Raises:
        ValueError: They have not.
    """
    if is_multi_label(loader) and cfg.teacher:
        raise ValueError("teacher: these samples have several labels; distillation is for one, so leave out teacher")
    if is_multi_label(loader) and cfg.loss not in _LOSSES_OF_SEVERAL:
        raise ValueError(
            f"loss {cfg.loss!r} is for one label a sample, but these samples have several; "
            f"set loss: {' or '.join(_LOSSES_OF_SEVERAL)}"
        )


def prepare_network(cfg: Config, network: nn.Cell, amp_level: str) -> nn.Cell:
    """Returns the network in mixed precision, with normalisation in front of it where the host leaves that to it."""
    network = engine.auto_mixed_precision(network, amp_level, cfg.amp_cast_list, amp_dtype=cfg.amp_dtype)
    if not cfg.normalize_on_device:
        return network
    preprocess = EvalPreprocess.from_config(cfg)
    return engine.NormalizedNetwork(network, preprocess.mean, preprocess.std)


def build_loss(cfg: Config, **options: Any) -> nn.Cell:
    """Returns the loss, without class weights, which are for training.

    `options` take the place of the config's; evaluation needs `reduction="none"`.
    """
    return create_loss(**{**cfg.arguments("create_loss"), "weight": None, **options})


def build_class_weights(cfg: Config, loader: Any, num_classes: int) -> np.ndarray | None:
    """Returns the factors of the training loss by class (num_classes,), or None where all classes count alike.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It does not fit the classes.
    """
    if cfg.class_weights is None:
        return None
    samples = get_samples(loader)
    weights = class_weights(cfg.class_weights, samples, num_classes)
    lowest, highest = int(weights.argmin()), int(weights.argmax())
    names = samples.class_names or []
    _logger.info(
        "class weights (%s): %.4g (%s) to %.4g (%s)",
        cfg.class_weights,
        *(weights[lowest], names[lowest] if lowest < len(names) else lowest),
        *(weights[highest], names[highest] if highest < len(names) else highest),
    )
    return weights


def build_learning_rates(cfg: Config, steps_per_epoch: int) -> list[float]:
    """Returns one learning rate for each update; with gradient accumulation that is every n-th step's."""
    arguments = cfg.arguments("create_scheduler")
    if cfg.lr_base_batch_size:
        images = cfg.batch_size * engine.world_size() * cfg.gradient_accumulation_steps
        factor = images / cfg.lr_base_batch_size
        arguments |= {"lr": cfg.lr * factor, "min_lr": cfg.min_lr * factor}
        _logger.info(
            "lr %g -> %g, min_lr %g -> %g: an update has %d images, lr_base_batch_size is %d",
            *(cfg.lr, arguments["lr"], cfg.min_lr, arguments["min_lr"], images, cfg.lr_base_batch_size),
        )
    rates = create_scheduler(steps_per_epoch, num_epochs=cfg.epoch_size, **arguments)
    updates = rates[cfg.gradient_accumulation_steps - 1 :: cfg.gradient_accumulation_steps]
    if not updates:
        raise ValueError(
            f"gradient_accumulation_steps is {cfg.gradient_accumulation_steps}, the run has {len(rates)} steps"
        )
    return updates


def check_resumed_rates(cfg: Config, resumed: engine.Resumed, learning_rates: Sequence[float]) -> None:
    """Checks that the learning rate goes on where the run that is resumed was.

    Raises:
        ValueError: It would jump, as when a schedule follows from an epoch_size that was raised.
    """
    now = cfg.model_dump(mode="json", include={*ScheduleKeys.model_fields, "epoch_size"})
    old = {name: resumed.config.get(name, value) for name, value in now.items()}
    changed = [f"{name} {value} -> {now[name]}" for name, value in old.items() if value != now[name]]
    if changed:
        before = build_learning_rates(cfg.model_copy(update=old), resumed.saved["steps_per_epoch"])
        updates = resumed.global_step // cfg.gradient_accumulation_steps
        engine.check_same_rates(before, learning_rates, updates, ", ".join(changed), cfg.resume_force)


def build_step(
    cfg: Config,
    network: nn.Cell,
    num_classes: int,
    learning_rates: list[float],
    class_weights: np.ndarray | None = None,
    teacher: nn.Cell | None = None,
) -> engine.TrainStep:
    """Returns the training step with its optimizer; `class_weights` (num_classes,) are those of its loss.

    The network learns from the `teacher` of `build_teacher` too, where there is one.
    """
    if cfg.freeze:
        engine.freeze(network, cfg.freeze)
    if cfg.sync_bn:
        engine.synchronize_batch_norm(network)
    if cfg.batch_size == 1 or not cfg.drop_remainder:  # so that a batch can have one image
        engine.keep_variance_of_one_value(network)
    optimizer = create_optimizer(network, **{**cfg.arguments("create_optimizer"), "lr": learning_rates})
    model = network
    network, loss = prepare_network(cfg, model, cfg.amp_level), build_loss(cfg, weight=class_weights)
    if teacher is not None:
        network = engine.WithTeacher(network, teacher)
        has_own_head = getattr(model, "has_distillation_head", False)
        if has_own_head:
            model.is_distilling = True
        loss = DistillationLoss(loss, str(cfg.distill), cfg.distill_alpha, cfg.distill_temperature, has_own_head)
    if cfg.recompute:
        engine.recompute_blocks(model)
    mixes = cfg.normalize_on_device and mixes_batches(cfg)
    return engine.TrainStep(
        engine.LossWithMixing(network, loss, num_classes) if mixes else engine.LossWithNetwork(network, loss),
        optimizer,
        engine.LossScale.of_type(
            cfg.loss_scale_type, cfg.loss_scale, cfg.drop_overflow_update, cfg.amp_level, cfg.amp_dtype
        ),
        ema=cfg.ema,
        ema_decay=cfg.ema_decay,
        clip_grad=cfg.clip_grad,
        clip_value=cfg.clip_value,
        clip_mode=cfg.clip_mode,
        not_clipped=_head_parameters(model),
        sam_rho=cfg.sam_rho,
        gradient_accumulation_steps=cfg.gradient_accumulation_steps,
        ema_warmup=cfg.ema_warmup,
        ema_interval=cfg.ema_interval,
    )


def _head_parameters(model: nn.Cell) -> list[str]:
    """Names of the parameters of the layers that give the logits."""
    heads = tuple(f"{name}." for name in getattr(model, "gives_logits", ("classifier",)))
    return [parameter.name for path, parameter in model.parameters_and_names() if path.startswith(heads)]


def build_compile_cache(cfg: Config, device: str, is_sunk: bool = False) -> engine.CompileCache | None:
    """Returns where compiled graphs are kept, or None for nowhere; `is_sunk`: batches come from the device's queue."""
    return engine.open_compile_cache(cfg.compile_cache, device, cfg.mode, cfg.jit_level, is_sunk)


def build_feed(
    cfg: Config,
    step: engine.TrainStep,
    loader: Any,
    device: str,
    steps_done: int,
    compile_cache: engine.CompileCache | None = None,
) -> engine.HostFeed | engine.SinkFeed:
    """Returns what hands batches to the step; `compile_cache` is where its compiled graph is kept."""
    # The queue runs over all epochs and knows none of them, so mixing could not end in it.
    if not cfg.mixup_off_epoch and engine.can_sink(cfg.dataset_sink_mode, device, cfg.mode):
        return engine.SinkFeed(step, loader, cfg.epoch_size, steps_done)
    seed = cfg.seed + engine.rank()
    return engine.HostFeed(
        step, lambda epoch, first_step: epoch_batches(loader, epoch, first_step, seed), compile_cache
    )


def build_saver(
    cfg: Config,
    network: nn.Cell,
    folder: Path,
    steps_per_epoch: int,
    rule: WriteRule | None = None,
    before_write: Callable[[], None] | None = None,
    on_saved: Callable[[], None] | None = None,
    *,
    outputs: ModelOutputs | None = None,
    data: DataFingerprint | None = None,
) -> engine.CheckpointSaver | None:
    """Returns what saves checkpoints on this rank, or None where it saves none.

    It calls `before_write` before and `on_saved` after each; `rule` says what a file that cannot be written means.
    `outputs` say what the network's outputs mean, `data` is the fingerprint of the training data.
    """
    if engine.rank() > 0:
        if cfg.ckpt_save_on == "master":
            return None
        folder = folder / f"rank_{engine.rank()}"
    versions = {"mindcv": __version__, "mindspore": ms.__version__}
    run_info = {"config": cfg.model_dump(), "versions": versions, "world_size": engine.world_size()}
    run_info |= {"steps_per_epoch": steps_per_epoch, "data": data.to_json() if data else None}
    return engine.CheckpointSaver(
        *(folder, cfg.model, cfg.ckpt_save_policy, cfg.keep_checkpoint_max, run_info, cfg.ckpt_async, rule),
        before_write=before_write,
        on_saved=on_saved,
        marks={**checkpoint_marks(network), **(outputs.entry() if outputs else {})},
    )
