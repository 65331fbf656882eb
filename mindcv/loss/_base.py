"""What all losses here share: checked arguments, float32, auxiliary logits, targets, reduction."""

from collections.abc import Sequence

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from ..utils.registry import unknown_name_message

REDUCTIONS = ("mean", "sum", "none")

Weight = Tensor | np.ndarray | Sequence[float]


class ClassificationLoss(nn.LossBase):
    """A loss of logits (N, C) and labels, called as `loss(logits, labels)`.

    Logits may be a tuple of the main ones and auxiliary ones (deep supervision, as in Inception v3): the losses of the
    auxiliary logits are added, each times `aux_factor`. Logits of any float type are computed in float32. Labels are
    class indices (N,), or floats (N, C): probabilities, as mixup makes them, or several labels.

    Subclasses implement `compute(logits, labels)` for one tensor of logits.

    Args:
        smoothing: Label smoothing s: targets become `(1 - s) * target + s / C` (arXiv 1512.00567).
        aux_factor: Factor of the auxiliary losses.
        reduction: "mean", "sum" or "none".
        weight: A factor for every class (C,).

    Raises:
        ValueError: `smoothing` is not in [0, 1), `aux_factor` is negative, `reduction` is unknown or `weight` has an
            impossible value.
    """

    def __init__(
        self,
        smoothing: float = 0.0,
        aux_factor: float = 0.0,
        reduction: str = "mean",
        weight: Weight | None = None,
    ) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), but got {smoothing!r}")
        if not 0 <= aux_factor < float("inf"):
            raise ValueError(f"aux_factor must be a finite number from 0 on, but got {aux_factor!r}")
        if reduction not in REDUCTIONS:
            raise ValueError(unknown_name_message("reduction", reduction, REDUCTIONS))
        super().__init__(reduction)
        self.smoothing = float(smoothing)
        self.aux_factor = float(aux_factor)
        self.reduction = reduction
        self.weight = class_weights("weight", weight)
        self.one_hot = ops.OneHot()
        self.one = Tensor(1.0, mstype.float32)
        self.zero = Tensor(0.0, mstype.float32)

    def construct(self, logits, labels):
        if not isinstance(logits, (tuple, list)):
            return self.compute(ops.cast(logits, mstype.float32), labels)
        loss = self.compute(ops.cast(logits[0], mstype.float32), labels)
        if self.aux_factor > 0:
            for auxiliary in logits[1:]:
                loss = loss + self.aux_factor * self.compute(ops.cast(auxiliary, mstype.float32), labels)
        return loss

    def compute(self, logits, labels):
        """Returns the loss of float32 logits (N, C)."""
        raise NotImplementedError

    def targets(self, logits, labels):
        """Returns the labels as float32 probabilities (N, C), without smoothing."""
        if labels.ndim == 1:
            return self.one_hot(ops.cast(labels, mstype.int32), logits.shape[-1], self.one, self.zero)
        return ops.cast(labels, mstype.float32)

    def smooth(self, targets):
        """Returns targets (N, C) with label smoothing."""
        if self.smoothing > 0:
            return targets * (1.0 - self.smoothing) + self.smoothing / targets.shape[-1]
        return targets

    def reduced(self, losses):
        """Returns the mean or the sum of losses, or themselves."""
        if self.reduction == "mean":
            return losses.mean()
        if self.reduction == "sum":
            return losses.sum()
        return losses


def class_weights(name: str, weight: Weight | None) -> Tensor | None:
    """Returns factors by class as a float32 tensor (C,)."""
    if weight is None:
        return None
    values = np.asarray(weight.asnumpy() if isinstance(weight, Tensor) else weight, dtype=np.float32)
    if values.ndim != 1 or not np.all(np.isfinite(values)) or np.any(values < 0):
        raise ValueError(f"{name} must be a finite number from 0 on for every class, but got {values.tolist()}")
    return Tensor(values)
