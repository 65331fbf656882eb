"""Transforms by dataset and options: lists of operations that end in a normalised float32 (C, H, W) image."""

from collections.abc import Callable, Sequence
from typing import Any

from ..utils.pixel_scale import unit_scale_problem
from ..utils.registry import unknown_name_message
from .auto_augment import augmentation_transform
from .constants import DEFAULT_CROP_PCT, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from .dataset_factory import is_encoded
from .images.arrays import PaddedCrop, RandomArrayCrop
from .images.color_jitter import ColorJitter
from .images.decoding import RandomCrop, Resize, SimpleRandomCrop
from .images.erasing import PixelErasing, RandomErasing
from .images.flips import RandomHorizontalFlip, RandomVerticalFlip
from .images.interpolation import mindspore_interpolation, pillow_interpolation
from .images.normalisation import HWC2CHW, Normalize
from .images.resizing import ToGrey
from .images.settings import checked_range, checked_share
from .preprocess import EvalPreprocess, as_size, channel_figures, check_channels, preset_of

__all__ = ["RandomErasing", "create_transforms"]

# Options and their defaults, upstream's.
_TRAIN_OPTIONS: dict[str, Any] = {
    "scale": (0.08, 1.0),
    "ratio": (0.75, 1.333),
    "hflip": 0.5,
    "vflip": 0.0,
    "color_jitter": None,
    "interpolation": "bilinear",
    "mean": IMAGENET_DEFAULT_MEAN,
    "std": IMAGENET_DEFAULT_STD,
    "re_prob": 0.0,
    "re_scale": (0.02, 0.33),
    "re_ratio": (0.3, 3.3),
    "re_value": 0,
    "re_max_attempts": 10,
    "re_count": 1,
    "train_crop": "random_resized",
    "normalize_on_device": False,
    "in_channels": None,
}
_EVAL_OPTIONS: dict[str, Any] = {
    "crop_pct": DEFAULT_CROP_PCT,
    "interpolation": "bilinear",
    "mean": IMAGENET_DEFAULT_MEAN,
    "std": IMAGENET_DEFAULT_STD,
    "antialias": True,
    "resize_rounding": "floor",
    "crop_mode": "center",
    "normalize_on_device": False,
    "in_channels": None,
}


def _color_jitter(strength: float | Sequence[float] | None) -> list[Callable]:
    """Brightness, contrast and saturation (and hue, when four strengths are given)."""
    if strength is None:
        return []
    strengths = tuple(strength) if isinstance(strength, Sequence) else (float(strength),) * 3
    if len(strengths) not in (3, 4) or min(strengths) < 0:
        raise ValueError(
            "color_jitter must be one strength, or three or four for brightness, contrast, saturation, hue; "
            f"got {strength!r}"
        )
    if len(strengths) == 4 and strengths[3] > 0.5:
        raise ValueError(f"color_jitter: the hue's strength must be at most 0.5, got {strengths[3]}")
    return [ColorJitter(*strengths)] if any(strengths) else []


def _flips(options: dict[str, Any]) -> list[Callable]:
    flips = {"hflip": RandomHorizontalFlip, "vflip": RandomVerticalFlip}
    return [flip(checked_share(key, options[key])) for key, flip in flips.items() if options[key]]


def _random_crop(dataset_name: str, size: tuple[int, int], options: dict[str, Any]) -> list[Callable]:
    """What comes first in training: the random crop, for image files together with decoding."""
    interpolation = mindspore_interpolation(options["interpolation"])
    if dataset_name in ("cifar10", "cifar100"):
        return [PaddedCrop((32, 32), 4), Resize(size, interpolation)]
    if dataset_name == "mnist":
        return [Resize(size, interpolation)]
    if options["train_crop"] == "simple":
        return [SimpleRandomCrop(size, pillow_interpolation(options["interpolation"]))]
    if options["train_crop"] != "random_resized":
        raise ValueError(unknown_name_message("train_crop", options["train_crop"], ("random_resized", "simple")))
    scale, ratio = checked_range("scale", options["scale"]), checked_range("ratio", options["ratio"])
    crop = RandomCrop if is_encoded(dataset_name) else RandomArrayCrop
    return [crop(size, scale, ratio, interpolation)]


def _normalisation(options: dict[str, Any]) -> list[Callable]:
    """Normalising and channels first, unless the device does it."""
    if options["normalize_on_device"]:
        return []
    return [Normalize(options["mean"], options["std"]), HWC2CHW()]


def _train_transforms(
    dataset_name: str, size: tuple[int, int], auto_augment: str | None, options: dict[str, Any]
) -> tuple[list[Callable], list[Callable], list[Callable]]:
    """Returns the operations in three parts: crop and flips, colours and policy, normalisation and erasing."""
    mean, std = channel_figures(dataset_name, options["mean"], options["std"], options["in_channels"])
    problem = unit_scale_problem(mean, std)
    if problem:
        raise ValueError(problem)
    options = {**options, "mean": mean, "std": std}
    first = _random_crop(dataset_name, size, options)
    if dataset_name == "mnist":
        # Digits have a right way up and one channel: upstream resizes and normalises them, no more.
        if auto_augment:
            raise ValueError(f"auto_augment {auto_augment!r} needs images of three channels; dataset 'mnist' has one")
        return first, [], _normalisation(options)
    first += _flips(options)
    second = []
    if auto_augment:
        # Policies are for RGB; what is uncovered gets the mean.
        filling = mean if len(mean) == 3 else mean * 3
        second.append(augmentation_transform(auto_augment, filling, options["interpolation"]))
    # 3-Augment comes with colour jitter (https://arxiv.org/abs/2204.07118); the other policies have their own colours.
    if not auto_augment or auto_augment.startswith("3a"):
        second += _color_jitter(options["color_jitter"])
    third = [*([ToGrey()] if len(mean) == 1 else []), *_normalisation(options)]
    if options["re_prob"]:
        erasing = [options[f"re_{name}"] for name in ("prob", "scale", "ratio", "value", "max_attempts", "count")]
        on_device = options["normalize_on_device"]
        third.append(PixelErasing(mean, std, *erasing) if on_device else RandomErasing(*erasing))
    return first, second, third


def create_transforms(
    dataset_name: str = "",
    image_resize: int | Sequence[int] = 224,
    is_training: bool = False,
    auto_augment: str | None = None,
    separate: bool = False,
    **kwargs: Any,
) -> list[Callable] | tuple[list[Callable], list[Callable], list[Callable]]:
    """Returns the operations that make a network's input of an image.

    Args:
        dataset_name: A name that `create_dataset` takes. cifar10, cifar100 and mnist have mean, std and crop of their
            own; mnist is never augmented.
        image_resize: Side of the result, or (height, width), in pixels.
        is_training: Random transforms for training, or those for evaluation.
        auto_augment: Policy for training, for example `randaug-m9-mstd0.5-inc1`, `autoaug`, `autoaugr`, `3a`,
            `trivialaugwide`, `augmix-m5-w4-d2`; see `mindcv.data.auto_augment`. It takes the place of colour jitter,
            except `3a`.
        separate: In training, the three parts that augmentation splits need (crop and flips; colours and policy; the
            rest).
        **kwargs: scale, ratio, hflip, vflip, color_jitter, re_prob, re_scale, re_ratio, re_value, re_max_attempts,
            re_count, train_crop (training); crop_pct, antialias, resize_rounding, crop_mode (evaluation);
            interpolation, mean, std, normalize_on_device, in_channels (both). Each may be given to either, so that one
            recipe serves both.
            mean and std are on the 0 to 255 scale, one number for all channels or one for each; with `in_channels` 1
            images become grey behind all else, None is the dataset's own channels. `normalize_on_device` leaves out
            normalisation and HWC2CHW, so that images stay uint8 (H, W, C), for a network that does these itself
            (`mindcv.engine.NormalizedNetwork`).

    Returns:
        A list of operations for `dataset.map(operations=..., input_columns="image")`, or three lists when `separate`.

    Raises:
        ValueError: A keyword, interpolation or policy is unknown, or a value out of range.
    """
    known = _TRAIN_OPTIONS | _EVAL_OPTIONS
    for key in kwargs:
        if key not in known:
            raise ValueError(unknown_name_message("transform option", key, known))
    name = dataset_name.lower()
    size = as_size(image_resize)
    if kwargs.get("in_channels") is not None:
        check_channels(kwargs["in_channels"])
    if not is_training:
        options = {key: value for key, value in kwargs.items() if key in _EVAL_OPTIONS}
        on_device = options.pop("normalize_on_device", False)
        preprocess = EvalPreprocess.for_dataset(name, size, **options)
        encoded = is_encoded(name)
        return preprocess.pixel_operations(encoded) if on_device else preprocess.operations(encoded)
    parts = _train_transforms(name, size, auto_augment, {**_TRAIN_OPTIONS, **kwargs, **preset_of(name)})
    return parts if separate else [*parts[0], *parts[1], *parts[2]]
