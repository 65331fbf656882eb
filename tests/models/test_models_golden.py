"""Every model against its reference implementation, through real weight files and `create_model`."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from families import FAMILIES
from golden_weights import golden_arrays, golden_input
from mindspore import Tensor
from torch_writer import write_torch_file

from mindcv.models import create_model, is_model, is_model_in_modules, list_sizes, to_timm_names
from mindcv.weights import write_weights

pytestmark = pytest.mark.usefixtures("undrawn_weights")

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
MINDCV = sorted(path.stem for path in (GOLDEN / "mindcv").glob("*.json") if is_model(path.stem))
# timm's name: our name, and the arguments that its files give our network
TIMM = {name: ours for row in FAMILIES.values() for name, ours in row.timm.items()}
TORCHVISION = {name: ours for row in FAMILIES.values() for name, ours in row.torchvision.items()}


# Multiply-adds of a network whose golden is in the fast set.
_QUICK = 1e9


def _params(names, fast: set[str]) -> list:
    """The goldens of small networks are in the fast set, one for each family and reference."""
    return [pytest.param(name, marks=[] if name in fast else [pytest.mark.zoo]) for name in names]


def _size(source: str, name: str) -> int:
    return _read(source, name)["n_params"]


def _read(source: str, name: str) -> dict:
    return json.loads((GOLDEN / source / f"{name}.json").read_text())


def _smallest(source: str, names) -> set[str]:
    """The smallest network of each family, where it is quick."""
    ours = {name: TIMM[name][0] if source == "timm" else name for name in names}
    groups = [[name for name in names if is_model_in_modules(ours[name], [family])] for family in FAMILIES]
    smallest = {min(group, key=lambda name: _size(source, name)) for group in groups if group}
    return {name for name in smallest if list_sizes()[ours[name]].macs < _QUICK}


def _logits(model, golden: dict) -> np.ndarray:
    return model.set_train(False)(Tensor(golden_input(golden["input_size"]))).asnumpy()


def _assert_logits(logits: np.ndarray, golden: dict, tolerance: float = 1e-4) -> None:
    expected = np.array(golden["logits"])
    assert np.abs(logits[:, :16] - expected).max() <= tolerance * max(1, np.abs(expected).max())
    given, wanted = [logits.mean(), logits.std()], [golden["mean"], golden["std"]]
    np.testing.assert_allclose(given, wanted, rtol=tolerance, atol=tolerance)


def _assert_it_can_fail(model, golden: dict) -> None:
    """A golden proves something only if the picture reaches the logits: a stem that is 1 % off has to break it.

    Besides the factor each element gets 1 % of another, since a standardised convolution is blind to factors.
    """
    path = model.reads_image[0]
    (stem,) = (p for name, p in model.parameters_and_names() if name == f"{path}.weight")
    array = stem.asnumpy()
    stem.set_data(Tensor(1.01 * array + 0.01 * np.roll(array, 1)))
    with pytest.raises(AssertionError):
        _assert_logits(_logits(model, golden), golden)


@pytest.mark.parametrize("name", _params(MINDCV, _smallest("mindcv", MINDCV)))
def test_mindcv_checkpoint(name: str, tmp_path: Path):
    golden = _read("mindcv", name)
    arrays = golden_arrays(golden)
    for row in (row for family, row in FAMILIES.items() if is_model_in_modules(name, [family])):
        arrays.update({entry: np.zeros_like(arrays[entry]) for entry in row.zeros})
    write_weights(tmp_path / "w.ckpt", arrays)
    model = create_model(name, checkpoint_path=str(tmp_path / "w.ckpt"))
    assert [[parameter.name, list(parameter.shape)] for parameter in model.get_parameters()] == golden["params"]
    _assert_logits(_logits(model, golden), golden)
    _assert_it_can_fail(model, golden)


@pytest.mark.parametrize("name", _params(TIMM, _smallest("timm", TIMM)))
def test_timm_checkpoint(name: str, tmp_path: Path):
    """The logits of the `.pth`; the `.safetensors` gives the same parameters, bit for bit."""
    _check_torch_checkpoint(_read("timm", name), *TIMM[name], tmp_path)


@pytest.mark.parametrize(
    "name", _params(TORCHVISION, {name for name in TORCHVISION if _size("torchvision", name) < 10_000_000})
)
def test_torchvision_checkpoint(name: str, tmp_path: Path):
    _check_torch_checkpoint(_read("torchvision", name), *TORCHVISION[name], tmp_path)


def _check_torch_checkpoint(golden: dict, ours: str, arguments: dict, tmp_path: Path) -> None:
    arrays = golden_arrays(golden)
    write_torch_file(tmp_path / "w.pth", arrays)
    model = create_model(ours, checkpoint_path=str(tmp_path / "w.pth"))
    folded = next((row.folded for row in FAMILIES.values() if ours in {name for name, _ in row.timm.values()}), 0)
    there = set(model.from_torch(arrays))  # without auxiliary heads where the file has none
    trained = [
        parameter for path, parameter in model.parameters_and_names() if parameter.requires_grad and path in there
    ]
    assert sum(parameter.size for parameter in trained) + folded == golden["n_params"]
    assert {argument: getattr(model, argument) for argument in arguments} == arguments
    _assert_logits(_logits(model, golden), golden)
    write_weights(tmp_path / "w.safetensors", arrays)
    other = create_model(ours, checkpoint_path=str(tmp_path / "w.safetensors"))
    for mine, theirs in zip(model.get_parameters(), other.get_parameters(), strict=True):
        assert mine.name == theirs.name
        assert np.array_equal(mine.asnumpy(), theirs.asnumpy()), mine.name
    _assert_it_can_fail(model, golden)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_half_precision_file(suffix: str, tmp_path: Path):
    """A half has 11 bits, so a layer's result is off by about 1e-3 of its size."""
    golden = _read("timm", "resnet18")
    halves = {name: a.astype(np.float16) if a.dtype == np.float32 else a for name, a in golden_arrays(golden).items()}
    write = write_torch_file if suffix == "pth" else write_weights
    write(tmp_path / f"w.{suffix}", halves)
    model = create_model("resnet18", checkpoint_path=str(tmp_path / f"w.{suffix}"))
    assert {str(parameter.dtype) for parameter in model.get_parameters()} == {"Float32"}
    _assert_logits(_logits(model, golden), golden, tolerance=5e-3)


def test_network_that_the_names_tell_is_said(tmp_path: Path, caplog):
    path = str(tmp_path / "w.safetensors")
    write_weights(path, golden_arrays(_read("timm", "resnet18")))
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


@pytest.mark.parametrize("name", _params(TIMM, _smallest("timm", TIMM)))
def test_what_is_written_for_timm_has_its_names(name: str):
    """Names and shapes are those of timm's own state dict; auxiliary heads are in some of its networks only."""
    golden = _read("timm", name)
    ours, arguments = TIMM[name]
    model = create_model(ours, **arguments)
    arrays = to_timm_names(model, {p.name: p.asnumpy() for p in model.get_parameters()})
    written = {entry: list(array.shape) for entry, array in arrays.items()}
    wanted = {entry: shape for entry, shape in golden["params"] if entry not in golden.get("constants", ())}
    assert {entry: shape for entry, shape in written.items() if not entry.startswith("AuxLogits.")} == wanted


@pytest.mark.parametrize("name", ["seresnet18", "seresnet50"])
def test_networks_that_only_share_the_names_are_refused(name: str, tmp_path: Path):
    """timm's legacy_seresnet50 has the shapes of seresnet50, but its strides in the 1x1 convolutions."""
    path = str(tmp_path / "w.safetensors")
    arrays = {"layer1.0.se_module.fc1.weight": np.zeros((16, 256, 1, 1), np.float32), "bn.running_mean": np.zeros(1)}
    write_weights(path, arrays)
    with pytest.raises(ValueError, match=r"w\.safetensors: weights of timm's legacy_seresnet\*.* is not here"):
        create_model(name, checkpoint_path=path)
