"""The stages of residual networks."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence

from mindspore import Tensor, nn

from .drop import drop_path_rates

# (in_channels, channels, stride, drop_path_rate) to a block; the first of a stage may change channels and side.
MakeBlock = Callable[[int, int, int, float], nn.Cell]


def residual_stages(
    make_block: MakeBlock,
    in_channels: int,
    channels: Sequence[int],
    depths: Sequence[int],
    expansion: int = 1,
    drop_path_rate: float = 0.0,
    first_stride: int = 1,
) -> list[nn.SequentialCell]:
    """Makes the stages: each halves the side in its first block, but for the first stage.

    Args:
        make_block: Makes one block.
        in_channels: Channels of the stem.
        channels: Channels of each stage, before the blocks' expansion.
        depths: Blocks of each stage.
        expansion: Channels of a block's output over its `channels`.
        drop_path_rate: Stochastic depth of the last block; the first has 0, in between it grows linearly.
        first_stride: Stride of the first stage's first block.

    Raises:
        ValueError: There are not four depths and four channels, or the rate is outside [0, 1).
    """
    if len(depths) != 4 or len(channels) != 4:
        raise ValueError(f"a residual network has four stages; got layers {list(depths)} and channels {list(channels)}")
    stages = []
    for index, (width, rates) in enumerate(zip(channels, drop_path_rates(drop_path_rate, depths), strict=True)):
        blocks = []
        for block, rate in enumerate(rates):
            stride = 1 if block else (2 if index else first_stride)
            blocks.append(make_block(in_channels, width, stride, rate))
            in_channels = width * expansion
        stages.append(nn.SequentialCell(blocks))
    return stages


class Blocks(nn.Cell):
    """The blocks of a stage, one behind the other, named `blocks`: what the first takes to what the last gives.

    Args:
        blocks: The blocks.
    """

    def __init__(self, blocks: Sequence[nn.Cell]) -> None:
        super().__init__()
        self.blocks = nn.CellList(list(blocks))

    def construct(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class MapSequence(nn.SequentialCell):
    """Cells one behind the other: (N, C, H, W) to the outputs of some of them.

    Args:
        cells: The cells by name.
        ends: Names of the cells whose outputs are returned.
    """

    def __init__(self, cells: Mapping[str, nn.Cell], ends: Collection[str]) -> None:
        super().__init__(OrderedDict(cells))
        self.ends = tuple(index for index, name in enumerate(cells) if name in ends)

    def construct(self, x: Tensor) -> tuple[Tensor, ...]:
        maps: tuple[Tensor, ...] = ()
        for index, cell in enumerate(self.cell_list):
            x = cell(x)
            if index in self.ends:
                maps = (*maps, x)
        return maps
