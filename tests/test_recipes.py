"""Every recipe loads, says what it is, and is of the model and device of its name."""

from pathlib import Path

import pytest
import yaml

from mindcv.config import load_recipe, parse_args

pytestmark = pytest.mark.no_mindspore

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPES = sorted(path for path in CONFIGS.glob("*/*.yaml") if path.name != "results.yaml")
DEVICES = {"ascend": "Ascend", "gpu": "GPU", "cpu": "CPU"}
FAMILIES = {path.parent for path in RECIPES}


def name_of(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


def model_and_device(path: Path) -> tuple[str, str]:
    model, _, device = path.stem.rpartition("_")
    return model, device


def header_of(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_recipe(path):
    cfg = parse_args(["-c", str(path)])
    model, device = model_and_device(path)
    assert cfg.model == model
    assert cfg.device_target == DEVICES[device]
    assert cfg.dataset == ("digits" if device == "cpu" else "imagenet")
    assert cfg.num_classes == (10 if device == "cpu" else 1000)
    assert cfg.warmup_epochs + cfg.decay_epochs == cfg.epoch_size
    assert cfg.dataset_sink_mode == cfg.distribute == (device != "cpu")
    assert cfg.normalize_on_device


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_header(path):
    header = header_of(path)
    entries = {line[2:].split()[0]: line for line in header[2:] if not line.startswith("#  ")}
    assert list(entries) == ["Paper", "Train", "Evaluate", "Hardware", "Result"]
    assert "https://arxiv.org/abs/" in entries["Paper"]
    assert (
        "published" in entries["Result"] or "not yet trained here" in entries["Result"] or "top-1" in entries["Result"]
    )
    commands = [line for line in header if ".py " in line]
    assert commands
    assert all(f"configs/{name_of(path)} " in f"{line} " for line in commands)


@pytest.mark.parametrize("path", [path for path in RECIPES if path.stem.endswith("_gpu")], ids=name_of)
def test_gpu_recipe_is_the_ascend_recipe(path):
    ascend = path.with_name(path.name.replace("_gpu", "_ascend"))
    gpu_keys, ascend_keys = (load_recipe(str(recipe)).model_dump(exclude={"config"}) for recipe in (path, ascend))
    assert {**gpu_keys, "device_target": "Ascend"} == ascend_keys


@pytest.mark.parametrize("folder", sorted(FAMILIES), ids=lambda folder: folder.name)
def test_family_page_names_its_models(folder):
    models = {model_and_device(path)[0] for path in RECIPES if path.parent == folder}
    devices = {path.stem for path in RECIPES if path.parent == folder}
    assert devices == {f"{model}_{device}" for model in models for device in DEVICES}
    page = (folder / "README.md").read_text(encoding="utf-8")
    readme = (CONFIGS.parent / "README.md").read_text(encoding="utf-8")
    assert [model for model in sorted(models) if f"`{model}`" not in page or f"`{model}`" not in readme] == []


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_no_key_twice(path):
    keys = [line.split(":")[0] for line in path.read_text(encoding="utf-8").splitlines() if line[:1].isalpha()]
    assert len(keys) == len(set(keys)) == len(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_every_model_has_recipes():
    from mindcv.models import list_models

    assert sorted({model_and_device(path)[0] for path in RECIPES}) == sorted(list_models())
