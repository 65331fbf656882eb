"""Whether OpenVINO computes an int8 file as onnxruntime does, asked each time that it loads one."""

import logging
from pathlib import Path

import numpy as np

from .info import ExportInfo
from .onnx_runtimes import ONNXRUNTIME, OnnxRuntime, Run, UnloadableError, is_installed, load_onnx
from .verify import normalised

__all__ = ["ROW_TOLERANCE", "TOLERANCE", "check_int8"]

_logger = logging.getLogger(__name__)

# Root mean square of the differences, as a share of the largest score: rounding makes up to 0.019 in the networks of
# this package with drawn weights (in HaloNet alone up to 0.06), products that overflow up to 0.16.
TOLERANCE = 0.04
# The same image in two rows of a batch: no rounding makes a difference there.
ROW_TOLERANCE = 1e-4
# Rows where a file takes any number: the same image is in the first and in the last one.
_ROWS = 4
_SQUARE = 4  # pixels


def check_int8(path: Path, info: ExportInfo, run: Run) -> None:
    """Compares OpenVINO with onnxruntime on random images, so that no wrong scores are given.

    Args:
        path: An ONNX file in int8.
        info: What its JSON says.
        run: The file as OpenVINO has loaded it.

    Raises:
        UnloadableError: The scores are others, or those of an image depend on its row in the batch.
    """
    images = _images(info)
    scores = run(images)
    what = ""
    if not np.abs(scores[-1] - scores[0]).max() <= ROW_TOLERANCE * np.abs(scores[0]).max():
        what = "the same image has other scores in another row of a batch"
    elif not is_installed(ONNXRUNTIME):
        _logger.warning("%s: OpenVINO's int8 scores are not compared, as onnxruntime is not installed", path)
    else:
        expected = load_onnx(path, info, OnnxRuntime(ONNXRUNTIME))(images)
        share = np.sqrt(np.mean((scores - expected) ** 2)) / np.abs(expected).max()
        if not share <= TOLERANCE:  # a NaN never is
            what = f"its scores are {share:.2g} of the largest off onnxruntime's (mean), {TOLERANCE} is allowed"
    if what:
        raise UnloadableError(
            f"{path}: OpenVINO computes it wrongly: {what}; use runtime {ONNXRUNTIME}", "OpenVINO computes it wrongly"
        )


def _images(info: ExportInfo) -> np.ndarray:
    """Squares in random colours, the same ones each time."""
    count, channels, height, width = (info.batch_size or _ROWS, *info.input_shape[1:])
    shape = (count, channels, -(-height // _SQUARE), -(-width // _SQUARE))
    squares = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    squares[-1] = squares[0]
    pixels = squares.repeat(_SQUARE, 2).repeat(_SQUARE, 3)[:, :, :height, :width]
    if info.input_dtype == "uint8":
        return np.ascontiguousarray(pixels)
    return normalised(pixels, info.preprocess.mean, info.preprocess.std)
