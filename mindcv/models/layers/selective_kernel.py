"""Selective kernels: paths that see areas of different size, mixed channel by channel (arXiv:1903.06586)."""

from collections.abc import Callable, Sequence

from mindspore import Tensor, nn, ops

from .conv import conv2d
from .conv_norm_act import Conv2dNormActivation
from .norm import batch_norm2d
from .width import make_divisible


class SelectiveKernelAttn(nn.Cell):
    """Weights of paths for each channel, which add up to 1: (N, num_paths, channels, H, W) to the same, H and W 1.

    Args:
        channels: Channels of a path.
        num_paths: Number of paths.
        attn_channels: Width of the hidden layer.
        activation: Makes the activation of the hidden layer.
        norm: Makes a norm for a number of channels.
    """

    def __init__(
        self,
        channels: int,
        num_paths: int = 2,
        attn_channels: int = 32,
        activation: Callable[[], nn.Cell] = nn.ReLU,
        norm: Callable[[int], nn.Cell] = batch_norm2d,
    ) -> None:
        super().__init__()
        self.channels, self.num_paths = channels, num_paths
        self.fc_reduce, self.bn = conv2d(channels, attn_channels, 1), norm(attn_channels)
        self.act = activation()
        self.fc_select = conv2d(attn_channels, num_paths * channels, 1)
        self.softmax = nn.Softmax(axis=1)

    def construct(self, x: Tensor) -> Tensor:
        return self.weights_of(x.sum(1))

    def weights_of(self, x: Tensor) -> Tensor:
        """Returns the weights for the sum of the paths, (N, channels, H, W)."""
        x = self.act(self.bn(self.fc_reduce(x.mean((2, 3), keep_dims=True))))
        return self.softmax(self.fc_select(x).reshape((-1, self.num_paths, self.channels, 1, 1)))


class SelectiveKernel(nn.Cell):
    """Convolutions side by side, mixed by `SelectiveKernelAttn`: (N, in_channels, H, W) to (N, out_channels, h, w).

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output. None: as many.
        kernel_size: Side of each path's kernel; one number: of two paths. None: 3 and 5.
        stride: Stride of all paths.
        dilation: Distance of the kernels' elements.
        groups: Groups of the paths' convolutions.
        rd_ratio: Width of the attention's hidden layer over `out_channels`.
        rd_channels: That width itself, which goes before `rd_ratio`.
        rd_divisor: What it is a multiple of.
        keep_3x3: Whether kernels are 3x3 with a distance that makes them see as much.
        split_input: Whether each path sees its part of the channels (timm, MindCV), in place of all of them.
        activation: Makes the activation of the paths.
        norm: Makes a norm for a number of channels.

    Raises:
        ValueError: A kernel's side is even or below 3, or the channels cannot be divided among the paths.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        kernel_size: int | Sequence[int] | None = None,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        rd_ratio: float = 1 / 16,
        rd_channels: int | None = None,
        rd_divisor: int = 8,
        keep_3x3: bool = True,
        split_input: bool = True,
        activation: Callable[[], nn.Cell] = nn.ReLU,
        norm: Callable[[int], nn.Cell] = batch_norm2d,
    ) -> None:
        super().__init__()
        kernel_size = (3, 5) if kernel_size is None else kernel_size
        sides = (kernel_size,) * 2 if isinstance(kernel_size, int) else tuple(kernel_size)
        if not sides or any(side < 3 or side % 2 == 0 for side in sides):
            raise ValueError(f"kernel_size is {kernel_size}; give odd sides from 3 on")
        if split_input and in_channels % len(sides):
            raise ValueError(f"{in_channels} channels are no multiple of {len(sides)} paths; set split_input=False")
        out_channels = out_channels or in_channels
        self.split_input, self.num_paths = split_input, len(sides)
        self.width = in_channels // len(sides) if split_input else in_channels
        kernels = [(3, dilation * (side - 1) // 2) if keep_3x3 else (side, dilation) for side in sides]
        self.paths = nn.CellList(
            [
                Conv2dNormActivation(
                    *(self.width, out_channels, side, stride),
                    dilation=distance,
                    groups=min(out_channels, groups),
                    norm=norm,
                    activation=activation,
                )
                for side, distance in kernels
            ]
        )
        attn_channels = rd_channels or make_divisible(out_channels * rd_ratio, rd_divisor)
        self.attn = SelectiveKernelAttn(out_channels, self.num_paths, attn_channels, norm=norm)

    def construct(self, x: Tensor) -> Tensor:
        parts = ops.split(x, self.width, 1) if self.split_input else (x,) * self.num_paths
        maps: tuple[Tensor, ...] = ()
        for index in range(self.num_paths):
            maps += (self.paths[index](parts[index]),)
        total = maps[0]
        for index in range(1, self.num_paths):
            total = total + maps[index]
        weights = self.attn.weights_of(total)
        mixed = maps[0] * weights[:, 0]
        for index in range(1, self.num_paths):
            mixed = mixed + maps[index] * weights[:, index]
        return mixed
