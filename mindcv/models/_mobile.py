"""What networks of a stem, inverted residuals and a last 1x1 convolution, all in one list, share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable, from_torch, to_torch

from ._network import ImageClassifier, Map
from .layers import MapSequence

Pair = tuple[str, str]

TIMM_STEM: tuple[Pair, ...] = (("conv_stem.*", "features.0.*"), ("bn1.*", "features.1.*"))
TORCHVISION_STEM: tuple[Pair, ...] = (("features.0.0.*", "features.0.*"), ("features.0.1.*", "features.1.*"))


class MobileNetwork(ImageClassifier):
    """Stem, blocks and last 1x1 convolution are cells of `features`: (N, in_channels, H, W) to (N, num_classes).

    A family makes the cells, calls `add_features`, `add_head` and `describe`, and says the names in files.

    Attributes:
        timm_names: Pairs of timm's names and ours of what lies around the blocks, but for the last convolution.
        timm_last: timm's names of the last convolution and its norm; `{stages}` in them is the number of stages.
        block_names: timm's name of each block (or, nested, of the blocks of each stage), ours, and its parts.
        other_names: Pairs of torchvision's names, or others, and ours of what lies around the blocks.
    """

    timm_names: ClassVar[tuple[Pair, ...]] = (*TIMM_STEM, ("classifier.*", "classifier.*"))
    timm_last: ClassVar[tuple[str, str]] = ("conv_head", "bn2")
    other_names: ClassVar[tuple[Pair, ...]] = ()
    block_names: list[tuple[str, str, dict[str, Any]]]
    default_maps = 5  # MindCV's

    def add_features(
        self,
        stem: Sequence[nn.Cell],
        stages: Sequence[Sequence[nn.Cell]],
        last: Sequence[nn.Cell],
        nested: bool = False,
        gap: int = 0,
    ) -> tuple[list[nn.Cell], list[Map], tuple[str, ...]]:
        """Adds `features`.

        Args:
            stem: Convolution, norm and activation.
            stages: The blocks of each stage, as timm divides them; each has `out_channels` and `stride`.
            last: Convolution, norm and activation before the pooling, or nothing.
            nested: Whether a stage is one cell in `features` and gives one map, or each of its blocks.
            gap: Numbers that are left out behind the first block, whose cells MindCV numbers one by one.

        Returns:
            The blocks, the maps and the tail, for `describe`.
        """
        self.stages = len(stages)
        blocks = [block for stage in stages for block in stage]
        groups = [list(stage) for stage in stages] if nested else [[block] for block in blocks]
        cells = [*stem, *(nn.SequentialCell(group) if nested else group[0] for group in groups), *last]
        keys = [str(index if index <= len(stem) else index + gap) for index in range(len(cells))]
        names = [f"features.{key}" for key in keys]
        end = len(stem) + len(groups)
        channels, reduction = stem[0].out_channels, 2
        maps: list[Map] = [(tuple(names[: len(stem)]), channels, reduction)]
        for name, group in zip(names[len(stem) : end], groups, strict=True):
            channels = group[-1].out_channels
            for block in group:
                reduction *= block.stride
            maps.append((name, channels, reduction))
        tail = tuple(names[end:])
        if tail:
            maps.append((tail, last[0].out_channels, reduction))
        ends = [len(stem) - 1, *range(len(stem), end), *([len(cells) - 1] if tail else [])]
        self.features = MapSequence(dict(zip(keys, cells, strict=True)), [keys[index] for index in ends])
        # The blocks of a nested stage have the same parts.
        theirs = [
            f"blocks.{stage}.{'*' if nested else block}"
            for stage, group in enumerate(stages)
            for block in range(1 if nested else len(group))
        ]
        self.block_names = [
            (timm, f"{name}.*" if nested else name, dict(group[0].parts))
            for timm, name, group in zip(theirs, names[len(stem) : end], groups, strict=True)
        ]
        return blocks, maps, tail

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the stem, of each block (or of each stage), and of the last 1x1 convolution."""
        return self.features(x)

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of timm's or torchvision's names by the paths of our cells."""
        return from_torch(self._names().to_ours(arrays), {path for path, _ in self.parameters_and_names()})

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays by the paths of our cells under timm's names; inverts `from_torch`."""
        return to_torch(self._names().to_theirs(arrays))

    def other_block_names(self) -> Iterable[Pair]:
        """Pairs of torchvision's names and ours of the blocks and the last 1x1 convolution."""
        return ()

    def _names(self) -> NameTable:
        return NameTable(*self.timm_names, *self._timm_block_names(), *self.other_block_names(), *self.other_names)

    def _timm_block_names(self) -> Iterator[Pair]:
        for theirs, ours, parts in self.block_names:
            for part, position in parts.items():
                yield f"{theirs}.{part}.**", f"{ours}.layers.{position}.**"
        for name, cell in zip(self.timm_last, self.tail, strict=False):
            yield f"{name.format(stages=self.stages)}.*", f"{cell}.*"

    def torchvision_block_names(self) -> Iterator[Pair]:
        """Pairs of torchvision's names and ours as its MobileNetV3 and EfficientNet have them."""
        for index, (timm, ours, parts) in enumerate(self.block_names):
            theirs = f"features.{index + 1}" + (".*" if timm.endswith("*") else "") + ".block"
            convs = [position for part, position in parts.items() if not part.startswith("bn")]
            for layer, position in enumerate(convs):
                if position == parts.get("se"):
                    yield f"{theirs}.{layer}.fc1.*", f"{ours}.layers.{position}.conv_reduce.*"
                    yield f"{theirs}.{layer}.fc2.*", f"{ours}.layers.{position}.conv_expand.*"
                else:
                    yield f"{theirs}.{layer}.0.*", f"{ours}.layers.{position}.*"
                    yield f"{theirs}.{layer}.1.*", f"{ours}.layers.{position + 1}.*"
        yield from self.torchvision_last_names()

    def torchvision_last_names(self) -> Iterator[Pair]:
        """Pairs of torchvision's names and ours of the last 1x1 convolution and its norm."""
        for layer in range(2):
            yield f"features.{len(self.block_names) + 1}.{layer}.*", f"{self.tail[layer]}.*"
