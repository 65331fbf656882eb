"""Augmentation policies: AutoAugment, RandAugment, TrivialAugmentWide, AugMix and 3-Augment.

Papers:
    AutoAugment, https://arxiv.org/abs/1805.09501
    RandAugment, https://arxiv.org/abs/1909.13719
    TrivialAugment, https://arxiv.org/abs/2103.10158
    AugMix, https://arxiv.org/abs/1912.02781
    3-Augment (DeiT III), https://arxiv.org/abs/2204.07118

A policy is written as text, its name and then sections of a letter code and a number, in any order:
`randaug-m9-mstd0.5-inc1`. Transforms are for uint8 (H, W, 3): they draw what is done to an image as steps of
`mindcv.data.images.operations`, which does them; where their random numbers come from is in `mindcv.data.randomness`.
"""

import math
import random
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ..utils.registry import unknown_name_message
from .images import operations
from .images.interpolation import pillow_interpolation
from .images.operations import Step
from .randomness import RandomOperation, generator_of

__all__ = [
    "aug_mix_transform",
    "auto_augment_transform",
    "rand_augment_transform",
    "trivial_augment_wide_transform",
]

_MAX_LEVEL = 10.0
_WIDE_LEVELS = 30
_FILL = (128, 128, 128)
_DEFAULT_MAGNITUDE_STD = 0.5
# Above this, `mstd` means that the magnitude is uniform between 0 and `m`.
_UNIFORM_ABOVE = 100.0


class _Context(NamedTuple):
    """What an operation may need besides its argument: `size` is the image's, (height, width)."""

    size: tuple[int, int]
    rng: random.Random
    resamplings: Sequence[Image.Resampling]
    fill: tuple[int, ...]


def _signed(value: float, rng: random.Random) -> float:
    return -value if rng.random() < 0.5 else value


# Operations: (argument, context) -> step, or None where nothing is done. Geometry is given as the paper does, by the
# matrix from target to source points.


def _affine(matrix: tuple[float, ...], context: _Context) -> Step:
    return operations.affine(matrix, context.rng.choice(context.resamplings), context.fill)


def _shear_x(slope, context):
    return _affine((1, slope, 0, 0, 1, 0), context)


def _shear_y(slope, context):
    return _affine((1, 0, 0, slope, 1, 0), context)


def _translate_x(share, context):
    return _affine((1, 0, share * context.size[1], 0, 1, 0), context)


def _translate_y(share, context):
    return _affine((1, 0, 0, 0, 1, share * context.size[0]), context)


def _rotate(degrees, context):
    return operations.rotate(context.size, degrees, context.rng.choice(context.resamplings), context.fill)


def _identity(_, __):
    return None


def _posterize(bits, _):
    """Keeps the upper `bits` of each value, at least 1: with none, which some levels ask for, all is black."""
    return operations.posterize(max(1, bits)) if bits < 8 else None


def _with_argument(operation: Callable[[float], Step]) -> Callable:
    return lambda argument, _: operation(argument)


def _without_argument(operation: Callable[[], Step]) -> Callable:
    return lambda _, __: operation()


def _desaturate(share, _):
    return operations.saturation(1.0 - share)


def _blur(greatest, context):
    return operations.gaussian_blur(context.rng.uniform(0.1, greatest))


# Arguments of operations: (level from 0 to 1, generator) -> argument.


def _range(low: float, high: float) -> Callable:
    return lambda level, _: low + (high - low) * level


def _both_ways(greatest: float) -> Callable:
    return lambda level, rng: _signed(greatest * level, rng)


def _around_one(greatest: float, least: float = 0.0) -> Callable:
    return lambda level, rng: max(least, 1.0 + _signed(greatest * level, rng))


def _whole(low: float, high: float) -> Callable:
    return lambda level, _: int(low + (high - low) * level)


def _none(_: float, __: random.Random) -> None:
    return None


class _Operation(NamedTuple):
    step: Callable[[Any, _Context], Step | None]
    argument: Callable[[float, random.Random], Any]


_auto_contrast, _equalize = _without_argument(operations.auto_contrast), _without_argument(operations.equalize)
_invert, _solarize = _without_argument(operations.invert), _with_argument(operations.solarize)
_color, _contrast = _with_argument(operations.saturation), _with_argument(operations.contrast)
_brightness, _sharpness = _with_argument(operations.brightness), _with_argument(operations.sharpness)

# AutoAugment's table 6 and RandAugment. "Increasing": changes grow with the level, where the plain ones shrink or run
# from one end of a range to the other.
_OPERATIONS: dict[str, _Operation] = {
    "AutoContrast": _Operation(_auto_contrast, _none),
    "Equalize": _Operation(_equalize, _none),
    "Invert": _Operation(_invert, _none),
    "Rotate": _Operation(_rotate, _both_ways(30.0)),
    "Posterize": _Operation(_posterize, _whole(0, 4)),
    "PosterizeIncreasing": _Operation(_posterize, lambda level, _: 4 - int(level * 4)),
    "PosterizeOriginal": _Operation(_posterize, _whole(4, 8)),
    "Solarize": _Operation(_solarize, _whole(0, 256)),
    "SolarizeIncreasing": _Operation(_solarize, lambda level, _: 256 - int(level * 256)),
    "Color": _Operation(_color, _range(0.1, 1.9)),
    "ColorIncreasing": _Operation(_color, _around_one(0.9, 0.1)),
    "Contrast": _Operation(_contrast, _range(0.1, 1.9)),
    "ContrastIncreasing": _Operation(_contrast, _around_one(0.9, 0.1)),
    "Brightness": _Operation(_brightness, _range(0.1, 1.9)),
    "BrightnessIncreasing": _Operation(_brightness, _around_one(0.9, 0.1)),
    "Sharpness": _Operation(_sharpness, _range(0.1, 1.9)),
    "SharpnessIncreasing": _Operation(_sharpness, _around_one(0.9, 0.1)),
    "ShearX": _Operation(_shear_x, _both_ways(0.3)),
    "ShearY": _Operation(_shear_y, _both_ways(0.3)),
    "TranslateX": _Operation(_translate_x, _both_ways(0.45)),
    "TranslateY": _Operation(_translate_y, _both_ways(0.45)),
    "Desaturate": _Operation(_desaturate, _range(0.5, 1.0)),
    "GaussianBlurRand": _Operation(_blur, _range(0.1, 2.0)),
}

# TrivialAugment's "wide" space (table 6 of the paper); translation by at most 32 pixels, as a share of the images it
# was made for (224).
_WIDE_OPERATIONS: dict[str, _Operation] = {
    "Identity": _Operation(_identity, _none),
    "AutoContrast": _Operation(_auto_contrast, _none),
    "Equalize": _Operation(_equalize, _none),
    "Rotate": _Operation(_rotate, _both_ways(135.0)),
    "Posterize": _Operation(_posterize, lambda level, _: 8 - round(6 * level)),
    "Solarize": _Operation(_solarize, lambda level, _: 256 - int(level * 256)),
    "Color": _Operation(_color, _around_one(0.99)),
    "Contrast": _Operation(_contrast, _around_one(0.99)),
    "Brightness": _Operation(_brightness, _around_one(0.99)),
    "Sharpness": _Operation(_sharpness, _around_one(0.99)),
    "ShearX": _Operation(_shear_x, _both_ways(0.99)),
    "ShearY": _Operation(_shear_y, _both_ways(0.99)),
    "TranslateX": _Operation(_translate_x, _both_ways(32 / 224)),
    "TranslateY": _Operation(_translate_y, _both_ways(32 / 224)),
}

_RAND_NAMES = (
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "Color", "Contrast", "Brightness",
    "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY",
)  # fmt: skip
_RAND_INCREASING_NAMES = tuple(
    name + "Increasing" if name + "Increasing" in _OPERATIONS else name for name in _RAND_NAMES
)
# `w0`: the share of each operation of _RAND_NAMES, after how much it helped in the paper's ablation (figures from
# timm).
_RAND_WEIGHTS = {0: (0.025, 0.005, 0.0, 0.3, 0.005, 0.005, 0.025, 0.005, 0.005, 0.025, 0.2, 0.2, 0.1, 0.1)}
# The paper's nine, and the four of colour that upstream and timm add.
_AUG_MIX_NAMES = (
    "AutoContrast", "ColorIncreasing", "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing", "Equalize",
    "Rotate", "PosterizeIncreasing", "SolarizeIncreasing", "ShearX", "ShearY", "TranslateX", "TranslateY",
)  # fmt: skip

# AutoAugment's 25 sub-policies for ImageNet (table 9): (operation, probability, level). "Posterize" is
# PosterizeOriginal in `autoaug`, PosterizeIncreasing in `autoaugr`.
_IMAGENET_POLICY = (
    (("Posterize", 0.4, 8), ("Rotate", 0.6, 9)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 5)),
    (("Equalize", 0.8, 8), ("Equalize", 0.6, 3)),
    (("Posterize", 0.6, 7), ("Posterize", 0.6, 6)),
    (("Equalize", 0.4, 7), ("Solarize", 0.2, 4)),
    (("Equalize", 0.4, 4), ("Rotate", 0.8, 8)),
    (("Solarize", 0.6, 3), ("Equalize", 0.6, 7)),
    (("Posterize", 0.8, 5), ("Equalize", 1.0, 2)),
    (("Rotate", 0.2, 3), ("Solarize", 0.6, 8)),
    (("Equalize", 0.6, 8), ("Posterize", 0.4, 6)),
    (("Rotate", 0.8, 8), ("Color", 0.4, 0)),
    (("Rotate", 0.4, 9), ("Equalize", 0.6, 2)),
    (("Equalize", 0.0, 7), ("Equalize", 0.8, 8)),
    (("Invert", 0.6, 4), ("Equalize", 1.0, 8)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Rotate", 0.8, 8), ("Color", 1.0, 2)),
    (("Color", 0.8, 8), ("Solarize", 0.8, 7)),
    (("Sharpness", 0.4, 7), ("Invert", 0.6, 8)),
    (("ShearX", 0.6, 5), ("Equalize", 1.0, 9)),
    (("Color", 0.4, 0), ("Equalize", 0.6, 3)),
    (("Equalize", 0.4, 7), ("Solarize", 0.2, 4)),
    (("Solarize", 0.6, 5), ("AutoContrast", 0.6, 5)),
    (("Invert", 0.6, 4), ("Equalize", 1.0, 8)),
    (("Color", 0.6, 4), ("Contrast", 1.0, 8)),
    (("Equalize", 0.8, 8), ("Equalize", 0.6, 3)),
)
# Solarize at 128, grey, blur: one of the three for each image.
_THREE_AUGMENT_POLICY = ((("Solarize", 1.0, 5),), (("Desaturate", 1.0, 10),), (("GaussianBlurRand", 1.0, 10),))


# Of a section; what is over it no policy can mean, and so many operations would never end.
_LARGEST_NUMBER = 1000


def parse_policy(text: str, names: Sequence[str], keys: dict[str, Callable]) -> tuple[str, dict[str, Any]]:
    """Reads a policy such as `randaug-m9-mstd0.5`.

    Args:
        text: The policy.
        names: Names it may have.
        keys: Codes its sections may have, each with the type of its number.

    Returns:
        The name and the sections' values by code.

    Raises:
        ValueError: A name, a code or a number is wrong.
    """
    name, *sections = str(text).split("-")
    if name not in names:
        raise ValueError(unknown_name_message("augmentation policy", name, names))
    values = {}
    # A "-" also begins a negative number: `d-1` comes apart as "d", "1".
    for section in re.findall(r"[^-]+(?:-\d[\d.]*$|-\d[\d.]*(?=-))?", "-".join(sections)):
        match = re.fullmatch(r"([a-z]+?)(-?\d+(?:\.\d+)?|inf)", section)
        if match is None or match[1] not in keys:
            raise ValueError(
                f"augmentation policy {text!r}: {unknown_name_message('section', match[1] if match else section, keys)}"
            )
        try:
            values[match[1]] = keys[match[1]](match[2])
        except ValueError:
            raise ValueError(f"augmentation policy {text!r}: section {section!r} needs a whole number") from None
        if math.isfinite(values[match[1]]) and abs(values[match[1]]) > _LARGEST_NUMBER:
            raise ValueError(f"augmentation policy {text!r}: section {section!r} is over {_LARGEST_NUMBER}")
    return name, values


class _Settings(NamedTuple):
    """Hyper-parameters that all operations of a transform share."""

    magnitude_std: float
    magnitude_max: float
    resamplings: tuple[Image.Resampling, ...]
    fill: tuple[int, ...]

    @classmethod
    def read(cls, hparams: dict[str, Any] | None, sections: dict[str, Any], magnitude_std: float) -> "_Settings":
        hparams = hparams or {}
        std = sections.get("mstd", hparams.get("magnitude_std", magnitude_std))
        name = hparams.get("interpolation", "random")
        names = ("bilinear", "bicubic") if name == "random" else (getattr(name, "name", name),)
        return cls(
            math.inf if std > _UNIFORM_ABOVE else float(std),
            float(sections.get("mmax", hparams.get("magnitude_max", _MAX_LEVEL))),
            tuple(_resampling(each) for each in names),
            tuple(hparams.get("img_mean", _FILL)),
        )

    def steps(self, operation: _Operation, level: float, size: tuple[int, int], rng: random.Random) -> list[Step]:
        """What an operation does at a level, 0 to 1: one step or none."""
        step = operation.step(operation.argument(level, rng), _Context(size, rng, self.resamplings, self.fill))
        return [] if step is None else [step]


def _resampling(name: str) -> Image.Resampling:
    """Pillow turns and shears by three interpolations only; others are done by the finest of them."""
    wanted = pillow_interpolation(name)
    known = (Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
    return wanted if wanted in known else Image.Resampling.BICUBIC


class AugmentOp:
    """One operation with its probability and magnitude.

    Args:
        operation: What is done.
        prob: How often.
        magnitude: Level, 0 to 10.
        settings: Noise of the level, and what operations share.
    """

    def __init__(self, operation: _Operation, prob: float, magnitude: float, settings: _Settings) -> None:
        self.operation = operation
        self.prob = prob
        self.magnitude = magnitude
        self.settings = settings

    def draw(self, size: tuple[int, int], rng: random.Random) -> list[Step]:
        """Draws what is done to an image of a size (height, width): one step or none."""
        if self.prob < 1.0 and rng.random() >= self.prob:
            return []
        magnitude = self.magnitude
        if math.isinf(self.settings.magnitude_std):
            magnitude = rng.uniform(0, magnitude)
        elif self.settings.magnitude_std > 0:
            magnitude = rng.gauss(magnitude, self.settings.magnitude_std)
        level = min(max(magnitude, 0.0), self.settings.magnitude_max) / _MAX_LEVEL
        return self.settings.steps(self.operation, level, size, rng)


class _Policy(RandomOperation):
    """Base of the policies whose operations are done in turn."""

    def apply(self, image: np.ndarray, rng: random.Random) -> None:
        height, width = image.shape[:2]
        operations.apply_steps(image, self.draw((height, width), rng))

    def draw(self, size: tuple[int, int], rng: random.Random) -> list[Step]:
        """Draws what is done to an image of a size (height, width)."""
        raise NotImplementedError


class AutoAugment(_Policy):
    """One sub-policy for each image, its operations in turn."""

    def __init__(self, policy: Sequence[Sequence[AugmentOp]]) -> None:
        super().__init__()
        self.policy = policy

    def draw(self, size: tuple[int, int], rng: random.Random) -> list[Step]:
        return [step for operation in rng.choice(self.policy) for step in operation.draw(size, rng)]


class RandAugment(_Policy):
    """`num_layers` operations for each image, drawn with replacement, or without when they are weighted."""

    def __init__(
        self, ops: Sequence[AugmentOp], num_layers: int = 2, choice_weights: Sequence[float] | None = None
    ) -> None:
        super().__init__()
        self.ops = ops
        self.num_layers = num_layers
        self.choice_weights = choice_weights

    def draw(self, size: tuple[int, int], rng: random.Random) -> list[Step]:
        return [step for operation in self._drawn(rng) for step in operation.draw(size, rng)]

    def _drawn(self, rng: random.Random) -> list[AugmentOp]:
        if self.choice_weights is None:
            return rng.choices(self.ops, k=self.num_layers)
        drawn, weights = [], list(self.choice_weights)
        for _ in range(self.num_layers):
            [index] = rng.choices(range(len(weights)), weights)
            drawn.append(self.ops[index])
            weights[index] = 0.0
        return drawn


class TrivialAugmentWide(_Policy):
    """One operation for each image, at one of the levels 0 to `max_level` of 30."""

    def __init__(self, operations: Sequence[_Operation], max_level: int, settings: _Settings) -> None:
        super().__init__()
        self.operations = operations
        self.max_level = max_level
        self.settings = settings

    def draw(self, size: tuple[int, int], rng: random.Random) -> list[Step]:
        operation = rng.choice(self.operations)
        level = rng.randrange(self.max_level + 1) / _WIDE_LEVELS
        return self.settings.steps(operation, level, size, rng)


class AugMix(RandomOperation):
    """Mixes `width` chains of operations by Dirichlet weights, and that with the image by a Beta weight."""

    def __init__(self, ops: Sequence[AugmentOp], alpha: float, width: int, depth: int) -> None:
        super().__init__()
        self.ops = ops
        self.alpha = alpha
        self.width = width
        self.depth = depth

    def apply(self, image: np.ndarray, rng: random.Random) -> None:
        distributions = generator_of(rng)
        weights = distributions.dirichlet([self.alpha] * self.width).tolist()
        share = float(distributions.beta(self.alpha, self.alpha))
        height, width = image.shape[:2]
        mixed = np.multiply(image, np.float32(1 - share), dtype=np.float32)
        for weight in weights:
            depth = self.depth if self.depth > 0 else rng.randint(1, 3)
            chain = image.copy()
            drawn = rng.choices(self.ops, k=depth)
            operations.apply_steps(chain, [step for each in drawn for step in each.draw((height, width), rng)])
            mixed += np.multiply(chain, np.float32(share * weight), dtype=np.float32)
        image[:] = np.clip(np.rint(mixed, out=mixed), 0, 255)


def auto_augment_transform(configs: str, hparams: dict[str, Any] | None = None) -> AutoAugment:
    """Creates AutoAugment or 3-Augment.

    Args:
        configs: `autoaug` (the paper's ImageNet policy), `autoaugr` (with posterize that grows with its level) or `3a`;
            section `mstd`: standard deviation of the level, 0.5 when not given (`3a`: 0). Example: `autoaug-mstd0.5`.
        hparams: `img_mean` (fill colour), `interpolation` (a name, or `random` for bilinear or bicubic),
            `magnitude_std`.

    Raises:
        ValueError: The policy cannot be read.
    """
    name, sections = parse_policy(configs, ("autoaug", "autoaugr", "3a"), {"mstd": float})
    settings = _Settings.read(hparams, sections, 0.0 if name == "3a" else _DEFAULT_MAGNITUDE_STD)
    table = _THREE_AUGMENT_POLICY if name == "3a" else _IMAGENET_POLICY
    variant = {"Posterize": "PosterizeOriginal" if name == "autoaug" else "PosterizeIncreasing"}
    return AutoAugment(
        [
            [AugmentOp(_OPERATIONS[variant.get(op, op)], prob, level, settings) for op, prob, level in sub_policy]
            for sub_policy in table
        ]
    )


def rand_augment_transform(configs: str, hparams: dict[str, Any] | None = None) -> RandAugment:
    """Creates RandAugment.

    Args:
        configs: `randaug` with the sections m (level, 10), n (operations an image, 2), mstd (standard deviation of the
            level, 0.5; above 100: uniform between 0 and m), mmax (greatest level, 10), inc1 (operations whose change
            grows with the level), w0 (weighted choice). Example: `randaug-m9-mstd0.5-inc1`.
        hparams: As in `auto_augment_transform`, also `magnitude_max`.

    Raises:
        ValueError: The policy cannot be read.
    """
    keys = {"m": float, "n": int, "w": int, "mstd": float, "mmax": float, "inc": int}
    _, sections = parse_policy(configs, ("randaug",), keys)
    weights = sections.get("w")
    if weights is not None and weights not in _RAND_WEIGHTS:
        raise ValueError(f"augmentation policy {configs!r}: there is no set of weights w{weights}. Allowed: w0")
    num_layers = sections.get("n", 2)
    if num_layers < 1:
        raise ValueError(f"augmentation policy {configs!r}: n must be at least 1")
    drawable = sum(weight > 0 for weight in _RAND_WEIGHTS[weights]) if weights is not None else num_layers
    if num_layers > drawable:
        raise ValueError(f"augmentation policy {configs!r}: n must be at most {drawable}, the operations that w has")
    settings = _Settings.read(hparams, sections, _DEFAULT_MAGNITUDE_STD)
    names = _RAND_INCREASING_NAMES if sections.get("inc", 0) else _RAND_NAMES
    ops = [AugmentOp(_OPERATIONS[name], 0.5, sections.get("m", _MAX_LEVEL), settings) for name in names]
    return RandAugment(ops, num_layers, None if weights is None else _RAND_WEIGHTS[weights])


def trivial_augment_wide_transform(configs: str, hparams: dict[str, Any] | None = None) -> TrivialAugmentWide:
    """Creates TrivialAugmentWide.

    Args:
        configs: `trivialaugwide`; section m: the greatest of the levels 0 to 30 (31: all). Example:
            `trivialaugwide-m20`.
        hparams: As in `auto_augment_transform`.

    Raises:
        ValueError: The policy cannot be read.
    """
    _, sections = parse_policy(configs, ("trivialaugwide",), {"m": int})
    max_level = min(sections.get("m", _WIDE_LEVELS), _WIDE_LEVELS)
    if max_level < 0:
        raise ValueError(f"augmentation policy {configs!r}: m must be at least 0")
    return TrivialAugmentWide(list(_WIDE_OPERATIONS.values()), max_level, _Settings.read(hparams, sections, 0.0))


def aug_mix_transform(configs: str, hparams: dict[str, Any] | None = None) -> AugMix:
    """Creates AugMix.

    Args:
        configs: `augmix` with the sections m (severity, 3), w (chains, 3), d (operations a chain, -1: 1 to 3 at
            random), a (alpha of the Beta and Dirichlet distributions, 1), mstd (standard deviation of the level;
            uniform between 0 and m when not given).
            Example: `augmix-m5-w4-d2`.
        hparams: As in `auto_augment_transform`.

    Raises:
        ValueError: The policy cannot be read.
    """
    _, sections = parse_policy(configs, ("augmix",), {"m": float, "w": int, "d": int, "a": float, "mstd": float})
    width, alpha = sections.get("w", 3), sections.get("a", 1.0)
    if width < 1 or alpha <= 0:
        raise ValueError(f"augmentation policy {configs!r}: w must be at least 1 and a above 0")
    settings = _Settings.read(hparams, sections, math.inf)
    ops = [AugmentOp(_OPERATIONS[name], 1.0, sections.get("m", 3.0), settings) for name in _AUG_MIX_NAMES]
    return AugMix(ops, alpha, width, sections.get("d", -1))


_POLICIES: dict[str, Callable[[str, dict[str, Any]], RandomOperation]] = {
    "randaug": rand_augment_transform,
    "autoaug": auto_augment_transform,
    "autoaugr": auto_augment_transform,
    "3a": auto_augment_transform,
    "trivialaugwide": trivial_augment_wide_transform,
    "augmix": aug_mix_transform,
}


def augmentation_transform(policy: str, mean: Sequence[float], interpolation: str) -> RandomOperation:
    """Creates the transform that a policy text names; what shifts into an image is filled with `mean` (0 to 255).

    Raises:
        ValueError: The policy cannot be read.
    """
    name = str(policy).split("-")[0]
    if name not in _POLICIES:
        raise ValueError(unknown_name_message("augmentation policy", name, _POLICIES))
    fill = tuple(min(255, round(value)) for value in mean)
    return _POLICIES[name](policy, {"img_mean": fill, "interpolation": interpolation})
