"""Writes a configuration: as YAML that is a recipe again, and as a short summary."""

import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Collection
from typing import Any

import yaml

from ..utils.fs import atomic_write, local_path, require_directory
from .fields import PACKAGED_DATASETS
from .schema import KEYS, SECTIONS, Config
from .values import format_value

_logger = logging.getLogger(__name__)

_SUMMARY_WIDTH = 118
# What a reader wants to see of every run, default or not.
_ALWAYS_SHOWN = {
    *(
        "device_target",
        "seed",
        "dataset",
        "data_dir",
        "batch_size",
        "image_resize",
        "model",
        "ckpt_save_dir",
        "epoch_size",
    ),
    *("opt", "weight_decay", "scheduler", "lr", "loss", "amp_level"),
}


def dataset_text(dataset: str, num_classes: int) -> str:
    """What a reader calls a dataset. `imagenet` is the key's word for any folder, not only for ImageNet-1K."""
    return "a folder of classes" if dataset.lower() == "imagenet" and num_classes != 1000 else dataset


def split_text(dataset: str, num_classes: int, split: str, data_dir: str) -> str:
    """What a reader calls a split, and where it is."""
    where = "" if dataset.lower() in PACKAGED_DATASETS else f" of {data_dir}"
    return f"{dataset_text(dataset, num_classes)}, {split}{where}"


class _Dumper(yaml.SafeDumper):
    """Writes a tuple as a list in one line, and never an alias, which a recipe may not have."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_LIST_TAG = "tag:yaml.org,2002:seq"
_Dumper.add_representer(tuple, lambda dumper, value: dumper.represent_sequence(_LIST_TAG, value, flow_style=True))


def to_yaml(config: Config, keys: Collection[str] | None = None) -> str:
    """Returns all keys, or some, as YAML in sections. Read as a recipe, it gives an equal configuration."""
    parts = []
    for section in SECTIONS:
        values = {name: getattr(config, name) for name in section.model_fields if keys is None or name in keys}
        if not values:
            continue
        body = yaml.dump(
            values, Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=10**6, allow_unicode=True
        )
        parts.append(f"# {section.title}\n{body}")
    return "\n".join(parts)


def save_args(args: Config, filepath: str | os.PathLike[str], rank: int | None = 0) -> None:
    """Saves a configuration as a YAML recipe, whole or not at all; ranks other than 0 do nothing.

    Args:
        args: What `parse_args` returned.
        filepath: Where to; its folder is made.
        rank: This worker's rank; None, as upstream's scripts have it for one worker, is 0.

    Raises:
        ValueError: The folder cannot be written to.
    """
    if rank:
        return
    path = local_path(filepath)
    require_directory(path.parent, "the configuration's folder")
    with atomic_write(path, "w") as file:
        file.write(to_yaml(config=args))
    _logger.info("configuration saved to %s", path)


def summary(config: Config) -> str:
    """Returns a readable summary: what matters in every run, and every key that is not at its default (`*`)."""
    lines = [f"Configuration ({config.config or 'no recipe'}; * differs from the default)"]
    for section in SECTIONS:
        parts = []
        for name in section.model_fields:
            value = getattr(config, name)
            differs = value != KEYS[name].default
            if name != "config" and (differs or name in _ALWAYS_SHOWN):
                parts.append(f"{name}={format_value(value)}{'*' if differs else ''}")
        if parts:
            text = textwrap.fill(
                "  ".join(parts),
                width=_width(),
                initial_indent=f"  {section.title:<14}",
                subsequent_indent=" " * 16,
                break_long_words=False,
                break_on_hyphens=False,
            )
            lines.append(text)
    return "\n".join(lines)


def _width() -> int:
    """Columns of the summary: the terminal's where it is one, within what can be read well."""
    if not sys.stdout.isatty():
        return _SUMMARY_WIDTH
    return min(_SUMMARY_WIDTH, max(60, shutil.get_terminal_size().columns))
