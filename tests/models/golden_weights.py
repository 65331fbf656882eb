"""The weights and the input behind tests/data/golden: functions of names and shapes that any side can compute."""

import zlib

import numpy as np


def golden_arrays(golden: dict) -> dict[str, np.ndarray]:
    """Returns the weights of a golden, but for its tables, which a file need not have."""
    constants = set(golden.get("constants", ()))
    gain = golden.get("gain", 1.0)
    return {name: golden_array(name, shape, gain) for name, shape in golden["params"] if name not in constants}


def golden_array(name: str, shape: list[int], gain: float = 1.0) -> np.ndarray:
    """Returns the golden weight of a name and shape; `gain` multiplies weights of two or more dimensions."""
    if name.endswith("num_batches_tracked"):
        return np.array(0, dtype=np.int64)
    normal = np.asarray(np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape), dtype=np.float32)
    last = name.rpartition(".")[2]
    if "var" in last:
        array = 1 + 0.1 * np.abs(normal)
    elif normal.ndim <= 1:
        array = 0.1 * normal + (1 if last in ("weight", "gamma") else 0)
    else:
        array = gain * normal / np.sqrt(np.prod(shape[1:]))
    return np.asarray(array, dtype=np.float32)


def golden_input(side: int) -> np.ndarray:
    """Returns the golden input for a side."""
    return np.random.RandomState(0).standard_normal((2, 3, side, side)).astype(np.float32)
