"""What an exported file says about itself, in a JSON file beside it."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..data.preprocess import EvalPreprocess
from ..utils.fs import local_path

__all__ = ["ExportInfo", "file_sha256", "info_path", "read_info", "weights_sha256"]


@dataclasses.dataclass(frozen=True)
class ExportInfo:
    """How to feed an exported file and what comes out of it.

    Attributes:
        format: mindir, onnx, air or safetensors.
        model: Name of the model.
        input_name: Name of the input.
        input_shape: (N, C, H, W); N is None when any batch size is taken.
        input_dtype: float32 (normalised) or uint8 (pixels).
        output_name: scores or probabilities.
        num_classes: Length of a row of the output.
        preprocess: How an image becomes the input.
        normalisation: "inside" the graph or "outside" it.
        class_names: By index, or None.
        dataset: Name of the dataset that the recipe trains on.
        batch_norm_folded: Whether BatchNorm was folded into convolutions.
        weights_dtype: Type that the weights of convolutions and dense layers are stored in.
        encryption: AES-GCM, AES-CBC or SM4-CBC; None when the file is not encrypted.
        weights_sha256: Of the network's parameters, see `weights_sha256`.
        file_sha256: Of the exported file.
        verification: Largest difference from the live network, what was allowed, and the batch sizes that were run.
        versions: Of what was used.
    """

    format: str
    model: str
    input_name: str
    input_shape: tuple[int | None, int, int, int]
    input_dtype: str
    output_name: str
    num_classes: int
    preprocess: EvalPreprocess
    normalisation: str
    class_names: tuple[str, ...] | None
    dataset: str
    batch_norm_folded: bool
    weights_dtype: str
    encryption: str | None
    weights_sha256: str
    file_sha256: str
    verification: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def batch_size(self) -> int | None:
        """The batch size that the file takes; None when it takes any."""
        return self.input_shape[0]

    def to_json(self) -> str:
        """Returns the file's text."""
        entries = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        entries["preprocess"] = dataclasses.asdict(self.preprocess)
        return json.dumps(entries, indent=2, ensure_ascii=False) + "\n"


def info_path(path: str | os.PathLike[str]) -> Path:
    """Returns where the JSON of an exported file is: `model.onnx.json` beside `model.onnx`."""
    target = local_path(path)
    return target.with_name(f"{target.name}.json")


def read_info(path: str | os.PathLike[str]) -> ExportInfo:
    """Reads the JSON of an exported file and checks that the two belong together.

    Raises:
        FileNotFoundError: One of them is not there.
        ValueError: The JSON cannot be read, or belongs to another file.
    """
    target, beside = local_path(path), info_path(path)
    if not target.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    if not beside.is_file():
        raise FileNotFoundError(
            f"{beside} is missing: it says how images are prepared for {target.name}; keep it beside, or export again"
        )
    try:
        entries = json.loads(beside.read_text(encoding="utf-8"))
        entries["preprocess"] = EvalPreprocess(**entries["preprocess"])
        entries["input_shape"] = tuple(entries["input_shape"])
        entries["class_names"] = entries["class_names"] and tuple(entries["class_names"])
        info = ExportInfo(**entries)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{beside}: is not what `mindcv export` writes ({error}); export again") from error
    if info.file_sha256 != file_sha256(target):
        raise ValueError(f"{beside} belongs to another file than {target.name} (its sha256 differs); export again")
    return info


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Returns the sha256 of a file in hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def weights_sha256(arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    """Returns the sha256 of named arrays, the same whatever their order and whatever file they come from."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays, key=lambda item: item[0]):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
