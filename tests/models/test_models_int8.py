"""Each family's network can be exported in int8, and computes what it computes in float, but for its rounding."""

import numpy as np
import pytest
from families import FAMILIES
from mindspore import Tensor
from test_models_contract import excite, make

from mindcv.data.preprocess import EvalPreprocess
from mindcv.export import ExportedModel, export_model
from mindcv.export.verify import normalised

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

COUNT = 24
# Root mean square of the differences over that of the scores. With drawn weights most families are below 0.04, HaloNet
# is from 0.05 to 0.16 (five draws) and its runtimes are up to 0.06 apart, more than the check at load allows.
LIMIT = 0.1
LIMITS = {"halonet": 0.25}


def images(side: int) -> list[np.ndarray]:
    """Squares of 4 pixels in random colours."""
    random = np.random.RandomState(0)
    colours = random.normal(128, 60, (COUNT, side // 4 + 1, side // 4 + 1, 3)).clip(0, 255).astype(np.uint8)
    return list(colours.repeat(4, 1).repeat(4, 2)[:, :side, :side])


@pytest.mark.zoo
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_in_int8(family, tmp_path):
    row = FAMILIES[family]
    network = excite(make(family, row.kinds[0], num_classes=10))
    preprocess = EvalPreprocess(row.side, crop_pct=1.0)
    path = tmp_path / "m.onnx"
    pixels = images(row.side)
    checked = export_model(
        network, path, batch_size="dynamic", preprocess=preprocess, quantize="int8", calibration=pixels[: COUNT // 2],
        held_back=pixels[COUNT // 2 :], min_agreement=0.0,
    ).verification  # fmt: skip
    assert checked["int8_layers"] >= checked["float_layers"] > -1
    assert checked["int8_layers"] >= 8

    inputs = normalised(np.stack(pixels).transpose(0, 3, 1, 2), preprocess.mean, preprocess.std)
    expected = network(Tensor(inputs))
    expected = (expected[0] if isinstance(expected, tuple) else expected).asnumpy()
    for runtime in ("onnxruntime", "auto"):
        model = ExportedModel(path, runtime=runtime)
        difference = np.sqrt(np.square(model(inputs) - expected).mean() / np.square(expected).mean())
        assert 0 < difference < LIMITS.get(family, LIMIT), runtime
    # `auto` is OpenVINO where it is installed and can load the file. None is computed wrongly by it.
    assert family in LIMITS or model.runtime.reason != "auto: OpenVINO computes it wrongly"
