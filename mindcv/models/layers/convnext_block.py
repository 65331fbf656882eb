"""The block of ConvNeXt, arXiv:2201.03545."""

from functools import partial

from mindspore import Tensor, nn, ops

from .activation import activation
from .conv import conv2d
from .dense import TRUNC_NORMAL, dense
from .drop import DropPath
from .norm import layer_norm
from .scale import GlobalResponseNorm, LayerScale

_dense = partial(dense, weight_init=TRUNC_NORMAL)


class ConvNeXtBlock(nn.Cell):
    """Depthwise convolution, norm and two dense layers beside a shortcut (figure 4): (N, C, H, W) to the same.

    Args:
        dim: Channels.
        drop_path_rate: Probability of dropping the block for a sample while training.
        layer_scale_init_value: What the scale of each channel starts with; 0 for none.
        use_grn: Whether a global response normalisation stands between the dense layers.
        act: Activation.
        kernel_size: Side of the depthwise kernel.
    """

    def __init__(
        self,
        dim: int,
        drop_path_rate: float,
        layer_scale_init_value: float,
        use_grn: bool = False,
        act: str = "gelu",
        kernel_size: int = 7,
    ) -> None:
        super().__init__()
        self.layer_scale = LayerScale(dim, layer_scale_init_value) if layer_scale_init_value else nn.Identity()
        self.dwconv = conv2d(dim, dim, kernel_size, 1, kernel_size // 2, dim, bias=True, weight_init=TRUNC_NORMAL)
        self.norm = layer_norm(dim)
        self.pwconv1 = _dense(dim, 4 * dim)
        self.act = activation(act)
        self.grn = GlobalResponseNorm(4 * dim) if use_grn else nn.Identity()
        self.pwconv2 = _dense(4 * dim, dim)
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.norm(ops.transpose(self.dwconv(x), (0, 2, 3, 1)))
        out = self.layer_scale(self.pwconv2(self.grn(self.act(self.pwconv1(out)))))
        return x + self.drop_path(ops.transpose(out, (0, 3, 1, 2)))
