"""Exports a network to a file and proves that the file computes the same."""

import contextlib
import copy
import dataclasses
import json
import logging
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from .._version import __version__
from ..data.preprocess import EvalPreprocess, channel_figures
from ..models import checkpoint_marks, load_model_checkpoint, require_classifier
from ..utils.errors import RunError
from ..utils.fs import atomic_write, file_sha256, local_path, require_directory
from ..utils.registry import unknown_name_message
from ..weights import ModelOutputs, write_weights
from ..weights.outputs import HEADS, SINGLE, check_threshold
from ._mark import write_mark
from .calibration import Calibration, calibration_images
from .images import ImageReader
from .info import MARKED_FORMATS, ExportInfo, info_path, json_digest, weights_sha256
from .quantize import quantize_onnx
from .runtime import Run, live_run, load_run
from .swaps import swap_layers
from .transforms import Deployed, fold_batch_norm, fuse_branches, half_weight_names, halve_weights
from .verify import Comparison, agreement, compare, normalised
from .writers import INPUT_NAME, check_onnx, require_onnx, write_air, write_mindir, write_onnx

__all__ = ["DYNAMIC", "ENC_MODES", "FORMATS", "export_model", "output_path"]

_logger = logging.getLogger(__name__)

FORMATS = ("mindir", "onnx", "air", "safetensors")
ENC_MODES = ("AES-GCM", "AES-CBC", "SM4-CBC")
DYNAMIC = "dynamic"
INT8 = "int8"
# Share of images on which a network in int8 must give the class that it gives in float.
MIN_AGREEMENT = 0.98

# Shares of the largest score. fp32 on other kernels differs by some 1e-6; a weight in fp16 is off by up to 5e-4 of it.
_TOLERANCE = {"float32": 1e-4, "float16": 2e-2, INT8: 1e-4}  # of int8 this is the float network that it is made of
# Images that are run at once where the file takes any number.
_BATCH = 16
# MindSpore exports to a path of these characters only, so a file gets its name when it is complete.
_PLAIN_PATH = re.compile(r"[0-9a-zA-Z@_\-.:/\\]+")


@dataclasses.dataclass(frozen=True)
class _Options:
    """What is changed in the network on the way; see `export_model`."""

    softmax: bool
    head: str
    uint8_input: bool
    fold_bn: bool
    fp16_weights: bool
    quantize: str | None

    @property
    def weights_dtype(self) -> str:
        return self.quantize or ("float16" if self.fp16_weights else "float32")


def export_model(
    network: nn.Cell,
    out: str | os.PathLike[str],
    file_format: str | None = None,
    batch_size: int | str = 1,
    *,
    preprocess: EvalPreprocess | None = None,
    class_names: Sequence[str] | None = None,
    head: str = SINGLE,
    model_name: str = "",
    dataset: str = "",
    softmax: bool = False,
    uint8_input: bool = False,
    fold_bn: bool = False,
    fp16_weights: bool = False,
    key: bytes | None = None,
    enc_mode: str = "AES-GCM",
    tolerance: float | None = None,
    threshold: float | None = None,
    quantize: str | None = None,
    calibration: Iterable[Any] | None = None,
    held_back: Iterable[Any] | None = None,
    min_agreement: float = MIN_AGREEMENT,
) -> ExportInfo:
    """Exports a network, runs the file on three batches, and compares it with the network.

    The file and its JSON (`info_path(out)`) appear only after that, whole. The network itself is not changed.

    Args:
        network: Normalised images (N, C, H, W) to scores (N, num_classes).
        out: The file; the format's suffix is added where it is missing.
        file_format: mindir, onnx, air or safetensors. None: by the suffix of `out`.
        batch_size: Number of images in a batch, or "dynamic" for any.
        preprocess: How an image becomes the input, and of what size it is. None: by the network's `default_cfg`.
        class_names: Names by index.
        head: `single` when an image is of one class, `multiple` when it has several labels; see `ModelOutputs`.
        model_name: Name of the model. Empty: by the network's `default_cfg`.
        dataset: Name of the dataset that the network was trained on.
        softmax: Whether the file gives probabilities: a softmax, or with the head `multiple` a sigmoid of each score.
        uint8_input: Whether the file takes pixels and normalises them itself.
        fold_bn: Whether BatchNorm is folded into convolutions.
        fp16_weights: Whether weights of convolutions and dense layers are stored in fp16; computation stays in fp32.
        key: Key of 16, 24 or 32 bytes to encrypt a MINDIR with.
        enc_mode: AES-GCM, AES-CBC or SM4-CBC.
        tolerance: Largest difference allowed, as a share of the largest score. None: 1e-4, and 2e-2 with
            `fp16_weights`. With `quantize` it is of the float network, before.
        threshold: Least probability, from 0 to 1, of a label that counts as found; for the head `multiple`. It is
            written into the JSON, for `Classifier`, `mindcv infer` and `mindcv serve`. None: all labels are told.
        quantize: `int8` for layers that compute in int8, see `layers_to_quantize`; for onnx. None: all in float.
        calibration: Images, of all kinds that `Classifier` takes, whose values give the ranges for `quantize`.
        held_back: Images on which the outcome of `quantize` is tried. None: half of `calibration`, or what is more
            than 256 of it.
        min_agreement: Share of the held-back images, from 0 to 1, on which the network in int8 must give the class that
            it gives in float.

    Returns:
        What stands in the JSON.

    Raises:
        ImportError: ONNX packages are not installed.
        RunError: The file computes something else, or in int8 too often; nothing was written.
        ValueError: Options that contradict, a layer that cannot be exported, or a folder that cannot be written to.
    """
    require_classifier(network)
    file_format, target = output_path(out, file_format)
    options = _Options(softmax, head, uint8_input, fold_bn, fp16_weights, quantize)
    _check_format(file_format, options, key, enc_mode)
    if head not in HEADS:
        raise ValueError(unknown_name_message("head", head, HEADS))
    check_threshold(threshold, head)
    preprocess = preprocess or preprocess_of(network)
    _require_channels(network, len(preprocess.mean))
    shape = (_as_batch_size(batch_size), len(preprocess.mean), *preprocess.image_size)
    require_directory(target.parent, f"output {target.name}")
    pixels = None
    if quantize:
        if not 0 <= min_agreement <= 1:
            raise ValueError(f"min_agreement is {min_agreement}; give a number from 0 to 1")
        pixels = calibration_images(
            () if calibration is None else calibration, held_back, ImageReader(preprocess, normalise=False)
        )
    deployed = None
    if file_format != "safetensors":
        deployed = _prepare(network, options, preprocess, shape, swap=file_format == "onnx" or shape[0] is None)
    info = ExportInfo(
        format=file_format,
        model=model_name or _name_of(network),
        input_name=INPUT_NAME,
        input_shape=shape,
        input_dtype="uint8" if uint8_input else "float32",
        output_name="probabilities" if softmax else "scores",
        num_classes=0,
        preprocess=preprocess,
        normalisation="inside" if uint8_input else "outside",
        class_names=tuple(class_names) if class_names else None,
        dataset=dataset,
        batch_norm_folded=fold_bn,
        weights_dtype=options.weights_dtype,
        encryption=enc_mode if key else None,
        weights_sha256=weights_sha256((parameter.name, parameter.asnumpy()) for parameter in network.get_parameters()),
        file_sha256="",
        verification={},
        versions=_versions(file_format),
        head=head,
        threshold=threshold,
    )
    with _staging(target.suffix) as staged:
        exported = _write(network, deployed, info, staged, key)
        comparison = compare(
            live_run(network),
            exported,
            shape,
            preprocess.mean,
            preprocess.std,
            takes_pixels=uint8_input,
            gives_probabilities=softmax,
            head=head,
            tolerance=_TOLERANCE[options.weights_dtype] if tolerance is None else tolerance,
        )
        _logger.info(
            "%s: largest difference %.3g, allowed %.3g", target, comparison.largest_difference, comparison.allowed
        )
        _raise_if_different(comparison, target)
        outcome = {} if pixels is None else _quantize(exported, pixels, info, staged, target, min_agreement)
        info = _complete(info, comparison, staged, outcome)
        with atomic_write(target) as file, staged.open("rb") as source:
            shutil.copyfileobj(source, file, 1 << 20)
    with atomic_write(info_path(target), "w") as file:
        file.write(info.to_json())
    return info


def output_path(out: str | os.PathLike[str], file_format: str | None) -> tuple[str, Path]:
    """Returns the format and the file of an export, its suffix added where it is missing.

    Raises:
        ValueError: The format is unknown, or neither it nor a suffix is given.
    """
    target = local_path(out)
    suffix = target.suffix.lower().removeprefix(".")
    if file_format is None and suffix not in FORMATS:
        raise ValueError(f"{out}: the suffix {suffix!r} is no export format; give a format: {', '.join(FORMATS)}")
    file_format = (file_format or suffix).lower()
    if file_format not in FORMATS:
        raise ValueError(unknown_name_message("export format", file_format, FORMATS))
    if suffix != file_format:
        target = target.with_name(f"{target.name}.{file_format}")
    return file_format, target


def preprocess_of(network: nn.Cell) -> EvalPreprocess:
    """Returns the preprocessing that a network's `default_cfg` states.

    Raises:
        ValueError: It has none.
    """
    cfg = getattr(network, "default_cfg", None)
    if not cfg:
        raise ValueError(f"{type(network).__name__} does not say how its input is prepared; give preprocess")
    # The network may have been built for other channels than its weights were published for.
    first = network.parameters_dict().get(f"{cfg.get('first_conv')}.weight")
    channels = cfg["input_size"][0] if first is None else first.shape[1]
    mean, std = channel_figures("", cfg["mean"], cfg["std"], channels)
    rounding = cfg.get("resize_rounding", "floor")
    return EvalPreprocess(
        *(cfg["input_size"][1:], cfg["crop_pct"], cfg["interpolation"], mean, std),
        resize_rounding=rounding,
        crop_mode=cfg.get("crop_mode", "center"),
    )


def _name_of(network: nn.Cell) -> str:
    cfg = getattr(network, "default_cfg", None)
    return (cfg and cfg.get("architecture")) or type(network).__name__


def _check_format(file_format: str, options: _Options, key: bytes | None, enc_mode: str) -> None:
    """Raises for what a format cannot have, and for missing packages."""
    if file_format == "onnx":
        require_onnx()
    if file_format == "safetensors" and (options.softmax or options.uint8_input or options.fold_bn):
        raise ValueError("safetensors holds weights and no graph; softmax, uint8_input and fold_bn need mindir or onnx")
    if options.quantize:
        _check_int8(file_format, options)
    if key is None:
        return
    if file_format != "mindir":
        raise ValueError(f"only mindir can be encrypted, not {file_format}; leave out the key, or export mindir")
    if len(key) not in (16, 24, 32):
        raise ValueError(f"a key has 16, 24 or 32 bytes, got {len(key)}")
    if enc_mode not in ENC_MODES:
        raise ValueError(unknown_name_message("enc_mode", enc_mode, ENC_MODES))


def _check_int8(file_format: str, options: _Options) -> None:
    if options.quantize != INT8:
        raise ValueError(unknown_name_message("type to quantize to", str(options.quantize), (INT8,)))
    if file_format != "onnx":
        raise ValueError(f"int8 is for onnx, not for {file_format}; give --format onnx, or leave out quantize")
    if options.fp16_weights:
        raise ValueError("weights are stored in int8 or in fp16; leave out quantize or fp16_weights")


def _require_channels(network: nn.Cell, channels: int) -> None:
    """Refuses a preprocessing of another number of channels than a network of the library reads."""
    weights = {f"{cell}.weight" for cell in getattr(network, "reads_image", ())[:1]}
    for path, parameter in network.parameters_and_names():
        if path in weights and parameter.shape[1] != channels:
            raise ValueError(
                f"the network reads images of {parameter.shape[1]} channels, mean and std of the preprocessing have "
                f"{channels}: give preprocess=EvalPreprocess(..., mean=..., std=...) with a value for each"
            )


def _as_batch_size(batch_size: int | str) -> int | None:
    """Returns the number, or None for any."""
    if batch_size == DYNAMIC:
        return None
    if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}; give a number from 1, or {DYNAMIC!r}")
    return batch_size


def _prepare(
    network: nn.Cell,
    options: _Options,
    preprocess: EvalPreprocess,
    shape: tuple[int | None, int, int, int],
    swap: bool,
) -> Deployed:
    """Returns a changed copy of the network, fresh for the export.

    Layers without an ONNX converter are swapped where they have to be: MindSpore runs them from its own MINDIR, but for
    padded pooling of an unknown batch size.
    """
    fresh = copy.deepcopy(network).set_train(False)
    fused = fuse_branches(fresh)
    if fused:
        _logger.info("%d blocks of parallel branches replaced by one convolution each", fused)
    if swap:
        _logger.info("%d layers replaced by equal ones that can be exported", swap_layers(fresh))
    if options.fold_bn:
        folded = fold_batch_norm(fresh, Tensor(np.zeros((1, *shape[1:]), np.float32)))
        _logger.info("%d BatchNorms folded into convolutions", folded)
    if options.fp16_weights:
        halve_weights(fresh)
    mean, std = (preprocess.mean, preprocess.std) if options.uint8_input else (None, None)
    deployed = Deployed(fresh, mean, std, options.head if options.softmax else None).set_train(False)
    for name, parameter in deployed.parameters_and_names():
        parameter.name = name  # by its path, which makes names unique
    return deployed


def _write(network: nn.Cell, deployed: Deployed | None, info: ExportInfo, path: Path, key: bytes | None) -> Run:
    """Writes the file and returns how to run what was written."""
    if deployed is None:
        return _write_safetensors(network, info, path)
    dtype = ms.uint8 if info.input_dtype == "uint8" else ms.float32
    batch_size, *image_shape = info.input_shape
    if batch_size is None:
        images = Tensor(shape=[None, *image_shape], dtype=dtype)
    else:
        images = Tensor(np.zeros((batch_size, *image_shape)), dtype)
    if info.format == "air":  # MindSpore cannot read it back, so what is compared is the network it was made of
        write_air(deployed, images, str(path))
        return live_run(deployed)
    if info.format == "mindir":
        write_mindir(deployed, images, str(path), key, info.encryption or "")
    else:
        write_onnx(deployed, images, str(path), info.output_name)
        check_onnx(str(path))
    return load_run(path, info, key)


def _write_safetensors(network: nn.Cell, info: ExportInfo, path: Path) -> Run:
    arrays = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    if info.weights_dtype == "float16":
        arrays |= {name: arrays[name].astype(np.float16) for name in half_weight_names(network)}
    num_classes = live_run(network)(np.zeros((1, *info.input_shape[1:]), np.float32)).shape[1]
    entry = ModelOutputs(num_classes, info.class_names, info.head).entry()
    write_weights(path, {**arrays, **checkpoint_marks(network), **entry})
    fresh = copy.deepcopy(network)
    for parameter in fresh.get_parameters():
        parameter.set_data(Tensor(np.zeros(parameter.shape), parameter.dtype))
    load_model_checkpoint(fresh, str(path))
    return live_run(fresh)


def _raise_if_different(comparison: Comparison, target: Path) -> None:
    if not comparison.is_equal:
        raise RunError(
            f"{target} was not written: what was exported differs from the network by "
            f"{comparison.largest_difference:.3g}, more than {comparison.allowed:.3g}; export without options that "
            "change the weights (fold_bn, fp16_weights), or allow more with tolerance"
        )


def _quantize(
    exported: Run, pixels: Calibration, info: ExportInfo, path: Path, target: Path, min_agreement: float
) -> dict[str, Any]:
    """Puts the layers of a written ONNX file in int8 and tries it, by onnxruntime, on images that it has not seen.

    Returns:
        What the verification says of it.

    Raises:
        RunError: It answers too often otherwise than the float network.
    """

    def batches(images: np.ndarray) -> Iterator[np.ndarray]:
        size = info.batch_size or _BATCH
        for begin in range(0, len(images), size):
            part = images[begin : begin + size]
            part = np.concatenate([part, np.repeat(part[-1:], max(0, (info.batch_size or 0) - len(part)), axis=0)])
            yield part if info.input_dtype == "uint8" else normalised(part, info.preprocess.mean, info.preprocess.std)

    whole = path.with_name(f"int8_{path.name}")
    counts = quantize_onnx(path, whole, batches(pixels.images), info.input_name)
    check_onnx(str(whole))
    os.replace(whole, path)
    quantized = load_run(path, info)
    expected, result = (
        np.concatenate([run(batch) for batch in batches(pixels.held_back)])[: len(pixels.held_back)]
        for run in (exported, quantized)
    )
    share = agreement(expected, result, info.head, gives_probabilities=info.output_name == "probabilities")
    outcome = {
        "agreement": share,
        "min_agreement": min_agreement,
        "calibration_images": len(pixels.images),
        "held_back_images": len(pixels.held_back),
        **counts,
    }
    _logger.info("%s: %s", target, outcome)
    if not share >= min_agreement:
        raise RunError(
            f"{target} was not written: in int8 the network agrees with itself in float on {share:.4f} of "
            f"{len(pixels.held_back)} held-back images, less than {min_agreement:g}; calibrate on more images like "
            "those that it is for, export without quantize, or allow less with min_agreement"
        )
    return outcome


def _complete(info: ExportInfo, comparison: Comparison, path: Path, outcome: Mapping[str, Any]) -> ExportInfo:
    """Adds what is known after the verification.

    Raises:
        ValueError: There are more or fewer class names than scores.
    """
    if info.class_names is not None and len(info.class_names) != comparison.num_scores:
        raise ValueError(f"got {len(info.class_names)} class names for a network of {comparison.num_scores} classes")
    info = dataclasses.replace(
        info,
        num_classes=comparison.num_scores,
        verification={
            "largest_difference": comparison.largest_difference,
            "allowed": comparison.allowed,
            "batch_sizes": list(comparison.batch_sizes),
            **outcome,
        },
    )
    if info.format in MARKED_FORMATS and info.encryption is None:
        write_mark(path, json_digest(json.loads(info.to_json())))
    return dataclasses.replace(info, file_sha256=file_sha256(path))


def _versions(file_format: str) -> dict[str, str]:
    versions = {"mindcv": __version__, "mindspore": ms.__version__, "python": platform.python_version()}
    packages = ("onnx", "onnxruntime") if file_format == "onnx" else ()
    return versions | {name: metadata.version(name) for name in packages}


@contextlib.contextmanager
def _staging(suffix: str) -> Iterator[Path]:
    """A file of a plain name in a temporary folder, which is removed in any case.

    Raises:
        ValueError: The system's folder for temporary files has a name that MindSpore refuses.
    """
    with tempfile.TemporaryDirectory(prefix="mindcv_export_") as folder:
        if not _PLAIN_PATH.fullmatch(folder):
            raise ValueError(f"MindSpore cannot export to {folder}; set TMPDIR to a folder of plain letters and digits")
        yield Path(folder, f"model{suffix.lower()}")
