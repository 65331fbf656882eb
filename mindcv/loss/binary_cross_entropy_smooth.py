"""Binary cross entropy with label smoothing."""

from mindspore import dtype as mstype
from mindspore import ops

from ._base import ClassificationLoss, Weight, class_weights


class BinaryCrossEntropySmooth(ClassificationLoss):
    """Sigmoid cross entropy of every class, as `torch.nn.BCEWithLogitsLoss`.

    The loss of sample and class is `-weight * (pos_weight * y * log sigmoid(x) + (1 - y) * log(1 - sigmoid(x)))`; the
    mean is over samples and classes.

    Args:
        smoothing: Label smoothing, in [0, 1): `y` becomes `(1 - s) * y + s / C`.
        aux_factor: Factor of the losses of auxiliary logits.
        reduction: "mean", "sum" or "none" (a loss for every sample and class).
        weight: A factor for every class (C,).
        pos_weight: A factor for positive labels of every class (C,).
        target_threshold: Labels above it, after mixing and smoothing, become 1 and the others 0 (ResNet strikes back,
            arXiv 2110.00476, section 3: both images of a mixed one are fully in it). None: labels stay as they are.

    Inputs:
        logits: (N, C), or a tuple of main and auxiliary logits.
        labels: Labels (N, C) in [0, 1], or class indices (N,).

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self,
        smoothing: float = 0.0,
        aux_factor: float = 0.0,
        reduction: str = "mean",
        weight: Weight | None = None,
        pos_weight: Weight | None = None,
        *,
        target_threshold: float | None = None,
    ) -> None:
        super().__init__(smoothing, aux_factor, reduction, weight)
        if target_threshold is not None and not 0 <= target_threshold < 1:
            raise ValueError(f"bce_target_threshold must be in [0, 1), but got {target_threshold!r}")
        self.target_threshold = target_threshold
        self.pos_weight = class_weights("pos_weight", pos_weight)

    def compute(self, logits, labels):
        targets = self.smooth(self.targets(logits, labels))
        if self.target_threshold is not None:
            targets = ops.cast(targets > self.target_threshold, mstype.float32)
        ones = ops.ones_like(logits)
        losses = ops.binary_cross_entropy_with_logits(
            logits,
            targets,
            weight=ones if self.weight is None else ones * self.weight,
            pos_weight=ones if self.pos_weight is None else ones * self.pos_weight,
            # In PyNative mode MindSpore's own mean divides each gradient by the size of the first batch.
            reduction="none",
        )
        return self.reduced(losses)
