"""What a table of models says of each: `mindcv models` and docs/models.md."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

SUFFIXES = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}


def size_facts(name: str) -> dict[str, Any]:
    """Returns parameters, multiply-adds and input size of a model or of a set of weights, None where not known."""
    from mindcv.models import get_pretrained_cfg, list_sizes

    cfg = get_pretrained_cfg(name)
    size = list_sizes().get(cfg.architecture)
    return {"params": size and size.parameters, "macs": size and size.macs, "input": list(cfg.input_size[1:])}


def model_row(name: str) -> dict[str, Any]:
    """Returns a model's line: size, the best top-1 of its free weights and their tag, and all tags."""
    from mindcv.models import get_pretrained_cfg, list_weights

    published = list_weights(name)
    free = [cfg for cfg in map(get_pretrained_cfg, published) if cfg.is_free and cfg.top1]
    best = max(free, key=lambda cfg: cfg.top1 or 0.0, default=None)
    tags = [weights.partition(".")[2] for weights in published]
    facts = {"top1": best and best.top1, "best": best and best.tag, "weights": tags}
    return {"name": name, **size_facts(name), **facts}


def count_text(value: float | None) -> str:
    """A count in the field's unit, with three digits."""
    if value is None:
        return "-"
    unit = "G" if value >= 1e9 else "M"
    scaled = value / SUFFIXES[unit]
    return f"{scaled:.{2 if scaled < 10 else 1}f}{unit}"


def side_text(value: Sequence[int]) -> str:
    """Height and width, once where they are equal."""
    return f"{value[0]}" if value[0] == value[1] else f"{value[0]}x{value[1]}"


def percent_text(value: float | None) -> str:
    """A figure in percent, or a dash."""
    return "-" if value is None else f"{value:.2f}"


# Heading, key of the row, text of its value.
MODEL_COLUMNS: tuple[tuple[str, str, Callable[[Any], str]], ...] = (
    ("model", "name", str),
    ("params", "params", count_text),
    ("MACs", "macs", count_text),
    ("input", "input", side_text),
    ("top-1", "top1", percent_text),
    ("best", "best", lambda tag: tag or "-"),
    ("weights", "weights", lambda tags: str(len(tags)) if tags else "-"),
)
