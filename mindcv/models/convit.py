"""ConViT.

ConViT: Improving Vision Transformers with Soft Convolutional Inductive Biases, arXiv:2103.10697

Reference implementations: MindCV (parameter names; GELU by tanh and 1e-7 in the norms, see `act` and `norm_eps`) and
timm.
"""

from collections.abc import Mapping
from functools import partial

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore.common.initializer import Identity, Initializer, initializer

from mindcv.weights.naming import NameTable, join_rows, split_rows
from mindcv.weights.resize import Tokens

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    Mlp,
    PatchEmbed,
    PreNormBlock,
    SplitAttention,
    classifier_head,
    dense,
    drop_path_rates,
    dropout,
    layer_norm,
    prepend_token,
    tokens,
    tokens_as_map,
)
from .published.convit import WEIGHTS

__all__ = [
    "ConViT",
    "convit_base",
    "convit_base_plus",
    "convit_small",
    "convit_small_plus",
    "convit_tiny",
    "convit_tiny_plus",
]


class GatedAttention(SplitAttention):
    """Attention that mixes the tokens' scores with scores of their distance (section 3): (N, L, D) to the same.

    It starts as a convolution: each head looks at one neighbour.

    Args:
        dim: Size of a token.
        num_heads: Number of heads; divides `dim`.
        attn_drop_rate: Dropout of the attention's weights.
        drop_rate: Dropout behind the projection.
        grid_size: Rows and columns of the tokens.
        locality_strength: How sharply a head looks at its neighbour at the start.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        attn_drop_rate: float,
        drop_rate: float,
        grid_size: tuple[int, int],
        locality_strength: float,
    ) -> None:
        super().__init__(dim, num_heads, False, attn_drop_rate, drop_rate)
        self.gating_param = Parameter(initializer("ones", (num_heads,)))
        start = Tensor(locality_strength * neighbours(num_heads), ms.float32)
        self.pos_proj = dense(3, num_heads, weight_init=start)
        self.distances = Tensor(distances(*grid_size), ms.float32)

    def add_layers(self, dim: int, bias: bool, weight_init: str | Initializer) -> None:
        """Adds what makes queries, keys and values; the values start as the tokens."""
        self.q = dense(dim, dim, bias, weight_init=weight_init)
        self.k = dense(dim, dim, bias, weight_init=weight_init)
        self.v = dense(dim, dim, bias, weight_init=Identity())

    def scores(self, query: Tensor, key: Tensor) -> Tensor:
        """Returns what each token takes of each other one, (N, heads, L, L)."""
        positions = self.softmax(ops.transpose(self.pos_proj(self.distances), (2, 0, 1)))
        gate = ops.sigmoid(self.gating_param.reshape((-1, 1, 1)))
        return (1.0 - gate) * self.similarity(query, key) + gate * positions


def distances(rows: int, columns: int) -> np.ndarray:
    """Columns, rows and squared distance from each position of a grid to each other one, (L, L, 3)."""
    row, column = np.divmod(np.arange(rows * columns), columns)
    across, down = column[None] - column[:, None], row[None] - row[:, None]
    return np.stack([across, down, across**2 + down**2], axis=-1)


def neighbours(num_heads: int) -> np.ndarray:
    """Weights of `distances` for each head, (heads, 3), by which it looks at one position of a square kernel."""
    side = int(num_heads**0.5)
    centre = (side - 1) / 2 if side % 2 == 0 else side // 2
    weight = np.zeros((num_heads, 3))
    for column in range(side):
        for row in range(side):
            weight[row + side * column] = 2 * (column - centre), 2 * (row - centre), -1
    return weight


class ConViT(ImageClassifier):
    """ConViT: (N, in_channels, *image_size) to (N, num_classes).

    Args:
        image_size: Side of the images, or (height, width): multiples of `patch_size`.
        patch_size: Side of a patch.
        embed_dim: Size of a token.
        depth: Number of blocks.
        num_heads: Heads of the attention.
        mlp_ratio: Size of the MLP's hidden layer over `embed_dim`.
        local_up_to_layer: Number of blocks with gated attention; behind them the class token joins the patches.
        locality_strength: How sharply a head looks at its neighbour at the start.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        pos_drop_rate: Dropout behind the position embeddings.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        act: Activation of the weights' MLP, "gelu_tanh" (MindCV) or "gelu" (timm).
        norm_eps: Added to the variance in the weights' norms, 1e-7 (MindCV) or 1e-6 (timm).

    Raises:
        ValueError: An image that is not made of whole patches, or another argument that cannot be.
    """

    reads_image = ("patch_embed.proj",)
    torch_names = NameTable(("head.*", "classifier.*"))
    torch_arguments = {"act": "gelu", "norm_eps": 1e-6}
    file_arguments = ("act", "norm_eps")
    resized = {"pos_embed": Tokens()}
    not_decayed = ("cls_token", "pos_embed")

    def __init__(
        self,
        image_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        embed_dim: int = 192,
        depth: int = 12,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        local_up_to_layer: int = 10,
        locality_strength: float = 1.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act: str = "gelu_tanh",
        norm_eps: float = 1e-7,
    ) -> None:
        super().__init__()
        if not 0 <= local_up_to_layer < depth:
            raise ValueError(f"local_up_to_layer is {local_up_to_layer}; give 0 to {depth - 1}, below the depth")
        self.act, self.norm_eps = act, norm_eps
        self.embed_dim = embed_dim
        self.local_up_to_layer = local_up_to_layer
        self.cls_token = tokens(1, embed_dim)
        self.patch_embed = PatchEmbed(image_size, patch_size, in_channels, embed_dim)
        self.grids = {"pos_embed": self.patch_embed.grid_size}
        self.pos_embed = tokens(self.patch_embed.num_patches, embed_dim)
        self.pos_drop = dropout("pos_drop_rate", pos_drop_rate)
        gated = partial(
            GatedAttention,
            embed_dim,
            num_heads,
            attn_drop_rate,
            proj_drop_rate,
            self.patch_embed.grid_size,
            locality_strength,
        )
        plain = partial(SplitAttention, embed_dim, num_heads, False, attn_drop_rate, proj_drop_rate)
        (rates,) = drop_path_rates(drop_path_rate, [depth])
        self.blocks = nn.CellList(
            [
                PreNormBlock(
                    embed_dim,
                    gated() if index < local_up_to_layer else plain(),
                    Mlp(embed_dim, int(embed_dim * mlp_ratio), act=act, drop_rate=proj_drop_rate),
                    rate,
                    norm_eps,
                )
                for index, rate in enumerate(rates)
            ]
        )
        self.norm = layer_norm(embed_dim, norm_eps)
        self.add_head(
            embed_dim, num_classes, drop_rate, pool="token", make=partial(classifier_head, weight_init=TRUNC_NORMAL)
        )
        self.describe_blocks(embed_dim, patch_size, tail=("norm",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the tokens behind each block: (N, patches, embed_dim), from `local_up_to_layer` with one more."""
        x = self.pos_drop(self.patch_embed(x) + self.pos_embed)
        outputs = []
        for index, block in enumerate(self.blocks):
            if index == self.local_up_to_layer:
                x = prepend_token(self.cls_token, x)
            x = block(x)
            outputs.append(x)
        return tuple(outputs)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of the last block's tokens, (N, 1 + patches, embed_dim)."""
        return self.norm(self.forward_stages(x)[-1])

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns the patches' tokens as a map, (N, embed_dim, rows, columns)."""
        return tokens_as_map(x, self.patch_embed.grid_size, prefix=int(index >= self.local_up_to_layer))

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns timm's arrays under our names; its queries and keys (behind the gated, values too) are one layer."""
        return super().from_torch(split_rows(split_rows(arrays, "qk", ("q", "k")), "qkv", ("q", "k", "v")))

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under timm's names; inverts `from_torch`."""
        named = super().to_torch(arrays)
        gated = {name: array for name, array in named.items() if f"{name.rsplit('.', 2)[0]}.gating_param" in named}
        plain = {name: array for name, array in named.items() if name not in gated}
        return {**join_rows(gated, "qk", ("q", "k")), **join_rows(plain, "qkv", ("q", "k", "v"))}


variant = partial(Family(ConViT, WEIGHTS).variant, drop_path_rate=0.1)
# table 1
convit_tiny = variant("convit_tiny")
convit_tiny_plus = variant("convit_tiny_plus", embed_dim=256)
convit_small = variant("convit_small", embed_dim=432, num_heads=9)
convit_small_plus = variant("convit_small_plus", embed_dim=576, num_heads=9)
convit_base = variant("convit_base", embed_dim=768, num_heads=16)
convit_base_plus = variant("convit_base_plus", embed_dim=1024, num_heads=16)
