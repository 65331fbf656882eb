"""The evaluation preprocessing as one value, for validation, export and inference alike."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore.dataset import vision

from ..utils.pixel_scale import unit_scale_problem
from .constants import (
    CIFAR_MEAN,
    CIFAR_STD,
    DEFAULT_CROP_PCT,
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    MNIST_MEAN,
    MNIST_STD,
)
from .images.decoding import Decode
from .images.interpolation import mindspore_interpolation, pillow_interpolation
from .images.normalisation import HWC2CHW, Normalize
from .images.resizing import ROUNDINGS, ResizeAndCrop, ToGrey

if TYPE_CHECKING:  # a pipeline needs no config, whose schema takes memory and time
    from ..config import Config

__all__ = ["EvalPreprocess", "with_image_size", "with_preprocess_of"]

_logger = logging.getLogger(__name__)

# Datasets that come with figures of their own, as upstream has them: the whole picture is resized, nothing is cut off.
_PRESETS: dict[str, dict[str, Any]] = {
    "cifar10": {"mean": CIFAR_MEAN, "std": CIFAR_STD, "crop_pct": 1.0},
    "cifar100": {"mean": CIFAR_MEAN, "std": CIFAR_STD, "crop_pct": 1.0},
    "mnist": {"mean": MNIST_MEAN, "std": MNIST_STD, "crop_pct": 1.0},
}


# timm's words. "squash" is what ConvNeXt is evaluated with at 384 pixels.
CROP_MODES = ("center", "squash")
# Of the resized image, in pixels: 3 GB of float32 with three channels.
LARGEST_SIDE = 16384
# Above 1 the resized image is smaller than the network's, and has a black border (timm's volo at 448 pixels: 1.15).
LARGEST_CROP_PCT = 2.0


def preset_of(dataset_name: str) -> dict[str, Any]:
    """The preprocessing figures that a dataset fixes, empty for most."""
    return _PRESETS.get(dataset_name.lower(), {})


def as_size(image_resize: int | Sequence[int]) -> tuple[int, int]:
    """Returns (height, width) of an image size given as a number or a pair.

    Raises:
        ValueError: It is neither, or not positive.
    """
    pair = (image_resize, image_resize) if isinstance(image_resize, int) else tuple(image_resize)
    if len(pair) != 2 or any(int(side) != side or side < 1 for side in pair):
        raise ValueError(f"image_resize must be a number of pixels or (height, width), got {image_resize!r}")
    return int(pair[0]), int(pair[1])


def with_preprocess_of(config: "Config", weights: Mapping[str, Any]) -> "Config":
    """Returns a run's config with the preprocessing that published weights are meant for, where it has none of its own.

    What recipe or command line set stays. The log says in one line what was taken, and in one what contradicts.

    Args:
        config: The run's config.
        weights: The entries of a `PretrainedCfg`: url, input_size, crop_pct, interpolation, mean, std and
            resize_rounding, crop_mode.
    """
    if not weights["url"]:
        return config  # nothing is published, which a log line says when the network is built
    _, height, width = weights["input_size"]
    own = {
        "image_resize": height if height == width else (height, width),
        "crop_pct": weights["crop_pct"],
        "interpolation": weights["interpolation"],
        "mean": tuple(weights["mean"]),
        "std": tuple(weights["std"]),
    }
    if weights.get("resize_rounding", "floor") != "floor":
        own["resize_rounding"] = weights["resize_rounding"]
    if weights.get("crop_mode", "center") != "center":
        own["crop_mode"] = weights["crop_mode"]
    if config.in_channels != len(own["mean"]):
        del own["mean"], own["std"]
    own = {name: value for name, value in own.items() if name not in preset_of(config.dataset)}
    taken = {name: value for name, value in own.items() if name not in config.model_fields_set}
    other = {name: value for name, value in own.items() if name not in taken and not _is_same(config, name, value)}
    title = f"{weights['architecture']}.{weights['tag']}".rstrip(".")
    if taken:
        _logger.info("preprocessing of the weights %s: %s", title, _in_words(taken))
    if other:
        set_here = _in_words({name: getattr(config, name) for name in other})
        _logger.warning(
            "%s is used as it is set, though the weights %s are meant for %s", set_here, title, _in_words(other)
        )
    return config.model_copy(update=taken)


def with_image_size(config: "Config", size: tuple[int, int] | None) -> "Config":
    """Returns a run's config with the image size that its network is built for, where it has none of its own.

    Args:
        config: The run's config.
        size: Height and width; None: the network takes images of any size.
    """
    if size is None or "image_resize" in config.model_fields_set or "image_resize" in preset_of(config.dataset):
        return config
    value = size[0] if size[0] == size[1] else size
    if value != config.image_resize:
        _logger.info("image_resize %s: what %s is built for", value, config.model)
    return config.model_copy(update={"image_resize": value})


def _is_same(config: "Config", name: str, value: Any) -> bool:
    """Whether a key has a value, but for a rounding in the last digits."""
    found = getattr(config, name)
    if name in ("mean", "std"):
        return len(found) == len(value) and bool(np.allclose(found, value, rtol=1e-4, atol=1e-3))
    return found == value


def _in_words(values: Mapping[str, Any]) -> str:
    from ..config import format_value

    return ", ".join(f"{name} {format_value(value)}" for name, value in values.items())


def check_channels(channels: int) -> None:
    """Checks that images can be read with so many channels.

    Raises:
        ValueError: They cannot.
    """
    if channels not in (1, 3):
        raise ValueError(
            f"in_channels is {channels}: images are read with 3 channels (RGB) or 1 (grey); feed others by a "
            "pipeline of your own, or as arrays to mindcv.Classifier"
        )


def channel_figures(
    dataset_name: str, mean: Sequence[float], std: Sequence[float], in_channels: int | None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and deviation with a value for each channel.

    One number counts for all channels. Three for one channel, which is grey, become their mean.

    Args:
        dataset_name: The dataset, whose images may have one channel (mnist).
        mean: One value a channel, or one for all.
        std: As many.
        in_channels: Channels that the network sees. None: as many as the dataset has.

    Raises:
        ValueError: There are fewer or more values than channels, or the dataset has other channels.
    """
    own = 1 if dataset_name.lower() == "mnist" else 3
    channels = in_channels or own
    if own == 1 != channels:
        raise ValueError(
            f"in_channels is {channels}, but images of dataset {dataset_name!r} have 1; set in_channels: 1"
        )
    return _for_channels("mean", mean, channels), _for_channels("std", std, channels)


def _for_channels(name: str, values: Sequence[float], channels: int) -> tuple[float, ...]:
    if channels == 1 and len(values) == 3:
        return (sum(values) / 3,)
    if len(values) not in (1, channels):
        raise ValueError(
            f"in_channels is {channels}, but {name} has {len(values)} values; give {channels}, or one for all channels"
        )
    return tuple(values) * (channels // len(values))


@dataclass(frozen=True)
class EvalPreprocess:
    """Resize, centre crop, normalise.

    An image keeps its proportions, unless `crop_mode` says otherwise. For a square its shorter side becomes
    `image_size / crop_pct`, rounded down, as in torchvision. For other sizes it is made just as large that both sides
    cover `image_size / crop_pct`, as in timm.

    Attributes:
        image_size: (height, width) that the network sees, in pixels.
        crop_pct: The crop's side over the resized image's, above 0 and at most 2; above 1 the border is black.
        interpolation: nearest, bilinear, bicubic, area or antialias (Lanczos).
        mean: One value a channel, on the 0 to 255 scale. As many as there are, so many channels has the network's
            image: 3 (RGB) or 1 (grey, see `ToGrey`); others can be fed from arrays only.
        std: One value a channel, on the 0 to 255 scale.
        antialias: True: resize by Pillow, whose filters cover all pixels that are shrunk into one; weights from timm
            and torchvision are meant for this. False: MindSpore's own resize, which upstream's published accuracies
            were measured with; it stretches images to the proportions of a size that is not square.
        resize_rounding: The longer side of the resized image, for square sizes: "floor" rounds it down, as torchvision
            does, "round" to the nearest pixel.
        crop_mode: "center", or "squash": both sides become `image_size / crop_pct`, whatever the image's proportions,
            as timm has it.
    """

    image_size: tuple[int, int] = (224, 224)
    crop_pct: float = DEFAULT_CROP_PCT
    interpolation: str = "bilinear"
    mean: tuple[float, ...] = tuple(IMAGENET_DEFAULT_MEAN)
    std: tuple[float, ...] = tuple(IMAGENET_DEFAULT_STD)
    antialias: bool = True
    resize_rounding: str = "floor"
    crop_mode: str = "center"

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", as_size(self.image_size))
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        if not 0 < self.crop_pct <= LARGEST_CROP_PCT:
            raise ValueError(f"crop_pct must be above 0 and at most {LARGEST_CROP_PCT:g}, got {self.crop_pct}")
        if len(self.mean) != len(self.std) or not self.mean:
            raise ValueError(f"mean and std must have one value a channel each, got {self.mean} and {self.std}")
        if not all(math.isfinite(value) for value in (*self.mean, *self.std)):
            raise ValueError(f"mean and std must be finite numbers, got {self.mean} and {self.std}")
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, got {self.std}")
        problem = unit_scale_problem(self.mean, self.std)
        if problem:
            raise ValueError(problem)
        resized = self.resize_size
        if (resized if isinstance(resized, int) else max(resized)) > LARGEST_SIDE:
            raise ValueError(
                f"image_resize {self.image_size} with crop_pct {self.crop_pct} resizes images to {resized} pixels; "
                f"allowed are {LARGEST_SIDE}"
            )
        if self.resize_rounding not in ROUNDINGS:
            raise ValueError(f"resize_rounding is {self.resize_rounding!r}; give {' or '.join(map(repr, ROUNDINGS))}")
        if self.crop_mode not in CROP_MODES:
            raise ValueError(f"crop_mode is {self.crop_mode!r}; give {' or '.join(map(repr, CROP_MODES))}")
        if self.resize_rounding != "floor" and self.crop_mode == "squash":
            raise ValueError("crop_mode 'squash' leaves nothing to round; leave out resize_rounding")
        if self.resize_rounding != "floor" and not self.antialias:
            raise ValueError(f"resize_rounding {self.resize_rounding!r} is Pillow's; set antialias to True")
        if self.antialias:
            pillow_interpolation(self.interpolation)
        else:
            mindspore_interpolation(self.interpolation)

    @classmethod
    def for_dataset(
        cls,
        dataset_name: str,
        image_resize: int | Sequence[int] = 224,
        in_channels: int | None = None,
        **options: Any,
    ) -> "EvalPreprocess":
        """Returns the preprocessing of a dataset; where the dataset fixes a figure (cifar, mnist), that one counts.

        Raises:
            ValueError: A figure is out of range, or there are not as many as channels, see `channel_figures`.
        """
        figures = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD, **options, **preset_of(dataset_name)}
        mean, std = channel_figures(dataset_name, figures.pop("mean"), figures.pop("std"), in_channels)
        return cls(image_size=as_size(image_resize), mean=mean, std=std, **figures)

    @classmethod
    def from_config(cls, config: Any) -> "EvalPreprocess":
        """Returns the preprocessing that a run's config describes."""
        return cls.for_dataset(
            config.dataset,
            getattr(config, "val_image_resize", None) or config.image_resize,
            config.in_channels,
            crop_pct=config.crop_pct,
            interpolation=config.interpolation,
            mean=config.mean,
            std=config.std,
            resize_rounding=getattr(config, "resize_rounding", "floor"),
            crop_mode=getattr(config, "crop_mode", "center"),
        )

    @property
    def resize_size(self) -> int | tuple[int, int]:
        """The shorter side (square sizes) or (height, width) to cover, or to take, of the image before the crop."""
        height, width = (math.floor(side / self.crop_pct) for side in self.image_size)
        is_square = self.image_size[0] == self.image_size[1]
        return height if is_square and self.crop_mode == "center" else (height, width)

    def operations(self, encoded: bool = True, normalise: bool = True) -> list[Callable]:
        """Returns the operations for `dataset.map`.

        Args:
            encoded: Whether images come as the bytes of a file, not as uint8 (H, W, C).
            normalise: Whether mean and std are applied; False for a network that does it itself.

        Returns:
            Operations that end in float32 (C, H, W), or in uint8 when not normalised.
        """
        last = [Normalize(self.mean, self.std)] if normalise else []
        return [*self.pixel_operations(encoded), *last, HWC2CHW()]

    def pixel_operations(self, encoded: bool = True) -> list[Callable]:
        """Returns the operations up to normalisation, which end in uint8 (H, W, C).

        Args:
            encoded: Whether images come as the bytes of a file, not as uint8 (H, W, C).
        """
        decode = [Decode()] if encoded else []
        grey = [ToGrey()] if len(self.mean) == 1 else []
        return [*decode, *self._resize_and_crop(), *grey]

    def _resize_and_crop(self) -> list[Callable]:
        if self.antialias:
            interpolation = pillow_interpolation(self.interpolation)
            squash = self.crop_mode == "squash"
            return [ResizeAndCrop(self.resize_size, self.image_size, interpolation, self.resize_rounding, squash)]
        resize = vision.Resize(self.resize_size, mindspore_interpolation(self.interpolation))
        return [resize, vision.CenterCrop(self.image_size)]
