"""Focal losses (arXiv 1708.02002): what is classified well already counts less, so that rare classes count more."""

from mindspore import ops

from ._base import ClassificationLoss, Weight
from .cross_entropy_smooth import CrossEntropySmooth

# Least base of the power, whose derivative at 0 is infinite for a gamma below 1.
_LEAST = 1e-12


def _checked_gamma(gamma: float) -> float:
    if not 0 <= gamma < float("inf"):
        raise ValueError(f"focal_gamma must be a finite number from 0 on, but got {gamma!r}")
    return float(gamma)


class FocalLoss(CrossEntropySmooth):
    """Focal loss of one label a sample.

    With `p = softmax(x)` it is `-sum_c weight_c * target_c * (1 - p_c)^gamma * log p_c`. This is equation 4 of the
    paper with the softmax in place of its sigmoid; `weight` is its alpha (equation 5). The mean is that of
    `CrossEntropySmooth`, which this is with gamma 0.

    Args:
        gamma: Focus; 0 is none, 2 the paper's.
        smoothing: Label smoothing, in [0, 1).
        aux_factor: Factor of the losses of auxiliary logits.
        reduction: "mean", "sum" or "none" (a loss for every sample).
        weight: A factor for every class (C,).

    Inputs:
        logits: (N, C), or a tuple of main and auxiliary logits.
        labels: Class indices (N,) or probabilities (N, C).

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        smoothing: float = 0.0,
        aux_factor: float = 0.0,
        reduction: str = "mean",
        weight: Weight | None = None,
    ) -> None:
        super().__init__(smoothing, aux_factor, reduction, weight)
        self.gamma = _checked_gamma(gamma)

    def terms(self, logits, targets):
        log_p = ops.log_softmax(logits, -1)
        return targets * ops.pow(ops.maximum(1.0 - ops.exp(log_p), _LEAST), self.gamma) * -log_p


class FocalLossMultilabel(ClassificationLoss):
    """Focal loss of several labels a sample, equation 4 of the paper.

    With `p = sigmoid(x)`, the loss of sample and class is
    `-weight * (y * (1 - p)^gamma * log p + (1 - y) * p^gamma * log(1 - p))`; the mean is over samples and classes.

    Args:
        gamma: Focus; 0 is none (binary cross entropy), 2 the paper's.
        smoothing: Label smoothing, in [0, 1).
        aux_factor: Factor of the losses of auxiliary logits.
        reduction: "mean", "sum" or "none" (a loss for every sample and class).
        weight: A factor for every class (C,).

    Inputs:
        logits: (N, C), or a tuple of main and auxiliary logits.
        labels: Labels (N, C) in [0, 1], or class indices (N,).

    Raises:
        ValueError: A value is out of its range.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        smoothing: float = 0.0,
        aux_factor: float = 0.0,
        reduction: str = "mean",
        weight: Weight | None = None,
    ) -> None:
        super().__init__(smoothing, aux_factor, reduction, weight)
        self.gamma = _checked_gamma(gamma)

    def compute(self, logits, labels):
        targets = self.smooth(self.targets(logits, labels))
        # log sigmoid(x) and log(1 - sigmoid(x)) without overflow.
        log_rest = -ops.log1p(ops.exp(-ops.abs(logits)))
        log_p, log_q = ops.minimum(logits, self.zero) + log_rest, ops.minimum(-logits, self.zero) + log_rest
        p, q = ops.maximum(ops.exp(log_p), _LEAST), ops.maximum(ops.exp(log_q), _LEAST)
        losses = -(targets * ops.pow(q, self.gamma) * log_p + (1.0 - targets) * ops.pow(p, self.gamma) * log_q)
        if self.weight is not None:
            losses = losses * self.weight
        return self.reduced(losses)
