"""Published weights bring their preprocessing to training, evaluation, export and inference, where none is set."""

import pytest

import mindcv.train
import mindcv.validate
from mindcv.cli import _benchmark_train
from mindcv.config import read_config
from mindcv.data import EvalPreprocess, with_preprocess_of
from mindcv.export import source
from mindcv.export.exporter import preprocess_of
from mindcv.export.source import with_preprocess
from mindcv.models import create_model, get_pretrained_cfg, list_models

# Bicubic and a crop of 1.0, where the defaults are bilinear and 0.875.
WEIGHTS = "resnet50.a1_in1k"


def read(*words):
    return read_config(["--model", WEIGHTS, "--pretrained", *words])


@pytest.mark.parametrize("name", list_models(pretrained=True))
def test_evaluation_is_that_of_inference_for_every_published_weight(name):
    weights = get_pretrained_cfg(name)
    config = with_preprocess_of(read_config(["--model", name, "--pretrained"]), weights)
    expected = EvalPreprocess(
        weights.input_size[1:],
        weights.crop_pct,
        weights.interpolation,
        tuple(weights.mean),
        tuple(weights.std),
        resize_rounding=weights.resize_rounding,
        crop_mode=weights.crop_mode,
    )
    assert EvalPreprocess.from_config(config) == expected


def test_some_weights_differ_from_the_defaults():
    default = EvalPreprocess.from_config(read_config([]))
    all_of_them = [get_pretrained_cfg(name) for name in list_models(pretrained=True)]
    differing = [
        cfg for cfg in all_of_them if (cfg.crop_pct, cfg.interpolation) != (default.crop_pct, default.interpolation)
    ]
    assert len(differing) >= 40


@pytest.mark.parametrize(
    ("words", "expected", "logged", "warned"),
    [
        ([], {"crop_pct": 1.0, "interpolation": "bicubic", "image_resize": 288}, ["crop_pct 1"], []),
        (
            ["--crop_pct", "0.9"],
            {"crop_pct": 0.9, "interpolation": "bicubic"},
            ["interpolation bicubic"],
            ["crop_pct 0.9 is used as it is set, though the weights resnet50.a1_in1k are meant for crop_pct 1"],
        ),
        (["--crop_pct", "1.0"], {"crop_pct": 1.0}, ["interpolation bicubic"], []),
        (
            ["--mean", "0,0,0", "--std", "1,1,1"],
            {"mean": (0.0, 0.0, 0.0), "crop_pct": 1.0},
            ["crop_pct 1"],
            ["mean 0,0,0, std 1,1,1 is used as it is set"],
        ),
        (["--dataset", "cifar10"], {"crop_pct": 0.875, "interpolation": "bicubic"}, ["interpolation bicubic"], []),
        (["--in_channels", "1"], {"crop_pct": 1.0, "mean": (123.675, 116.28, 103.53)}, ["crop_pct 1"], []),
    ],
)
def test_what_is_set_stays_and_is_warned_of_once(words, expected, logged, warned, caplog):
    caplog.set_level("INFO")
    weights = get_pretrained_cfg(WEIGHTS)
    config = with_preprocess_of(read(*words), weights)
    expected = {"image_resize": weights.input_size[1], **expected}
    assert {name: getattr(config, name) for name in expected} == expected
    lines = {
        level: [record.message for record in caplog.records if record.levelname == level]
        for level in ("INFO", "WARNING")
    }
    assert len(lines["INFO"]) == 1
    assert lines["INFO"][0].startswith(f"preprocessing of the weights {WEIGHTS}: ")
    assert all(text in lines["INFO"][0] for text in logged)
    assert len(lines["WARNING"]) == len(warned)
    assert all(text in line for text, line in zip(warned, lines["WARNING"], strict=True))


class Reached(Exception):  # noqa: N818
    """A builder was called; its config."""


def reached(config, *args, **options):
    raise Reached(config)


def crop_of(call):
    with pytest.raises(Reached) as stop:
        call()
    config = stop.value.args[0]
    return config.crop_pct, config.interpolation


@pytest.mark.parametrize(("words", "crop"), [([], 1.0), (["--crop_pct", "0.9"], 0.9)])
def test_train_validate_export_and_benchmark_agree_with_infer(words, crop, monkeypatch, tmp_path):
    monkeypatch.setattr(mindcv.train, "build_train_loader", reached)
    monkeypatch.setattr(mindcv.validate, "build_eval_loader", reached)
    monkeypatch.setattr("mindcv.build.build_train_loader", reached)
    network = create_model("resnet18", num_classes=1000)
    monkeypatch.setattr(source, "build_network", lambda cfg, num_classes, ema=False: network)
    config = read("--device_target", "CPU", "--ckpt_save_dir", str(tmp_path), *words)
    assert crop_of(lambda: mindcv.train.train(config)) == (crop, "bicubic")
    assert crop_of(lambda: mindcv.validate.validate(config)) == (crop, "bicubic")
    assert crop_of(lambda: _benchmark_train.measure(config, 1, 1, False)) == (crop, "bicubic")
    exported = source.source_from_config(config).preprocess
    assert (exported.crop_pct, exported.interpolation) == (crop, "bicubic")
    if not words:
        network.default_cfg = get_pretrained_cfg(WEIGHTS)
        assert preprocess_of(network) == exported  # what infer uses


def test_without_published_weights_the_defaults_stay(monkeypatch, tmp_path):
    monkeypatch.setattr(mindcv.validate, "build_eval_loader", reached)
    config = read_config(["--model", WEIGHTS, "--random-weights", "--device_target", "CPU"])
    assert crop_of(lambda: mindcv.validate.validate(config)) == (0.875, "bilinear")


def test_fresh_weights_are_not_evaluated_by_mistake(tmp_path):
    (tmp_path / "config.yaml").write_text("model: resnet18\ndataset: digits\n")
    (tmp_path / "resnet18_best.ckpt").touch()
    config = read_config(["-c", str(tmp_path / "config.yaml"), "--ckpt_save_dir", str(tmp_path / "no")])
    with pytest.raises(ValueError, match="no weights to evaluate") as error:
        mindcv.validate.validate(config)
    assert f"--ckpt_path {tmp_path}/resnet18_best.ckpt; --random-weights evaluates fresh" in str(error.value)
    config = read_config(["--model", "resnet18", "--ckpt_save_dir", str(tmp_path)])
    with pytest.raises(ValueError, match=r"--ckpt_path .*/resnet18_best\.ckpt"):
        mindcv.validate.validate(config)
    with pytest.raises(ValueError, match="published ones; --random-weights evaluates"):
        mindcv.validate.validate(read_config(["--model", "resnet18", "--ckpt_save_dir", str(tmp_path / "no")]))


@pytest.mark.parametrize(
    ("words", "size", "interpolation"),
    [
        (["--model", "resnet50", "--pretrained", "a1_in1k"], 288, "bicubic"),
        (["--model", "resnet50.a1_in1k", "--pretrained"], 288, "bicubic"),
        (["--model", "resnet50", "--pretrained", "a1_in1k", "--image_resize", "160"], 160, "bicubic"),
        (["--model", "resnet50"], 224, "bilinear"),
    ],
)
def test_weights_by_tag_bring_theirs(words, size, interpolation):
    config = with_preprocess(read_config(words))
    assert (config.image_resize, config.interpolation) == (size, interpolation)
