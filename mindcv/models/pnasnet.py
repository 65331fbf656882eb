"""PNASNet: Progressive Neural Architecture Search, arXiv:1712.00559.

Reference implementation: MindCV. timm has the large network only.
"""

from collections.abc import Mapping

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._searched import STEM, BranchSeparables, FactorizedReduction, SearchedNetwork, max_pool, relu_conv_norm
from .layers import conv_norm
from .published.pnasnet import WEIGHTS

__all__ = ["Pnasnet", "pnasnet"]

# What a cell gives over its channels.
_BRANCHES = 5


class Cell(nn.Cell):
    """The cell (figure 1): the map before the last and the last to (N, 5 * channels, H / stride, W / stride).

    Args:
        before_channels: Channels of the map before the last.
        in_channels: Channels of the last map.
        channels: Channels of each branch.
        stride: 2 halves the side.
        before: What brings the map before the last to the last one's shape: "conv", "factorized" where it has twice the
            side, "none" where its branches do.
        is_shifted: Whether strided convolutions are shifted, see `SeparableConv2d`.
    """

    def __init__(
        self,
        before_channels: int,
        in_channels: int,
        channels: int,
        stride: int = 1,
        before: str = "conv",
        is_shifted: bool = False,
    ) -> None:
        super().__init__()
        if before == "factorized":
            self.conv_prev_1x1 = FactorizedReduction(before_channels, channels)
        else:
            fits = before == "none"
            self.conv_prev_1x1 = nn.Identity() if fits else relu_conv_norm(before_channels, channels)
        self.conv_1x1 = relu_conv_norm(in_channels, channels)
        inputs = before_channels if before == "none" else channels
        facts = stride, channels, is_shifted
        self.comb_iter_0_left = BranchSeparables(inputs, channels, 5, *facts)
        self.comb_iter_0_right = max_pool(stride)
        if before == "none":
            self.comb_iter_0_right = nn.SequentialCell(max_pool(stride), *conv_norm(inputs, channels, 1, eps=1e-3))
        self.comb_iter_1_left = BranchSeparables(channels, channels, 7, *facts)
        self.comb_iter_2_left = BranchSeparables(channels, channels, 5, *facts)
        self.comb_iter_2_right = BranchSeparables(channels, channels, 3, *facts)
        self.comb_iter_3_left = BranchSeparables(channels, channels, 3)
        self.comb_iter_4_left = BranchSeparables(inputs, channels, 3, *facts)
        self.comb_iter_4_right = relu_conv_norm(channels, channels, 2) if stride == 2 else nn.Identity()
        self.max_pool = max_pool(stride)

    def construct(self, before: Tensor, last: Tensor) -> Tensor:
        before, last = self.conv_prev_1x1(before), self.conv_1x1(last)
        most = self.max_pool(last)
        third = self.comb_iter_2_left(last) + self.comb_iter_2_right(last)
        branches = (
            self.comb_iter_0_left(before) + self.comb_iter_0_right(before),
            self.comb_iter_1_left(last) + most,
            third,
            self.comb_iter_3_left(third) + most,
            self.comb_iter_4_left(before) + self.comb_iter_4_right(last),
        )
        return ops.concat(branches, axis=1)


class Pnasnet(SearchedNetwork):
    """PNASNet-5: (N, in_channels, H, W) to (N, num_classes), with H and W multiples of 16, at least 32.

    Args:
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the head out.
        filters: Channels of the first cells' branches, at least 4; later ones have twice and four times as many.
        num_cells: Cells of each of the three sides; but for the first side's, the first of them halves it.
        drop_rate: Dropout before the head.

    Raises:
        ValueError: A rate, a number of classes, of cells or of channels that cannot be.
    """

    reads_image, gives_logits = ("conv_0.0",), ("last_linear",)
    mindcv_names = NameTable(
        ("conv_0.conv.*", "conv_0.0.*"),
        ("conv_0.bn.*", "conv_0.1.*"),
        ("*.conv_prev_1x1.path_1.conv.*", "*.conv_prev_1x1.path_1.*"),
        ("*.conv_prev_1x1.path_2.2.*", "*.conv_prev_1x1.path_2.*"),
        ("*.*.conv.*", "*.*.1.*"),
        ("*.*.bn.*", "*.*.2.*"),
    )

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        filters: int = 54,
        num_cells: int = 3,
        drop_rate: float = 0.5,
    ) -> None:
        super().__init__()
        if filters < 4 or num_cells < 1:
            raise ValueError(f"filters {filters} and num_cells {num_cells}; give at least 4 (54) and 1 (3)")
        before, last = STEM, _BRANCHES * (filters // 4)
        stages: list[dict[str, nn.Cell]] = [{"cell_stem_0": Cell(STEM, STEM, filters // 4, 2, "none")}]
        cells: dict[str, nn.Cell] = {"cell_stem_1": Cell(before, last, filters // 2, 2, "factorized")}
        before, last = last, _BRANCHES * (filters // 2)
        follows_reduction = True
        for stage in range(3):
            width = filters * 2**stage
            for index in range(num_cells):
                reduces = stage > 0 and index == 0
                if reduces:
                    stages.append(cells)
                    cells = {}
                cells[f"cell_{num_cells * stage + index}"] = Cell(
                    *(before, last, width, 2 if reduces else 1),
                    before="factorized" if follows_reduction else "conv",
                    is_shifted=stage == 1,
                )
                before, last, follows_reduction = last, _BRANCHES * width, reduces
        stages.append(cells)
        widths = [_BRANCHES * width for width in (filters // 4, filters, 2 * filters, 4 * filters)]
        self.add_cells("conv_0", in_channels, stages, widths, num_classes, drop_rate)

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Refuses: timm has another network.

        Raises:
            ValueError: Always.
        """
        raise ValueError("timm has the large PNASNet only; convert with --to mindcv")


variant = Family(Pnasnet, WEIGHTS).variant
pnasnet = variant("pnasnet")
