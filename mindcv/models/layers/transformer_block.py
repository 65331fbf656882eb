"""The blocks of transformers' encoders, arXiv:2010.11929."""

from mindspore import Tensor, nn
from mindspore.common.initializer import Initializer

from .attention import Attention
from .dense import TRUNC_NORMAL
from .drop import DropPath
from .feed_forward import Mlp
from .norm import layer_norm


class PreNormBlock(nn.Cell):
    """Attention, then an MLP, each behind a norm and beside a shortcut (figure 1): (N, ..., D) to the same.

    Args:
        dim: Size of a token.
        attn: The attention.
        mlp: The MLP.
        drop_path_rate: Probability of dropping each of the two branches for a sample while training.
        norm_eps: Added to the variance in the norms.
        attn_norm_eps: The same for the norm in front of the attention; None: `norm_eps`.
    """

    def __init__(
        self,
        dim: int,
        attn: nn.Cell,
        mlp: nn.Cell,
        drop_path_rate: float,
        norm_eps: float = 1e-6,
        attn_norm_eps: float | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = layer_norm(dim, norm_eps if attn_norm_eps is None else attn_norm_eps)
        self.attn = attn
        self.drop_path1 = DropPath(drop_path_rate)
        self.norm2 = layer_norm(dim, norm_eps)
        self.mlp = mlp
        self.drop_path2 = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        x = x + self.drop_path1(self.attn(self.norm1(x)))
        return x + self.drop_path2(self.mlp(self.norm2(x)))


class TransformerBlock(PreNormBlock):
    """`PreNormBlock` of plain self-attention and an MLP: (N, L, D) to the same.

    Args:
        dim: Size of a token.
        num_heads: Heads of the attention.
        mlp_ratio: Size of the MLP's hidden layer over `dim`.
        qkv_bias: Whether the layer of queries, keys and values has a bias.
        proj_drop_rate: Dropout behind the projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Probability of dropping each of the two branches for a sample while training.
        act: Activation of the MLP.
        norm_eps: Added to the variance in the norms.
        weight_init: Initialiser of all weights.
        hidden_drop_rate: Dropout of the MLP's hidden layer; None: `proj_drop_rate`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = True,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act: str = "gelu",
        norm_eps: float = 1e-6,
        weight_init: str | Initializer = TRUNC_NORMAL,
        hidden_drop_rate: float | None = None,
    ) -> None:
        attn = Attention(dim, num_heads, qkv_bias, attn_drop_rate, proj_drop_rate, weight_init)
        mlp = Mlp(
            dim,
            int(dim * mlp_ratio),
            act=act,
            drop_rate=proj_drop_rate,
            weight_init=weight_init,
            hidden_drop_rate=hidden_drop_rate,
        )
        super().__init__(dim, attn, mlp, drop_path_rate, norm_eps)
