"""Every model against its reference implementation, through a real weight file and the public loading."""

import json
from pathlib import Path

import numpy as np
import pytest
from golden_weights import golden_array, golden_input
from mindspore import Tensor

from mindcv.models import create_model
from mindcv.weights import write_weights

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
MINDCV = sorted(path.stem for path in (GOLDEN / "mindcv").glob("*.json"))
# timm's name, our name, the padding of the reference's stem pool
TIMM = {
    "resnet18": ("resnet18", "both"),
    "resnet50": ("resnet50", "both"),
    "resnet101": ("resnet101", "both"),
    "resnext50_32x4d": ("resnext50_32x4d", "both"),
    "resnext101_32x4d": ("resnext101_32x4d", "both"),
    "seresnet50": ("seresnet50", "both"),
    "seresnext50_32x4d": ("seresnext50_32x4d", "both"),
    "legacy_senet154": ("senet154", "same"),
    "legacy_seresnext50_32x4d": ("seresnext50_32x4d", "same"),
}


def _write(golden: dict, path: Path) -> str:
    write_weights(path, {name: golden_array(name, shape) for name, shape in golden["params"]})
    return str(path)


def _assert_logits(model, golden: dict) -> None:
    logits = model.set_train(False)(Tensor(golden_input(golden["input_size"]))).asnumpy()
    expected = np.array(golden["logits"])
    assert np.abs(logits[:, :16] - expected).max() <= 1e-4 * max(1, np.abs(expected).max())
    np.testing.assert_allclose([logits.mean(), logits.std()], [golden["mean"], golden["std"]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MINDCV)
def test_mindcv_checkpoint(name: str, tmp_path: Path):
    golden = json.loads((GOLDEN / "mindcv" / f"{name}.json").read_text())
    path = _write(golden, tmp_path / f"{name}.ckpt")
    model = create_model(name, checkpoint_path=path)
    assert [[parameter.name, list(parameter.shape)] for parameter in model.get_parameters()] == golden["params"]
    _assert_logits(model, golden)


@pytest.mark.parametrize("name", TIMM)
def test_timm_checkpoint(name: str, tmp_path: Path):
    golden = json.loads((GOLDEN / "timm" / f"{name}.json").read_text())
    path = _write(golden, tmp_path / f"{name}.safetensors")
    ours, pad = TIMM[name]
    model = create_model(ours, checkpoint_path=path, stem_pool_pad=pad)
    assert sum(parameter.size for parameter in model.trainable_params()) == golden["n_params"]
    _assert_logits(model, golden)


@pytest.mark.parametrize(
    ("name", "pad", "wrong"), [("resnet18", "both", "same"), ("legacy_seresnext50_32x4d", "same", "both")]
)
def test_wrong_stem_padding_is_refused(name: str, pad: str, wrong: str, tmp_path: Path):
    golden = json.loads((GOLDEN / "timm" / f"{name}.json").read_text())
    path = str(tmp_path / "weights.safetensors")
    write_weights(path, {name: np.zeros(1, np.float32) for name, _ in golden["params"]})
    with pytest.raises(ValueError, match=f"weights.safetensors: .*stem_pool_pad='{pad}'"):
        create_model(TIMM[name][0], checkpoint_path=path, stem_pool_pad=wrong)
