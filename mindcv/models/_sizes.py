"""Parameters and multiply-adds of the models, out of `sizes.csv`, which `python -m mindcv.models.measure` writes."""

import csv
import dataclasses
import functools
from pathlib import Path

SIZES = Path(__file__).with_name("sizes.csv")


@dataclasses.dataclass(frozen=True)
class Size:
    """What a model with 1000 classes (or the number of its own) costs.

    Attributes:
        parameters: Trainable parameters.
        macs: Multiply-adds of convolutions, dense layers and attention for one image.
        side: Height and width of that image.
    """

    parameters: int
    macs: int
    side: int


@functools.cache
def list_sizes() -> dict[str, Size]:
    """Returns the sizes by name; empty where the file is not there yet."""
    if not SIZES.is_file():
        return {}
    with SIZES.open(encoding="utf-8", newline="") as file:
        return {
            row["name"]: Size(int(row["parameters"]), int(row["macs"]), int(row["side"]))
            for row in csv.DictReader(file)
        }
