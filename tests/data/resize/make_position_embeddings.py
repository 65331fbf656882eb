"""Makes position_embeddings.json beside this script: what timm resizes position embeddings to.

Run once, with timm 1.0.31 and torch 2.14.1: `python make_position_embeddings.py`. A case has the file's grid and the
network's, the tokens in front that are not resized, and timm's values; the file's entry is `entry` of grid and prefix.
"""

import json
from pathlib import Path

import numpy as np
import timm
import torch
from timm.layers import resample_abs_pos_embed

DIM = 8
CASES = (  # file's grid, network's grid, prefix
    ((7, 7), (12, 12), 1),
    ((7, 7), (6, 8), 1),
    ((14, 14), (7, 7), 1),
    ((12, 12), (4, 9), 1),
    ((7, 7), (12, 12), 0),
    ((12, 12), (5, 5), 0),
    ((8, 8), (4, 16), 0),
    ((7, 7), (9, 5), 2),
)


def entry(grid: tuple[int, int], prefix: int) -> np.ndarray:
    shape = (1, prefix + grid[0] * grid[1], DIM)
    return np.random.RandomState(grid[0]).standard_normal(shape).astype(np.float32)


cases = []
for old, new, prefix in CASES:
    values = resample_abs_pos_embed(torch.from_numpy(entry(old, prefix)), list(new), list(old), prefix)
    flat = [round(float(value), 6) for value in values.reshape(-1)]
    cases.append({"old": old, "new": new, "prefix": prefix, "values": flat})
data = {"source": f"timm {timm.__version__}, torch {torch.__version__}", "dim": DIM, "cases": cases}
Path(__file__).with_name("position_embeddings.json").write_text(json.dumps(data) + "\n")
