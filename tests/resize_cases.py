"""What timm resizes position embeddings to (tests/data/resize)."""

import dataclasses
import json
from pathlib import Path

import numpy as np

_PATH = Path(__file__).parent / "data" / "resize" / "position_embeddings.json"


@dataclasses.dataclass(frozen=True)
class Case:
    """A file's grid of tokens, the network's, the tokens in front, a file's entry, and what timm makes of it."""

    old: tuple[int, int]
    new: tuple[int, int]
    prefix: int
    entry: np.ndarray
    expected: np.ndarray

    def __str__(self) -> str:
        return f"{self.old[0]}x{self.old[1]} to {self.new[0]}x{self.new[1]} behind {self.prefix}"


def resize_cases() -> list[Case]:
    data = json.loads(_PATH.read_text())
    cases = []
    for case in data["cases"]:
        old, new, prefix = tuple(case["old"]), tuple(case["new"]), case["prefix"]
        shape = (1, prefix + old[0] * old[1], data["dim"])
        entry = np.random.RandomState(old[0]).standard_normal(shape).astype(np.float32)
        expected = np.array(case["values"], np.float32).reshape(1, -1, data["dim"])
        cases.append(Case(old, new, prefix, entry, expected))
    return cases
