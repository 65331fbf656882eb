"""A family of models: one class of networks, its published weights, and a variant a line."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from mindspore import nn

from mindcv.utils.registry import suggest

from ._network import ImageClassifier
from ._pretrained import PretrainedCfg
from ._registry import add_model, split_tag
from ._sizes import list_sizes
from .layers import as_pair


class Variant:
    """A registered model: called, it makes a network with fresh or published weights.

    Attributes:
        network: The network's class.
        arguments: The arguments of the class that make the variant.
    """

    def __init__(self, name: str, network: type[ImageClassifier], arguments: Mapping[str, Any], module: str) -> None:
        self.__name__ = self.__qualname__ = name
        self.__module__ = module
        self.__doc__ = f"Makes {name}, a {network.__name__}; see `mindcv.create_model` for the arguments."
        self.network = network
        self.arguments = dict(arguments)

    def __repr__(self) -> str:
        return f"<model {self.__name__}>"

    def __call__(
        self,
        pretrained: bool | str = False,
        num_classes: int | None = None,
        in_channels: int | None = None,
        **kwargs: Any,
    ) -> nn.Cell:
        from ._create import create_model

        return create_model(self.__name__, num_classes, pretrained, in_channels, **kwargs)

    def build(self, **kwargs: Any) -> ImageClassifier:
        """Makes the network with fresh weights; arguments given here go before the variant's.

        Raises:
            ValueError: An argument that the network does not have, or a value that it cannot have.
        """
        arguments = {**self.arguments, **self.checked(kwargs)}
        network = self.network(**arguments)
        network.variant_arguments = self.arguments
        return network

    def checked(self, kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns arguments by the network's names for them.

        Raises:
            ValueError: The network has no such argument.
        """
        kwargs = dict(kwargs)
        if "img_size" in kwargs:
            kwargs["image_size"] = kwargs.pop("img_size")
        if "image_size" in kwargs:
            if not self.takes_image_size:
                raise ValueError(
                    f"image_size: {self.__name__} takes images of any size and has no such argument; leave it out"
                )
            height, width = as_pair(kwargs["image_size"])
            kwargs["image_size"] = height if height == width else (height, width)
        check_arguments(self.network, kwargs)
        return kwargs

    @property
    def takes_image_size(self) -> bool:
        """Whether the network is built for one size of image."""
        return "image_size" in inspect.signature(self.network.__init__).parameters


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
        facts: dict[str, Any] = self._cells()
        if name in list_sizes():
            facts["params_m"] = round(list_sizes()[name].parameters / 1e6, 2)
        add_model(
            variant,
            {tag: dataclasses.replace(cfg, **facts) for tag, cfg in (cfgs or {"": self._plain(arguments)}).items()},
        )
        return variant

    def _cells(self) -> dict[str, str]:
        """Names of cells that MindCV's users read in `default_cfg`; they are said on the class."""
        names = self.network.mindcv_names
        stem = self.network.reads_image[0] if self.network.reads_image else ""
        cells = {"first_conv": stem, "classifier": self.network.gives_logits[0]}
        return {
            key: next(iter(names.to_theirs({f"{cell}.weight": None}))).removesuffix(".weight") if cell else ""
            for key, cell in cells.items()
        }

    @staticmethod
    def _plain(arguments: Mapping[str, Any]) -> PretrainedCfg:
        height, width = as_pair(arguments.get("image_size", 224))
        return PretrainedCfg(input_size=(3, height, width))


def check_arguments(network: Callable[..., nn.Cell], arguments: Mapping[str, Any]) -> None:
    """Checks that a network has the arguments.

    Raises:
        ValueError: It has not; the message has the closest and all that there are.
    """
    parameters = inspect.signature(network.__init__ if inspect.isclass(network) else network).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [name for name in parameters if name != "self"]
    for name in arguments:
        if name not in known:
            hint = suggest(name, known) or "."
            raise ValueError(f"{network.__name__} has no argument {name!r}{hint} It has: {', '.join(known)}")
