"""Swin Transformer V2.

Swin Transformer V2: Scaling Up Capacity and Resolution, arXiv:2111.09883

Reference implementations: MindCV (parameter names; GELU by tanh and 1e-6 in the norms, see `act` and `norm_eps`), timm
and torchvision.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Constant, initializer

from mindcv.weights.naming import NameTable

from ._family import Family
from .layers import TRUNC_NORMAL, PatchEmbed, WindowAttention, dense, dropout, layer_norm, relative_index, unit_length
from .published.swintransformerv2 import WEIGHTS
from .swintransformer import TIMM, Block, PatchMerging, WindowTransformer, head, torchvision_names

__all__ = [
    "SwinTransformerV2",
    "swinv2_base_window8",
    "swinv2_base_window16",
    "swinv2_small_window8",
    "swinv2_small_window16",
    "swinv2_tiny_window8",
    "swinv2_tiny_window16",
]


class LogSpacedBias(nn.Cell):
    """A bias for each distance in a window, computed from its logarithm (section 3.3): nothing to (1, heads, L, L).

    Args:
        window_size: Height and width of the window.
        num_heads: Heads of the attention.
        pretrained_window_size: Side of the window that the weights are from where it was another one; else 0.
    """

    def __init__(self, window_size: tuple[int, int], num_heads: int, pretrained_window_size: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.length = window_size[0] * window_size[1]
        table = log_distances(window_size, pretrained_window_size)
        self.relative_coords_table = Parameter(Tensor(table, ms.float32), requires_grad=False)
        self.relative_position_index = Parameter(Tensor(relative_index(window_size), ms.int32), requires_grad=False)
        self.cpb_mlp0 = dense(2, 512, weight_init=TRUNC_NORMAL)
        self.cpb_mlp2 = dense(512, num_heads, False, weight_init=TRUNC_NORMAL)

    def construct(self) -> Tensor:
        table = self.cpb_mlp2(ops.relu(self.cpb_mlp0(self.relative_coords_table))).reshape((-1, self.num_heads))
        bias = ops.gather(table, self.relative_position_index.reshape((-1,)), 0)
        bias = 16 * ops.sigmoid(bias.reshape((1, self.length, self.length, self.num_heads)))
        return ops.transpose(bias, (0, 3, 1, 2))


def log_distances(window_size: tuple[int, int], pretrained_window_size: int = 0) -> np.ndarray:
    """Returns rows and columns of each distance in a window, (1, 2 * rows - 1, 2 * columns - 1, 2), by equation 4.

    They are scaled so that the window's largest (or the pretrained one's) is 8, and then to the logarithm to base 8.
    """
    sides = [np.arange(1 - length, length) for length in window_size]
    table = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1)[None].astype(np.float64)
    largest = [max((pretrained_window_size or length) - 1, 1) for length in window_size]
    table *= 8 / np.array(largest)
    return np.sign(table) * np.log2(np.abs(table) + 1) / 3


class CosineAttention(WindowAttention):
    """Attention in windows by the cosine of queries and keys (section 3.2): (N * windows, L, D) to the same.

    Args:
        dim: Size of a token.
        num_heads: Number of heads; divides `dim`.
        window_size: Height and width of a window.
        attn_drop_rate: Dropout of the attention's weights.
        drop_rate: Dropout behind the projection.
        pretrained_window_size: Side of the window that the weights are from where it was another one; else 0.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: tuple[int, int],
        attn_drop_rate: float,
        drop_rate: float,
        pretrained_window_size: int,
    ) -> None:
        super().__init__(dim, num_heads)
        self.logit_scale = Parameter(initializer(Constant(math.log(10)), (num_heads, 1, 1)))
        self.add_inputs(dim, key_bias=False)
        self.relative_position_bias = LogSpacedBias(window_size, num_heads, pretrained_window_size)
        self.add_output(dim, attn_drop_rate, drop_rate)

    def products(self, query: Tensor, key: Tensor) -> Tensor:
        """Returns the scaled cosines, (N * windows, heads, L, L)."""
        scale = ops.exp(ops.minimum(self.logit_scale, math.log(100)))
        cosines = ops.matmul(unit_length(query), ops.transpose(unit_length(key), (0, 1, 3, 2)))
        return ops.cast(cosines * scale, query.dtype)

    def bias(self) -> Tensor:
        """Returns the bias for the distance of tokens, (1, heads, L, L)."""
        return self.relative_position_bias()


_ATTENTION = (
    ("attn.q_bias", "attn.q.bias"),
    ("attn.v_bias", "attn.v.bias"),
    ("attn.cpb_mlp.0.*", "attn.relative_position_bias.cpb_mlp0.*"),
    ("attn.cpb_mlp.2.*", "attn.relative_position_bias.cpb_mlp2.*"),
)


class SwinTransformerV2(WindowTransformer):
    """Swin Transformer V2: (N, in_channels, *image_size) to (N, num_classes).

    Args:
        image_size: Side of the images, or (height, width): multiples of `patch_size`.
        patch_size: Side of a patch.
        embed_dim: Channels of the first stage; each following one has twice as many.
        depths: Number of blocks in each of the four stages; every second one is shifted.
        num_heads: Heads of the attention in each stage.
        window_size: Side of a window in pixels of the map, or (height, width).
        pretrained_window_sizes: Side of the window in each stage that the weights are from where it was another one,
            so that a distance keeps its bias; 0: `window_size`.
        mlp_ratio: Size of the MLP's hidden layer over the channels.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        pos_drop_rate: Dropout behind the patches' projection.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        act: Activation of the weights' MLP, "gelu_tanh" (MindCV) or "gelu" (timm, torchvision).
        norm_eps: Added to the variance in the weights' norms but for the mergings', 1e-6 (MindCV) or 1e-5 (others).

    Raises:
        ValueError: An image that is not made of whole patches, or another argument that cannot be.
    """

    gives_logits = ("head",)
    torch_names = NameTable(
        *((f"layers.*.blocks.*.{theirs}", f"layers.*.blocks.*.{ours}") for theirs, ours in _ATTENTION),
        *TIMM,
        ("head.fc.*", "head.*"),
        *torchvision_names(_ATTENTION),
    )
    torch_arguments = {"act": "gelu", "norm_eps": 1e-5}
    file_arguments = ("act", "norm_eps", "pretrained_window_sizes")
    constants = ("*.attn_mask", "*.relative_coords_table", "*.relative_position_index")
    not_decayed = ("*.logit_scale", "*.relative_position_bias.cpb_mlp*")

    def __init__(
        self,
        image_size: int | tuple[int, int] = 256,
        patch_size: int = 4,
        embed_dim: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        num_heads: Sequence[int] = (3, 6, 12, 24),
        window_size: int | tuple[int, int] = 8,
        pretrained_window_sizes: Sequence[int] = (0, 0, 0, 0),
        mlp_ratio: float = 4.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act: str = "gelu_tanh",
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if len(pretrained_window_sizes) != 4:
            raise ValueError(f"pretrained_window_sizes are {list(pretrained_window_sizes)}; give one for each stage, 4")
        self.act, self.norm_eps = act, norm_eps
        self.pretrained_window_sizes = tuple(pretrained_window_sizes)
        self.patch_embed = PatchEmbed(image_size, patch_size, in_channels, embed_dim, norm_eps=norm_eps)
        self.pos_drop = dropout("pos_drop_rate", pos_drop_rate)

        def attention(window_size: tuple[int, int], heads: int, dim: int, stage: int) -> WindowAttention:
            pretrained = pretrained_window_sizes[stage]
            return CosineAttention(dim, heads, window_size, attn_drop_rate, proj_drop_rate, pretrained)

        block = partial(
            Block,
            mlp_ratio=mlp_ratio,
            proj_drop_rate=proj_drop_rate,
            act=act,
            norm_eps=norm_eps,
            norm_last=True,
            mask_axes=(),
        )
        merging = partial(PatchMerging, norm_eps=1e-5, norm_last=True)
        self.add_stages(attention, block, merging, embed_dim, depths, num_heads, window_size, drop_path_rate)
        self.add_head(self.dims[-1], num_classes, drop_rate, name="head", pool="none", make=head)
        self.norm = layer_norm(self.dims[-1], norm_eps)
        self.describe_stages(patch_size)

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns timm's or torchvision's arrays under our names; torchvision's keys have a bias that is not used."""
        named = super().from_torch(arrays)
        return {name: array for name, array in named.items() if not name.endswith(".attn.k.bias")}


variant = partial(Family(SwinTransformerV2, WEIGHTS).variant, drop_path_rate=0.1)
# section 3.5; the names say the window's side
_SMALL = {"depths": (2, 2, 18, 2)}
_BASE = {"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32)}
swinv2_tiny_window8 = variant("swinv2_tiny_window8")
swinv2_tiny_window16 = variant("swinv2_tiny_window16", window_size=16)
swinv2_small_window8 = variant("swinv2_small_window8", **_SMALL)
swinv2_small_window16 = variant("swinv2_small_window16", **_SMALL, window_size=16)
swinv2_base_window8 = variant("swinv2_base_window8", **_BASE)
swinv2_base_window16 = variant("swinv2_base_window16", **_BASE, window_size=16)
