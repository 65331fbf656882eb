"""Models from names, and their weights from wherever they are: one way for registered ones, addresses and files."""

import dataclasses
import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from mindspore import Parameter, Tensor, nn

from mindcv.utils.fs import is_remote, local_path
from mindcv.utils.registry import suggest
from mindcv.utils.runtime import prepare_cpu_runtime
from mindcv.weights import read_weights
from mindcv.weights.hub import is_hub_model
from mindcv.weights.locations import fetch, is_package_file
from mindcv.weights.outputs import read_outputs

from ._features import FeatureExtractWrapper
from ._hub import HUB_SOURCE, find_on_hub
from ._loading import load_pretrained, set_weights, to_model_names
from ._network import ImageClassifier, require_classifier
from ._pretrained import PretrainedCfg, as_pretrained_cfg
from ._registry import get_pretrained_cfg, is_model_pretrained, list_weights, model_entrypoint, split_tag
from .layers import as_pair

if TYPE_CHECKING:
    from mindcv.config import Config

__all__ = [
    "Variant",
    "build_model_with_cfg",
    "build_network",
    "built_for",
    "check_arguments",
    "create_model",
    "file_tells",
    "network_of_file",
    "published_weights",
]

_logger = logging.getLogger(__name__)


class _Default(int):
    """A default that is told from the same number given: a model of the hub brings its own classes and channels."""


_CLASSES, _CHANNELS = _Default(1000), _Default(3)


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
            ValueError: The network has no such argument, or not with such a value.
        """
        kwargs = dict(kwargs)
        if "img_size" in kwargs:
            if "image_size" in kwargs:
                raise ValueError("image_size and img_size are one argument; give image_size alone")
            kwargs["image_size"] = kwargs.pop("img_size")
        if "image_size" in kwargs:
            if not self.takes_image_size:
                raise ValueError(
                    f"image_size: {self.__name__} takes images of any size and has no such argument; leave it out"
                )
            height, width = as_pair(kwargs["image_size"])
            kwargs["image_size"] = height if height == width else (height, width)
        channels = kwargs.get("in_channels", 1)
        if not isinstance(channels, int) or isinstance(channels, bool) or channels < 1:
            raise ValueError(f"in_channels is {channels!r}; give an integer from 1")
        if not self.network.gives_logits and kwargs.pop("num_classes", 1000) != 1000:
            raise ValueError(f"num_classes: {self.__name__} has no classes; leave it out")
        check_arguments(self.network, kwargs)
        return kwargs

    @property
    def takes_image_size(self) -> bool:
        """Whether the network is built for one size of image."""
        return "image_size" in _parameters(self.network.__init__)


def create_model(
    model_name: str,
    num_classes: int | None = _CLASSES,
    pretrained: bool | str = False,
    in_channels: int | None = _CHANNELS,
    checkpoint_path: str = "",
    ema: bool = False,
    auto_mapping: bool = False,
    *,
    class_names: Sequence[str] | None = None,
    head_init_scale: float = 1.0,
    **kwargs: Any,
) -> nn.Cell:
    """Creates a model by name, with fresh, published or local weights.

    An argument that is None is not passed on, so that the model's own default holds.

    `pretrained` weights are adapted: a head for other classes starts fresh, and a first convolution for another number
    of channels is fitted. Those of `checkpoint_path` have to fit exactly. Both are fitted to another `image_size` where
    the network has one. Where a file tells of a network with other arguments (`stem_pool_pad` of torchvision's and
    timm's ResNet), that network is created.

    Args:
        model_name: A name of `list_models()`, `name.tag` of `list_models(pretrained=True)`, or a model of timm's form:
            `hf-hub:OWNER/NAME` on the Hugging Face hub, `local-dir:FOLDER` with `config.json` and `model.safetensors`.
        num_classes: Number of classes; 0 gives a network that ends in its pooled features (N, num_features). Not given,
            or None: the model's own, which is 1000 but for those of the hub and of folders.
        pretrained: Whether to load published weights: those of the name's tag, or the model's default ones. Or which:
            a tag, an address (`https://`, `s3://` ..., downloaded once), a file, or `package:NAME/path/inside` for one
            that an installed Python package brings.
        in_channels: Channels of the input image; by default 3, or those of a model of the hub.
        checkpoint_path: File to load in place of published weights, or its address, which is read each time.
        ema: Whether to take the averaged weights of a file.
        auto_mapping: Whether to map differing names in `checkpoint_path` to the closest ones of the same shape.
        class_names: Names of the model's classes by index, `''` for one without. Where the file of `pretrained` has
            others, or another order, its head starts fresh. None: their number alone counts.
        head_init_scale: What the initial weights and biases of the layers that give logits are multiplied by, where no
            file has them (ConvNeXt's fine-tuning: 0.001).
        **kwargs: Arguments of the network (`image_size`, `drop_rate`, `drop_path_rate`, `features_only`, `out_indices`
            ...). `image_size` is a side or (height, width).

    Returns:
        The model, whose `default_cfg` says how its input is prepared.

    Raises:
        ValueError: Unknown model, tag or argument, weights that do not fit, or both `pretrained` and `checkpoint_path`.
        FileNotFoundError: There is no such file.
        OSError: The weights cannot be downloaded.
    """
    prepare_cpu_runtime()
    if checkpoint_path and pretrained:
        raise ValueError(f"pretrained and checkpoint_path ({checkpoint_path}) exclude each other; give one of them")
    cfg: PretrainedCfg | None = None
    are_classes_said = False
    if is_hub_model(model_name):
        model_name, pretrained, cfg = find_on_hub(model_name, pretrained)
        are_classes_said = num_classes is None or num_classes is _CLASSES
        num_classes = cfg.num_classes if are_classes_said else num_classes
        in_channels = cfg.input_size[0] if in_channels is None or in_channels is _CHANNELS else in_channels
    create_fn = model_entrypoint(model_name)
    model_name, location = _find_weights(model_name, pretrained)
    cfg = cfg or get_pretrained_cfg(model_name)
    is_registered = bool(pretrained) and not location
    if is_registered and not is_model_pretrained(model_name):
        others = ", ".join(f"{name} ({get_pretrained_cfg(name).licence})" for name in list_weights(model_name))
        if others:
            raise ValueError(
                f"{model_name!r} has no weights that allow commercial use; name those that you want: {others}"
            )
        raise ValueError(
            f"no weights are published for {model_name!r}; list_models(pretrained=True) lists what there is"
        )
    given = {"num_classes": num_classes, "in_channels": in_channels, **kwargs}
    given = {key: value for key, value in given.items() if value is not None}
    features_only = given.pop("features_only", False)
    out_indices = given.pop("out_indices", None)
    if isinstance(create_fn, Variant):
        if out_indices is not None and not features_only:
            raise ValueError(f"out_indices are {out_indices!r}, which choose feature maps; give features_only=True too")
        # A tag's network is built even when its weights are not loaded.
        has_own_arguments = is_registered or split_tag(model_name)[1] or cfg.source == HUB_SOURCE
        model_args = cfg.model_args if has_own_arguments else {}
        source = checkpoint_path or location or (cfg.url if is_registered else "")
        arrays = _read(source, cfg if is_registered else None, bool(location), ema)
        if are_classes_said:
            _require_described_head(create_fn, arrays, cfg)
        given = create_fn.checked(given)
        told = _told_arguments(create_fn, arrays, source, {**model_args, **given})
        model = create_fn.build(**{**model_args, **told, **given})
        model.default_cfg = _with_image_size(cfg, given)
    else:  # a function of the user's, which loads its published weights by itself
        source = checkpoint_path or location
        arrays = _read(source, None, bool(location), ema)
        tagged = {"pretrained_cfg": cfg} if split_tag(model_name)[1] else {}
        given |= {"pretrained": is_registered, **tagged}
        model = create_fn(**given)
        if features_only and not getattr(model, "feature_info", None) and _takes(create_fn, "features_only"):
            # MindCV's way for a network that is no chain (its HRNet): the function has another class for the maps.
            wanted = {"features_only": True, "out_indices": out_indices}
            model = create_fn(**given, **{key: value for key, value in wanted.items() if value is not None})
    fresh_head = _scale_head(model, head_init_scale) if head_init_scale != 1.0 else {}
    if isinstance(model, FeatureExtractWrapper):
        features_only = False  # it is one already, and has no use for a file's entries behind the last map
        there = {parameter.name for parameter in model.get_parameters()}
        arrays = {name: array for name, array in arrays.items() if name in there}
    if source:
        has_other_names = bool(location) and class_names is not None and _has_other_names(location, class_names)
        set_weights(
            *(model, arrays, source, cfg),
            adapt=not checkpoint_path,
            auto_mapping=auto_mapping,
            has_other_names=has_other_names,
        )
        # What a training goes on from has its head always; weights to fine-tune have one that fits, or none.
        if not checkpoint_path and any(not np.array_equal(p.asnumpy(), fresh_head[p]) for p in fresh_head):
            _logger.warning(
                "head_init_scale: %g has no effect: %s has a head of these classes", head_init_scale, source
            )
    return FeatureExtractWrapper(model, out_indices) if features_only else model


def _require_described_head(create_fn: Variant, arrays: Mapping[str, np.ndarray], cfg: PretrainedCfg) -> None:
    """Refuses weights of other classes than their `config.json` has: the head would be random, unasked."""
    classes = create_fn.network.file_tells(arrays).get("num_classes", cfg.num_classes) if arrays else cfg.num_classes
    if classes != cfg.num_classes:
        raise ValueError(
            f"{cfg['title']}: its weights have {classes} classes and its config.json {cfg.num_classes}; "
            f"num_classes={cfg.num_classes} starts with a fresh classifier"
        )


def _scale_head(model: nn.Cell, factor: float) -> dict[Parameter, np.ndarray]:
    """Multiplies the fresh weights of the layers that give logits, and returns what they are then."""
    scaled: dict[Parameter, np.ndarray] = {}
    heads = tuple(f"{name}." for name in getattr(model, "gives_logits", ("classifier",)))
    for path, parameter in model.parameters_and_names():
        if path.startswith(heads):
            scaled[parameter] = parameter.asnumpy() * np.float32(factor)
            parameter.set_data(Tensor(scaled[parameter]))
    return scaled


def _has_other_names(location: str, class_names: Sequence[str]) -> bool:
    """Whether a weight file names its classes, and otherwise, or in another order, than these."""
    outputs = read_outputs(fetch(location))
    return outputs is not None and outputs.class_names not in (None, tuple(class_names))


def published_weights(cfg: "Config") -> PretrainedCfg | None:
    """Returns what is known of the published weights that a config asks for, None where it asks for a file or none.

    Raises:
        ValueError: There is no such model or no such tag.
    """
    if not cfg.pretrained:
        return None
    name, location = _find_weights(cfg.model, cfg.pretrained)
    return None if location else get_pretrained_cfg(name)


def built_for(model_name: str) -> tuple[int, int] | None:
    """Returns (height, width) of the images that a model's network is built for, None where it takes any.

    Raises:
        ValueError: There is no such model.
    """
    create_fn = model_entrypoint(model_name)
    if not (isinstance(create_fn, Variant) and create_fn.takes_image_size):
        return None
    _, height, width = get_pretrained_cfg(model_name).input_size
    return height, width


def _image_size_of(cfg: "Config", name: str) -> int | tuple[int, int] | None:
    """Returns the size of images that a config's network is to be built for; None: the model's own.

    A network that resizes images may be fed with others than its own size (MindCV's crossvit_15 with 224, for 240).
    """
    built = built_for(name)
    if built is None:
        return None
    resizes_images = getattr(model_entrypoint(name), "network", ImageClassifier).resizes_images
    return None if resizes_images and as_pair(cfg.image_resize) == built else cfg.image_resize


def build_network(
    cfg: "Config", num_classes: int, ema: bool = False, class_names: Sequence[str] | None = None
) -> nn.Cell:
    """Returns a config's model with the weights of `ckpt_path` (with `ema` their average), pretrained or fresh ones.

    `class_names` are those of the data to train on, see `create_model`.

    Raises:
        ValueError: The model is no classifier, or see `create_model`.
    """
    name = cfg.model
    require_classifier(getattr(model_entrypoint(name), "network", nn.Cell), name)
    published = published_weights(cfg) if cfg.ckpt_path else None
    if published is not None and published.tag:
        # What was trained from published weights keeps their network's quirks (the padding of the stem's pool).
        name = f"{published.architecture}.{published.tag}"
    return create_model(
        name,
        num_classes=num_classes,
        pretrained=not cfg.ckpt_path and cfg.pretrained,
        in_channels=cfg.in_channels,
        checkpoint_path=cfg.ckpt_path,
        ema=ema,
        class_names=class_names,
        head_init_scale=cfg.head_init_scale,
        drop_rate=cfg.drop_rate,
        drop_path_rate=cfg.drop_path_rate,
        image_size=_image_size_of(cfg, name),
    )


def as_evaluated(cfg: "Config") -> "Config":
    """Returns a config for running a model without training it: a `pretrained` that is a file is its `ckpt_path`.

    A classifier that starts fresh is for training. What is evaluated or exported is taken as it is.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be downloaded.
    """
    from mindcv.config.compat import is_weight_file  # whoever only makes a network does not wait for pydantic

    if cfg.ckpt_path or not is_weight_file(cfg.pretrained):
        return cfg
    return cfg.model_copy(update={"ckpt_path": str(fetch(str(cfg.pretrained))), "pretrained": False})


def require_published_head(cfg: "Config", num_classes: int) -> None:
    """Refuses to run published weights without training where their classifier would be fresh, random.

    Raises:
        ValueError: They are for another number of classes.
    """
    published = None if cfg.ckpt_path else published_weights(cfg)
    if published is None:
        return
    if num_classes not in (published.num_classes, published.data_classes):
        raise ValueError(
            f"{cfg.model}: the published weights have {published.num_classes} classes, not {num_classes}: their "
            "classifier would be random; fine-tune first (mindcv train --pretrained) and give its checkpoint"
        )


def build_model_with_cfg(
    model_cls: Callable[..., nn.Cell],
    pretrained: bool,
    default_cfg: Mapping[str, Any],
    features_only: bool = False,
    out_indices: Sequence[int] | None = None,
    *,
    pretrained_cfg: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> nn.Cell:
    """Builds a network of a user's own, loads its published weights, and wraps it when only its maps are wanted.

    Args:
        model_cls: The network's class.
        pretrained: Whether to load published weights.
        default_cfg: The model's default weights (`PretrainedCfg` or a dictionary as in MindCV).
        features_only: Whether to return feature maps in place of logits.
        out_indices: Which entries of the network's `feature_info` to return; None: the first five.
        pretrained_cfg: Other weights, chosen by a tag; the network is built with their `model_args` even when they are
            not loaded.
        **kwargs: Arguments of the network; those given here go before the weights' `model_args`.

    Raises:
        ValueError: An argument that the network does not have, or weights that do not fit.
    """
    cfg = as_pretrained_cfg(default_cfg if pretrained_cfg is None else pretrained_cfg)
    if pretrained or pretrained_cfg is not None:
        kwargs = {**cfg.model_args, **kwargs}
    check_arguments(model_cls, kwargs)
    model = model_cls(**kwargs)
    model.default_cfg = cfg
    if pretrained:
        load_pretrained(model, cfg, kwargs.get("num_classes", cfg.num_classes), kwargs.get("in_channels", 3))
    return FeatureExtractWrapper(model, out_indices) if features_only else model


def file_tells(model_name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns the arguments of the network that a file belongs to: num_classes, in_channels, and those it alone knows.

    Args:
        model_name: Name of the model.
        arrays: The file's arrays, as `read_weights` gives them.

    Raises:
        ValueError: There is no such model.
    """
    create_fn = model_entrypoint(model_name)
    if isinstance(create_fn, Variant):
        return create_fn.network.file_tells(arrays)
    cfg = get_pretrained_cfg(model_name)
    cells = (("num_classes", cfg.classifier, 0), ("in_channels", cfg.first_conv, 1))
    weights = {argument: (arrays.get(f"{cell}.weight"), axis) for argument, cell, axis in cells if cell}
    return {
        argument: int(weight.shape[axis])
        for argument, (weight, axis) in weights.items()
        if weight is not None and weight.ndim > axis
    }


def network_of_file(
    model_name: str, arrays: Mapping[str, np.ndarray], source: str, **given: Any
) -> tuple[nn.Cell, Mapping[str, np.ndarray]]:
    """Creates the network that a file belongs to, with fresh weights, and renames the file's arrays to its names.

    Args:
        model_name: Name of the model, or `name.tag`.
        arrays: The file's arrays.
        source: The file, for messages.
        **given: Arguments that go before what the file tells.

    Raises:
        ValueError: There is no such model, or the file belongs to a network that it cannot be.
    """
    told = {**file_tells(model_name, arrays), **given}
    create_fn = model_entrypoint(model_name)
    if isinstance(create_fn, Variant):
        known = inspect.signature(create_fn.network.__init__).parameters
        told = {name: value for name, value in told.items() if name in known}
    model = create_model(model_name, **told)
    return model, to_model_names(model, arrays, source)


def _find_weights(model_name: str, pretrained: bool | str) -> tuple[str, str]:
    """Returns the name of the model, with its tag where there is one, and the file or address that is not registered.

    Raises:
        FileNotFoundError: `pretrained` looks like a file and there is none.
        ValueError: The model's name has another tag.
    """
    if not isinstance(pretrained, str) or not pretrained:
        return model_name, ""
    if is_remote(pretrained) or is_package_file(pretrained) or local_path(pretrained).is_file():
        return model_name, pretrained
    if is_hub_model(pretrained):
        raise ValueError(f"pretrained={pretrained!r} is a model; give it in place of {model_name!r}")
    name, tag = split_tag(model_name)
    wanted = pretrained.removeprefix(f"{name}.")
    if PurePath(wanted).suffix or PurePath(wanted).name != wanted:
        raise FileNotFoundError(f"pretrained: there is no file {pretrained}")
    if tag not in ("", wanted):
        raise ValueError(
            f"the model {model_name!r} has a tag and pretrained={pretrained!r} is another; give one of them"
        )
    return f"{name}.{wanted}", ""


def _read(source: str, registered: PretrainedCfg | None, is_fetched: bool, ema: bool) -> Mapping[str, np.ndarray]:
    if not source:
        return {}
    if registered is not None:
        return read_weights(_fetch_registered(registered))
    return read_weights(fetch(source) if is_fetched else source, ema=ema)


def _fetch_registered(cfg: PretrainedCfg) -> Path:
    """Returns the file of published weights.

    Raises:
        FileNotFoundError: It is of a Python package that is not installed; the message names the model's other weights.
    """
    try:
        return fetch(cfg.url, cfg.sha256 or None)
    except FileNotFoundError as error:
        name = f"{cfg.architecture}.{cfg.tag}"
        others = [other for other in list_weights(cfg.architecture) if other != name]
        if not is_package_file(cfg.url) or not others:
            raise
        raise FileNotFoundError(f"{error}, or take other weights: {', '.join(others)}") from None


def _told_arguments(
    variant: Variant, arrays: Mapping[str, np.ndarray], source: str, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the arguments that only the file knows, and logs those that are news."""
    if not source:
        return {}
    told = variant.network.told_arguments(arrays)
    defaults = {**_defaults(variant.network), **variant.arguments}
    for name, value in told.items():
        if name not in given and value != defaults.get(name):
            _logger.warning(
                "%s: these weights need %s=%r, so the network has it; give it with files that MindSpore saves from it",
                source,
                name,
                value,
            )
    return {name: value for name, value in told.items() if name not in given}


def _defaults(network: type[ImageClassifier]) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(network.__init__).parameters.items()}


def _with_image_size(cfg: PretrainedCfg, given: Mapping[str, Any]) -> PretrainedCfg:
    size = given.get("image_size")
    if size is None:
        return cfg
    height, width = (size, size) if isinstance(size, int) else size
    return dataclasses.replace(cfg, input_size=(cfg.input_size[0], height, width))


def _takes(function: Callable[..., Any], argument: str) -> bool:
    """Whether a constructor or an entry point has an argument, by name or among any others."""
    parameters = _parameters(function)
    return argument in parameters or any(one.kind is one.VAR_KEYWORD for one in parameters.values())


def check_arguments(network: Callable[..., nn.Cell], arguments: Mapping[str, Any]) -> None:
    """Checks that a network has the arguments.

    Raises:
        ValueError: It has not; the message has the closest and all that there are.
    """
    function = network.__init__ if inspect.isclass(network) else network
    known = [name for name in _parameters(function) if name != "self"]
    for name in arguments:
        if not _takes(function, name):
            hint = suggest(name, known) or "."
            raise ValueError(f"{network.__name__} has no argument {name!r}{hint} It has: {', '.join(known)}")


@functools.cache
def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Parameters of a constructor or an entry point; asked for once for each variant, so remembered."""
    return inspect.signature(function).parameters
