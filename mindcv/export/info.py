"""What an exported file says about itself, in a JSON file beside it."""

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..data.preprocess import LARGEST_SIDE, EvalPreprocess
from ..utils.fs import file_sha256, local_path
from ..utils.text import json_text
from ..weights import ModelOutputs
from ..weights.outputs import SINGLE
from ._mark import read_mark

__all__ = ["MARKED_FORMATS", "ExportInfo", "info_path", "json_digest", "read_info", "weights_sha256"]

_logger = logging.getLogger(__name__)

# Formats of which the file keeps the sha256 of its JSON.
MARKED_FORMATS = ("mindir", "onnx")
_LARGEST_JSON = 64 << 20
_MOST_CHANNELS = 65536


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
        weights_dtype: Type that the weights of convolutions and dense layers are stored in; int8 is computed in, too.
        encryption: AES-GCM, AES-CBC or SM4-CBC; None when the file is not encrypted.
        weights_sha256: Of the network's parameters, see `weights_sha256`.
        file_sha256: Of the exported file.
        verification: Largest difference from the live network, what was allowed, and the batch sizes that were run. Of
            an int8 file these are of the float network, and its agreement with that on images is there too.
        versions: Of what was used.
        head: What the probabilities are, see `mindcv.weights.ModelOutputs`; files of earlier versions do not say.
        threshold: Least probability of a label that counts as found, with the head `multiple`; None: all are told.
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
    head: str = SINGLE
    threshold: float | None = None

    @property
    def batch_size(self) -> int | None:
        """The batch size that the file takes; None when it takes any."""
        return self.input_shape[0]

    @property
    def entries(self) -> dict[str, Any]:
        """What stands in the JSON."""
        entries = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        preprocess = dataclasses.asdict(self.preprocess)
        for key, default in (("resize_rounding", "floor"), ("crop_mode", "center")):
            if preprocess[key] == default:
                del preprocess[key]  # as in files of earlier versions
        if self.threshold is None:
            del entries["threshold"]  # likewise
        return {**entries, "preprocess": preprocess}

    @property
    def outputs(self) -> ModelOutputs:
        """What the outputs mean."""
        return ModelOutputs.of(self.num_classes, self.class_names, self.head)

    def to_json(self) -> str:
        """Returns the file's text."""
        return json_text(self.entries, indent=2) + "\n"


_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
_Name = Annotated[str, Field(min_length=1, max_length=1000)]


class _Preprocess(BaseModel):
    """Kinds and ranges of how an image becomes the input; `EvalPreprocess` checks what they say together."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    image_size: Annotated[list[_Side], Field(min_length=2, max_length=2)]
    crop_pct: Annotated[float, Field(gt=0, le=2)]
    interpolation: _Name
    mean: Annotated[list[float], Field(min_length=1, max_length=_MOST_CHANNELS)]
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1, max_length=_MOST_CHANNELS)]
    antialias: bool
    resize_rounding: Literal["floor", "round"] = "floor"
    crop_mode: Literal["center", "squash"] = "center"


class _Entries(BaseModel):
    """Kinds and ranges of a JSON's entries, and what they must say together."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    format: Literal["mindir", "onnx", "air", "safetensors"]
    model: str
    input_name: _Name
    input_shape: tuple[
        Annotated[int, Field(ge=1, le=1_000_000)] | None,
        Annotated[int, Field(ge=1, le=_MOST_CHANNELS)],
        _Side,
        _Side,
    ] = Field(strict=False)
    input_dtype: Literal["float32", "uint8"]
    output_name: Literal["scores", "probabilities"]
    num_classes: Annotated[int, Field(ge=1, le=10_000_000)]
    preprocess: _Preprocess
    normalisation: Literal["inside", "outside"]
    class_names: Annotated[tuple[str, ...], Field(strict=False)] | None
    dataset: str
    batch_norm_folded: bool
    weights_dtype: Literal["float32", "float16", "int8"]
    encryption: Literal["AES-GCM", "AES-CBC", "SM4-CBC"] | None
    weights_sha256: _Sha256
    file_sha256: _Sha256
    verification: dict[str, Any]
    versions: dict[str, str]
    head: Literal["single", "multiple"] = "single"
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None

    @model_validator(mode="after")
    def _agree(self) -> "_Entries":
        """Refuses entries that contradict each other."""
        _, channels, *size = self.input_shape
        if size != self.preprocess.image_size or not channels == len(self.preprocess.mean) == len(self.preprocess.std):
            raise ValueError(f"input_shape {self.input_shape} is not what preprocess gives")
        if (self.input_dtype == "uint8") != (self.normalisation == "inside"):
            raise ValueError(f"input_dtype {self.input_dtype} with normalisation {self.normalisation}")
        if self.threshold is not None and self.head == SINGLE:
            raise ValueError("a threshold with the head single")
        if self.class_names is not None and len(self.class_names) != self.num_classes:
            raise ValueError(f"{len(self.class_names)} class_names for {self.num_classes} classes")
        return self


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
    entries = _read_entries(beside)
    info = _checked(entries, beside)
    if info.file_sha256 != file_sha256(target):
        raise ValueError(f"{beside} belongs to another file than {target.name} (its sha256 differs); export again")
    mark = read_mark(target)
    if mark is not None and mark != json_digest(entries):
        raise ValueError(f"{beside} was changed since {target.name} was exported, which keeps its sha256; export again")
    if mark is None and info.format in MARKED_FORMATS and info.encryption is None:
        _logger.warning("%s holds no sha256 of its JSON, whose figures are taken as they are; export again", target)
    return info


def _read_entries(path: Path) -> dict[str, Any]:
    """Reads the JSON, no more of it than one may have.

    Raises:
        ValueError: It is too large, or no JSON.
    """
    with path.open("rb") as file:
        data = file.read(_LARGEST_JSON + 1)
    if len(data) > _LARGEST_JSON:
        raise ValueError(f"{path}: has more than {_LARGEST_JSON >> 20} MiB, unlike what `mindcv export` writes")
    try:
        entries = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not what `mindcv export` writes (no JSON: {error}); export again") from error
    if not isinstance(entries, dict):
        raise ValueError(f"{path}: is not what `mindcv export` writes (no table); export again")
    return entries


def _checked(entries: dict[str, Any], path: Path) -> ExportInfo:
    """Checks each entry and what they say together.

    Raises:
        ValueError: One is missing, of another kind or out of range; the first fault is in the message.
    """
    try:
        values = {name: value for name, value in _Entries.model_validate(entries) if name != "preprocess"}
        return ExportInfo(**values, preprocess=EvalPreprocess(**entries["preprocess"]))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "the entries"
        reason = f"{where}: {fault['msg']}"
    except (ValueError, TypeError) as error:
        reason = str(error)
    raise ValueError(f"{path}: is not what `mindcv export` writes ({reason}); export again")


def json_digest(entries: Mapping[str, Any]) -> str:
    """Returns the sha256 of a JSON's entries, of all but the file's own sha256, which is known later."""
    text = json.dumps({name: value for name, value in entries.items() if name != "file_sha256"}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def weights_sha256(arrays: Iterable[tuple[str, np.ndarray]]) -> str:
    """Returns the sha256 of named arrays, the same whatever their order and whatever file they come from."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays, key=lambda item: item[0]):
        digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
