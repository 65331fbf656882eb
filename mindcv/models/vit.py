"""ViT, and DeiT's with the token that learns from a teacher.

An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale, arXiv:2010.11929
Training data-efficient image transformers & distillation through attention, arXiv:2012.12877

Reference implementations: MindCV (parameter names, which are timm's too; GELU by tanh and 1e-7 in the norms, see `act`
and `norm_eps`), timm and torchvision.
"""

from functools import partial
from typing import ClassVar

from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable
from mindcv.weights.resize import Tokens

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    PatchEmbed,
    TransformerBlock,
    classifier_head,
    drop_path_rates,
    dropout,
    layer_norm,
    patch_weight_init,
    prepend_token,
    tokens,
    tokens_as_map,
)
from .layers.weight_init import XavierUniform
from .published.vit import WEIGHTS

__all__ = [
    "DistilledVisionTransformer",
    "VisionTransformer",
    "deit_base_distilled_patch16_224",
    "deit_small_distilled_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "vit_b_16_224",
    "vit_b_16_384",
    "vit_b_32_224",
    "vit_b_32_384",
    "vit_l_16_224",
    "vit_l_16_384",
    "vit_l_32_224",
]

XAVIER = XavierUniform()


class VisionTransformer(ImageClassifier):
    """Vision Transformer: (N, in_channels, *image_size) to (N, num_classes).

    Args:
        image_size: Side of the images, or (height, width): multiples of `patch_size`.
        patch_size: Side of a patch.
        embed_dim: Size of a token.
        depth: Number of blocks.
        num_heads: Heads of the attention.
        mlp_ratio: Size of the MLP's hidden layer over `embed_dim`.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        qkv_bias: Whether the layer of queries, keys and values has a bias.
        global_pool: What the head reads: the class token behind a norm ("token"), or a norm of the patches' mean
            ("avg").
        drop_rate: Dropout before the classifier.
        pos_drop_rate: Dropout behind the position embeddings.
        proj_drop_rate: Dropout behind the attention's projection and in the MLP.
        attn_drop_rate: Dropout of the attention's weights.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        act: Activation of the weights' MLP, "gelu_tanh" (MindCV) or "gelu" (timm, torchvision).
        norm_eps: Added to the variance in the weights' norms, 1e-7 (MindCV) or 1e-6 (timm, torchvision).

    Raises:
        ValueError: An image that is not made of whole patches, or another argument that cannot be.
    """

    reads_image = ("patch_embed.proj",)
    gives_logits: ClassVar[tuple[str, ...]] = ("head",)
    # timm's names are ours; the others are torchvision's, with those of its published files for the MLP.
    torch_names = NameTable(
        ("cls_token", "cls_token"),
        ("dist_token", "dist_token"),
        ("pos_embed", "pos_embed"),
        ("patch_embed.**", "patch_embed.**"),
        ("blocks.**", "blocks.**"),
        ("norm.*", "norm.*"),
        ("head.*", "head.*"),
        ("head_dist.*", "head_dist.*"),
        ("class_token", "cls_token"),
        ("encoder.pos_embedding", "pos_embed"),
        ("conv_proj.*", "patch_embed.proj.*"),
        ("encoder.layers.encoder_layer_*.ln_1.*", "blocks.*.norm1.*"),
        ("encoder.layers.encoder_layer_*.self_attention.in_proj_*", "blocks.*.attn.qkv.*"),
        ("encoder.layers.encoder_layer_*.self_attention.out_proj.*", "blocks.*.attn.proj.*"),
        ("encoder.layers.encoder_layer_*.ln_2.*", "blocks.*.norm2.*"),
        ("encoder.layers.encoder_layer_*.mlp.0.*", "blocks.*.mlp.fc1.*"),
        ("encoder.layers.encoder_layer_*.mlp.3.*", "blocks.*.mlp.fc2.*"),
        ("encoder.layers.encoder_layer_*.mlp.linear_1.*", "blocks.*.mlp.fc1.*"),
        ("encoder.layers.encoder_layer_*.mlp.linear_2.*", "blocks.*.mlp.fc2.*"),
        ("encoder.ln.*", "norm.*"),
        ("heads.head.*", "head.*"),
    )
    torch_arguments = {"act": "gelu", "norm_eps": 1e-6}
    file_arguments = ("act", "norm_eps")
    resized = {"pos_embed": Tokens(prefix=1)}
    not_decayed: ClassVar[tuple[str, ...]] = ("cls_token", "pos_embed")
    has_distillation_head: ClassVar[bool] = False
    num_prefix_tokens: ClassVar[int] = 1

    def __init__(
        self,
        image_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        qkv_bias: bool = True,
        global_pool: str = "token",
        drop_rate: float = 0.0,
        pos_drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        act: str = "gelu_tanh",
        norm_eps: float = 1e-7,
    ) -> None:
        super().__init__()
        if self.has_distillation_head and global_pool != "token":
            raise ValueError(f"global_pool is {global_pool!r}; a distilled network reads its tokens: give 'token'")
        if global_pool not in ("token", "avg"):
            raise ValueError(f"global_pool is {global_pool!r}; give 'token' or 'avg'")
        self.act, self.norm_eps = act, norm_eps
        self.embed_dim = embed_dim
        self.cls_token = tokens(1, embed_dim)
        self.patch_embed = PatchEmbed(
            image_size, patch_size, in_channels, embed_dim, patch_weight_init(patch_size, in_channels, embed_dim)
        )
        self.grids = {"pos_embed": self.patch_embed.grid_size}
        self.is_distilling = False
        if self.has_distillation_head:
            self.dist_token = tokens(1, embed_dim)
        self.pos_embed = tokens(self.num_prefix_tokens + self.patch_embed.num_patches, embed_dim)
        self.pos_drop = dropout("pos_drop_rate", pos_drop_rate)
        (rates,) = drop_path_rates(drop_path_rate, [depth])
        self.blocks = nn.CellList(
            [
                TransformerBlock(
                    embed_dim,
                    num_heads,
                    mlp_ratio,
                    qkv_bias,
                    proj_drop_rate,
                    attn_drop_rate,
                    rate,
                    act,
                    norm_eps,
                    XAVIER,
                )
                for rate in rates
            ]
        )
        self.reads_token = global_pool == "token"
        if self.reads_token:
            self.norm = layer_norm(embed_dim, norm_eps)
        else:
            self.fc_norm = layer_norm(embed_dim, norm_eps)
        self.add_head(
            embed_dim,
            num_classes,
            drop_rate,
            name="head",
            pool="token" if self.reads_token else "none",
            make=partial(classifier_head, weight_init=XAVIER),
        )
        if self.has_distillation_head:
            self.head_dist = classifier_head(embed_dim, num_classes, weight_init=XAVIER)
        self.describe_blocks(embed_dim, patch_size, tail=("norm",) if self.reads_token else ("fc_norm",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the tokens behind each block, (N, num_prefix_tokens + patches, embed_dim)."""
        x = self.patch_embed(x)
        if self.has_distillation_head:
            x = prepend_token(self.dist_token, x)
        return self.forward_blocks(self.pos_drop(prepend_token(self.cls_token, x) + self.pos_embed))

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, 1 + patches, embed_dim), or (N, embed_dim) where it reads the mean."""
        x = self.forward_stages(x)[-1]
        return self.norm(x) if self.reads_token else self.fc_norm(x[:, 1:].mean(1))

    def forward_head(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Returns the logits, or those of both heads where a teacher is there to train them."""
        if not self.has_distillation_head:
            return super().forward_head(x)
        by_class, by_teacher = self.head(self.dropout(x[:, 0])), self.head_dist(self.dropout(x[:, 1]))
        if self.is_distilling and self.training:
            return by_class, by_teacher
        return 0.5 * (by_class + by_teacher)

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns the patches' tokens as a map, (N, embed_dim, rows, columns)."""
        return tokens_as_map(x, self.patch_embed.grid_size, prefix=self.num_prefix_tokens)


class DistilledVisionTransformer(VisionTransformer):
    """DeiT: a ViT with a second token behind the class token, and a head of its own on it (arXiv:2012.12877).

    It gives the mean of both heads; in training with a teacher, which sets the attribute `is_distilling`, it gives
    both, (N, num_classes) each. The arguments are those of `VisionTransformer`.
    """

    gives_logits = ("head", "head_dist")
    resized = {"pos_embed": Tokens(prefix=2)}
    not_decayed = ("cls_token", "dist_token", "pos_embed")
    has_distillation_head = True
    num_prefix_tokens = 2


variant = Family(VisionTransformer, WEIGHTS).variant
# table 1; the names say patch and side
_LARGE = {"embed_dim": 1024, "depth": 24, "num_heads": 16}
vit_b_16_224 = variant("vit_b_16_224")
vit_b_16_384 = variant("vit_b_16_384", image_size=384)
vit_b_32_224 = variant("vit_b_32_224", patch_size=32)
vit_b_32_384 = variant("vit_b_32_384", patch_size=32, image_size=384)
vit_l_16_224 = variant("vit_l_16_224", **_LARGE)
vit_l_16_384 = variant("vit_l_16_384", **_LARGE, image_size=384)
vit_l_32_224 = variant("vit_l_32_224", **_LARGE, patch_size=32)
# arXiv:2012.12877, table 1; timm's names
_distilled = Family(DistilledVisionTransformer, WEIGHTS).variant
_DEIT = {"act": "gelu", "norm_eps": 1e-6}
deit_tiny_distilled_patch16_224 = _distilled("deit_tiny_distilled_patch16_224", embed_dim=192, num_heads=3, **_DEIT)
deit_small_distilled_patch16_224 = _distilled("deit_small_distilled_patch16_224", embed_dim=384, num_heads=6, **_DEIT)
deit_base_distilled_patch16_224 = _distilled("deit_base_distilled_patch16_224", **_DEIT)
