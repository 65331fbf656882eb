"""`mindcv config import`: the model zoo's YAML, with the keys of document 003, becomes a recipe."""

import math

import numpy as np
import pytest
import yaml
from zoo_keys import TRAINING_OPTIONS

from mindcv.cli import main
from mindcv.config import ConfigError, load_recipe
from mindcv.config.zoo import import_recipe
from mindcv.scheduler import create_scheduler
from mindcv.utils.text import escaped

pytestmark = pytest.mark.no_mindspore

ZOO = (
    """\
# Builtin configurations
enable_modelarts: False
data_url: ""
checkpoint_url: ""
run_distribute: False
enable_profiling: False
data_path: "/cache/data"
output_path: "/cache/train"
device_target: "Ascend"
checkpoint_file_path: ""

# ==============================================================================
# Training options
"""
    + TRAINING_OPTIONS
    + """\

# Export options
file_name: "SE_ResNeXt50"
file_format: "MINDIR"

---
# Help
enable_modelarts: "Whether training on modelarts, default: False"
device_target: "Target device type"

---
file_format: ["AIR", "MINDIR"]
"""
)
EXPECTED = {
    "model": "seresnext50_32x4d",
    "distribute": False,
    "data_dir": "/cache/data",
    "device_target": "Ascend",
    "image_resize": 224,
    "num_classes": 1000,
    "batch_size": 128,
    "lr": 0.05,
    "scheduler": "cosine_decay",
    "multi_step_decay_milestones": (30, 60, 90, 120),
    "decay_rate": 0.1,
    "min_lr": 0.0,
    "decay_epochs": 150,
    "epoch_size": 150,
    "warmup_epochs": 1,
    "warmup_prefix": False,
    "weight_decay": 0.0001,
    "momentum": 0.9,
    "loss_scale_type": "fixed",
    "loss_scale": 1024.0,
    "label_smoothing": 0.0,
    "ckpt_save_steps": 2000,
    "keep_checkpoint_max": 5,
    "ckpt_save_on": "master",
    "opt": "momentum",
    "weight_decay_filter": "norm_and_bias",
    "amp_level": "O2",
}


@pytest.fixture
def zoo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "default_config.yaml"
    path.write_text(ZOO)
    return path


def test_recipe_and_what_is_said(zoo, capsys, caplog):
    assert main(["config", "import", "default_config.yaml", "-o", "recipe.yaml"]) == 0
    config = load_recipe("recipe.yaml")
    assert {key: getattr(config, key) for key in EXPECTED} == EXPECTED
    assert config.model_fields_set - {"enable_modelarts"} == {*EXPECTED, "config"}
    assert caplog.messages == []  # nothing in the recipe is an old spelling
    lines = capsys.readouterr().out.splitlines()
    keys = [line for line in ZOO.partition("---")[0].splitlines() if line and not line.startswith("#")]
    plain = {"device_target", "num_classes", "lr", "warmup_epochs", "weight_decay", "momentum", "loss_scale"}
    told = {line.partition(": ")[2].partition(" ")[0].rstrip(":") for line in lines}
    assert {key.partition(":")[0] for key in keys} - told - {"enable_modelarts"} == plain | {"label_smooth_factor"}
    assert "default_config.yaml:21: eta_min: 0 is read as min_lr: 0" in lines
    assert "default_config.yaml:6: enable_profiling has no effect: set profile to the steps to record" in lines
    assert "default_config.yaml:16: batch_size: 1 has no effect beside per_batch_size" in lines
    assert "default_config.yaml:19: lr_epochs counts from the start of the run, so warmup_prefix: False is set" in lines
    assert lines[-1].startswith("default_config.yaml: model: seresnext50_32x4d is added: it names no network")
    with open("recipe.yaml", encoding="utf-8") as file:
        assert file.read().count("\n# default_config.yaml:") == len(lines)


def test_recipe_on_stdout_is_a_recipe(zoo, capsys):
    assert main(["config", "import", str(zoo), "--model", "resnet18"]) == 0
    out, err = capsys.readouterr()
    zoo.with_name("recipe.yaml").write_text(out)
    assert load_recipe("recipe.yaml").model == "resnet18"
    assert "is read as" in err
    assert "--model" not in err


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("network: se_resnext50", "model", "seresnext50_32x4d"),
        ("network: resnet50", "model", "resnet50"),
        ("is_dynamic_loss_scale: 1", "loss_scale_type", "dynamic"),
        ("label_smooth_factor: 0.1", "label_smoothing", 0.1),
        ("lr_scheduler: exponential", "scheduler", "multi_step_decay"),
        ("opt: sgd", "opt", "sgd"),
        ("pretrained: /x/old.ckpt", "ckpt_path", "/x/old.ckpt"),
        ("is_save_on_master: 0", "ckpt_save_on", "all"),
    ],
)
def test_line_of_the_zoo(zoo, line, key, value):
    kept = [old for old in ZOO.splitlines() if not old.startswith(line.partition(":")[0] + ":")]
    zoo.write_text("\n".join([line, *kept]))
    recipe, _ = import_recipe(str(zoo))
    zoo.write_text(recipe)
    assert getattr(load_recipe(str(zoo)), key) == value


STEPS = 4


def _zoo_rates(scheduler):
    """The zoo's schedules of 70 epochs with 5 of warm-up, an entry a step: epochs count from the start of the run."""
    rates = []
    for step in range(70 * STEPS):
        epoch = step // STEPS
        if epoch < 5:
            rates.append(0.4 * (step + 1) / (5 * STEPS))
        elif scheduler == "exponential":
            rates.append(0.4 * 0.1 ** ((epoch >= 30) + (epoch >= 60)))
        else:
            rates.append(0.001 + (0.4 - 0.001) * (1 + math.cos(math.pi * epoch / 70)) / 2)
    return np.array(rates)


@pytest.mark.parametrize("scheduler", ["exponential", "cosine_annealing"])
def test_rates_are_the_zoos(zoo, scheduler):
    """The zoo's warm-up is a step ahead of ours, and its cosine falls once an epoch; else the rates are the same."""
    zoo.write_text(
        f"lr_scheduler: {scheduler}\nlr: 0.4\nlr_epochs: [30,60]\nlr_gamma: 0.1\neta_min: 0.001\nT_max: 70\n"
        "max_epoch: 70\nwarmup_epochs: 5\n"
    )
    recipe, _ = import_recipe("default_config.yaml")
    zoo.write_text(recipe)
    config = load_recipe("default_config.yaml")
    ours = create_scheduler(STEPS, num_epochs=config.epoch_size, **config.arguments("create_scheduler"))
    theirs = _zoo_rates(scheduler)
    every = 1 if scheduler == "exponential" else STEPS
    np.testing.assert_allclose(ours[5 * STEPS :: every], theirs[5 * STEPS :: every], rtol=1e-9)
    np.testing.assert_allclose(ours[1 : 5 * STEPS], theirs[: 5 * STEPS - 1], rtol=1e-9)
    assert len(ours) == len(theirs)


def test_an_unknown_key_is_told_and_left_out(zoo):
    zoo.write_text("lable_smooth: 1\nmystery: 2\n")
    recipe, notes = import_recipe("default_config.yaml")
    assert notes[0] == (
        "default_config.yaml:1: lable_smooth has no effect: there is no such key here; did you mean 'label_smooth'?"
    )
    assert notes[1] == "default_config.yaml:2: mystery has no effect: there is no such key here"
    assert "\nmystery" not in recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: fast\nmomentum: 2\n", r"2 problems:\n(.*: (lr|momentum): got .*\n?){2}"),
        ("data: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("lr: 1\n---\n[: 2\n", "is not valid YAML"),
        ("", "is empty"),
        ("- 1\n", "is a list"),
    ],
)
def test_refused(zoo, text, message):
    zoo.write_text(text)
    with pytest.raises(ConfigError, match=message):
        import_recipe(str(zoo))


def test_errors_of_the_command(zoo, capsys):
    assert main(["config", "import", "nothing.yaml"]) == 2
    err = capsys.readouterr().err
    assert "nothing.yaml: cannot be read" in err
    assert "Traceback" not in err


def test_the_zoos_file_as_a_recipe_names_the_command(zoo):
    with pytest.raises(ConfigError, match="but found another document; mindcv config import reads the model zoo's"):
        load_recipe("default_config.yaml")


def test_key_with_a_line_end_puts_nothing_into_the_recipe(tmp_path):
    path = tmp_path / "default_config.yaml"
    path.write_text('lr: 0.1\n"x\\nseed: 7\\n\\e[31m": 1\n')
    recipe, notes = import_recipe(str(path))
    assert yaml.safe_load(recipe).get("seed", 42) == 42
    assert "\x1b" not in recipe
    assert "# " + escaped(notes[0]) in recipe
