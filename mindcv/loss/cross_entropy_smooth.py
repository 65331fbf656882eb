"""Cross entropy with label smoothing."""

from mindspore import ops

from ._base import ClassificationLoss


class CrossEntropySmooth(ClassificationLoss):
    """Softmax cross entropy, as `torch.nn.CrossEntropyLoss`.

    A sample's loss is `-sum_c weight_c * target_c * log softmax(logits)_c`. The mean over samples is weighted by the
    weights of the labels' classes when labels are indices, and plain when they are probabilities.

    Args:
        smoothing: Label smoothing, in [0, 1) (arXiv 1512.00567).
        aux_factor: Factor of the losses of auxiliary logits.
        reduction: "mean", "sum" or "none" (a loss for every sample).
        weight: A factor for every class (C,).

    Inputs:
        logits: (N, C), or a tuple of main and auxiliary logits.
        labels: Class indices (N,) or probabilities (N, C).

    Raises:
        ValueError: A value is out of its range.
    """

    def compute(self, logits, labels):
        targets = self.targets(logits, labels)
        losses = self.terms(logits, self.smooth(targets))
        if self.weight is not None:
            losses = losses * self.weight
        losses = losses.sum(-1)
        if self.weight is not None and self.reduction == "mean" and labels.ndim == 1:
            return losses.sum() / (targets * self.weight).sum()
        return self.reduced(losses)

    def terms(self, logits, targets):
        """Returns what each class adds to a sample's loss, (N, C), without class weights."""
        return targets * -ops.log_softmax(logits, -1)
