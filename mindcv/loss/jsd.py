"""Jensen-Shannon consistency of augmented views (AugMix, arXiv 1912.02781)."""

from mindspore import ops

from ._base import Weight
from .cross_entropy_smooth import CrossEntropySmooth

# Least probability of the mixture, under the logarithm.
_LEAST = 1e-7


class JSDCrossEntropy(CrossEntropySmooth):
    """Cross entropy of the clean views plus the consistency of all views, for `aug_splits` of at least 2.

    In training (`set_train()`), a batch holds `num_splits` views of N samples one after the other, the clean one first:
    `loss = cross_entropy(clean) + alpha / num_splits * sum_k KL(p_k || mixture) / N`, where the mixture is the mean of
    all views' probabilities. Otherwise it is the cross entropy.

    Args:
        num_splits: Views of each sample in a batch.
        alpha: Factor of the consistency.
        smoothing: Label smoothing of the cross entropy, in [0, 1).
        weight: A factor for every class (C,) in the cross entropy.
        reduction: "mean", "sum" or "none" of the cross entropy.
        aux_factor: Factor of the losses of auxiliary logits.

    Inputs:
        logits: (num_splits * N, C) in training, else (N, C), or a tuple of main and auxiliary logits.
        labels: Class indices (num_splits * N,) or probabilities (num_splits * N, C); those of the clean views count.

    Raises:
        ValueError: A value is out of its range, or a batch cannot be divided into the views.
    """

    def __init__(
        self,
        num_splits: int = 3,
        alpha: float = 12,
        smoothing: float = 0.1,
        weight: Weight | None = None,
        reduction: str = "mean",
        aux_factor: float = 0.0,
    ) -> None:
        super().__init__(smoothing, aux_factor, reduction, weight)
        if num_splits < 2 or num_splits != int(num_splits):
            raise ValueError(f"num_splits must be a whole number from 2 on, but got {num_splits!r}")
        self.num_splits = int(num_splits)
        self.alpha = float(alpha)

    def compute(self, logits, labels):
        if not self.training:
            return super().compute(logits, labels)
        batch, classes = logits.shape
        if batch % self.num_splits != 0:
            raise ValueError(
                f"the JSD loss needs a batch of num_splits={self.num_splits} views, but got {batch} samples"
            )
        size = batch // self.num_splits
        clean = super().compute(logits[:size], labels[:size])
        log_p = ops.log_softmax(logits, -1).reshape((self.num_splits, size, classes))
        p = ops.exp(log_p)
        log_mixture = ops.log(ops.maximum(p.mean(0), _LEAST))
        divergence = (p * (log_p - log_mixture)).sum()
        return clean + self.alpha / (self.num_splits * size) * divergence
