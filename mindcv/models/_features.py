"""Feature maps of a classifier, for detection and segmentation."""

import operator
from collections.abc import Sequence
from typing import Any

from mindspore import Tensor, nn

from ._network import ImageClassifier

# MindCV's `out_indices` are 0 to 4.
_MINDCVS_MAPS = 5


class FeatureExtractWrapper(nn.Cell):
    """Returns feature maps of a network, (N, C, h, w) each, in the order that is asked for.

    What lies behind the last wanted map is left out, and parameters keep the names that they have in the network. A
    network of the library says by `forward_stages` what its maps are. For another one with `feature_info`, the
    outermost cells are run in the order of their declaration; where it has `flatten_sequential`, the cells inside its
    outermost `nn.SequentialCell`s too, under names such as `features.3`; one with `is_rewritten` returns its maps.

    Args:
        net: The network; cells are taken out of it.
        out_indices: Which entries of its `feature_info` are wanted; negative ones count from the end. None: all, but of
            the MobileNets, the EfficientNets and a network of the user's own the first five, as in MindCV.

    Raises:
        ValueError: The network has no `feature_info`, or an index is outside it.
    """

    def __init__(self, net: nn.Cell, out_indices: Sequence[int] | None = None) -> None:
        super().__init__(auto_prefix=False)
        infos = getattr(net, "feature_info", None)
        if not infos:
            raise ValueError(f"{type(net).__name__} has no feature_info, so features_only is not available for it")
        if out_indices is None:
            most = net.default_maps if isinstance(net, ImageClassifier) else _MINDCVS_MAPS
            out_indices = range(len(infos))[:most]
        try:
            indices = [operator.index(index) for index in out_indices]
        except TypeError:
            raise ValueError(f"out_indices is {out_indices!r}; give whole numbers, such as (0, -1)") from None
        if not indices or not all(-len(infos) <= index < len(infos) for index in indices):
            raise ValueError(
                f"out_indices are {indices}; {type(net).__name__} has {len(infos)} feature maps, choose from "
                f"0 to {len(infos) - 1} (or {-len(infos)} to -1), at least one"
            )
        self.indices = tuple(index % len(infos) for index in indices)
        self.feature_info: list[dict[str, Any]] = [dict(infos[index]) for index in self.indices]
        self.default_cfg = getattr(net, "default_cfg", None)
        self.has_stages = isinstance(net, ImageClassifier)
        self.is_rewritten = not self.has_stages and getattr(net, "is_rewritten", False)
        if isinstance(net, ImageClassifier):
            net.keep_maps(self.indices)
            self.net = net
        elif self.is_rewritten:
            self.net = net
        else:
            self._chain(net, [infos[index]["name"] for index in range(max(self.indices) + 1)])

    def _chain(self, net: nn.Cell, names: Sequence[str]) -> None:
        """Takes the cells up to the last of `names` out of a network that is a chain of cells."""
        cells = dict(net.name_cells())
        if getattr(net, "flatten_sequential", False):
            cells = {
                f"{name}.{inner}" if inner else name: cell
                for name, outer in cells.items()
                for inner, cell in (outer.name_cells() if isinstance(outer, nn.SequentialCell) else {"": outer}).items()
            }
        missing = [name for name in names if name not in cells]
        if missing:
            raise ValueError(f"feature_info names {missing[0]!r}, which is no outermost cell; they are {list(cells)}")
        order = list(cells)
        positions = [order.index(name) for name in names]
        self.positions = tuple(positions)
        self.blocks = nn.CellList([cells[name] for name in order[: positions[-1] + 1]], auto_prefix=False)

    @property
    def out_channels(self) -> list[int]:
        """Channels of each returned map."""
        return [info["chs"] for info in self.feature_info]

    def construct(self, x: Tensor) -> list[Tensor]:
        features = []
        if self.has_stages:
            maps = self.net.forward_stages(x)
            for index in self.indices:
                features.append(self.net.as_map(maps[index], index))
            return features
        if self.is_rewritten:
            maps = self.net(x)
            for index in self.indices:
                features.append(maps[index])
            return features
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        for index in self.indices:
            features.append(outputs[self.positions[index]])
        return features
