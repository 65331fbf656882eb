"""Activations by name. Those that MindSpore cannot write to ONNX are swapped for equal ones by the export."""

from collections.abc import Callable

from mindspore import Tensor, nn, ops

from mindcv.utils.registry import unknown_name_message

# An activation's name, or what makes it.
MakeActivation = str | Callable[[], nn.Cell]


class Swish(nn.Cell):
    """`x * sigmoid(x)`, also known as SiLU (arXiv:1710.05941). Any shape in, the same shape out."""

    def construct(self, x: Tensor) -> Tensor:
        return x * ops.sigmoid(x)


def _gelu() -> nn.GELU:
    return nn.GELU(approximate=False)


def _gelu_tanh() -> nn.GELU:
    return nn.GELU(approximate=True)


def _leaky_relu() -> nn.LeakyReLU:
    return nn.LeakyReLU(alpha=0.01)


_ACTIVATIONS: dict[str, Callable[[], nn.Cell]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "hard_sigmoid": nn.HSigmoid,
    "hard_swish": nn.HSwish,
    "identity": nn.Identity,
    "leaky_relu": _leaky_relu,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "sigmoid": nn.Sigmoid,
    "silu": Swish,
    "tanh": nn.Tanh,
}


def activation(name: MakeActivation) -> nn.Cell:
    """Makes an activation: gelu (by erf), gelu_tanh, hard_sigmoid, hard_swish, relu, relu6, sigmoid, silu ...

    Args:
        name: Its name, or what makes it (`nn.ReLU`).

    Raises:
        ValueError: There is none of that name.
    """
    if not isinstance(name, str):
        return name()
    if name not in _ACTIVATIONS:
        raise ValueError(unknown_name_message("activation", name, _ACTIVATIONS))
    return _ACTIVATIONS[name]()
