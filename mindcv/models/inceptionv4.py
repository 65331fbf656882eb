"""Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning, arXiv:1602.07261.

Reference implementations: MindCV (parameter names) and timm, which are the same networks.
"""

from collections.abc import Iterator, Sequence

from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import Branches, InceptionBlocks, MapSequence
from .published.inceptionv4 import WEIGHTS

__all__ = ["InceptionV4", "inception_v4"]

_ROW, _COLUMN = (1, 7), (7, 1)
# Cells of timm's stem beside ours.
_STEM = (
    ("0", "conv2d_1a_3x3"),
    ("1", "conv2d_2a_3x3"),
    ("2", "conv2d_2b_3x3"),
    ("3.conv", "mixed_3a.branch_1"),
    ("4.branch0", "mixed_4a.branch_0"),
    ("4.branch1", "mixed_4a.branch_1"),
    ("5.conv", "mixed_5a.branch_0"),
)
# Branches of timm's modules of kind C beside ours; those of the others differ by a dash.
_FORKED = (
    ("branch1_0", "branch_1"),
    ("branch1_1a", "branch_1_1"),
    ("branch1_1b", "branch_1_2"),
    ("branch2_0", "branch_2.0"),
    ("branch2_1", "branch_2.1"),
    ("branch2_2", "branch_2.2"),
    ("branch2_3a", "branch_2_1"),
    ("branch2_3b", "branch_2_2"),
)
# Modules of kind A, B and C; a reduction stands behind those of A and of B.
_DEPTHS = (4, 7, 3)


class Blocks(InceptionBlocks):
    """Makes the modules of figure 9, each (N, in_channels, H, W) to (N, channels, h, w)."""

    def reading(self, in_channels: int) -> MapSequence:
        """Figure 3, the stem: (N, in_channels, H, W) to maps of 64, 160 and 384 channels, of 1/2, 1/4 and 1/8."""
        cells = {
            "conv2d_1a_3x3": self.stem(in_channels),
            "conv2d_2a_3x3": self.conv(32, 32, 3, 1, 0),
            "conv2d_2b_3x3": self.conv(32, 64, 3),
            "mixed_3a": Branches({"branch_0": self.max_pool(), "branch_1": self.conv(64, 96, 3, 2, 0)}),
            "mixed_4a": Branches(
                {
                    "branch_0": self.branch(160, (64, 1), last=self.conv(64, 96, 3, 1, 0)),
                    "branch_1": self.branch(160, (64, 1), (64, _ROW), (64, _COLUMN), last=self.conv(64, 96, 3, 1, 0)),
                }
            ),
            "mixed_5a": Branches({"branch_0": self.conv(192, 192, 3, 2, 0), "branch_1": self.max_pool()}),
        }
        return MapSequence(cells, ("conv2d_2b_3x3", "mixed_3a", "mixed_5a"))

    def a(self) -> Branches:
        """Figure 4: 384 channels to as many."""
        return Branches(
            {
                "branch_0": self.conv(384, 96, 1),
                "branch_1": self.branch(384, (64, 1), (96, 3)),
                "branch_2": self.branch(384, (64, 1), (96, 3), (96, 3)),
                "branch_3": self.pooled(384, 96),
            }
        )

    def reduction_a(self) -> Branches:
        """Figure 7: 384 channels to 1024, and half of the side."""
        return Branches(
            {
                "branch_0": self.conv(384, 384, 3, 2, 0),
                "branch_1": self.branch(384, (192, 1), (224, 3), last=self.conv(224, 256, 3, 2, 0)),
                "branch_2": self.max_pool(),
            }
        )

    def b(self) -> Branches:
        """Figure 5: 1024 channels to as many."""
        return Branches(
            {
                "branch_0": self.conv(1024, 384, 1),
                "branch_1": self.branch(1024, (192, 1), (224, _ROW), (256, _COLUMN)),
                "branch_2": self.branch(1024, (192, 1), (192, _COLUMN), (224, _ROW), (224, _COLUMN), (256, _ROW)),
                "branch_3": self.pooled(1024, 128),
            }
        )

    def reduction_b(self) -> Branches:
        """Figure 8: 1024 channels to 1536, and half of the side."""
        return Branches(
            {
                "branch_0": self.branch(1024, (192, 1), last=self.conv(192, 192, 3, 2, 0)),
                "branch_1": self.branch(1024, (256, 1), (256, _ROW), (320, _COLUMN), last=self.conv(320, 320, 3, 2, 0)),
                "branch_2": self.max_pool(),
            }
        )

    def c(self) -> Branches:
        """Figure 6: 1536 channels to as many."""
        return Branches(
            {
                "branch_0": self.conv(1536, 256, 1),
                "branch_1": self.conv(1536, 384, 1),
                "branch_1_1": self.conv(384, 256, (1, 3)),
                "branch_1_2": self.conv(384, 256, (3, 1)),
                "branch_2": self.branch(1536, (384, 1), (448, (3, 1)), (512, (1, 3))),
                "branch_2_1": self.conv(512, 256, (1, 3)),
                "branch_2_2": self.conv(512, 256, (3, 1)),
                "branch_3": self.pooled(1536, 256),
            },
            forked=("branch_1", "branch_2"),
        )


def _torch_names() -> Iterator[tuple[str, str]]:
    for theirs, ours in _STEM:
        yield f"features.{theirs}.**", f"features.0.{ours}.**"
    last = sum(_DEPTHS) + 2
    for index in range(1, last + 1):
        kinds = _FORKED if index > last - _DEPTHS[-1] else ()
        for theirs, ours in (*kinds, *((f"branch{branch}", f"branch_{branch}") for branch in range(4))):
            yield f"features.{index + 5}.{theirs}.**", f"features.{index}.{ours}.**"
    yield "last_linear.*", "classifier.*"


class InceptionV4(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 75.

    Args:
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        depths: Modules of kind A, B and C.
        width: All numbers of channels are multiplied with it, a multiple of 1/16.

    Raises:
        ValueError: A rate or a number of classes that cannot be.
    """

    reads_image = ("features.0.conv2d_1a_3x3.conv",)
    torch_names = NameTable(*_torch_names())
    mindcv_names = NameTable(("features.0.mixed_*_branch_*.**", "features.0.mixed_*.branch_*.**"))

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        drop_rate: float = 0.2,
        *,
        depths: Sequence[int] = _DEPTHS,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        blocks = Blocks(width)
        kind_a, kind_b, kind_c = depths
        reading = blocks.reading(in_channels)
        cells = [
            reading,
            *(blocks.a() for _ in range(kind_a)),
            blocks.reduction_a(),
            *(blocks.b() for _ in range(kind_b)),
            blocks.reduction_b(),
            *(blocks.c() for _ in range(kind_c)),
        ]
        self.features = nn.SequentialCell(cells)
        self.ends = (kind_a, kind_a + 1 + kind_b, len(cells) - 1)
        self.add_head(blocks.channels(1536), num_classes, drop_rate)
        stem = [f"features.0.{name}" for name in reading.name_cells()]
        names = [f"features.{index}" for index in range(len(cells))]
        first, second, last = (end + 1 for end in self.ends)
        self.describe(
            cells[1:],
            [
                (tuple(stem[:3]), blocks.channels(64), 2),
                (stem[3], blocks.channels(160), 4),
                ((*stem[4:], *names[1:first]), blocks.channels(384), 8),
                (tuple(names[first:second]), blocks.channels(1024), 16),
                (tuple(names[second:last]), blocks.channels(1536), 32),
            ],
        )

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns maps of about 1/2, 1/4, 1/8, 1/16 and 1/32 of the side."""
        x0, x1, x = self.features[0](x)
        maps: tuple[Tensor, ...] = (x0, x1)
        for index in range(1, len(self.features)):
            x = self.features[index](x)
            if index in self.ends:
                maps = (*maps, x)
        return maps


variant = Family(InceptionV4, WEIGHTS).variant
inception_v4 = variant("inception_v4")
