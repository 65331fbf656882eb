"""Knowledge distillation: the loss of a student that learns from a teacher's logits as well as from the labels."""

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from ..utils.registry import unknown_name_message

__all__ = ["DISTILLATIONS", "DistillationLoss"]

DISTILLATIONS = ("soft", "hard")
_REDUCTIONS = ("mean", "sum")


class DistillationLoss(nn.Cell):
    """The loss `(1 - alpha) * base(student, labels) + alpha * D`, with one of two D (arXiv 2012.12877, equations 2, 3).

    * soft (arXiv 1503.02531): `T^2 * sum_c p_c * (log p_c - log q_c)` with `p = softmax(teacher / T)` and
      `q = softmax(student / T)`;
    * hard: the cross entropy of the student's logits with the class that the teacher gives the largest logit.

    D is the mean over the samples (or their sum). Label smoothing and class weights are the base loss's alone, which is
    why the base loss is computed as it is without a teacher.

    Args:
        base: The loss of the labels, with a `reduction` of "mean" or "sum", which D has too.
        kind: "soft" or "hard".
        alpha: Share of D, 0 to 1.
        temperature: T of the soft one, above 0.
        has_own_head: Whether the student's second logits are those of a head that learns from the teacher alone
            (DeiT's token). Then the first ones learn from the labels alone. Else D is of the first logits, and all go
            to the base loss, which has a use for auxiliary ones.

    Inputs:
        logits: A tuple: the student's logits (N, C), one or several, then the teacher's (N, C).
        labels: What the base loss takes.

    Raises:
        ValueError: A value is out of its range or unknown.
    """

    def __init__(
        self,
        base: nn.Cell,
        kind: str = "soft",
        alpha: float = 0.5,
        temperature: float = 3.0,
        has_own_head: bool = False,
    ) -> None:
        super().__init__()
        if kind not in DISTILLATIONS:
            raise ValueError(unknown_name_message("distill", kind, DISTILLATIONS))
        if not 0 <= alpha <= 1:
            raise ValueError(f"distill_alpha must be between 0 and 1, but got {alpha!r}")
        if not 0 < temperature < float("inf"):
            raise ValueError(f"distill_temperature must be a finite number above 0, but got {temperature!r}")
        self.reduction = getattr(base, "reduction", "mean")
        if self.reduction not in _REDUCTIONS:
            raise ValueError(f"distillation needs a loss of reduction mean or sum, but got {self.reduction!r}")
        self.base = base
        self.is_soft = kind == "soft"
        self.alpha = float(alpha)
        self.temperature = float(temperature)
        self.has_own_head = has_own_head
        self.one_hot = ops.OneHot()
        self.one = Tensor(1.0, mstype.float32)
        self.zero = Tensor(0.0, mstype.float32)

    def construct(self, logits, labels):
        teacher = ops.cast(logits[-1], mstype.float32)
        own = logits[:-1]
        if self.has_own_head:
            base = self.base(own[0], labels)
            divergence = self.divergence(ops.cast(own[1], mstype.float32), teacher)
        else:
            base = self.base(own[0] if len(own) == 1 else own, labels)
            divergence = self.divergence(ops.cast(own[0], mstype.float32), teacher)
        return (1.0 - self.alpha) * base + self.alpha * divergence

    def divergence(self, student, teacher):
        """Returns D of float32 logits (N, C)."""
        if self.is_soft:
            log_p = ops.log_softmax(teacher / self.temperature, -1)
            log_q = ops.log_softmax(student / self.temperature, -1)
            losses = self.temperature**2 * (ops.exp(log_p) * (log_p - log_q)).sum(-1)
        else:
            target = self.one_hot(ops.argmax(teacher, -1), teacher.shape[-1], self.one, self.zero)
            losses = -(target * ops.log_softmax(student, -1)).sum(-1)
        return losses.mean() if self.reduction == "mean" else losses.sum()
