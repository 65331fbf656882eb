"""A convolution with its norm and its activation."""

from collections.abc import Callable
from typing import Any

from mindspore import Tensor, nn

from .conv import HE_NORMAL
from .norm import batch_norm2d


class Conv2dNormActivation(nn.Cell):
    """Convolution, norm, activation, under the names `features.0`, `.1` and `.2`: (N, in_channels, H, W) to maps.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Side of the kernel.
        stride: Stride.
        pad_mode: MindSpore's word: "pad", "same" or "valid".
        padding: Zeros on all sides where `pad_mode` is "pad". None: as many as keep the side at stride 1.
        dilation: Distance of the kernel's elements.
        groups: Groups of channels.
        norm: Makes a norm for a number of channels; None: no norm.
        activation: Makes the activation; None: none.
        has_bias: Whether the convolution has a bias. None: where there is no norm.
        **kwargs: Further arguments of `nn.Conv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        pad_mode: str = "pad",
        padding: int | None = None,
        dilation: int = 1,
        groups: int = 1,
        norm: Callable[[int], nn.Cell] | None = batch_norm2d,
        activation: Callable[[], nn.Cell] | None = nn.ReLU,
        has_bias: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        if pad_mode != "pad":
            padding = 0
        elif padding is None:
            padding = (stride - 1 + dilation * (kernel_size - 1)) // 2
        convolution = nn.Conv2d(
            *(in_channels, out_channels, kernel_size, stride),
            pad_mode=pad_mode,
            padding=padding,
            dilation=dilation,
            group=groups,
            has_bias=norm is None if has_bias is None else has_bias,
            **{"weight_init": HE_NORMAL, **kwargs},
        )
        behind = [norm(out_channels)] if norm else []
        self.features = nn.SequentialCell([convolution, *behind, *([activation()] if activation else [])])

    def construct(self, x: Tensor) -> Tensor:
        return self.features(x)
