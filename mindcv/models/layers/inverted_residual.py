"""The blocks of the MobileNets and EfficientNets: a narrow input, a wide inside, a narrow output."""

from collections.abc import Callable, Mapping

from mindspore import Tensor, nn

from .activation import activation
from .conv import Initializer, conv2d
from .drop import DropPath

# Channels to a cell: a normalisation, or a squeeze-and-excitation.
MakeCell = Callable[[int], nn.Cell]
# Channels of the input and of the output to a convolution.
MakeConv = Callable[[int, int], nn.Cell]


class _Block(nn.Cell):
    """Cells one behind the other, beside a shortcut where shape and side stay.

    Args:
        cells: The cells, called as timm calls what has weights; `act1` and `act2` have none.
        out_channels: Channels of the output.
        stride: Side of the input over side of the output.
        has_shortcut: Whether the input is added.
        drop_path_rate: Probability of dropping what is added to the input.

    Attributes:
        parts: Positions in `layers` of what has weights, by timm's names.
    """

    def __init__(
        self,
        cells: Mapping[str, nn.Cell],
        out_channels: int,
        stride: int,
        has_shortcut: bool = False,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.out_channels, self.stride, self.has_shortcut = out_channels, stride, has_shortcut
        self.layers = nn.SequentialCell(list(cells.values()))
        self.parts = {name: index for index, name in enumerate(cells) if not name.startswith("act")}
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        return x + self.drop_path(self.layers(x)) if self.has_shortcut else self.layers(x)


class InvertedResidual(_Block):
    """1x1, depthwise and 1x1 convolution, beside a shortcut where shape and side stay (arXiv:1801.04381).

    (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride). The first 1x1 convolution is left out where it
    would not widen.

    Args:
        in_channels: Channels of the input.
        mid_channels: Channels of the depthwise convolution.
        out_channels: Channels of the output.
        kernel_size: Side of the depthwise kernel.
        stride: Stride of the depthwise convolution.
        act: Activation behind the first two convolutions.
        norm: Makes a normalisation cell for a number of channels.
        gate: Makes the squeeze-and-excitation behind the depthwise convolution; None for none.
        pad: "both" pads the depthwise convolution on all sides alike, "same" as TensorFlow does.
        drop_path_rate: Probability of dropping what is added to the input.
        expand: Makes the first 1x1 convolution.
        depthwise: Makes the depthwise convolution, in place of `kernel_size`, `stride` and `pad`.
        project: Makes the last 1x1 convolution.

    Raises:
        ValueError: Another `pad`.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        act: str,
        norm: MakeCell,
        gate: MakeCell | None = None,
        pad: str = "both",
        drop_path_rate: float = 0.0,
        *,
        expand: MakeConv | None = None,
        depthwise: MakeConv | None = None,
        project: MakeConv | None = None,
    ) -> None:
        if depthwise is None:
            padding = conv_padding(kernel_size, pad)
            wide = conv2d(mid_channels, mid_channels, kernel_size, stride, padding, groups=mid_channels)
        else:
            wide = depthwise(mid_channels, mid_channels)
        narrow = (project or _conv1x1)(mid_channels, out_channels)
        cells: dict[str, nn.Cell] = {}
        if in_channels == mid_channels:
            names = ("conv_dw", "bn1", "conv_pw", "bn2")
        else:
            names = ("conv_dw", "bn2", "conv_pwl", "bn3")
            cells = {
                "conv_pw": (expand or _conv1x1)(in_channels, mid_channels),
                "bn1": norm(mid_channels),
                "act1": activation(act),
            }
        cells.update({names[0]: wide, names[1]: norm(mid_channels), "act2": activation(act)})
        if gate is not None:
            cells["se"] = gate(mid_channels)
        cells.update({names[2]: narrow, names[3]: norm(out_channels)})
        has_shortcut = stride == 1 and in_channels == out_channels
        super().__init__(cells, out_channels, stride, has_shortcut, drop_path_rate)


class FusedInvertedResidual(_Block):
    """An inverted residual whose first two convolutions are one full one (arXiv:2104.00298, figure 2).

    (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride). Where it would not widen, it is one
    convolution, norm and activation.

    Args:
        in_channels: Channels of the input.
        mid_channels: Channels behind the first convolution.
        out_channels: Channels of the output.
        kernel_size: Side of the first convolution's kernel.
        stride: Stride of the first convolution.
        act: Activation behind the first convolution.
        norm: Makes a normalisation cell for a number of channels.
        pad: "both" pads the first convolution on all sides alike, "same" as TensorFlow does.
        drop_path_rate: Probability of dropping what is added to the input.

    Raises:
        ValueError: Another `pad`.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        act: str,
        norm: MakeCell,
        pad: str = "both",
        drop_path_rate: float = 0.0,
    ) -> None:
        padding = conv_padding(kernel_size, pad)
        cells: dict[str, nn.Cell]
        if in_channels == mid_channels:
            conv = conv2d(in_channels, out_channels, kernel_size, stride, padding)
            cells = {"conv": conv, "bn1": norm(out_channels), "act1": activation(act)}
        else:
            cells = {
                "conv_exp": conv2d(in_channels, mid_channels, kernel_size, stride, padding),
                "bn1": norm(mid_channels),
                "act1": activation(act),
                "conv_pwl": _conv1x1(mid_channels, out_channels),
                "bn2": norm(out_channels),
            }
        has_shortcut = stride == 1 and in_channels == out_channels
        super().__init__(cells, out_channels, stride, has_shortcut, drop_path_rate)


class DepthwiseSeparable(_Block):
    """Depthwise and 1x1 convolution, an activation behind each, no shortcut (arXiv:1704.04861).

    (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of the 3x3 depthwise convolution.
        act: Activation.
        norm: Makes a normalisation cell for a number of channels.
        weight_init: Initialiser of both weights.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, act: str, norm: MakeCell, weight_init: Initializer
    ) -> None:
        cells = {
            "conv_dw": conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, weight_init=weight_init),
            "bn1": norm(in_channels),
            "act1": activation(act),
            "conv_pw": conv2d(in_channels, out_channels, 1, weight_init=weight_init),
            "bn2": norm(out_channels),
            "act2": activation(act),
        }
        super().__init__(cells, out_channels, stride)


def _conv1x1(in_channels: int, out_channels: int) -> nn.Cell:
    return conv2d(in_channels, out_channels, 1)


def conv_padding(kernel_size: int, pad: str) -> int | str:
    """Returns the padding of a convolution: "both" sides alike, or "same" as TensorFlow pads.

    Raises:
        ValueError: Another `pad`.
    """
    if pad not in ("both", "same"):
        raise ValueError(f"conv_pad is {pad!r}; give 'same' or 'both'")
    return "same" if pad == "same" else kernel_size // 2
