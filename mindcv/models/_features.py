"""Feature maps of a classifier, for detection and segmentation."""

from collections.abc import Sequence
from typing import Any

from mindspore import Tensor, nn


class FeatureExtractWrapper(nn.Cell):
    """Runs a network's outermost cells in order and returns the feature maps that `feature_info` names.

    The network's outermost cells have to be declared in the order in which they are used. Cells behind the last wanted
    feature map are left out, and parameters keep the names that they have in the network.

    Args:
        net: Network with `feature_info`, a list of `{"name": cell, "chs": channels, "reduction": input / map side}`.
        out_indices: Which entries of `feature_info` are wanted; maps are returned in the order of the network.

    Raises:
        ValueError: The network has no `feature_info`, or an index is outside it.
    """

    def __init__(self, net: nn.Cell, out_indices: Sequence[int] = (0, 1, 2, 3, 4)) -> None:
        super().__init__(auto_prefix=False)
        infos = getattr(net, "feature_info", None)
        if not infos:
            raise ValueError(f"{type(net).__name__} has no feature_info, so features_only is not available for it")
        wanted = sorted(set(out_indices))
        if not wanted or wanted[0] < 0 or wanted[-1] >= len(infos):
            raise ValueError(f"out_indices are {list(out_indices)}; choose from 0 to {len(infos) - 1}, at least one")
        self.feature_info: list[dict[str, Any]] = [dict(infos[index]) for index in wanted]
        names = list(net.name_cells())
        returned = [names.index(info["name"]) for info in self.feature_info]
        self.is_returned = tuple(position in returned for position in range(returned[-1] + 1))
        self.blocks = nn.CellList(
            [net.name_cells()[name] for name in names[: len(self.is_returned)]], auto_prefix=False
        )
        self.default_cfg = getattr(net, "default_cfg", None)

    @property
    def out_channels(self) -> list[int]:
        """Channels of each returned map."""
        return [info["chs"] for info in self.feature_info]

    def construct(self, x: Tensor) -> list[Tensor]:
        features = []
        for block, is_returned in zip(self.blocks, self.is_returned):  # noqa: B905 (graph mode knows no strict=)
            x = block(x)
            if is_returned:
                features.append(x)
        return features
