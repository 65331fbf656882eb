"""MLP-Mixer.

MLP-Mixer: An all-MLP Architecture for Vision, arXiv:2105.01601

Reference implementations: MindCV (parameter names; GELU by tanh, 1e-7 in the norms and patches without a bias, see
`act`, `norm_eps` and `stem_bias`) and timm (names of cells).
"""

from functools import partial

from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    DropPath,
    Mlp,
    PatchEmbed,
    classifier_head,
    drop_path_rates,
    layer_norm,
    patch_weight_init,
    tokens_as_map,
)
from .layers.weight_init import XavierUniform
from .published.mlpmixer import WEIGHTS

__all__ = [
    "MLPMixer",
    "mlp_mixer_b_p16",
    "mlp_mixer_b_p32",
    "mlp_mixer_h_p14",
    "mlp_mixer_l_p16",
    "mlp_mixer_l_p32",
    "mlp_mixer_s_p16",
    "mlp_mixer_s_p32",
]

XAVIER = XavierUniform()


class MixerBlock(nn.Cell):
    """An MLP over the tokens of each channel, then one over the channels of each token (figure 1).

    (N, L, D) to the same.

    Args:
        num_tokens: Number of tokens.
        dim: Size of a token.
        token_dim: Hidden size of the MLP over tokens.
        channel_dim: Hidden size of the MLP over channels.
        proj_drop_rate: Dropout in the MLPs.
        drop_path_rate: Probability of dropping each of the two branches for a sample while training.
        act: Activation of the MLPs.
        norm_eps: Added to the variance in the norms.
    """

    def __init__(
        self,
        num_tokens: int,
        dim: int,
        token_dim: int,
        channel_dim: int,
        proj_drop_rate: float,
        drop_path_rate: float,
        act: str,
        norm_eps: float,
    ) -> None:
        super().__init__()
        mlp = partial(Mlp, act=act, drop_rate=proj_drop_rate, weight_init=XAVIER)
        self.norm1 = layer_norm(dim, norm_eps)
        self.mlp_tokens = mlp(num_tokens, token_dim)
        self.drop_path1 = DropPath(drop_path_rate)
        self.norm2 = layer_norm(dim, norm_eps)
        self.mlp_channels = mlp(dim, channel_dim)
        self.drop_path2 = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        mixed = self.mlp_tokens(ops.transpose(self.norm1(x), (0, 2, 1)))
        x = x + self.drop_path1(ops.transpose(mixed, (0, 2, 1)))
        return x + self.drop_path2(self.mlp_channels(self.norm2(x)))


# Cells of a block: MindCV's names and ours. MindCV's list of blocks takes the name of its first block's first cell.
_BLOCK = (
    ("token_mix.0.*", "norm1.*"),
    ("token_mix.2.net.0.*", "mlp_tokens.fc1.*"),
    ("token_mix.2.net.3.*", "mlp_tokens.fc2.*"),
    ("channel_mix.0.*", "norm2.*"),
    ("channel_mix.1.net.0.*", "mlp_channels.fc1.*"),
    ("channel_mix.1.net.3.*", "mlp_channels.fc2.*"),
)


class MLPMixer(ImageClassifier):
    """MLP-Mixer: (N, in_channels, *image_size) to (N, num_classes).

    Args:
        image_size: Side of the images, or (height, width): multiples of `patch_size`. A file fits one size only.
        patch_size: Side of a patch.
        embed_dim: Size of a token.
        depth: Number of blocks.
        token_dim: Hidden size of the MLP over tokens.
        channel_dim: Hidden size of the MLP over channels.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        proj_drop_rate: Dropout in the MLPs.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        act: Activation of the weights, "gelu_tanh" (MindCV) or "gelu" (timm).
        norm_eps: Added to the variance in the weights' norms, 1e-7 (MindCV) or 1e-6 (timm).
        stem_bias: Whether the weights have a bias in the patches' projection (timm's have, MindCV's have not).

    Raises:
        ValueError: An image that is not made of whole patches, or another argument that cannot be.
    """

    reads_image, gives_logits = ("stem.proj",), ("head",)
    torch_arguments = {"act": "gelu", "norm_eps": 1e-6, "stem_bias": True}
    mindcv_names = NameTable(
        ("to_patch_embedding.0.*", "stem.proj.*"),
        *((f"0.{theirs}", f"blocks.0.{ours}") for theirs, ours in _BLOCK),
        *((f"0.token_mix.*.{theirs}", f"blocks.*.{ours}") for theirs, ours in _BLOCK),
        ("layer_norm.*", "norm.*"),
        ("mlp_head.*", "head.*"),
    )
    file_arguments = ("act", "norm_eps", "stem_bias")

    def __init__(
        self,
        image_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        embed_dim: int = 512,
        depth: int = 8,
        token_dim: int = 256,
        channel_dim: int = 2048,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act: str = "gelu_tanh",
        norm_eps: float = 1e-7,
        stem_bias: bool = False,
    ) -> None:
        super().__init__()
        self.act, self.norm_eps, self.stem_bias = act, norm_eps, stem_bias
        self.embed_dim = embed_dim
        weight_init = patch_weight_init(patch_size, in_channels, embed_dim)
        self.stem = PatchEmbed(image_size, patch_size, in_channels, embed_dim, weight_init, bias=stem_bias)
        count = self.stem.num_patches
        (rates,) = drop_path_rates(drop_path_rate, [depth])
        self.blocks = nn.CellList(
            [
                MixerBlock(count, embed_dim, token_dim, channel_dim, proj_drop_rate, rate, act, norm_eps)
                for rate in rates
            ]
        )
        self.norm = layer_norm(embed_dim, norm_eps)
        self.add_head(
            embed_dim,
            num_classes,
            drop_rate,
            name="head",
            pool="tokens",
            make=partial(classifier_head, weight_init=XAVIER),
        )
        self.describe_blocks(embed_dim, patch_size, tail=("norm",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the tokens behind each block, (N, patches, embed_dim)."""
        return self.forward_blocks(self.stem(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of the last block's tokens, (N, patches, embed_dim)."""
        return self.norm(self.forward_stages(x)[-1])

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns the tokens as a map, (N, embed_dim, rows, columns)."""
        return tokens_as_map(x, self.stem.grid_size)


variant = Family(MLPMixer, WEIGHTS).variant
# table 1; the names say size and patch
_BASE = {"embed_dim": 768, "depth": 12, "token_dim": 384, "channel_dim": 3072}
_LARGE = {"embed_dim": 1024, "depth": 24, "token_dim": 512, "channel_dim": 4096}
_HUGE = {"embed_dim": 1280, "depth": 32, "token_dim": 640, "channel_dim": 5120}
mlp_mixer_s_p32 = variant("mlp_mixer_s_p32", patch_size=32)
mlp_mixer_s_p16 = variant("mlp_mixer_s_p16")
mlp_mixer_b_p32 = variant("mlp_mixer_b_p32", **_BASE, patch_size=32)
mlp_mixer_b_p16 = variant("mlp_mixer_b_p16", **_BASE)
mlp_mixer_l_p32 = variant("mlp_mixer_l_p32", **_LARGE, patch_size=32)
mlp_mixer_l_p16 = variant("mlp_mixer_l_p16", **_LARGE)
mlp_mixer_h_p14 = variant("mlp_mixer_h_p14", **_HUGE, patch_size=14)
