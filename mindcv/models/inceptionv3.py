"""Inception-v3: Rethinking the Inception Architecture for Computer Vision, arXiv:1512.00567.

Reference implementations: MindCV (parameter names), timm and torchvision, whose files have the same names (see
`pool_pad`).
"""

from collections.abc import Iterator

from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    Branches,
    InceptionBlocks,
    classifier_head,
)
from .published.inceptionv3 import WEIGHTS

__all__ = ["InceptionV3", "inception_v3"]

_ROW, _COLUMN = (1, 7), (7, 1)
# timm's names of the branches beside ours, by the kind of the block.
_A = (
    ("branch1x1", "branch0"),
    *((f"branch5x5_{index + 1}", f"branch1.{index}") for index in range(2)),
    *((f"branch3x3dbl_{index + 1}", f"branch2.{index}") for index in range(3)),
    ("branch_pool", "branch_pool.1"),
)
_B = (("branch3x3", "branch0"), *((f"branch3x3dbl_{index + 1}", f"branch1.{index}") for index in range(3)))
_C = (
    ("branch1x1", "branch0"),
    *((f"branch7x7_{index + 1}", f"branch1.{index}") for index in range(3)),
    *((f"branch7x7dbl_{index + 1}", f"branch2.{index}") for index in range(5)),
    ("branch_pool", "branch_pool.1"),
)
_D = (
    *((f"branch3x3_{index + 1}", f"branch0.{index}") for index in range(2)),
    *((f"branch7x7x3_{index + 1}", f"branch1.{index}") for index in range(4)),
)
_E = (
    ("branch1x1", "branch0"),
    ("branch3x3_1", "branch1"),
    ("branch3x3_2a", "branch1a"),
    ("branch3x3_2b", "branch1b"),
    ("branch3x3dbl_1", "branch2.0"),
    ("branch3x3dbl_2", "branch2.1"),
    ("branch3x3dbl_3a", "branch2a"),
    ("branch3x3dbl_3b", "branch2b"),
    ("branch_pool", "branch_pool.1"),
)
_BLOCKS = {"5b": _A, "5c": _A, "5d": _A, "6a": _B, "6b": _C, "6c": _C, "6d": _C, "6e": _C, "7a": _D, "7b": _E, "7c": _E}
_STEM = {"1a_3x3": "1a", "2a_3x3": "2a", "2b_3x3": "2b", "3b_1x1": "3b", "4a_3x3": "4a"}


def _torch_names() -> Iterator[tuple[str, str]]:
    for theirs, ours in _STEM.items():
        yield f"Conv2d_{theirs}.**", f"conv{ours}.**"
    for block, branches in _BLOCKS.items():
        for theirs, ours in branches:
            yield f"Mixed_{block}.{theirs}.**", f"inception{block}.{ours}.**"
    yield "AuxLogits.**", "aux.**"
    yield "fc.*", "classifier.*"


class Blocks(InceptionBlocks):
    """Makes the modules of table 1, each (N, in_channels, H, W) to (N, channels, h, w)."""

    def a(self, in_channels: int, pool_channels: int) -> Branches:
        """Figure 5: two 3x3 convolutions in place of a 5x5 one."""
        return Branches(
            {
                "branch0": self.conv(in_channels, 64, 1),
                "branch1": self.branch(in_channels, (48, 1), (64, 5)),
                "branch2": self.branch(in_channels, (64, 1), (96, 3), (96, 3)),
                "branch_pool": self.pooled(in_channels, pool_channels),
            }
        )

    def b(self, in_channels: int) -> Branches:
        """Figure 10: halves the side."""
        return Branches(
            {
                "branch0": self.conv(in_channels, 384, 3, 2, 0),
                "branch1": self.branch(in_channels, (64, 1), (96, 3), last=self.conv(96, 96, 3, 2, 0)),
                "branch_pool": self.max_pool(),
            }
        )

    def c(self, in_channels: int, mid: int) -> Branches:
        """Figure 6: 7x7 convolutions as 1x7 and 7x1."""
        return Branches(
            {
                "branch0": self.conv(in_channels, 192, 1),
                "branch1": self.branch(in_channels, (mid, 1), (mid, _ROW), (192, _COLUMN)),
                "branch2": self.branch(in_channels, (mid, 1), (mid, _COLUMN), (mid, _ROW), (mid, _COLUMN), (192, _ROW)),
                "branch_pool": self.pooled(in_channels, 192),
            }
        )

    def d(self, in_channels: int) -> Branches:
        """Halves the side."""
        return Branches(
            {
                "branch0": self.branch(in_channels, (192, 1), last=self.conv(192, 320, 3, 2, 0)),
                "branch1": self.branch(
                    in_channels, (192, 1), (192, _ROW), (192, _COLUMN), last=self.conv(192, 192, 3, 2, 0)
                ),
                "branch_pool": self.max_pool(),
            }
        )

    def e(self, in_channels: int) -> Branches:
        """Figure 7: 1x3 and 3x1 convolutions side by side."""
        return Branches(
            {
                "branch0": self.conv(in_channels, 320, 1),
                "branch1": self.conv(in_channels, 384, 1),
                "branch1a": self.conv(384, 384, (1, 3)),
                "branch1b": self.conv(384, 384, (3, 1)),
                "branch2": self.branch(in_channels, (448, 1), (384, 3)),
                "branch2a": self.conv(384, 384, (1, 3)),
                "branch2b": self.conv(384, 384, (3, 1)),
                "branch_pool": self.pooled(in_channels, 192),
            },
            forked=("branch1", "branch2"),
        )


class InceptionAux(nn.Cell):
    """The auxiliary classifier: (N, in_channels, h, w), h and w from 17, to (N, num_classes)."""

    def __init__(self, blocks: Blocks, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.avg_pool = nn.AvgPool2d(kernel_size=5, stride=3, pad_mode="valid")
        self.conv0 = blocks.conv(in_channels, 128, 1)
        self.conv1 = blocks.conv(128, 768, 5, 1, 0)
        self.fc = classifier_head(blocks.channels(768), num_classes)

    def construct(self, x: Tensor) -> Tensor:
        return self.fc(self.conv1(self.conv0(self.avg_pool(x))).mean((2, 3)))


class InceptionV3(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 75.

    With `aux_logits` it returns, while training, the logits and those behind 6e; images are then of at least 299 x 299.
    In evaluation it returns the logits alone.

    Args:
        num_classes: Number of classes; 0 leaves both heads out.
        aux_logits: Whether it has the auxiliary classifier.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        pool_pad: Whether mean pools leave the border out ("same", MindCV's weights) or count it as zeros ("both",
            timm's and torchvision's).
        width: All numbers of channels are multiplied with it, a multiple of 1/16.

    Raises:
        ValueError: A rate, a number of classes or a padding that cannot be.
    """

    reads_image, gives_logits = ("conv1a.conv",), ("classifier", "aux.fc")
    torch_names = NameTable(*_torch_names())
    torch_arguments = {"pool_pad": "both"}
    auxiliary = ("aux.*",)
    file_arguments = ("pool_pad",)

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        in_channels: int = 3,
        drop_rate: float = 0.2,
        *,
        pool_pad: str = "same",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        self.pool_pad = pool_pad
        self.aux_logits = aux_logits and num_classes != 0
        blocks = Blocks(width, pool_pad)
        scaled = blocks.channels
        # table 1
        self.conv1a = blocks.stem(in_channels)
        self.conv2a, self.conv2b = blocks.conv(32, 32, 3, 1, 0), blocks.conv(32, 64, 3)
        self.maxpool1 = blocks.max_pool()
        self.conv3b, self.conv4a = blocks.conv(64, 80, 1), blocks.conv(80, 192, 3, 1, 0)
        self.maxpool2 = blocks.max_pool()
        self.inception5b, self.inception5c, self.inception5d = blocks.a(192, 32), blocks.a(256, 64), blocks.a(288, 64)
        self.inception6a = blocks.b(288)
        self.inception6b, self.inception6c = blocks.c(768, 128), blocks.c(768, 160)
        self.inception6d, self.inception6e = blocks.c(768, 160), blocks.c(768, 192)
        if self.aux_logits:
            self.aux = InceptionAux(blocks, 768, num_classes)
        self.inception7a = blocks.d(768)
        self.inception7b, self.inception7c = blocks.e(1280), blocks.e(2048)
        self.add_head(scaled(2048), num_classes, drop_rate)
        names = [f"inception{block}" for block in _BLOCKS]
        self.describe(
            [getattr(self, name) for name in names],
            [
                (("conv1a", "conv2a", "conv2b"), scaled(64), 2),
                (("maxpool1", "conv3b", "conv4a"), scaled(192), 4),
                (("maxpool2", *names[:3]), scaled(288), 8),
                (tuple(names[3:8]), scaled(768), 16),
                (tuple(names[8:]), scaled(2048), 32),
            ],
            tail=("aux",) if self.aux_logits else (),
        )

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns maps of about 1/2, 1/4, 1/8, 1/16 and 1/32 of the side."""
        x0 = self.conv2b(self.conv2a(self.conv1a(x)))
        x1 = self.conv4a(self.conv3b(self.maxpool1(x0)))
        x2 = self.inception5d(self.inception5c(self.inception5b(self.maxpool2(x1))))
        x3 = self.inception6c(self.inception6b(self.inception6a(x2)))
        x3 = self.inception6e(self.inception6d(x3))
        return x0, x1, x2, x3, self.inception7c(self.inception7b(self.inception7a(x3)))

    def construct(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        maps = self.forward_stages(x)
        logits = self.forward_head(maps[-1])
        if self.aux_logits and self.training:
            return logits, self.aux(maps[3])
        return logits


variant = Family(InceptionV3, WEIGHTS).variant
inception_v3 = variant("inception_v3")
