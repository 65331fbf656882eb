"""The table of models: names, entry points, families, and the weights published for each.

A set of weights is named `model.tag` (`resnet50.mindcv_in1k`); the first in a family's `default_cfgs` is the default.
"""

import dataclasses
import fnmatch
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from mindcv.utils.registry import Registry, closest, suggest, unknown_name_message
from mindcv.weights.hub import is_hub_model

from ._pretrained import PretrainedCfg, as_pretrained_cfg

EntryPoint = TypeVar("EntryPoint", bound=Callable[..., Any])

_entrypoints: Registry[Callable[..., Any]] = Registry("model")
_module_of: dict[str, str] = {}
_weights: dict[str, dict[str, PretrainedCfg]] = {}
_renamed: dict[str, str] = {}


def register_model(fn: EntryPoint) -> EntryPoint:
    """Registers a model's entry point under the function's name (decorator).

    The entries of the module's `default_cfgs` for the model (`name` or `name.tag`) become its weights.

    Raises:
        ValueError: The name is taken, or it has a dot, which separates a tag.
    """
    cfgs = getattr(sys.modules.get(fn.__module__), "default_cfgs", {})
    tags = [(*split_tag(key), as_pretrained_cfg(cfg)) for key, cfg in cfgs.items()]
    return add_model(fn, {tag: cfg for architecture, tag, cfg in tags if architecture == fn.__name__})


def add_model(fn: EntryPoint, weights: Mapping[str, PretrainedCfg]) -> EntryPoint:
    """Registers a model's entry point under its name, with its weights by tag; the first are the default.

    Raises:
        ValueError: The name is taken, or it has a dot, which separates a tag.
    """
    name = fn.__name__
    if "." in name:
        raise ValueError(f"a model's name has no dot, which separates a tag; got {name!r}")
    _entrypoints.register(name, fn)
    _module_of[name] = fn.__module__.rpartition(".")[2]
    _weights[name] = {
        tag: cfg if (cfg.architecture, cfg.tag) == (name, tag) else dataclasses.replace(cfg, architecture=name, tag=tag)
        for tag, cfg in weights.items()
    }
    return fn


def register_renamed(renamed: Mapping[str, str]) -> None:
    """Declares names of other libraries or of the past; asking for one raises an error that names the present one."""
    _renamed.update(renamed)


def name_of_timm(architecture: str) -> str | None:
    """Returns our name for a network of timm's, None where it is not here.

    That is the same name, a declared one (`register_renamed`), or the model that has timm's weights of that name.
    """
    if architecture in _entrypoints:
        return architecture
    if architecture in _renamed:
        return _renamed[architecture]
    return next((cfg.architecture for cfg in _published_by_timm(architecture)), None)


def arguments_of_timm(architecture: str) -> Mapping[str, Any]:
    """Returns the arguments that weights of a network of timm's give ours, as far as some of them are registered."""
    return next((cfg.model_args for cfg in _published_by_timm(architecture)), {})


def names_of_timm(name: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Returns timm's names for a model, with the arguments that its weights of that name give the network."""
    found = ((re.search(r"/timm/([^/.]+)[./]", cfg.url), cfg.model_args) for cfg in _weights[name].values())
    return list({match[1]: (match[1], arguments) for match, arguments in found if match}.values())


def _published_by_timm(architecture: str) -> Iterator[PretrainedCfg]:
    pattern = re.compile(rf"/timm/{re.escape(architecture)}[./]")
    return (cfg for cfgs in _weights.values() for cfg in cfgs.values() if pattern.search(cfg.url))


def split_tag(model_name: str) -> tuple[str, str]:
    """Splits `name.tag` in two; the tag is empty when there is none."""
    name, _, tag = model_name.partition(".")
    return name, tag


def is_model(model_name: str) -> bool:
    """Whether there is a model of that name (a tag is left aside)."""
    return split_tag(model_name)[0] in _entrypoints


def model_entrypoint(model_name: str) -> Callable[..., Any]:
    """Returns the function that builds a model (a tag is left aside).

    Raises:
        ValueError: There is no such model; the message has the closest names, or the new name of one that was renamed.
    """
    name = split_tag(model_name)[0]
    if name in _renamed:
        raise ValueError(f"model {name!r} is called {_renamed[name]!r} here; use create_model({_renamed[name]!r})")
    if name not in _entrypoints:
        raise ValueError(_unknown_model(name))
    return _entrypoints[name]


def _unknown_model(name: str) -> str:
    """Three names that may be meant, and how to see all; there are too many for one message."""
    near = [repr(other) for other in _closest_models(name)]
    meant = f"; did you mean {' or '.join(filter(None, [', '.join(near[:-1]), near[-1]]))}?" if near else "."
    if is_hub_model(name):  # of a recipe; `create_model` takes it
        return f"{name!r} is no registered model; give the model's registered name, and its file as pretrained"
    return f"unknown model {name!r}{meant} `mindcv models` and list_models() list all {len(_entrypoints)}"


def _closest_models(name: str) -> list[str]:
    """What timm calls by the name, names that it begins, names like it, and names that begin with what is like it."""
    known = sorted(_entrypoints, key=_natural_key)
    begun = [other for other in known if name and other.lower().startswith(name.lower())]
    beginnings = {other[: len(name) + 1]: other for other in reversed(known)}
    like = [*closest(name, known, 3), *(beginnings[word] for word in closest(name, beginnings, 3))]
    return list(dict.fromkeys([*filter(None, [name_of_timm(name)]), *begun, *like]))[:3]


def list_models(
    filter: str | Sequence[str] = "",
    module: str = "",
    pretrained: bool = False,
    exclude_filters: str | Sequence[str] = "",
) -> list[str]:
    """Lists models, or published weights, in natural order (`resnet18` before `resnet101`).

    Args:
        filter: Glob or globs (`"resnext*"`), of which one has to match the model's name or, of weights, `name.tag`.
        module: Only models of that family's module (`"senet"`).
        pretrained: List published weights instead, as `name.tag`. `create_model(name_with_tag, pretrained=True)` makes
            the network with them, and `get_pretrained_cfg(name_with_tag)` says what is known of them.
        exclude_filters: Glob or globs, of which none may match.

    Raises:
        ValueError: There is no such module.
    """
    if module and module not in list_modules():
        raise ValueError(unknown_name_message("model module", module, list_modules()))
    names = [name for name in _entrypoints if not module or _module_of[name] == module]
    if pretrained:
        names = [weights for name in names for weights in _published_names(name)]
    return _select(names, filter, exclude_filters)


def list_weights(model_name: str) -> list[str]:
    """Lists the published weights of a model, as `name.tag`, in natural order; what a tag in the name says is left out.

    Raises:
        ValueError: There is no such model.
    """
    model_entrypoint(model_name)
    name = split_tag(model_name)[0]
    return sorted(_published_names(name), key=_natural_key)


def _published_names(name: str) -> Iterator[str]:
    return (f"{name}.{tag}".rstrip(".") for tag, cfg in _weights[name].items() if cfg.url)


def list_modules() -> list[str]:
    """Lists the modules (families) that hold models."""
    return sorted(set(_module_of.values()))


def is_model_in_modules(model_name: str, module_names: Collection[str]) -> bool:
    """Whether a model belongs to one of the given modules."""
    return _module_of.get(split_tag(model_name)[0]) in set(module_names)


def is_model_pretrained(model_name: str) -> bool:
    """Whether weights are published for a model, or, given a tag, whether those are."""
    name, tag = split_tag(model_name)
    cfgs = _weights.get(name, {})
    return bool(cfgs[tag].url) if tag in cfgs else not tag and any(cfg.url for cfg in cfgs.values())


def get_pretrained_cfg(model_name: str) -> PretrainedCfg:
    """Returns what is known about a model's weights: those of the tag, or the default ones.

    Raises:
        ValueError: There is no such model or no such tag.
    """
    model_entrypoint(model_name)
    name, tag = split_tag(model_name)
    cfgs = _weights[name]
    if not tag:
        return next(iter(cfgs.values()), PretrainedCfg(architecture=name))
    if tag not in cfgs:
        tags = ", ".join(filter(None, cfgs)) or "none"
        raise ValueError(f"model {name!r} has no weights {tag!r}{suggest(tag, cfgs)}; its tags: {tags}")
    return cfgs[tag]


def get_pretrained_cfg_value(model_name: str, cfg_key: str) -> Any:
    """Returns one entry of `get_pretrained_cfg(model_name)`, None when it has no such entry.

    Raises:
        ValueError: There is no such model or no such tag.
    """
    return get_pretrained_cfg(model_name).get(cfg_key)


def has_pretrained_cfg_key(model_name: str, cfg_key: str) -> bool:
    """Whether there is a model of that name whose configuration has that entry."""
    return is_model(model_name) and cfg_key in get_pretrained_cfg(model_name)


def _select(names: Sequence[str], include: str | Sequence[str], exclude: str | Sequence[str]) -> list[str]:
    def matches(name: str, globs: Sequence[str]) -> bool:
        return any(fnmatch.fnmatchcase(part, glob) for part in {name, split_tag(name)[0]} for glob in globs)

    includes, excludes = _globs(include), _globs(exclude)
    kept = [name for name in names if (not includes or matches(name, includes)) and not matches(name, excludes)]
    return sorted(kept, key=_natural_key)


def _globs(globs: str | Sequence[str]) -> list[str]:
    return ([globs] if globs else []) if isinstance(globs, str) else list(globs)


def _natural_key(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]
