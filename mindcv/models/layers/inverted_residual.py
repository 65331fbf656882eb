"""The block of the MobileNets: a narrow input, a wide depthwise convolution, a narrow output."""

from collections.abc import Callable

from mindspore import Tensor, nn

from .activation import activation
from .conv import conv2d

# Channels of the depthwise convolution to squeeze-and-excitation over them.
MakeGate = Callable[[int], nn.Cell]


class InvertedResidual(nn.Cell):
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

    Attributes:
        parts: Positions in `layers` of what has weights, by timm's names.
    """

    def __init__(
        self,
        in_channels: int,
        mid_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        act: str,
        norm: Callable[[int], nn.Cell],
        gate: MakeGate | None = None,
        pad: str = "both",
    ) -> None:
        super().__init__()
        self.has_shortcut = stride == 1 and in_channels == out_channels
        padding = _padding(kernel_size, pad)
        depthwise = conv2d(mid_channels, mid_channels, kernel_size, stride, padding, groups=mid_channels)
        project = conv2d(mid_channels, out_channels, 1)
        cells: dict[str, nn.Cell] = {}
        if in_channels == mid_channels:
            names = ("conv_dw", "bn1", "conv_pw", "bn2")
        else:
            names = ("conv_dw", "bn2", "conv_pwl", "bn3")
            cells = {
                "conv_pw": conv2d(in_channels, mid_channels, 1),
                "bn1": norm(mid_channels),
                "act1": activation(act),
            }
        cells.update({names[0]: depthwise, names[1]: norm(mid_channels), "act2": activation(act)})
        if gate is not None:
            cells["se"] = gate(mid_channels)
        cells.update({names[2]: project, names[3]: norm(out_channels)})
        self.layers = nn.SequentialCell(list(cells.values()))
        self.parts = {name: index for index, name in enumerate(cells) if not name.startswith("act")}

    def construct(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.has_shortcut else self.layers(x)


def _padding(kernel_size: int, pad: str) -> int | str:
    """Returns the padding of a convolution: "both" sides alike, or "same" as TensorFlow pads.

    Raises:
        ValueError: Another `pad`.
    """
    if pad not in ("both", "same"):
        raise ValueError(f"conv_pad is {pad!r}; give 'same' or 'both'")
    return "same" if pad == "same" else kernel_size // 2
