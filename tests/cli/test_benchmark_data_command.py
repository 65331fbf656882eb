"""`mindcv benchmark data`: what is measured for a folder of images and for pixels in memory."""

import json

import numpy as np
import pytest
from PIL import Image

from mindcv.cli import main

SMALL = ["--image_resize=16", "--batch_size=4", "--mode=1", "--device_target=CPU", "--seconds=0.05"]
DATA = ["benchmark", "data", "-c", "resnet/resnet18_cpu.yaml", *SMALL]


def test_stages_of_a_folder(tmp_path, capfd):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for number in range(4):
            pixels = rng.integers(0, 256, (30, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / name / f"{number}.jpg")
    keys = [
        "--dataset=imagenet",
        f"--data_dir={tmp_path}",
        "--num_classes=2",
        "--image_resize=16,24",
        "--auto_augment=randaug-m9",
        "--mixup=0.8",
    ]
    assert main([*DATA, *keys, "--cutmix_prob=1", "--normalize_on_device=False", "--steps=0", "--json", "-"]) == 0
    figures = json.loads(capfd.readouterr().out)
    stages = ["reading alone", "decoding alone", "read, decode, crop", "+ augmentation", "+ mixing", "the recipe"]
    assert list(figures["stages"]) == stages
    assert all(stage["img_per_s"] > 0 for stage in figures["stages"].values())
    # RandAugment takes many times what decoding so small an image does.
    assert figures["stages"]["+ augmentation"]["core_ms"] > figures["stages"]["read, decode, crop"]["core_ms"]
    assert "data_wait_share" not in figures


def test_pixels_in_memory_and_the_share_that_training_waits(capsys, tmp_path):
    out = tmp_path / "data.json"
    keys = ["--num_samples=8", "--epoch_size=1", "--warmup_epochs=0", "--decay_epochs=1", "--auto_augment=None"]
    assert main([*DATA, *keys, "--normalize_on_device=True", "--steps=2", "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert list(figures["stages"]) == ["the recipe"]
    assert 0 < figures["data_wait_share"] < 1
    assert f"waits {figures['data_wait_share']:.1%} of the time" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--seconds=0"], ["--steps=-1"]])
def test_impossible_lengths_are_refused(words, capsys):
    assert main([*DATA, *words]) == 2
    assert "--seconds must be above 0 and --steps 0 or more" in capsys.readouterr().err
