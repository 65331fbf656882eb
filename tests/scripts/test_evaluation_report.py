"""`validate --report` in this process: what it refuses, and pictures of where a live network looks."""

import numpy as np
import pytest

from mindcv.build import _explain, build_recorder
from mindcv.cli import run_script
from mindcv.config.parse import read_config
from mindcv.data.preprocess import EvalPreprocess
from mindcv.data.sources.samples import ArraySamples
from mindcv.export.images import ImageReader
from mindcv.models import create_model
from mindcv.report.grad_cam import explain, overlay
from mindcv.report.grid import drawable

TINY = {"channels": (8, 8, 16, 16), "layers": (1, 1, 1, 1)}


def test_pictures_are_grad_cam_of_what_the_network_sees():
    images = np.random.default_rng(0).integers(0, 256, (3, 50, 70, 3)).astype(np.uint8)
    samples = ArraySamples(images, {"label": np.zeros(3, np.int32)}, 4)
    network = create_model("resnet18", num_classes=4, **TINY)
    cfg = read_config(["--model", "resnet18", "--image_resize", "64"])
    pictures = _explain(cfg, network, samples, [2, 0], [3, 1])
    preprocess = EvalPreprocess.from_config(cfg)
    seen = np.stack([ImageReader(preprocess)(images[index]) for index in (2, 0)])
    maps = explain(network, seen, [3, 1]).maps
    assert maps.std() > 0
    for picture, pixels, heat in zip(pictures, drawable(seen, preprocess.mean, preprocess.std), maps, strict=True):
        np.testing.assert_array_equal(picture, overlay(pixels, heat))
    with pytest.raises(ValueError, match="the network's last map is one place for images of 32 x 32"):
        _explain(read_config(["--model", "resnet18", "--image_resize", "32"]), network, samples, [0], [1])
    with pytest.raises(ValueError, match="gradients are taken in float32, and val_amp_level is O2"):
        _explain(read_config(["--val_amp_level", "O2"]), network, samples, [0], [1])


@pytest.mark.parametrize(
    ("script", "words", "message"),
    [
        ("validate", ["--report"], "command line: report: got True; allowed: the folder that the evaluation"),
        ("validate", ["--report", ""], "report: got ''; allowed: True or False for train; a folder for validate"),
        ("train", ["--report", "here"], "report: got 'here'; allowed: True or False: the page goes into ckpt_save_dir"),
    ],
)
def test_what_the_key_report_cannot_be(capsys, script, words, message):
    with pytest.raises(SystemExit) as stop:
        run_script(script, words)
    err = capsys.readouterr().err
    assert stop.value.code == 2
    assert message in err
    assert err.count("\n") == 1


def test_a_folder_that_cannot_be_written_to_is_told_before_the_evaluation(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    words = ["--model", "resnet18", "--dataset", "digits", "--image_resize", "16", "--num_classes", "10"]
    words += ["--random-weights", "--device_target", "CPU", "--mode", "1", "--report", str(tmp_path / "file/report")]
    assert run_script("validate", words) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert err.startswith(f"mindcv: error: report: cannot write to the folder {tmp_path}/file/report (Not a directory)")


def test_without_the_key_nothing_is_recorded():
    assert build_recorder(read_config([]), None, 3) is None


def test_shuffled_evaluation_reports_the_same(tmp_path, image_folder, capsys):
    """The images' names stay with what is said of them."""
    words = ["--model", "resnet18", "--dataset", "imagenet", "--data_dir", str(image_folder), "--image_resize", "16"]
    words += ["--num_classes", "2", "--batch_size", "4", "--random-weights", "--device_target", "CPU", "--mode", "1"]
    for name in ("False", "True"):
        assert run_script("validate", [*words, "--eval_shuffle", name, "--report", str(tmp_path / name)]) == 0
    told = f"a folder of classes, val of {image_folder}"  # the key's word, imagenet, would be taken for ImageNet
    assert f"Evaluating resnet18 on {told} (CPU)" in "".join(capsys.readouterr())
    assert told in (tmp_path / "False/report.html").read_text()
    rows = [(tmp_path / name / "predictions.csv").read_text().splitlines() for name in ("False", "True")]
    assert len(rows[0]) == 11
    assert rows[0][1].startswith(f"{image_folder}/val/digit3/0.png,0,")
    shares = [np.array([row.split(",")[5:] for row in lines[1:]], float) for lines in rows]
    assert [row.split(",")[:5] for row in rows[1]] == [row.split(",")[:5] for row in rows[0]]
    np.testing.assert_allclose(shares[1], shares[0], atol=1e-5)
    assert np.ptp(shares[0][:, 0]) > 1e-3
