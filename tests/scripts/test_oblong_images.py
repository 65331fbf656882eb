"""Images of 48 rows and 64 columns, from training to inference on an exported file."""

import ast
import json
import re

import mindspore as ms
import numpy as np
import onnxruntime
from PIL import Image
from script_runner import ROOT, run

from mindcv.cli import main
from mindcv.config import load_recipe
from mindcv.models import create_model

PHOTO = ROOT / "tests/data/photos/china.jpg"
CROP_PCT = 0.875
MEAN, STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])


def reference(path, height, width):
    """The network's input, by Pillow alone: both sides cover size / crop_pct, then the middle is cut out."""
    image = Image.open(path).convert("RGB")
    scale = max(int(width / CROP_PCT) / image.width, int(height / CROP_PCT) / image.height)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BILINEAR)
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    pixels = np.asarray(image.crop((left, top, left + width, top + height)))
    return ((pixels - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)


def test_train_validate_export_and_infer(tmp_path, image_folder, capfd):
    data = ["--dataset=imagenet", f"--data_dir={image_folder}", "--num_classes=2", "--batch_size=6", "--mode=1"]
    options = ["-c", "resnet/resnet18_cpu.yaml", *data, "--image_resize", "48", "64", f"--crop_pct={CROP_PCT}"]
    short = ["--epoch_size=1", "--warmup_epochs=0", "--decay_epochs=1", f"--ckpt_save_dir={tmp_path}"]
    done = run(*options, *short)
    assert done.returncode == 0, done.stderr
    assert load_recipe(str(tmp_path / "config.yaml")).image_resize == (48, 64)
    recipe, checkpoint = ["-c", str(tmp_path / "config.yaml")], str(tmp_path / "resnet18_best.ckpt")

    assert main(["validate", *recipe, "--ckpt_path", checkpoint]) == 0
    expected = ast.literal_eval(re.search(r"^\{.*\}$", capfd.readouterr().out, re.MULTILINE)[0])
    figures = (tmp_path / "result.log").read_text().splitlines()[-1].split()
    assert f"{expected['Top_1_Accuracy']:.6f}" in figures

    exported = str(tmp_path / "m.onnx")
    words = ["--ckpt_path", checkpoint, "--image_resize", "48", "64", "--batch_size", "dynamic"]
    assert main(["export", *recipe, *words, "--out", exported, "--device_target", "CPU"]) == 0
    assert "Nx3x48x64" in capfd.readouterr().out
    assert main(["validate", "--model", exported, *data, "--image_resize", "48,64", "--device_target", "CPU"]) == 0
    top1 = float(re.search(r"top1 accuracy:([\d.]+)", capfd.readouterr().out)[1])
    assert top1 == expected["Top_1_Accuracy"]
    assert main(["validate", "--model", exported, *data, "--image_resize", "64,48", "--device_target", "CPU"]) == 2
    assert "image_resize: got (64, 48), but" in capfd.readouterr().err

    image = reference(PHOTO, 48, 64)
    scores = onnxruntime.InferenceSession(exported).run(None, {"image": image})[0][0]
    network = create_model("resnet18", num_classes=2, checkpoint_path=checkpoint).set_train(False)
    np.testing.assert_allclose(network(ms.Tensor(image)).asnumpy()[0], scores, atol=1e-4)
    probabilities = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
    for model in ([exported], [checkpoint, *recipe]):
        assert main(["infer", model[0], str(PHOTO), *model[1:], "--output-format", "jsonl", "--device_target=CPU"]) == 0
        (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
        found = {entry["index"]: entry["probability"] for entry in json.loads(line)["predictions"]}
        np.testing.assert_allclose([found[index] for index in range(2)], probabilities, atol=1e-4)


def test_benchmarks_take_them(capfd):
    options = ["-c", "resnet/resnet18_cpu.yaml", "--image_resize", "16", "24", "--batch_size=4", "--mode=1"]
    words = ["--steps=1", "--warmup_steps=1", "--synthetic", "--json", "-"]
    assert main(["benchmark", "train", *options, *words]) == 0
    assert json.loads(capfd.readouterr().out)["resolution"] == "16x24"
