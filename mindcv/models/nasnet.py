"""NASNet: Learning Transferable Architectures for Scalable Image Recognition, arXiv:1707.07012.

Reference implementation: MindCV. timm has the large network only.
"""

from collections.abc import Mapping

import numpy as np
from mindspore import Tensor, nn, ops

from mindcv.weights.naming import NameTable

from ._family import Family
from ._searched import STEM, BranchSeparables, FactorizedReduction, SearchedNetwork, max_pool, relu_conv_norm
from .layers import mean_pool3x3
from .published.nasnet import WEIGHTS

__all__ = ["NASNetAMobile", "nasnet_a_4x1056"]

# What a cell gives over its channels: a normal one, and one that halves the side.
_NORMAL, _REDUCTION = 6, 4


class NormalCell(nn.Cell):
    """The normal cell (figure 4 left): the map before the last and the last to (N, 6 * channels, H, W).

    Args:
        before_channels: Channels of the map before the last.
        in_channels: Channels of the last map.
        channels: Channels of each branch.
        is_first: Whether the map before the last has twice the side.
    """

    def __init__(self, before_channels: int, in_channels: int, channels: int, is_first: bool) -> None:
        super().__init__()
        if is_first:
            self.conv_1x1 = relu_conv_norm(in_channels, channels)
            self.conv_prev_1x1 = FactorizedReduction(before_channels, channels)
        else:
            self.conv_prev_1x1 = relu_conv_norm(before_channels, channels)
            self.conv_1x1 = relu_conv_norm(in_channels, channels)
        self.comb_iter_0_left = BranchSeparables(channels, channels, 5)
        self.comb_iter_0_right = BranchSeparables(channels, channels, 3)
        self.comb_iter_1_left = BranchSeparables(channels, channels, 5)
        self.comb_iter_1_right = BranchSeparables(channels, channels, 3)
        self.mean_pool = mean_pool3x3(1, "same")
        self.comb_iter_4_left = BranchSeparables(channels, channels, 3)

    def construct(self, before: Tensor, last: Tensor) -> Tensor:
        before, last = self.conv_prev_1x1(before), self.conv_1x1(last)
        mean = self.mean_pool(before)
        branches = (
            before,
            self.comb_iter_0_left(last) + self.comb_iter_0_right(before),
            self.comb_iter_1_left(before) + self.comb_iter_1_right(before),
            self.mean_pool(last) + before,
            mean + mean,
            self.comb_iter_4_left(last) + last,
        )
        return ops.concat(branches, axis=1)


class ReductionCell(nn.Cell):
    """The cell that halves the side (figure 4 right): the two last maps to (N, 4 * channels, H / 2, W / 2).

    Args:
        before_channels: Channels of the map before the last.
        in_channels: Channels of the last map.
        channels: Channels of each branch.
        before: What brings the map before the last to the last one's shape: "conv", "factorized" where it has twice the
            side, "none" where the separable convolutions do.
        is_shifted: Whether strided convolutions are shifted, see `SeparableConv2d`.
    """

    def __init__(
        self, before_channels: int, in_channels: int, channels: int, before: str = "conv", is_shifted: bool = False
    ) -> None:
        super().__init__()
        if before == "factorized":
            self.conv_1x1 = relu_conv_norm(in_channels, channels)
            self.conv_prev_1x1 = FactorizedReduction(before_channels, channels)
        else:
            fits = before == "none"
            self.conv_prev_1x1 = nn.Identity() if fits else relu_conv_norm(before_channels, channels)
            self.conv_1x1 = relu_conv_norm(in_channels, channels)
        inputs = before_channels if before == "none" else channels
        facts = 2, channels, is_shifted
        self.comb_iter_0_left = BranchSeparables(channels, channels, 5, *facts)
        self.comb_iter_0_right = BranchSeparables(inputs, channels, 7, *facts)
        self.comb_iter_1_right = BranchSeparables(inputs, channels, 7, *facts)
        self.comb_iter_2_right = BranchSeparables(inputs, channels, 5, *facts)
        self.comb_iter_4_left = BranchSeparables(channels, channels, 3)
        self.max_pool = max_pool(2)
        self.mean_pool, self.mean_pool_stride2 = mean_pool3x3(1, "same"), mean_pool3x3(2, "same")

    def construct(self, before: Tensor, last: Tensor) -> Tensor:
        before, last = self.conv_prev_1x1(before), self.conv_1x1(last)
        most = self.max_pool(last)
        first = self.comb_iter_0_left(last) + self.comb_iter_0_right(before)
        second = most + self.comb_iter_1_right(before)
        third = self.mean_pool_stride2(last) + self.comb_iter_2_right(before)
        fourth = self.mean_pool(first) + second
        return ops.concat((second, third, fourth, self.comb_iter_4_left(first) + most), axis=1)


class NASNetAMobile(SearchedNetwork):
    """NASNet-A: (N, in_channels, H, W) to (N, num_classes), with H and W multiples of 16, at least 32.

    Args:
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the head out.
        penultimate_filters: Channels of the last map, a multiple of 96.
        num_cells: Normal cells of each of the three sides, at most 6.
        drop_rate: Dropout before the head.

    Raises:
        ValueError: A rate, a number of classes, of cells or of channels that cannot be.
    """

    reads_image = ("conv0.0",)
    mindcv_names = NameTable(
        ("*.path_1.1.*", "*.conv_prev_1x1.path_1.*"),
        ("*.path_2.2.*", "*.conv_prev_1x1.path_2.*"),
        ("*.final_path_bn.*", "*.conv_prev_1x1.final_path_bn.*"),
    )

    def __init__(
        self,
        in_channels: int = 3,
        num_classes: int = 1000,
        penultimate_filters: int = 1056,
        *,
        num_cells: int = 4,
        drop_rate: float = 0.5,
    ) -> None:
        super().__init__()
        if penultimate_filters % 96 or penultimate_filters < 96:
            raise ValueError(f"penultimate_filters is {penultimate_filters}; give a multiple of 96 (1056)")
        if not 1 <= num_cells <= 6:
            raise ValueError(f"num_cells is {num_cells}; give 1 to 6 (4)")
        filters = penultimate_filters // 24
        stem = ReductionCell(STEM, STEM, filters // 4, "none")
        before, last = filters, 2 * filters
        stages: list[dict[str, nn.Cell]] = [{"cell_stem_0": stem}]
        for stage in range(3):
            width = filters * 2**stage
            cells: dict[str, nn.Cell] = {}
            if stage:
                cells[f"reduction_cell_{stage - 1}"] = ReductionCell(before, last, width, is_shifted=stage == 1)
                before, last = last, _REDUCTION * width
            else:
                cells["cell_stem_1"] = ReductionCell(STEM, before, width // 2, "factorized")
            for index in range(num_cells):
                cells[f"cell_{6 * stage + index}"] = NormalCell(before, last, width, index == 0)
                before, last = last, _NORMAL * width
            stages.append(cells)
        widths = [filters, *(_NORMAL * filters * 2**stage for stage in range(3))]
        self.add_cells("conv0", in_channels, stages, widths, num_classes, drop_rate)

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Refuses: timm has another network.

        Raises:
            ValueError: Always.
        """
        raise ValueError("timm has the large NASNet only; convert with --to mindcv")


variant = Family(NASNetAMobile, WEIGHTS).variant  # table 3: 4 cells a stage, 1056 channels
nasnet_a_4x1056 = variant("nasnet_a_4x1056")
