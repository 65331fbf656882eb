"""What networks of four residual stages behind a stem share."""

from collections.abc import Callable, Mapping, Sequence

from mindspore import Tensor, nn

from ._network import ImageClassifier
from .layers import MakeBlock, classifier_head, residual_stages


class ResidualNetwork(ImageClassifier):
    """A stem, a pool, and the stages `layer1` to `layer4`: (N, in_channels, H, W) to (N, num_classes), H and W from 32.

    A family builds its stem and the cell `max_pool`, calls `add_stages`, and writes `forward_stem`.
    """

    def add_stages(
        self,
        make_block: MakeBlock,
        stem: Sequence[str],
        channels: Sequence[int],
        layers: Sequence[int],
        expansion: int,
        num_classes: int,
        drop_rate: float,
        drop_path_rate: float,
        stem_channels: int = 0,
        make_head: Callable[[int, int], nn.Cell] = classifier_head,
        tail: Mapping[str, nn.Cell] | None = None,
    ) -> None:
        """Adds stages and head; to be called when the stem is there.

        Args:
            make_block: Makes one block.
            stem: Names of the stem's cells, without the pool.
            channels: Channels of each stage, before the blocks' expansion.
            layers: Blocks of each stage.
            expansion: Channels of a block's output over its `channels`.
            num_classes: Number of classes; 0 leaves the last layer out.
            drop_rate: Dropout before the classifier.
            drop_path_rate: Stochastic depth of the last block; the first has 0.
            stem_channels: Channels of the stem; 0: those of the first stage.
            make_head: Makes the last layer of `num_features` and `num_classes`.
            tail: Cells between the last stage and the head; the family runs them in `forward_features`.

        Raises:
            ValueError: A rate, a number of classes or a list of stages that cannot be.
        """
        stem_channels = stem_channels or channels[0]
        stages = residual_stages(make_block, stem_channels, channels, layers, expansion, drop_path_rate)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        widths = [width * expansion for width in channels]
        tail = dict(tail or {})
        for name, cell in tail.items():
            setattr(self, name, cell)
        self.add_head(widths[-1], num_classes, drop_rate, name=self.gives_logits[0], make=make_head)
        maps = [(f"layer{index + 1}", width, 4 * 2**index) for index, width in enumerate(widths)]
        self.describe(
            [block for stage in stages for block in stage], [(tuple(stem), stem_channels, 2), *maps], tuple(tail)
        )

    def forward_stem(self, x: Tensor) -> Tensor:
        """Returns the map before the pool: (N, in_channels, H, W) to (N, C, H / 2, W / 2)."""
        raise NotImplementedError(f"{type(self).__name__} has no forward_stem")

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the stem's map and the four stages': sides of 1/2, 1/4, 1/8, 1/16 and 1/32."""
        stem = self.forward_stem(x)
        x1 = self.layer1(self.max_pool(stem))
        x2 = self.layer2(x1)
        x3 = self.layer3(x2)
        return stem, x1, x2, x3, self.layer4(x3)
