"""Every model against its reference implementation, through real weight files and `create_model`."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from golden_weights import golden_array, golden_input
from mindspore import Tensor
from torch_writer import write_torch_file

from mindcv.models import create_model
from mindcv.weights import write_weights

pytestmark = pytest.mark.usefixtures("undrawn_weights")

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
MINDCV = sorted(path.stem for path in (GOLDEN / "mindcv").glob("*.json"))
# timm's name, our name, the padding of timm's stem pool
TIMM = {
    "resnet18": ("resnet18", "both"),
    "resnet50": ("resnet50", "both"),
    "resnet101": ("resnet101", "both"),
    "resnext50_32x4d": ("resnext50_32x4d", "both"),
    "resnext101_32x4d": ("resnext101_32x4d", "both"),
    "senet154": ("senet154", "both"),
    "seresnet50": ("seresnet50", "both"),
    "seresnext50_32x4d": ("seresnext50_32x4d", "both"),
    "legacy_senet154": ("senet154", "same"),
    "legacy_seresnext50_32x4d": ("seresnext50_32x4d", "same"),
}


def _read(source: str, name: str) -> dict:
    return json.loads((GOLDEN / source / f"{name}.json").read_text())


def _arrays(golden: dict) -> dict[str, np.ndarray]:
    return {name: golden_array(name, shape) for name, shape in golden["params"]}


def _assert_logits(model, golden: dict, tolerance: float = 1e-4) -> None:
    logits = model.set_train(False)(Tensor(golden_input(golden["input_size"]))).asnumpy()
    expected = np.array(golden["logits"])
    assert np.abs(logits[:, :16] - expected).max() <= tolerance * max(1, np.abs(expected).max())
    given, wanted = [logits.mean(), logits.std()], [golden["mean"], golden["std"]]
    np.testing.assert_allclose(given, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", MINDCV)
def test_mindcv_checkpoint(name: str, tmp_path: Path):
    golden = _read("mindcv", name)
    write_weights(tmp_path / "w.ckpt", _arrays(golden))
    model = create_model(name, checkpoint_path=str(tmp_path / "w.ckpt"))
    assert [[parameter.name, list(parameter.shape)] for parameter in model.get_parameters()] == golden["params"]
    assert model.stem_pool_pad == "same"
    _assert_logits(model, golden)


@pytest.mark.parametrize("name", TIMM)
def test_timm_checkpoint(name: str, tmp_path: Path):
    """The logits of the `.pth`; the `.safetensors` gives the same parameters, bit for bit."""
    golden, (ours, pad) = _read("timm", name), TIMM[name]
    arrays = _arrays(golden)
    write_torch_file(tmp_path / "w.pth", arrays)
    model = create_model(ours, checkpoint_path=str(tmp_path / "w.pth"))
    assert sum(parameter.size for parameter in model.trainable_params()) == golden["n_params"]
    assert model.stem_pool_pad == pad
    _assert_logits(model, golden)
    write_weights(tmp_path / "w.safetensors", arrays)
    other = create_model(ours, checkpoint_path=str(tmp_path / "w.safetensors"))
    assert other.stem_pool_pad == pad
    for mine, theirs in zip(model.get_parameters(), other.get_parameters(), strict=True):
        assert mine.name == theirs.name
        assert np.array_equal(mine.asnumpy(), theirs.asnumpy()), mine.name


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_half_precision_file(suffix: str, tmp_path: Path):
    """A half has 11 bits, so a layer's result is off by about 1e-3 of its size."""
    golden = _read("timm", "resnet18")
    halves = {name: a.astype(np.float16) if a.dtype == np.float32 else a for name, a in _arrays(golden).items()}
    write = write_torch_file if suffix == "pth" else write_weights
    write(tmp_path / f"w.{suffix}", halves)
    model = create_model("resnet18", checkpoint_path=str(tmp_path / f"w.{suffix}"))
    assert {str(parameter.dtype) for parameter in model.get_parameters()} == {"Float32"}
    _assert_logits(model, golden, tolerance=5e-3)


def test_network_that_the_names_tell_is_said(tmp_path: Path, caplog):
    path = str(tmp_path / "w.safetensors")
    write_weights(path, _arrays(_read("timm", "resnet18")))
    with caplog.at_level(logging.WARNING):
        assert create_model("resnet18", checkpoint_path=path).stem_pool_pad == "both"
    assert "w.safetensors: these weights need stem_pool_pad='both', so the network has it" in caplog.text
    caplog.clear()
    create_model("resnet18.tv_in1k", checkpoint_path=path)
    create_model("resnet18", checkpoint_path=path, stem_pool_pad="both")
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("name", "pad", "wrong"), [("resnet18", "both", "same"), ("legacy_seresnext50_32x4d", "same", "both")]
)
def test_wrong_stem_padding_is_refused(name: str, pad: str, wrong: str, tmp_path: Path):
    path = str(tmp_path / "w.safetensors")
    write_weights(path, {name: np.zeros(1, np.float32) for name, _ in _read("timm", name)["params"]})
    with pytest.raises(ValueError, match=rf"w\.safetensors: .*create the model with stem_pool_pad='{pad}'"):
        create_model(TIMM[name][0], checkpoint_path=path, stem_pool_pad=wrong)


@pytest.mark.parametrize("name", ["seresnet18", "seresnet50"])
def test_networks_that_only_share_the_names_are_refused(name: str, tmp_path: Path):
    """timm's legacy_seresnet50 has the shapes of seresnet50, but its strides in the 1x1 convolutions."""
    path = str(tmp_path / "w.safetensors")
    write_weights(path, {"layer1.0.se_module.fc1.weight": np.zeros((16, 256, 1, 1), np.float32)})
    with pytest.raises(ValueError, match=r"w\.safetensors: weights of timm's legacy_seresnet\*.* is not here"):
        create_model(name, checkpoint_path=path)
