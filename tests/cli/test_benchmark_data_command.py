"""`mindcv benchmark data`: what is measured for a folder of images and for pixels in memory."""

import json

import numpy as np
import pytest
from PIL import Image

from mindcv.cli import _benchmark_data, main
from mindcv.cli._benchmark_data import advise, costs
from mindcv.config import read_config

SMALL = ["--image_resize=16", "--batch_size=4", "--mode=1", "--device_target=CPU", "--seconds=0.05"]
DATA = ["benchmark", "data", "-c", "resnet/resnet18_cpu.yaml", *SMALL]


@pytest.fixture
def folder(tmp_path):
    """Two classes with four images each."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
        for index in range(4):
            pixels = rng.integers(0, 256, (30, 40, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / name / f"{index}.jpg")
    return tmp_path


def test_stages_of_a_folder(folder, capfd):
    keys = [
        "--dataset=imagenet",
        f"--data_dir={folder}",
        "--num_classes=2",
        "--image_resize=16,24",
        "--interpolation=bicubic",
        "--hflip=0.5",
        "--auto_augment=randaug-m9",
        "--re_prob=0.5",
        "--mixup=0.8",
    ]
    assert main([*DATA, *keys, "--cutmix_prob=1", "--normalize_on_device=False", "--steps=0", "--json", "-"]) == 0
    figures = json.loads(capfd.readouterr().out)
    stages = figures["stages"]
    files = ["reading", "decode, crop", "batch, transfer"]
    assert list(stages) == [*files, "interpolation", "flips", "policy, colours", "erasing", "mixing", "normalisation"]
    assert all(stage["img_per_s"] > 0 for stage in stages.values())
    assert sum(stage["share"] for stage in stages.values()) == pytest.approx(1, abs=1e-3)
    assert figures["whole"]["img_per_s"] == stages["normalisation"]["img_per_s"]
    assert figures["decoding_alone"]["core_ms"] > 0
    assert 1 <= len(figures["advice"]) <= 3
    assert "data_wait_share" not in figures


def _figures(shares, **more):
    stages = {name: {"img_per_s": 9000.0, "core_ms": share, "share": share} for name, share in shares.items()}
    return {"stages": stages, "whole": {"img_per_s": 1000.0}, "cores": 4, "workers": 4} | more


def _advice(shares, is_file=True, interpolation="bilinear", has_extension=True, **more):
    return advise(_figures(shares, **more), is_file, interpolation, has_extension)


def test_a_stage_costs_what_it_adds_to_those_before_it():
    times = {"reading": 0.1, "decode, crop": 0.6, "flips": 0.5, "mixing": 1.0}
    found = costs({name: {"img_per_s": 10.0, "core_ms": time} for name, time in times.items()})
    # Flips measured as less than nothing cost nothing.
    assert [stage["core_ms"] for stage in found.values()] == [0.1, 0.5, 0.0, 0.5]
    assert [stage["share"] for stage in found.values()] == [0.0909, 0.4545, 0.0, 0.4545]


DECODING = {"reading": 0.1, "decode, crop": 0.9}


@pytest.mark.parametrize(
    ("advice", "line"),
    [
        (_advice(DECODING), "decode, crop is 90%: mindcv prepare stores smaller images, packed"),
        (_advice(DECODING, workers=2), "num_parallel_workers is 2, of 4 usable cores: --num_parallel_workers 4"),
        (
            _advice(DECODING, whole={"img_per_s": 7000.0}),
            "reading files is hardly faster than all the rest: mindcv prepare packs them; or a faster disk",
        ),
        (
            _advice({"decode, crop": 0.3, "policy, colours": 0.7}, has_extension=False),
            "policy, colours is 70%, without the C extension: see mindcv doctor",
        ),
        (
            _advice({"decode, crop": 0.3, "mixing": 0.3, "normalisation": 0.4}),
            "normalisation, with mixing: 40%; the device does it with --normalize_on_device True",
        ),
        (
            _advice({"decode, crop": 0.3, "interpolation": 0.7}, interpolation="bicubic"),
            "interpolation bicubic costs 70% more than --interpolation bilinear",
        ),
        (
            _advice(DECODING, is_file=False),
            "the largest part is decode, crop, 90%; no key makes it cheaper, more cores do",
        ),
        # With the C extension a policy is as cheap as it gets, and mixing on the device is there already.
        (
            _advice({"policy, colours": 0.6, "mixing": 0.4}),
            "the largest part is policy, colours, 60%; no key makes it cheaper, more cores do",
        ),
        (
            _advice(DECODING, workers=2, data_wait_share=0.049),
            "training waits 4.9% of the time for data: nothing to change",
        ),
    ],
)
def test_advice_follows_from_the_figures(advice, line):
    assert advice[0] == line
    assert len(advice) == (2 if "num_parallel" in line else 1)


def test_advice_is_three_lines_at_most():
    shares = {"decode, crop": 0.4, "interpolation": 0.1, "policy, colours": 0.2, "mixing": 0.1, "normalisation": 0.2}
    lines = _advice(shares, workers=1, has_extension=False, data_wait_share=0.5)
    assert [line.split()[0] for line in lines] == ["num_parallel_workers", "decode,", "policy,"]


def test_pixels_in_memory_and_the_share_that_training_waits(capsys, tmp_path):
    out = tmp_path / "data.json"
    keys = ["--num_samples=8", "--epoch_size=1", "--warmup_epochs=0", "--decay_epochs=1", "--auto_augment=None"]
    assert main([*DATA, *keys, "--normalize_on_device=True", "--steps=2", "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert next(iter(figures["stages"])) == "crop, batch"
    assert not {"reading", "normalisation"} & set(figures["stages"])
    assert 0 < figures["data_wait_share"] < 1
    printed = capsys.readouterr().out
    assert f"waits {figures['data_wait_share']:.1%} of the time" in printed
    cost = figures["stages"]["crop, batch"]
    assert f"crop, batch {cost['core_ms']:>28.2f} {cost['share']:>6.0%} {cost['img_per_s']:>20.0f}\n" in printed
    assert printed.endswith("".join(f"-> {line}\n" for line in figures["advice"]))


@pytest.mark.parametrize("words", [["--seconds=0"], ["--steps=-1"]])
def test_impossible_lengths_are_refused(words, capsys):
    assert main([*DATA, *words]) == 2
    assert "--seconds must be above 0 and --steps 0 or more" in capsys.readouterr().err


def test_the_images_of_an_augmentation_split_count_as_one(folder, monkeypatch):
    """Else the policy, which makes three images of one, would seem to cost nothing."""
    keys = ["--dataset=imagenet", f"--data_dir={folder}", "--num_classes=2", "--auto_augment=augmix-m5"]
    cfg = read_config([*DATA[2:4], "--image_resize=16", "--batch_size=4", *keys, "--aug_splits=3"])
    counted = {}

    def counting(sizes, seconds):
        counted[len(counted)] = next(iter(sizes))
        return {"img_per_s": 1.0, "core_ms": 1.0}

    monkeypatch.setattr(_benchmark_data, "_time", counting)
    figures = _benchmark_data.measure(cfg, 1.0, 0)
    samples = dict(zip(("reading", "decoding alone", *list(figures["stages"])[1:]), counted.values(), strict=True))
    assert samples["policy, colours"] == samples["batch, transfer"] == 4


def test_damaged_images_are_treated_as_training_treats_them(folder, capfd, monkeypatch):
    """By default it replaces them. Nothing is written to the run's folder, and nothing decoded beforehand."""
    monkeypatch.chdir(folder)
    (folder / "train" / "a" / "0.jpg").write_bytes((folder / "train" / "a" / "0.jpg").read_bytes()[:-50])
    keys = ["--dataset=imagenet", "--data_dir=.", "--num_classes=2", "--steps=0", "--ckpt_save_dir=run"]
    for policy in ([], ["--bad_samples=skip"]):
        assert main([*DATA, *keys, *policy, "--json", "-"]) == 0
        out, err = capfd.readouterr()
        assert json.loads(out)["decoding_alone"]["img_per_s"] > 0
        assert "skipped" not in err
        assert "cannot be noted" not in err
    assert main([*DATA, *keys, "--bad_samples=error"]) == 2
    assert "cannot use the image train/a/0.jpg: this JPEG is cut off after" in capfd.readouterr().err
    assert sorted(path.name for path in folder.iterdir()) == ["train"]


@pytest.mark.parametrize("action", ["data", "train", "table"])
def test_a_file_of_figures_that_cannot_be_written_is_refused_before_measuring(tmp_path, action, capsys):
    (tmp_path / "file").touch()
    assert main(["benchmark", action, *DATA[2:4], "--json", str(tmp_path / "file" / "x.json")]) == 2
    assert "--json: cannot write to the folder" in capsys.readouterr().err
