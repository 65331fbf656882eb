"""The two dense layers of a transformer's block."""

from mindspore import Tensor, nn
from mindspore.common.initializer import Initializer

from .activation import activation
from .conv import conv2d
from .dense import TRUNC_NORMAL, dense
from .drop import dropout


class Mlp(nn.Cell):
    """Dense, activation, dense: (..., dim) to (..., out_dim).

    Args:
        dim: Size of the last axis.
        hidden_dim: Size between the two layers.
        out_dim: Size of the output's last axis; 0 for `dim`.
        act: Activation.
        drop_rate: Dropout behind each layer.
        weight_init: Initialiser of both weights.
        hidden_drop_rate: Dropout behind the first layer; None: `drop_rate`.
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        out_dim: int = 0,
        act: str = "gelu",
        drop_rate: float = 0.0,
        weight_init: str | Initializer = TRUNC_NORMAL,
        hidden_drop_rate: float | None = None,
    ) -> None:
        super().__init__()
        self.fc1 = dense(dim, hidden_dim, weight_init=weight_init)
        self.act = activation(act)
        self.fc2 = dense(hidden_dim, out_dim or dim, weight_init=weight_init)
        self.drop1 = dropout("drop_rate", drop_rate if hidden_drop_rate is None else hidden_drop_rate)
        self.drop2 = dropout("drop_rate", drop_rate)

    def construct(self, x: Tensor) -> Tensor:
        return self.drop2(self.fc2(self.drop1(self.act(self.fc1(x)))))


class ConvMlp(nn.Cell):
    """`Mlp` over the channels of a map, by 1x1 convolutions: (N, dim, H, W) to the same.

    Args:
        dim: Channels of the input.
        hidden_dim: Channels between the two layers.
        act: Activation.
        drop_rate: Dropout behind each layer.
        weight_init: Initialiser of both weights.
    """

    def __init__(
        self,
        dim: int,
        hidden_dim: int,
        act: str = "gelu",
        drop_rate: float = 0.0,
        weight_init: str | Initializer = TRUNC_NORMAL,
    ) -> None:
        super().__init__()
        self.fc1 = conv2d(dim, hidden_dim, 1, bias=True, weight_init=weight_init)
        self.act = activation(act)
        self.fc2 = conv2d(hidden_dim, dim, 1, bias=True, weight_init=weight_init)
        self.drop1, self.drop2 = dropout("drop_rate", drop_rate), dropout("drop_rate", drop_rate)

    def construct(self, x: Tensor) -> Tensor:
        return self.drop2(self.fc2(self.drop1(self.act(self.fc1(x)))))
