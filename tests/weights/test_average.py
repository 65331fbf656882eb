"""Averages of weight files: numbers, and what is of different networks."""

import re
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor

from mindcv.cli import main
from mindcv.models import create_model
from mindcv.weights import ModelOutputs, read_ckpt, read_outputs, write_weights
from mindcv.weights.average import WeightSum, read_averageable

NAMES = ("cat", "dog")


def write(path: Path, seed: int, more: dict[str, np.ndarray] | None = None, names=NAMES) -> Path:
    generator = np.random.default_rng(seed)
    arrays = {
        "conv.weight": generator.standard_normal((3, 2)).astype(np.float32),
        "half.weight": generator.standard_normal(4).astype(np.float16),
        "table": np.arange(5, dtype=np.int32),
        "ema.conv.weight": generator.standard_normal((3, 2)).astype(np.float32),
        "moments.conv.weight": generator.standard_normal((3, 2)).astype(np.float32),
        **ModelOutputs.of(2, names).entry(),
        **(more or {}),
    }
    write_weights(path, arrays)
    return path


def test_uniform(tmp_path, capsys):
    files = [str(write(tmp_path / f"{seed}.ckpt", seed)) for seed in range(3)]
    out = tmp_path / "mean.ckpt"
    assert main(["average", *files, "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"mean of 3 of 3 files: {out}\n"
    found, sources = read_ckpt(out), [read_ckpt(file) for file in files]
    assert {name for name in found if name.startswith(("conv", "half", "table"))} == {
        "conv.weight",
        "half.weight",
        "table",
    }
    for name in ("conv.weight", "ema.conv.weight"):
        expected = np.mean([source[name].astype(np.float64) for source in sources], axis=0)
        np.testing.assert_array_equal(found[name], expected.astype(np.float32))
    np.testing.assert_allclose(found["half.weight"], np.mean([s["half.weight"] for s in sources], axis=0), rtol=2e-3)
    np.testing.assert_array_equal(found["table"], np.arange(5))
    assert read_outputs(out) == ModelOutputs.of(2, NAMES)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"more": {"fc.bias": np.zeros(3, np.float32)}}, "different networks: only one of them has fc.bias"),
        (
            {"more": {"conv.weight": np.zeros((3, 3), np.float32)}},
            r"conv.weight is \(3, 3\) in one and \(3, 2\) in the",
        ),
        ({"more": {"table": np.zeros(5, np.int32)}}, "different networks: the table table is not the same in both"),
        ({"names": ("dog", "cat")}, "have other classes, or other names for them, or in another order"),
        ({"more": {"conv.weight": np.full((3, 2), np.nan, np.float32)}}, "conv.weight has values that are not finite"),
    ],
)
def test_different_networks(other, message, tmp_path, capsys):
    files = [str(write(tmp_path / "a.ckpt", 0)), str(write(tmp_path / "b.ckpt", 1, **other))]
    assert main(["average", *files, "--out", str(tmp_path / "mean.ckpt")]) == 2
    assert re.search(rf"^mindcv: error: .*{message}", capsys.readouterr().err)
    assert not (tmp_path / "mean.ckpt").exists()


def test_wrong_options(tmp_path, capsys):
    one, two = (str(write(tmp_path / name, 0)) for name in ("a.ckpt", "b.ckpt"))
    for words, message in (
        ([one], "an average is of two files or more, got 1"),
        ([one, two, "--out", one], "is one of the files that are averaged; name another one"),
        ([one, two, "--lr", "3"], "--lr: only --greedy evaluates"),
        ([one, str(tmp_path / "nosuch.ckpt")], "nosuch.ckpt"),
        ([one, two, "--greedy"], "a checkpoint needs the recipe that it was trained with; give -c RECIPE"),
    ):
        assert main(["average", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_sum_stays_when_more_is_added(tmp_path):
    (one, outputs), (two, _) = (read_averageable(write(tmp_path / f"{seed}.ckpt", seed)) for seed in range(2))
    total = WeightSum("0.ckpt", one, outputs)
    wider = total.added(two)
    np.testing.assert_array_equal(total.mean()["conv.weight"], one["conv.weight"])
    np.testing.assert_allclose(wider.mean()["conv.weight"], (one["conv.weight"] + two["conv.weight"]) / 2, rtol=1e-6)


def test_greedy(tmp_path, capsys):
    """Of networks that always say one class: what lowers the accuracy of the average is left out."""
    from image_files import write_images

    for name, count in (("cat", 3), ("dog", 2)):
        write_images(tmp_path / "data" / "val" / name, count)
    network = create_model("mobilenet_v1_025", num_classes=2)
    network.classifier.weight.set_data(Tensor(np.zeros((2, 256), np.float32)))
    files = []
    for name, bias in (("dogs", (0, 5)), ("cats", (1, 0)), ("more_cats", (2, 0.5))):
        network.classifier.bias.set_data(Tensor(np.array(bias, np.float32)))
        arrays = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
        files.append(tmp_path / f"{name}.ckpt")
        write_weights(files[-1], {**arrays, **ModelOutputs.of(2, NAMES).entry()})
    text = f"model: mobilenet_v1_025\nimage_resize: 32\nmode: 1\ndata_dir: {tmp_path / 'data'}\nbatch_size: 2\n"
    (tmp_path / "config.yaml").write_text(text)
    out = tmp_path / "soup.safetensors"
    assert main(["average", *map(str, files), "--greedy", "--out", str(out)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-7:] == [
        f"{files[0]}: Top_1_Accuracy 0.400000",
        f"{files[1]}: Top_1_Accuracy 0.600000",
        f"{files[2]}: Top_1_Accuracy 0.600000",
        f"start: {files[1]}",
        f"with {files[2]}: Top_1_Accuracy 0.600000 of 2 files",
        f"without {files[0]}: Top_1_Accuracy 0.400000 of 3 files",
        f"mean of 2 of 3 files: {out}",
    ]
    np.testing.assert_allclose(read_averageable(out)[0]["classifier.bias"], [1.5, 0.25])
