"""Mixup (https://arxiv.org/abs/1710.09412) and CutMix (https://arxiv.org/abs/1905.04899) on numpy batches."""

import numpy as np

from .randomness import dataset_seed, generator_for

__all__ = ["Mixup"]

_MODES = ("batch", "pair", "elem")
_SALT = 11


def one_hot(labels: np.ndarray, num_classes: int, smoothing: float = 0.0) -> np.ndarray:
    """Returns labels (N,) as float32 rows (N, `num_classes`) that sum to 1, `smoothing` of it spread evenly.

    Raises:
        ValueError: A label is not below `num_classes`.
    """
    labels = labels.reshape(-1)
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"num_classes is {num_classes}, but the labels of this batch go from {labels.min()} to {labels.max()}"
        )
    rows = np.full((labels.size, num_classes), smoothing / num_classes, np.float32)
    rows[np.arange(labels.size), labels] += 1.0 - smoothing
    return rows


class Mixup:
    """Mixes every sample of a batch with its mirror image in the order of the batch (first with last, and so on).

    Args:
        mixup_alpha: Parameter of the Beta distribution of mixup's share. 0: no mixup.
        cutmix_alpha: The same for cutmix. 0: no cutmix.
        cutmix_minmax: Least and greatest side of cutmix's rectangle, as shares of the image's; when given, it decides
            the rectangle, not the Beta distribution.
        prob: How often anything is mixed, for each batch, pair or element.
        switch_prob: How often that is cutmix, when both are on.
        mode: What is drawn anew for each `batch`, `pair` of samples or `elem` (sample).
        correct_lam: Whether the labels follow the area that the rectangle really has inside the image.
        label_smoothing: Share of each label that is spread over all classes.
        num_classes: Number of classes.
        off_epoch: Nothing is mixed while the attribute `epoch`, from 0, is not below it; 0: it always may be.
        seed: Seed. None: that of `mindspore.dataset`. What is drawn follows from it and from the batch.

    Raises:
        ValueError: A value is out of range, or neither mixup nor cutmix is on.
    """

    def __init__(
        self,
        mixup_alpha: float = 1.0,
        cutmix_alpha: float = 0.0,
        cutmix_minmax: tuple[float, float] | None = None,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        mode: str = "batch",
        correct_lam: bool = True,
        label_smoothing: float = 0.1,
        num_classes: int = 1000,
        *,
        seed: int | None = None,
        off_epoch: int = 0,
    ) -> None:
        if mixup_alpha < 0 or cutmix_alpha < 0:
            raise ValueError(f"mixup and cutmix must not be negative, got {mixup_alpha} and {cutmix_alpha}")
        if mixup_alpha == 0 and cutmix_alpha == 0 and cutmix_minmax is None:
            raise ValueError("one of mixup_alpha, cutmix_alpha and cutmix_minmax must be set")
        if mode not in _MODES:
            raise ValueError(f"mode must be one of {', '.join(_MODES)}, got {mode!r}")
        if not 0 <= prob <= 1 or not 0 <= switch_prob <= 1:
            raise ValueError(f"prob and switch_prob must be between 0 and 1, got {prob} and {switch_prob}")
        if cutmix_minmax is not None and not 0 <= cutmix_minmax[0] <= cutmix_minmax[1] <= 1:
            raise ValueError(f"cutmix_minmax must be two shares between 0 and 1, the lesser first, got {cutmix_minmax}")
        self.mixup_alpha = mixup_alpha
        self.cutmix_alpha = cutmix_alpha if cutmix_minmax is None else 1.0
        self.cutmix_minmax = cutmix_minmax
        self.prob = prob
        self.switch_prob = switch_prob
        self.mode = mode
        self.correct_lam = correct_lam
        self.label_smoothing = label_smoothing
        self.num_classes = num_classes
        self.off_epoch = off_epoch
        self.epoch = 0
        self.seed = dataset_seed() if seed is None else seed

    def __call__(self, x: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mixes images and labels.

        Args:
            x: Images (N, C, H, W).
            target: Labels, whole numbers (N,), or zeros and ones (N, `num_classes`), which are not smoothed.

        Returns:
            Images float32 (N, C, H, W) and labels float32 (N, `num_classes`).
        """
        rng = generator_for(self.seed, _SALT, x, target)
        mixed = x.astype(np.float32)
        mirrored = mixed[::-1].copy()
        shares = np.ones((len(x), 1), np.float32)
        for members in self._groups(len(x)):
            share, shares[members], *rectangle = self._draw(*x.shape[-2:], rng)
            top, bottom, left, right = rectangle
            if share < 1.0:
                mixed[members] = share * mixed[members] + (1.0 - share) * mirrored[members]
            mixed[members, :, top:bottom, left:right] = mirrored[members, :, top:bottom, left:right]
        labels = target if target.ndim == 2 else one_hot(target, self.num_classes, self.label_smoothing)
        return mixed, shares * labels + (1.0 - shares) * labels[::-1]

    def draw(self, x: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Draws how a batch is to be mixed, for a device that does it.

        Args:
            x: Images (N, H, W, C).
            target: Labels, (N,) or (N, `num_classes`).

        Returns:
            Images and labels as they are, and float32 (6,): the share that images and the share that labels keep of
            themselves, then top, bottom, left and right of the region that comes from the other image.

        Raises:
            ValueError: The mode is not `batch`, or labels are smoothed; a device does neither.
        """
        if self.mode != "batch" or self.label_smoothing:
            raise ValueError(
                f"a device mixes whole batches of plain labels; got mode {self.mode!r} and "
                f"label_smoothing {self.label_smoothing}"
            )
        drawn = self._draw(*x.shape[1:3], generator_for(self.seed, _SALT, x, target))
        return x, target, np.asarray(drawn, np.float32)

    def _groups(self, size: int) -> list:
        """Index lists of the samples that are mixed alike."""
        if self.mode == "batch":
            return [slice(None)]
        if self.mode == "pair":
            return [[i, size - 1 - i] for i in range((size + 1) // 2)]
        return [[i] for i in range(size)]

    def _draw(self, height: int, width: int, rng: np.random.Generator) -> tuple[float, float, int, int, int, int]:
        """Draws for one group the share of the pixels, the share of the labels, and the rectangle (empty in mixup)."""
        is_off = 0 < self.off_epoch <= self.epoch
        if is_off or rng.random() >= self.prob:
            return 1.0, 1.0, 0, 0, 0, 0
        use_cutmix = self.cutmix_alpha > 0 and (self.mixup_alpha == 0 or rng.random() < self.switch_prob)
        alpha = self.cutmix_alpha if use_cutmix else self.mixup_alpha
        share = rng.beta(alpha, alpha)
        if not use_cutmix:
            return share, share, 0, 0, 0, 0
        top, bottom, left, right = self._rectangle(height, width, share, rng)
        if self.correct_lam or self.cutmix_minmax is not None:
            share = 1.0 - (bottom - top) * (right - left) / (height * width)
        return 1.0, share, top, bottom, left, right

    def _rectangle(self, height: int, width: int, share: float, rng: np.random.Generator) -> tuple[int, int, int, int]:
        """Top, bottom, left and right of the region that comes from the other image."""
        if self.cutmix_minmax is not None:
            least, greatest = self.cutmix_minmax
            cut_h = rng.integers(int(height * least), int(height * greatest) + 1)
            cut_w = rng.integers(int(width * least), int(width * greatest) + 1)
            top, left = rng.integers(0, height - cut_h + 1), rng.integers(0, width - cut_w + 1)
            return top, top + cut_h, left, left + cut_w
        # Area 1 - share before what lies outside the image is cut off (section 3.1 of the paper).
        cut_h, cut_w = int(height * np.sqrt(1 - share)), int(width * np.sqrt(1 - share))
        y, x = rng.integers(height), rng.integers(width)
        top, bottom = np.clip((y - cut_h // 2, y + cut_h // 2), 0, height)
        left, right = np.clip((x - cut_w // 2, x + cut_w // 2), 0, width)
        return top, bottom, left, right
