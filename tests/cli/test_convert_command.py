"""`mindcv convert` and `mindcv weights check`, on the names and shapes of the golden models."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mindcv.cli import convert, weights
from mindcv.models import create_model, measure
from mindcv.weights import read_weights, write_weights

GOLDEN = Path(__file__).parents[1] / "data" / "golden"


@pytest.fixture
def undrawn_weights() -> Iterator[None]:
    with measure.undrawn_weights():
        yield


def run(command, *args: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(arg) for arg in args]))


def arrays_of(source: str, name: str) -> dict[str, np.ndarray]:
    golden = json.loads((GOLDEN / source / f"{name}.json").read_text())
    return {
        key: np.full(shape, index, np.int64 if key.endswith("num_batches_tracked") else np.float32)
        for index, (key, shape) in enumerate(golden["params"])
    }


def assert_equal(got: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(got) == set(expected)
    for name, array in expected.items():
        assert (got[name].shape, got[name].dtype) == (array.shape, array.dtype), name
        assert (got[name] == array).all(), name


@pytest.mark.parametrize(
    ("model", "timm_name", "padding"),
    [
        ("resnet18", "resnet18", "both"),
        ("seresnet50", "seresnet50", "both"),
        ("seresnext50_32x4d", "legacy_seresnext50_32x4d", "same"),
    ],
)
def test_to_mindcv_and_back_to_timm(tmp_path: Path, capsys, model: str, timm_name: str, padding: str) -> None:
    theirs = arrays_of("timm", timm_name)
    write_weights(tmp_path / "theirs.safetensors", theirs)
    assert run(convert, tmp_path / "theirs.safetensors", tmp_path / "ours.ckpt", "--model", model) == 0
    ours = read_weights(tmp_path / "ours.ckpt")
    marked = ours.pop("model_args.stem_pool_pad.both", None) is not None
    assert marked == (padding == "both")
    shapes = {name: array.shape for name, array in ours.items()}
    assert shapes == {p.name: p.shape for p in create_model(model, stem_pool_pad=padding).get_parameters()}
    said = f"belongs to {model} with stem_pool_pad='both'"
    assert (said in capsys.readouterr().out) == (padding == "both")

    timm_file = tmp_path / "back.safetensors"
    assert run(convert, tmp_path / "ours.ckpt", timm_file, "--to", "timm", "--model", model) == 0
    counters = {name: np.zeros_like(array) for name, array in theirs.items() if name.endswith("num_batches_tracked")}
    assert_equal(read_weights(timm_file), {**theirs, **counters})
    assert "warning" not in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn_weights")
@pytest.mark.parametrize("source", ["timm", "mindcv"])
def test_tables_that_follow_from_arguments_may_be_missing(tmp_path: Path, capsys, source: str) -> None:
    """timm's Swin has no index tables and no masks; MindCV's checkpoint has them, and so has what is written for it."""
    name = {"timm": "swin_tiny_patch4_window7_224", "mindcv": "swin_tiny"}[source]
    arrays = {name: array.astype(np.float16) for name, array in arrays_of(source, name).items()}
    write_weights(tmp_path / "a.safetensors", arrays)
    assert run(weights, "check", tmp_path / "a.safetensors", "--model", "swin_tiny") == 0
    assert run(convert, tmp_path / "a.safetensors", tmp_path / "ours.ckpt", "--model", "swin_tiny") == 0
    ours = {name: array for name, array in read_weights(tmp_path / "ours.ckpt").items() if "model_args." not in name}
    golden = json.loads((GOLDEN / "mindcv" / "swin_tiny.json").read_text())
    assert [[name, list(array.shape)] for name, array in ours.items()] == golden["params"]
    tables = {p.name: p.asnumpy() for p in create_model("swin_tiny").get_parameters() if p.name in golden["constants"]}
    assert len(tables) == len(golden["constants"])
    assert_equal({name: ours[name] for name in tables}, tables)
    assert "missing" not in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn_weights")
def test_auxiliary_heads_may_be_missing(tmp_path: Path) -> None:
    arrays = {name: array.astype(np.float16) for name, array in arrays_of("timm", "inception_v3").items()}
    assert not any("Aux" in name for name in arrays)
    write_weights(tmp_path / "a.safetensors", arrays)
    assert run(weights, "check", tmp_path / "a.safetensors", "--model", "inception_v3") == 0


def test_our_checkpoint_survives_the_way_there_and_back(tmp_path: Path, capsys) -> None:
    """With another head and another image, which the names alone tell."""
    model = create_model("seresnet18", num_classes=7, in_channels=1)
    ours = {p.name: np.full(p.shape, i, np.float32) for i, p in enumerate(model.get_parameters())}
    write_weights(tmp_path / "a.ckpt", ours)
    run(convert, tmp_path / "a.ckpt", tmp_path / "b.safetensors", "--to", "timm", "--model", "seresnet18")
    said = capsys.readouterr().err
    assert said.startswith("warning: seresnet18 has stem_pool_pad='same' here, timm's network is one of 'both'")
    assert "--model seresnet18.TAG" in said
    assert "fc.weight" in read_weights(tmp_path / "b.safetensors")
    run(convert, tmp_path / "b.safetensors", tmp_path / "c.npz", "--to", "mindcv", "--model", "seresnet18")
    marked = read_weights(tmp_path / "c.npz")
    assert marked.pop("model_args.stem_pool_pad.both").size == 1
    assert_equal(marked, ours)


def test_format_only(tmp_path: Path, capsys) -> None:
    pth = Path(__file__).parents[1] / "data" / "weights" / "small_zip.pth"
    assert run(convert, pth, tmp_path / "a.npz") == 0
    assert_equal(read_weights(tmp_path / "a.npz"), read_weights(pth))
    assert capsys.readouterr().out == f"{tmp_path}/a.npz: 10 arrays, 0.0 MB\n"
    run(convert, pth, tmp_path / "b.npz", "--ema")
    assert not any(array.any() for array in read_weights(tmp_path / "b.npz").values())


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--to", "timm"], "--to and --verify need --model NAME"),
        (["--verify"], "--to and --verify need --model NAME"),
        (["--model", "resnet19"], "did you mean 'resnet1"),
        (["--model", "resnet18"], r"a\.ckpt: does not fit resnet18; \d+ missing in the file: conv1\.weight"),
    ],
)
def test_bad_arguments(tmp_path: Path, args: list[str], message: str) -> None:
    write_weights(tmp_path / "a.ckpt", {"x.weight": np.ones(2)})
    with pytest.raises(ValueError, match=message):
        run(convert, tmp_path / "a.ckpt", tmp_path / "b.ckpt", *args)
    assert not (tmp_path / "b.ckpt").exists()


def test_check_reports(tmp_path: Path, capsys) -> None:
    theirs = arrays_of("timm", "resnet18")
    write_weights(tmp_path / "a.safetensors", theirs)
    assert run(weights, "check", tmp_path / "a.safetensors", "--model", "resnet18") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}/a.safetensors belongs to resnet18 with stem_pool_pad='both'",
        "102 of 102 parameters fit",
    ]
    theirs["layer1.0.conv1.weights"] = theirs.pop("layer1.0.conv1.weight")
    write_weights(tmp_path / "b.safetensors", theirs)
    assert run(weights, "check", tmp_path / "b.safetensors", "--model", "resnet18", "--num_classes", "10") == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "99 of 102 parameters fit",
        "1 missing in the file",
        "  layer1.0.conv1.weight (closest: layer1.0.conv1.weights)",
        "1 unexpected in the file",
        "  layer1.0.conv1.weights (closest: layer1.0.conv1.weight)",
        "2 of another shape",
        "  classifier.weight is (10, 512) in the model but (1000, 512) in the file",
        "  classifier.bias is (10,) in the model but (1000,) in the file",
    ]


@pytest.mark.torch
@pytest.mark.parametrize("name", ["resnet18", "seresnet50", "legacy_seresnext50_32x4d"])
def test_verify_against_timm(tmp_path: Path, capsys, name: str) -> None:
    timm = pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=10)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "a.pth")
    model = name.removeprefix("legacy_")
    assert run(convert, tmp_path / "a.pth", tmp_path / "b.ckpt", "--model", model, "--verify") == 0
    assert f"verified: the logits are those of timm's {name}" in capsys.readouterr().out
