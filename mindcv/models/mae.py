"""MAE: masked autoencoders, and Vision Transformers that were pretrained as such.

Masked Autoencoders Are Scalable Vision Learners, arXiv:2111.06377

Reference implementation: MindCV. The networks for fine-tuning are ViT's with the mean of the patches in front of the
head; those for pretraining take images and masks and give a loss.
"""

from functools import partial

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    PatchEmbed,
    TransformerBlock,
    dense,
    drop_path_rates,
    layer_norm,
    patch_weight_init,
    prepend_token,
    sincos_positions,
    tokens,
    tokens_as_map,
)
from .layers.weight_init import Normal
from .published.mae import WEIGHTS
from .vit import XAVIER, VisionTransformer

__all__ = [
    "MaskedAutoencoder",
    "mae_b_16_224_finetune",
    "mae_b_16_224_pretrain",
    "mae_h_14_224_finetune",
    "mae_h_16_224_pretrain",
    "mae_l_16_224_finetune",
    "mae_l_16_224_pretrain",
]

_dense = partial(dense, weight_init=XAVIER)


class MaskedAutoencoder(ImageClassifier):
    """Masked autoencoder: images (N, in_channels, *image_size) and masks (N, patches) to the loss.

    The encoder sees the patches whose mask is 0; of what it gives the decoder paints the others, and the loss is the
    mean squared error of their pixels.

    Args:
        image_size: Side of the images, or (height, width): multiples of `patch_size`.
        patch_size: Side of a patch.
        embed_dim: Size of a token in the encoder.
        depth: Number of the encoder's blocks.
        num_heads: Heads of the encoder's attention.
        mlp_ratio: Size of the MLPs' hidden layer over that of a token.
        decoder_embed_dim: Size of a token in the decoder.
        decoder_depth: Number of the decoder's blocks.
        decoder_num_heads: Heads of the decoder's attention.
        mask_ratio: Share of the patches that is hidden, rounded up to whole patches.
        norm_pix_loss: Whether the loss is of pixels that are normalised by patch.
        in_channels: Channels of the image.
        drop_path_rate: Stochastic depth of the encoder's last block; the first has 0.

    Raises:
        ValueError: An image that is not made of whole patches, a mask that leaves no patch or hides none, or another
            argument that cannot be.
    """

    reads_image, gives_logits = ("patch_embed.proj",), ()
    constants = ("pos_embed", "decoder_pos_embed")
    not_decayed = ("cls_token", "mask_token", "pos_embed", "decoder_pos_embed")

    def __init__(
        self,
        image_size: int | tuple[int, int] = 224,
        patch_size: int = 16,
        embed_dim: int = 768,
        depth: int = 12,
        num_heads: int = 12,
        mlp_ratio: float = 4.0,
        decoder_embed_dim: int = 512,
        decoder_depth: int = 8,
        decoder_num_heads: int = 16,
        mask_ratio: float = 0.75,
        norm_pix_loss: bool = True,
        in_channels: int = 3,
        *,
        drop_path_rate: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_classes, self.num_features, self.head_hidden_size = 0, embed_dim, embed_dim
        self.embed_dim, self.patch_size, self.in_channels = embed_dim, patch_size, in_channels
        self.norm_pix_loss = norm_pix_loss
        self.cls_token = tokens(1, embed_dim, Normal(0.02))
        patch_embed = PatchEmbed(
            image_size, patch_size, in_channels, embed_dim, patch_weight_init(patch_size, in_channels, embed_dim)
        )
        grid, self.num_patches = patch_embed.grid_size, patch_embed.num_patches
        self.num_visible = int(self.num_patches * (1 - mask_ratio))
        if not 0 < self.num_visible < self.num_patches:
            raise ValueError(
                f"mask_ratio is {mask_ratio}, which leaves {self.num_visible} of {self.num_patches} patches; give one "
                "that hides some and leaves some"
            )
        self.pos_embed = Parameter(Tensor(sincos_positions(embed_dim, grid, prefix=1)), requires_grad=False)
        self.mask_token = tokens(1, decoder_embed_dim, Normal(0.02))
        self.decoder_pos_embed = Parameter(
            Tensor(sincos_positions(decoder_embed_dim, grid, prefix=1)), requires_grad=False
        )
        self.patch_embed = patch_embed
        (rates,) = drop_path_rates(drop_path_rate, [depth])
        self.blocks = nn.CellList(
            [
                TransformerBlock(embed_dim, num_heads, mlp_ratio, drop_path_rate=rate, weight_init=XAVIER)
                for rate in rates
            ]
        )
        self.norm = layer_norm(embed_dim)
        self.decoder_embed = _dense(embed_dim, decoder_embed_dim)
        self.decoder_blocks = nn.CellList(
            [
                TransformerBlock(decoder_embed_dim, decoder_num_heads, mlp_ratio, weight_init=XAVIER)
                for _ in range(decoder_depth)
            ]
        )
        self.decoder_norm = layer_norm(decoder_embed_dim)
        self.decoder_pred = _dense(decoder_embed_dim, in_channels * patch_size**2)
        self.sort = ops.Sort(axis=1)
        self.describe_blocks(
            *(embed_dim, patch_size), tail=("norm", "decoder_embed", "decoder_blocks", "decoder_norm", "decoder_pred")
        )

    def draw_mask(self, count: int, generator: np.random.Generator) -> Tensor:
        """Draws which patches of `count` images are hidden: (count, patches) of ones (hidden) and zeros."""
        positions = generator.random((count, self.num_patches)).argsort(1)
        return Tensor((positions >= self.num_visible).astype(np.float32))

    def inputs_of(self, images: Tensor) -> tuple[Tensor, ...]:
        """Returns images and a mask for each, the same at every call."""
        return images, self.draw_mask(images.shape[0], np.random.default_rng(0))

    def patchify(self, images: Tensor) -> Tensor:
        """Cuts images into the pixels of their patches, channels last: to (N, patches, patch * patch * channels)."""
        (rows, columns), side = self.patch_embed.grid_size, self.patch_size
        x = images.reshape((-1, self.in_channels, rows, side, columns, side))
        return ops.transpose(x, (0, 2, 4, 3, 5, 1)).reshape((-1, rows * columns, side * side * self.in_channels))

    def unpatchify(self, pixels: Tensor) -> Tensor:
        """Puts images together from the pixels of their patches; inverts `patchify`."""
        (rows, columns), side = self.patch_embed.grid_size, self.patch_size
        x = ops.transpose(pixels.reshape((-1, rows, columns, side, side, self.in_channels)), (0, 5, 1, 3, 2, 4))
        return x.reshape((-1, self.in_channels, rows * side, columns * side))

    def order(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Sorts patches by their mask, visible ones first.

        Returns:
            Which patches are visible, (N, visible), and the position of each patch in that order, (N, patches).
        """
        hidden = ops.cast(mask, ms.float32)
        visible = 1 - hidden
        positions = visible * (visible.cumsum(1) - 1) + hidden * (visible.sum(1, keepdims=True) + hidden.cumsum(1) - 1)
        _, order = self.sort(positions)
        return order[:, : self.num_visible], ops.cast(positions, ms.int32)

    def take(self, x: Tensor, positions: Tensor) -> Tensor:
        """Takes tokens of each image: (N, L, D) and (N, M) to (N, M, D)."""
        index = ops.expand_dims(positions, 2)
        return ops.gather_elements(x, 1, ops.tile(index, (1, 1, x.shape[2])))

    def encode(self, x: Tensor, visible: Tensor) -> Tensor:
        """Returns the tokens of the class and of the visible patches, (N, 1 + visible, embed_dim)."""
        x = self.patch_embed(x) + self.pos_embed[:, 1:]
        x = prepend_token(self.cls_token + self.pos_embed[:, :1], self.take(x, visible))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def decode(self, x: Tensor, positions: Tensor) -> Tensor:
        """Paints all patches, the visible ones too: (N, patches, patch * patch * channels)."""
        x = self.decoder_embed(x)
        blank = x[:, :1] * 0 + ops.cast(self.mask_token, x.dtype)
        blanks = ops.tile(blank, (1, self.num_patches - self.num_visible, 1))
        painted = self.take(ops.concat((x[:, 1:], blanks), 1), positions)
        x = ops.concat((x[:, :1], painted), 1) + self.decoder_pos_embed
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.decoder_norm(x))[:, 1:]

    def target(self, images: Tensor) -> Tensor:
        """Returns what is to be painted, (N, patches, patch * patch * channels), in float32."""
        pixels = ops.cast(self.patchify(images), ms.float32)
        if not self.norm_pix_loss:
            return pixels
        centred = pixels - pixels.mean(-1, keep_dims=True)
        return centred / ops.sqrt((centred * centred).mean(-1, keep_dims=True) + 1e-6)

    def construct(self, x: Tensor, mask: Tensor) -> Tensor:  # type: ignore[override]  # no classifier
        mask = mask.reshape((-1, self.num_patches))
        visible, positions = self.order(mask)
        error = ops.cast(self.decode(self.encode(x, visible), positions), ms.float32) - self.target(x)
        hidden = ops.cast(mask, ms.float32)
        return ((error * error).mean(-1) * hidden).sum() / hidden.sum()

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the tokens behind each of the encoder's blocks, (N, 1 + patches, embed_dim), with nothing hidden."""
        return self.forward_blocks(
            prepend_token(self.cls_token + self.pos_embed[:, :1], self.patch_embed(x) + self.pos_embed[:, 1:])
        )

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the encoder gives for whole images, (N, 1 + patches, embed_dim)."""
        return self.norm(self.forward_stages(x)[-1])

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns the patches' tokens as a map, (N, embed_dim, rows, columns)."""
        return tokens_as_map(x, self.patch_embed.grid_size, prefix=1)


variant = partial(Family(VisionTransformer, WEIGHTS, __name__).variant, global_pool="avg", norm_eps=1e-6)
_LARGE = {"embed_dim": 1024, "depth": 24, "num_heads": 16}
_HUGE = {"embed_dim": 1280, "depth": 32, "num_heads": 16}
# table 3; the names say patch and side
mae_b_16_224_finetune = variant("mae_b_16_224_finetune")
mae_l_16_224_finetune = variant("mae_l_16_224_finetune", **_LARGE)
mae_h_14_224_finetune = variant("mae_h_14_224_finetune", patch_size=14, **_HUGE)

pretraining = Family(MaskedAutoencoder).variant
mae_b_16_224_pretrain = pretraining("mae_b_16_224_pretrain")
mae_l_16_224_pretrain = pretraining("mae_l_16_224_pretrain", **_LARGE)
mae_h_16_224_pretrain = pretraining("mae_h_16_224_pretrain", **_HUGE)
