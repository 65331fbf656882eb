"""A family of models: one class of networks, its published weights, and a variant a line."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from ._create import Variant, check_arguments
from ._network import ImageClassifier
from ._pretrained import PretrainedCfg
from ._registry import add_model, split_tag
from ._sizes import list_sizes
from .layers import as_pair


@dataclasses.dataclass(frozen=True)
class Family:
    """One class of networks and what is published for it.

    Args:
        network: The class.
        weights: Published weights by `name.tag`; the first of a name is its default. An entry under a plain name says
            what a model without weights is fed with.
        module: Module that the models belong to; empty: that of the class.
    """

    network: type[ImageClassifier]
    weights: Mapping[str, PretrainedCfg] = dataclasses.field(default_factory=dict)
    module: str = ""

    def variant(self, name: str, **arguments: Any) -> Variant:
        """Registers a model.

        Args:
            name: Its name.
            **arguments: Arguments of the network's class that make it.

        Raises:
            ValueError: The name is taken or has a dot, or the class has no such argument.
        """
        check_arguments(self.network, arguments)
        variant = Variant(name, self.network, arguments, self.module or self.network.__module__)
        cfgs = {tag: cfg for key, cfg in self.weights.items() for model, tag in [split_tag(key)] if model == name}
        facts: dict[str, Any] = dict(self._cells)
        if name in list_sizes():
            facts["params_m"] = round(list_sizes()[name].parameters / 1e6, 2)
        add_model(
            variant,
            {
                tag: dataclasses.replace(cfg, architecture=name, tag=tag, **facts)
                for tag, cfg in (cfgs or {"": self._plain(arguments)}).items()
            },
        )
        return variant

    @functools.cached_property
    def _cells(self) -> dict[str, str]:
        """Names of cells that MindCV's users read in `default_cfg`; they are said on the class."""
        names = self.network.mindcv_names
        stem, head = ((*cells, "")[0] for cells in (self.network.reads_image, self.network.gives_logits))
        cells = {"first_conv": stem, "classifier": head}
        return {
            key: next(iter(names.to_theirs({f"{cell}.weight": None}))).removesuffix(".weight") if cell else ""
            for key, cell in cells.items()
        }

    @staticmethod
    def _plain(arguments: Mapping[str, Any]) -> PretrainedCfg:
        height, width = as_pair(arguments.get("image_size", 224))
        return PretrainedCfg(input_size=(3, height, width))
