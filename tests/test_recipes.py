"""Every recipe loads, says what it is, and is of the model and device of its name."""

import json
import re
from pathlib import Path

import pytest
import yaml

from mindcv.config import Config, load_recipe, parse_args
from mindcv.report.pages import read_family

pytestmark = pytest.mark.no_mindspore

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPES = sorted(path for path in CONFIGS.glob("*/*.yaml") if path.name != "results.yaml")
DEVICES = {"ascend": "Ascend", "cpu": "CPU"}
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
    title, paper, result = header_of(path)
    assert title.startswith("# ")
    assert (" digits, " if path.stem.endswith("_cpu") else " on ImageNet-1K, on ") in title
    assert re.fullmatch(r'# Paper   [^"]+, "[^"]+", https://arxiv\.org/abs/\d{4}\.\d{5}', paper)
    figures = (
        r"top-1 \d\d\.\d\d.*, (published by \w+ for these hyper-parameters; not yet trained here|measured here \(.+\))"
    )
    assert re.fullmatch(f"# Result  ({figures}|not yet trained here)", result)


# What a reader looks for stands in every recipe, whether or not it is the default.
ALWAYS_WRITTEN = {
    *("device_target", "distribute", "dataset", "batch_size", "image_resize", "model", "num_classes", "epoch_size"),
    *("amp_level", "loss", "label_smoothing", "scheduler", "lr", "min_lr", "warmup_epochs", "decay_epochs", "opt"),
    *("weight_decay", "weight_decay_filter"),
}
MAY_EQUAL_THE_DEFAULT = ALWAYS_WRITTEN | {"momentum"}


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_keys_that_equal_the_default_are_left_out(path):
    keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    cfg, default = load_recipe(str(path)), Config()
    assert ALWAYS_WRITTEN - set(keys) == set()
    assert [key for key in set(keys) - MAY_EQUAL_THE_DEFAULT if getattr(cfg, key) == getattr(default, key)] == []


def test_no_recipe_is_a_copy_of_another():
    trainings: dict[str, list[str]] = {}
    for path in RECIPES:
        keys = load_recipe(str(path)).model_dump(exclude={"config", "device_target", "ckpt_save_dir"}, mode="json")
        trainings.setdefault(json.dumps(keys, sort_keys=True), []).append(name_of(path))
    assert [names for names in trainings.values() if len(names) > 1] == []


@pytest.mark.parametrize("folder", sorted(FAMILIES), ids=lambda folder: folder.name)
def test_one_cpu_recipe_a_family_for_its_smallest_member(folder):
    (small,) = folder.glob("*_cpu.yaml")
    from mindcv.models import get_pretrained_cfg, list_models

    sizes = {
        name: get_pretrained_cfg(name).params_m for name in list_models(read_family(folder / "results.yaml")["models"])
    }
    assert model_and_device(small)[0] == min(sizes, key=sizes.__getitem__)


@pytest.mark.parametrize("path", [path for path in RECIPES if path.stem.endswith("_ascend")], ids=name_of)
def test_the_header_has_the_figures_of_the_results(path):
    rows = [row for row in read_family(path.with_name("results.yaml"))["results"] if row.get("recipe") == path.name]
    assert {row["model"] for row in rows} == {model_and_device(path)[0]}
    figures = {f"top-1 {row['top1']:.2f}, top-5 {row['top5']:.2f}" for row in rows}
    assert re.search(r"top-1 [\d.]+, top-5 [\d.]+\d", header_of(path)[2])[0] in figures


@pytest.mark.parametrize("folder", sorted(FAMILIES), ids=lambda folder: folder.name)
def test_family_page_has_the_commands(folder):
    page = (folder / "README.md").read_text(encoding="utf-8")
    used = re.findall(r"(?:train|validate)\.py -c(?:onfig)? (configs/\S+\.yaml)|--config (configs/\S+\.yaml)", page)
    recipes = {name for pair in used for name in pair if name}
    assert {Path(name).stem.rpartition("_")[2] for name in recipes} == {"ascend", "cpu"}
    assert [name for name in recipes if not (CONFIGS.parent / name).is_file()] == []


def test_recipes_are_of_models_that_exist():
    from mindcv.models import list_models

    odd = [name_of(path) for path in RECIPES if model_and_device(path)[0] not in list_models()]
    assert not odd, f"a recipe is named <model>_<device>.yaml; no model has the name of {', '.join(odd)}"


@pytest.mark.parametrize("path", RECIPES, ids=name_of)
def test_no_key_twice(path):
    keys = [line.split(":")[0] for line in path.read_text(encoding="utf-8").splitlines() if line[:1].isalpha()]
    assert len(keys) == len(set(keys)) == len(yaml.safe_load(path.read_text(encoding="utf-8")))
