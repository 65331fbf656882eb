"""RepVGG: Making VGG-style ConvNets Great Again, arXiv:2101.03697.

Reference implementations: MindCV (parameter names) and timm, which are the same networks.
"""

from collections.abc import Mapping, Sequence

from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import SqueezeExcite, batch_norm2d, conv_norm, fold, merge_branches
from .published.repvgg import WEIGHTS

__all__ = [
    "RepVGG",
    "repvgg_a0",
    "repvgg_a1",
    "repvgg_a2",
    "repvgg_b0",
    "repvgg_b1",
    "repvgg_b1g2",
    "repvgg_b1g4",
    "repvgg_b2",
    "repvgg_b2g4",
    "repvgg_b3",
]


class RepVGGBlock(nn.Cell):
    """3x3 and 1x1 convolution and, where the shape stays, the input, each normalised and added (figure 4).

    (N, in_channels, H, W) to (N, out_channels, H / stride, W / stride). In evaluation one convolution does the
    same, see `fused`.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: Stride of both convolutions.
        groups: Groups of both convolutions.
        use_se: Whether squeeze-and-excitation stands behind the sum.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int = 1, groups: int = 1, use_se: bool = False
    ) -> None:
        super().__init__()
        self.stride, self.groups = stride, groups
        self.nonlinearity = nn.ReLU()
        self.se = SqueezeExcite(out_channels, rd_channels=out_channels // 16) if use_se else nn.Identity()
        self.has_identity = stride == 1 and in_channels == out_channels
        self.rbr_identity = batch_norm2d(in_channels) if self.has_identity else nn.Identity()
        self.rbr_dense = conv_norm(in_channels, out_channels, 3, stride, 1, groups)
        self.rbr_1x1 = conv_norm(in_channels, out_channels, 1, stride, 0, groups)

    def construct(self, x: Tensor) -> Tensor:
        out = self.rbr_dense(x) + self.rbr_1x1(x)
        if self.has_identity:
            out = out + self.rbr_identity(x)
        return self.nonlinearity(self.se(out))

    def fused(self) -> nn.SequentialCell:
        """Returns a 3x3 convolution with bias, and what follows the sum, that compute the same in evaluation."""
        kernels = [fold(branch[0], branch[1]) for branch in (self.rbr_dense, self.rbr_1x1)]
        if self.has_identity:
            kernels.append(fold(None, self.rbr_identity, self.groups))
        conv = merge_branches(kernels, self.stride, self.groups)
        return nn.SequentialCell([conv, self.se, self.nonlinearity])


class RepVGG(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        num_blocks: Blocks of each of the four stages behind the first block.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        width_multiplier: What 64, 128, 256 and 512 channels are multiplied with.
        override_group_map: Groups of the block of an index, counted over the stages from 1; the others have one.
        use_se: Whether blocks have squeeze-and-excitation.
        drop_rate: Dropout before the classifier.

    Raises:
        ValueError: There are not four stages and widths, the first block has groups, or a rate or a number of classes
            cannot be.
    """

    reads_image, gives_logits = ("stage0.rbr_dense.0", "stage0.rbr_1x1.0"), ("linear",)
    torch_names = NameTable(
        *(
            (f"{theirs}.{branch}.{part}.*", f"{ours}.{our_branch}.{index}.*")
            for theirs, ours in (("stem", "stage0"), *((f"stages.{i}.*", f"stage{i + 1}.*") for i in range(4)))
            for branch, our_branch in (("conv_kxk", "rbr_dense"), ("conv_1x1", "rbr_1x1"))
            for index, part in enumerate(("conv", "bn"))
        ),
        *((f"stages.{i}.*.identity.*", f"stage{i + 1}.*.rbr_identity.*") for i in range(4)),
        ("head.fc.*", "linear.*"),
    )

    def __init__(
        self,
        num_blocks: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        width_multiplier: Sequence[float] = (1.0, 1.0, 1.0, 2.5),
        override_group_map: Mapping[int, int] | None = None,
        use_se: bool = False,
        *,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if len(num_blocks) != 4 or len(width_multiplier) != 4:
            raise ValueError(
                f"RepVGG has four stages; got num_blocks {num_blocks}, width_multiplier {width_multiplier}"
            )
        groups = override_group_map or {}
        if 0 in groups:
            raise ValueError("override_group_map has block 0, which reads the image and has one group; leave it out")
        widths = [int(64 * 2**stage * multiplier) for stage, multiplier in enumerate(width_multiplier)]
        channels = min(64, widths[0])
        self.stage0 = RepVGGBlock(in_channels, channels, 2, use_se=use_se)
        maps = [("stage0", channels, 2)]
        stages, index = [], 1
        for stage, (depth, width) in enumerate(zip(num_blocks, widths, strict=True)):
            blocks = []
            for block in range(depth):
                blocks.append(RepVGGBlock(channels, width, 1 if block else 2, groups.get(index, 1), use_se))
                channels, index = width, index + 1
            stages.append(nn.SequentialCell(blocks))
            maps.append((f"stage{stage + 1}", width, 4 * 2**stage))
        self.stage1, self.stage2, self.stage3, self.stage4 = stages
        self.add_head(channels, num_classes, drop_rate, name="linear")
        self.describe([block for stage in stages for block in stage], maps)

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the first block and of the four stages: sides of 1/2 to 1/32."""
        x0 = self.stage0(x)
        x1 = self.stage1(x0)
        x2 = self.stage2(x1)
        x3 = self.stage3(x2)
        return x0, x1, x2, x3, self.stage4(x3)


_A, _B = (2, 4, 14, 1), (4, 6, 16, 1)
_EVERY_SECOND = range(2, 27, 2)
_G2, _G4 = dict.fromkeys(_EVERY_SECOND, 2), dict.fromkeys(_EVERY_SECOND, 4)

variant = Family(RepVGG, WEIGHTS).variant  # tables 2 and 3
repvgg_a0 = variant("repvgg_a0", num_blocks=_A, width_multiplier=(0.75, 0.75, 0.75, 2.5))
repvgg_a1 = variant("repvgg_a1", num_blocks=_A, width_multiplier=(1.0, 1.0, 1.0, 2.5))
repvgg_a2 = variant("repvgg_a2", num_blocks=_A, width_multiplier=(1.5, 1.5, 1.5, 2.75))
repvgg_b0 = variant("repvgg_b0", num_blocks=_B, width_multiplier=(1.0, 1.0, 1.0, 2.5))
repvgg_b1 = variant("repvgg_b1", num_blocks=_B, width_multiplier=(2.0, 2.0, 2.0, 4.0))
repvgg_b2 = variant("repvgg_b2", num_blocks=_B, width_multiplier=(2.5, 2.5, 2.5, 5.0))
repvgg_b3 = variant("repvgg_b3", num_blocks=_B, width_multiplier=(3.0, 3.0, 3.0, 5.0))
repvgg_b1g2 = variant("repvgg_b1g2", num_blocks=_B, width_multiplier=(2.0, 2.0, 2.0, 4.0), override_group_map=_G2)
repvgg_b1g4 = variant("repvgg_b1g4", num_blocks=_B, width_multiplier=(2.0, 2.0, 2.0, 4.0), override_group_map=_G4)
repvgg_b2g4 = variant("repvgg_b2g4", num_blocks=_B, width_multiplier=(2.5, 2.5, 2.5, 5.0), override_group_map=_G4)
