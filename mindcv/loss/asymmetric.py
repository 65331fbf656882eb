"""Asymmetric losses (arXiv 2009.14119): positives and negatives are focused differently."""

from mindspore import ops

from ._base import ClassificationLoss, Weight


class AsymmetricLossMultilabel(ClassificationLoss):
    """Asymmetric loss of several labels a sample.

    With `p = sigmoid(x)` and `q = min(1 - p + clip, 1)`, the loss of sample and class is
    `-(y * log p + (1 - y) * log q) * (1 - y * p - (1 - y) * q) ** (gamma_pos * y + gamma_neg * (1 - y))`.

    Args:
        gamma_neg: Focus of negatives.
        gamma_pos: Focus of positives; the focus is off unless both are above 0.
        clip: How far probabilities of negatives are shifted, so that easy ones have no loss.
        eps: Least argument of the logarithms.
        smoothing: Label smoothing, in [0, 1).
        aux_factor: Factor of the losses of auxiliary logits.
        reduction: "sum" (over samples and classes, upstream's only one), "mean" (that sum by sample) or "none" (a loss
            for every sample).
        weight: A factor for every class (C,).

    Inputs:
        logits: (N, C), or a tuple of main and auxiliary logits.
        labels: Labels (N, C) in [0, 1], or class indices (N,).

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self,
        gamma_neg: float = 4,
        gamma_pos: float = 1,
        clip: float = 0.05,
        eps: float = 1e-8,
        *,
        smoothing: float = 0.0,
        aux_factor: float = 0.0,
        reduction: str = "sum",
        weight: Weight | None = None,
    ) -> None:
        super().__init__(smoothing, aux_factor, reduction, weight)
        self.gamma_neg = float(gamma_neg)
        self.gamma_pos = float(gamma_pos)
        self.clip = float(clip)
        self.eps = float(eps)

    def compute(self, logits, labels):
        positive = self.smooth(self.targets(logits, labels))
        negative = 1.0 - positive
        p = ops.sigmoid(logits)
        q = ops.minimum(1.0 - p + self.clip, self.one)
        log_p = ops.log(ops.maximum(p, self.eps))
        log_q = ops.log(ops.maximum(q, self.eps))
        losses = -(positive * log_p + negative * log_q)
        if self.gamma_pos > 0 and self.gamma_neg > 0:
            gamma = self.gamma_pos * positive + self.gamma_neg * negative
            losses = losses * ops.pow(1.0 - p * positive - q * negative, gamma)
        if self.weight is not None:
            losses = losses * self.weight
        return self.reduced(losses.sum(-1))


class AsymmetricLossSingleLabel(ClassificationLoss):
    """Asymmetric loss of one label a sample.

    With `p = softmax(x)` and the unsmoothed target `y`, a sample's loss is `-sum_c target_c * log p_c * f_c`, where
    `f` is `(1 - p) ** gamma_pos` for the label's class and `p ** gamma_neg` for the others.

    Args:
        gamma_pos: Focus of the label's class.
        gamma_neg: Focus of the other classes.
        eps: Has no effect; here so that upstream's calls work.
        reduction: "mean", "sum" or "none" (a loss for every sample).
        smoothing: Label smoothing, in [0, 1).
        aux_factor: Factor of the losses of auxiliary logits.
        weight: A factor for every class (C,).

    Inputs:
        logits: (N, C), or a tuple of main and auxiliary logits.
        labels: Class indices (N,) or probabilities (N, C).

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self,
        gamma_pos: float = 1,
        gamma_neg: float = 4,
        eps: float = 0.1,
        reduction: str = "mean",
        smoothing: float = 0.1,
        *,
        aux_factor: float = 0.0,
        weight: Weight | None = None,
    ) -> None:
        super().__init__(smoothing, aux_factor, reduction, weight)
        self.gamma_pos = float(gamma_pos)
        self.gamma_neg = float(gamma_neg)

    def compute(self, logits, labels):
        positive = self.targets(logits, labels)
        negative = 1.0 - positive
        log_p = ops.log_softmax(logits, -1)
        p = ops.exp(log_p)
        gamma = self.gamma_pos * positive + self.gamma_neg * negative
        focus = ops.pow(1.0 - p * positive - (1.0 - p) * negative, gamma)
        losses = -self.smooth(positive) * log_p * focus
        if self.weight is not None:
            losses = losses * self.weight
        return self.reduced(losses.sum(-1))
