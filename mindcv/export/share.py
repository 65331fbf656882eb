"""A trained model as a folder of the hub's form, for timm and for this library: weights, config.json, model card."""

import dataclasses
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..config import Config, dataset_text, to_yaml
from ..models import (
    INTERPOLATIONS_OF_TIMM,
    ImageClassifier,
    Variant,
    built_for,
    checkpoint_marks,
    create_model,
    model_entrypoint,
    name_at_timm,
    to_timm_names,
    with_tables,
)
from ..utils.errors import RunError
from ..utils.fs import atomic_write, is_remote, require_directory
from ..utils.remote import retried, store_of
from ..weights import write_weights
from ..weights.hub import OWN_ENTRY, hub_endpoint, repository_of
from ..weights.outputs import SINGLE
from .runtime import live_run
from .source import Source

__all__ = ["FILES", "ModelCard", "model_folder", "publish"]

# Weights first and the description last: a reader who finds that finds the rest.
FILES = ("model.safetensors", "README.md", "config.json")
_HUB_SCHEME = "hf://"
_TIMM_INTERPOLATIONS = {ours: theirs for theirs, ours in INTERPOLATIONS_OF_TIMM.items()} | {"pilcubic": "bicubic"}
_ALLOWED = 1e-5
# Keys that name paths of the author's own machine, or what a reader has no use for.
_PRIVATE = frozenset({"data_dir", "ckpt_save_dir", "ckpt_path", "imports", "data_url", "train_url", "ckpt_url"})


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What a model's card says beside what its files tell.

    Attributes:
        figures: Figures of its evaluation by name, such as `{"top1": 0.97}`.
        evaluated_on: What they were measured on.
        licence: Licence of the weights, as the hub writes it (`apache-2.0`); empty: none is stated.
        recipe: The training's config; None: it is not known.
    """

    figures: Mapping[str, float] = dataclasses.field(default_factory=dict)
    evaluated_on: str = ""
    licence: str = ""
    recipe: Config | None = None


@contextmanager
def model_folder(source: Source, card: ModelCard) -> Iterator[Path]:
    """Writes a model in the hub's form into a temporary folder, which is gone afterwards.

    Where timm has just this network, the weights have timm's names and timm itself reads the folder; otherwise they
    have MindCV's, and `config.json` names an architecture that timm refuses instead of computing something else.

    Args:
        source: The model, made by name.
        card: What its card says.

    Yields:
        The folder, with the files `FILES`.

    Raises:
        RunError: What was written is not what the network computes.
        ValueError: The network was not made by name, or its weights are not finite.
    """
    model = source.network
    if not getattr(model, "default_cfg", None):
        raise ValueError(f"{source.name}: the network was not made by name; register it (see docs/own-model.md)")
    arrays = {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}
    bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
    if bad:
        raise ValueError(f"{source.name}: {len(bad)} weights are not finite, such as {bad[0]}; nothing is pushed")
    theirs, architecture = _at_timm(model, arrays)
    with tempfile.TemporaryDirectory(prefix="mindcv-push-") as temporary:
        folder = Path(temporary)
        written = theirs if architecture else {**with_tables(model, arrays), **checkpoint_marks(model)}
        write_weights(folder / FILES[0], written)
        config = _config_of(source, card.licence)
        if architecture:
            config["architecture"] = architecture
            # timm cannot fit a first layer of other than three channels, so it is not told of one.
            reads = model.reads_image if len(source.preprocess.mean) == 3 else ()
            cells = {"first_conv": reads, "classifier": model.gives_logits}
            config["pretrained_cfg"] |= {key: _timm_cells(model, names, arrays, theirs) for key, names in cells.items()}
        (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")
        (folder / "README.md").write_text(_card_text(source, architecture, card), encoding="utf-8")
        _verify(source, folder)
        yield folder


def _at_timm(model: Any, arrays: Mapping[str, np.ndarray]) -> tuple[Mapping[str, np.ndarray], str | None]:
    """The weights by timm's names with timm's name for the network; None where timm has no such network."""
    needed = arrays
    if isinstance(model, ImageClassifier):  # an auxiliary classifier is for training, and timm's Inception has none
        needed = {name: a for name, a in arrays.items() if not any(fnmatchcase(name, p) for p in model.auxiliary)}
    try:
        theirs = to_timm_names(model, needed)
    except ValueError:
        return {}, None
    return theirs, name_at_timm(model, theirs)


def _config_of(source: Source, licence: str) -> dict[str, Any]:
    model, preprocess = source.network, source.preprocess
    name = model.default_cfg["architecture"]
    create_fn = model_entrypoint(name)
    channels = len(preprocess.mean)
    is_built_for_size = isinstance(create_fn, Variant) and create_fn.takes_image_size
    arguments: dict[str, Any] = {}
    size = _built_size(model, preprocess.image_size)
    if is_built_for_size and size != built_for(name):
        arguments["img_size"] = list(size)
    if channels != 3:
        arguments["in_chans"] = channels
    cfg: dict[str, Any] = {
        "input_size": [channels, *preprocess.image_size],
        # timm would hand the size to a network that takes none (VGG).
        "fixed_input_size": "img_size" in arguments and not getattr(model, "resizes_images", False),
        "interpolation": _TIMM_INTERPOLATIONS.get(preprocess.interpolation, preprocess.interpolation),
        "crop_pct": preprocess.crop_pct,
        "crop_mode": preprocess.crop_mode,
        "mean": [value / 255 for value in preprocess.mean],
        "std": [value / 255 for value in preprocess.std],
        "num_classes": model.num_classes,
    }
    if licence:
        cfg["license"] = licence
    own = {"model": name, "head": source.head, "resize_rounding": preprocess.resize_rounding, "version": __version__}
    config: dict[str, Any] = {
        # A name that timm does not know: it would take the network for one of its own that computes otherwise.
        "architecture": f"{OWN_ENTRY}.{name}",
        "num_classes": model.num_classes,
        "model_args": arguments,
        "pretrained_cfg": cfg,
        OWN_ENTRY: own,
    }
    if source.class_names:
        config["label_names"] = list(source.class_names)
    return config


def _built_size(model: Any, image_size: tuple[int, int]) -> tuple[int, int]:
    """The size that a network was built for, which may differ from the images' where it resizes them itself."""
    if getattr(model, "resizes_images", False):
        return tuple(model.default_cfg["input_size"][1:])
    return image_size


def _timm_cells(
    model: ImageClassifier, cells: Sequence[str], arrays: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]
) -> str | list[str] | None:
    """timm's names of cells, told by their weights, which are the same memory under both names."""
    weights = [arrays[name] for name in model.mindcv_names.to_theirs({f"{cell}.weight": None for cell in cells})]
    names = [name for name, array in theirs.items() if any(np.shares_memory(array, weight) for weight in weights)]
    found = [name.removesuffix(".weight") for name in names]
    return found[0] if len(found) == 1 else found or None


def _verify(source: Source, folder: Path) -> None:
    """Reads the folder as a user would and compares logits.

    Raises:
        RunError: They differ.
    """
    with _without_notes():  # what the reader says of the temporary file is not what its user will read
        again = create_model(f"local-dir:{folder}", pretrained=True)
    shape = (2, len(source.preprocess.mean), *source.preprocess.image_size)
    images = np.random.RandomState(0).standard_normal(shape).astype(np.float32)
    expected, found = (live_run(network)(images) for network in (source.network, again))
    difference, allowed = np.abs(found - expected).max(), _ALLOWED * max(1.0, np.abs(expected).max())
    if not difference <= allowed:
        raise RunError(
            f"{source.name}: what was written gives other logits (largest difference {difference:.3g}, allowed "
            f"{allowed:.3g}); nothing is pushed. Please report this"
        )


@contextmanager
def _without_notes() -> Iterator[None]:
    logger = logging.getLogger("mindcv.models")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _card_text(source: Source, architecture: str | None, card: ModelCard) -> str:
    model, preprocess = source.network, source.preprocess
    name = model.default_cfg["architecture"]
    front = ["---", "library_name: " + ("timm" if architecture else OWN_ENTRY), "pipeline_tag: image-classification"]
    if card.licence:
        front.append(f"license: {card.licence}")
    front += ["tags:", "- image-classification", f"- {OWN_ENTRY}", *(["- timm"] if architecture else []), "---"]
    height, width = preprocess.image_size
    count = sum(int(np.prod(parameter.shape)) for parameter in model.trainable_params())
    facts = [
        f"network: {name}" + (f", timm's {architecture}" if architecture else ", not among timm's networks"),
        f"classes: {model.num_classes}" + ("" if source.head == SINGLE else ", of which an image may have several"),
        f"parameters: {count / 1e6:.2f} million",
        f"images: {height} x {width} pixels, crop {preprocess.crop_pct:g}, {preprocess.interpolation}",
        f"licence: {card.licence or 'none is stated'}",
    ]
    if source.dataset:
        facts.append(f"trained on: {dataset_text(source.dataset, model.num_classes)}")
    parts = ["\n".join(front), f"# {_as_text(name)}", "\n".join(f"* {_as_text(fact)}" for fact in facts)]
    if card.figures:
        rows = [f"| {_as_text(key)} | {value:.6g} |" for key, value in card.figures.items()]
        where = f" on {_as_text(card.evaluated_on)}" if card.evaluated_on else ""
        parts.append("\n".join([f"## Evaluation{where}", "", "| figure | value |", "| --- | --- |", *rows]))
    reads = [
        "import mindcv",
        "",
        'model = mindcv.create_model("hf-hub:OWNER/NAME", pretrained=True)  # a folder: "local-dir:FOLDER"',
    ]
    if architecture:
        reads += ["", "import timm", "", 'model = timm.create_model("hf-hub:OWNER/NAME", pretrained=True)']
    parts.append("\n".join(["## Use", "", "```python", *reads, "```"]))
    if source.class_names:
        shown = [f"{index}. {_as_text(text)}" for index, text in enumerate(source.class_names[:_SHOWN_CLASSES])]
        rest = len(source.class_names) - len(shown)
        shown += [f"... and {rest} more, see `label_names` in config.json"] if rest else []
        parts.append("\n".join(["## Classes", "", *shown]))
    if card.recipe is not None:
        parts.append("\n".join(["## Training recipe", "", "```yaml", _recipe_text(card.recipe).strip(), "```"]))
    return "\n\n".join(parts) + "\n"


_SHOWN_CLASSES = 100


def _recipe_text(cfg: Config) -> str:
    """The keys whose values are not the defaults, but for paths on the author's machine."""
    fields = type(cfg).model_fields
    set_ = [key for key in fields if getattr(cfg, key) != fields[key].get_default(call_default_factory=True)]
    return to_yaml(cfg, [key for key in set_ if key not in _PRIVATE and not _is_path(getattr(cfg, key))])


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and (value.startswith(("/", "~", ".")) or "://" in value)


def _as_text(text: str) -> str:
    """Text that Markdown shows as it is, in one line."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|#" else sign for sign in " ".join(text.split()))


def publish(folder: Path, target: str, overwrite: bool = False, private: bool = False) -> str:
    """Puts the files of `model_folder` where they are to be, and returns how they are read from there.

    Args:
        folder: The files.
        target: `hf://OWNER/NAME`, an address that fsspec knows (`s3://...`), or a folder.
        overwrite: Whether a model that is there is replaced. On the hub it always is: older versions stay there.
        private: Whether a new repository on the hub is private.

    Raises:
        FileExistsError: There is a model already.
        ImportError: A package is missing; the message has the install command.
        RunError: The hub refuses.
        ValueError: The target is not of these forms.
    """
    if target.startswith(_HUB_SCHEME):
        return _publish_on_hub(folder, target, private)
    if private:
        raise ValueError(f"--private is for the hub (hf://OWNER/NAME), not for {target}")
    if is_remote(target):
        return _publish_remotely(folder, target.rstrip("/"), overwrite)
    destination = require_directory(target, "target")
    there = [name for name in FILES if (destination / name).exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{destination} holds a model already ({', '.join(there)}); give --overwrite or another folder"
        )
    for name in FILES:
        with atomic_write(destination / name) as file, (folder / name).open("rb") as data:
            while part := data.read(1 << 24):
                file.write(part)
    return f"local-dir:{destination}"


def _publish_remotely(folder: Path, target: str, overwrite: bool) -> str:
    store, path = store_of(target)
    for name in FILES:
        url = f"{target}/{name}"
        with suppress(FileNotFoundError):
            retried(url, partial(store.info, f"{path}/{name}"))
            if not overwrite:
                raise FileExistsError(f"{url} is there already; give --overwrite, or another address")
    for name in FILES:
        retried(f"{target}/{name}", partial(store.put_file, str(folder / name), f"{path}/{name}"))
    return f"{target}/{FILES[0]}"


def _publish_on_hub(folder: Path, target: str, private: bool) -> str:
    repository = repository_of(target.removeprefix(_HUB_SCHEME).rstrip("/"))
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError
    except ImportError:
        raise ImportError(f"{target}: install what uploads to the hub with: pip install 'mindcv[remote]'") from None
    api = HfApi(endpoint=hub_endpoint(), library_name=OWN_ENTRY)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message=f"mindcv {__version__}: a model")
    except LocalTokenNotFoundError:
        raise RunError(f"{target}: the hub wants a token; set HF_TOKEN, or log in with: hf auth login") from None
    except HfHubHTTPError as error:
        code = getattr(error.response, "status_code", None)
        hint = "; set HF_TOKEN to a token that may write, or log in with: hf auth login" if code in (401, 403) else ""
        reason = str(error).strip().splitlines()[0]
        raise RunError(f"{target}: the hub refuses (HTTP {code}: {reason}){hint}") from None
    except OSError as error:
        raise RunError(f"{target}: the hub cannot be reached ({error})") from None
    return f"hf-hub:{repository}"
