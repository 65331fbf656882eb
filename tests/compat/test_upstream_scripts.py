"""What MindCV's scripts and its tests of `config.py` do with the configuration."""

import copy
import importlib.util
import logging
from pathlib import Path

import pytest
import yaml

from mindcv.config import Config, ConfigError, read_config, save_args

pytestmark = pytest.mark.no_mindspore

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config():
    """The clone's `config.py`, as `from config import ...` finds it."""
    spec = importlib.util.spec_from_file_location("config", ROOT / "config.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_parser_knows_the_keys(config):
    parser_config, parser = config.create_parser()
    config._check_cfgs_in_parser(yaml.safe_load("mode: 1\ndataset: imagenet\n"), parser)
    with pytest.raises(KeyError) as caught:
        config._check_cfgs_in_parser({"mode": 1, "dataset": "imagenet", "valid": False}, parser)
    assert caught.value.args == ("valid does not exist in ArgumentParser!",)
    assert parser_config.parse_known_args(["-c", "r.yaml", "--lr", "1"])[0].config == "r.yaml"
    assert {action.dest for action in parser._actions} >= set(Config.model_fields)


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("dataset", ["mnist", "imagenet"])
def test_without_a_recipe(config, mode, dataset):
    args = config.parse_args([f"--mode={mode}", f"--dataset={dataset}"])
    assert (args.mode, args.dataset, args.amp_level) == (mode, dataset, "O0")


def test_with_a_recipe(config):
    recipe = ROOT / "configs/resnet/resnet18_cpu.yaml"
    args = config.parse_args([f"--config={recipe}", "--mode=1", "--dataset=mnist"])
    assert (args.mode, args.dataset) == (1, "mnist")
    assert args.model == yaml.safe_load(recipe.read_text())["model"]


def test_crop_pct_of_volo(config):
    """volo_d4's recipe: the image is resized to 389 pixels and framed to 448."""
    assert config.parse_args(["--crop_pct", "1.15"]).crop_pct == 1.15


def test_keys_can_be_set(config):
    args = config.parse_args(["--lr", "0.5"])
    args.lr = 0.1
    args.data_dir = "/cache/data"
    args.epoch_size += 5
    assert (args.lr, args.data_dir, args.epoch_size) == (0.1, "/cache/data", 95)
    assert vars(args)["lr"] == 0.1
    assert "lr" in args
    assert "learning_rate_of_the_head" not in args
    assert isinstance(args, Config)


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("lr", "1e-3", 1e-3),
        ("scale", [0.2, 1], (0.2, 1.0)),
        ("opt", "SGD", "sgd"),
        ("num_classes", None, None),
        ("distribute", "False", False),
    ],
)
def test_what_is_set_is_read_as_in_a_recipe(config, key, given, expected):
    args = config.parse_args([])
    setattr(args, key, given)
    assert getattr(args, key) == expected
    assert getattr(args.checked(), key) == expected


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("lr", -1, "args: lr: got -1; allowed: a number >= 0"),
        ("opt", "adamww", "did you mean 'adamw'"),
        ("batch_size", "many", "args: batch_size: got 'many'; allowed: an integer >= 1"),
    ],
)
def test_wrong_values_are_refused_at_once(config, key, value, message):
    args = config.parse_args([])
    before = getattr(args, key)
    with pytest.raises(ConfigError, match=message) as caught:
        setattr(args, key, value)
    assert "\n" not in str(caught.value)
    assert getattr(args, key) == before


def test_contradictions_are_found_when_it_starts(config):
    args = config.parse_args([])
    args.lr, args.min_lr = 0.01, 0.1  # not before both can be set
    with pytest.raises(ConfigError, match=r"min_lr 0.1 is above lr 0.01"):
        args.checked()
    args.lr = 0.2
    assert (args.checked().lr, args.checked().min_lr) == (0.2, 0.1)


def test_attributes_of_the_script(config, caplog):
    args = config.parse_args([])
    with caplog.at_level(logging.WARNING, "mindcv"):
        args.device_num, args.rank_id = 8, 3
        assert caplog.text == ""
        args.learning_rates = 0.1
    assert (args.device_num, args.rank_id, args.learning_rates) == (8, 3, 0.1)
    assert not hasattr(args.checked(), "rank_id")
    with pytest.raises(AttributeError):
        args.nothing  # noqa: B018


def test_a_near_miss_is_told(config, caplog):
    with caplog.at_level(logging.WARNING, "mindcv"):
        config.parse_args([]).label_smothing = 0.1
    assert "args.label_smothing is no key" in caplog.text
    assert "did you mean 'label_smoothing'?" in caplog.text


WORDS = ["-c", "resnet/resnet18_cpu.yaml", "--epoch_size", "5", "--loss_scale_type", "dynamic"]


def test_the_run_gets_a_frozen_config(config):
    args, frozen = config.parse_args(WORDS), read_config(WORDS)
    checked = args.checked()
    assert checked == frozen
    assert type(checked) is Config
    assert checked.model_fields_set == frozen.model_fields_set
    args.lr = 0.25
    assert copy.deepcopy(args).checked().lr == 0.25
    assert checked.lr == frozen.lr


def test_what_is_set_is_saved(config, tmp_path):
    args = config.parse_args(WORDS)
    args.lr = 0.25
    save_args(args, tmp_path / "args.yaml")
    assert read_config(["-c", str(tmp_path / "args.yaml")]).lr == 0.25
