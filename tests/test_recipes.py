"""Every recipe loads, says what it is, and means what MindCV's recipe of that name means."""

import functools
import gzip
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from mindcv.config import Config, load_recipe
from mindcv.config.effects import without_effect
from mindcv.report.pages import read_family

pytestmark = pytest.mark.no_mindspore

CONFIGS = Path(__file__).parents[1] / "configs"
RECIPES = sorted(path for path in CONFIGS.glob("*/*.yaml") if path.name != "results.yaml")
DEVICES = {"ascend": "Ascend", "gpu": "GPU", "cpu": "CPU"}
FAMILIES = sorted({path.parent for path in RECIPES})
# MindCV's recipes as tests/data/upstream/README.md describes them: the name under `configs`, and the keys.
with gzip.open(Path(__file__).parent / "data/upstream/recipes.jsonl.gz", "rt", encoding="utf-8") as _lines:
    UPSTREAM = {recipe.pop("recipe"): recipe for recipe in map(json.loads, _lines)}

# How many of MindCV's recipes carry which key without what it needs.
IN_VAIN = {"color_jitter": 14, "ema_decay": 4, "cutmix": 5, "mixup": 2}

load = functools.cache(lambda path: load_recipe(str(path)))
text_of = functools.cache(lambda path: path.read_text(encoding="utf-8"))
keys_of = functools.cache(lambda path: yaml.safe_load(text_of(path)))
family_of = functools.cache(lambda folder: read_family(folder / "results.yaml"))


def name_of(path: Path) -> str:
    return str(path.relative_to(CONFIGS))


def device_of(path: Path) -> str:
    return path.stem.rpartition("_")[2]


def header_of(path: Path) -> list[str]:
    lines = text_of(path).splitlines()
    return lines[: next(index for index, line in enumerate(lines) if not line.startswith("#"))]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory) -> dict[str, Config]:
    """MindCV's recipes, read as the files that its users have."""
    folder = tmp_path_factory.mktemp("upstream")
    configs = {}
    for name, keys in UPSTREAM.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(keys), encoding="utf-8")
        configs[name] = load_recipe(str(path))
    return configs


def test_all_recipes_of_mindcv_load_unchanged(upstream):
    """A key reaches the configuration with the value that was written, in whatever spelling."""
    assert len(upstream) == 179
    lost = []
    for name, keys in UPSTREAM.items():
        for key, value in keys.items():
            got = getattr(upstream[name], key)
            got = list(got) if isinstance(got, tuple) else got
            same = got == value or str(got).lower() == str(value).lower()
            if not same and isinstance(value, str) and isinstance(got, float):
                same = got == float(value)
            if not same:
                lost.append(f"{name}: {key}: {value!r} became {got!r}")
    assert lost == []


def test_keys_in_vain_in_recipes_of_mindcv(upstream):
    """They are told of, not refused; a key of ours never stands in vain, or the recipe would not have loaded."""
    found = Counter(name for cfg in upstream.values() for name, _ in without_effect(cfg, True))
    assert found == IN_VAIN
    assert not [name for cfg in upstream.values() for name, _ in without_effect(cfg, False)]


def test_all_recipes_of_mindcv_name_a_model_that_exists(upstream):
    from mindcv.models import list_models

    known = set(list_models())
    assert sorted({cfg.model for cfg in upstream.values()} - known) == []


def rounded(figures: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(round(figure, 4) for figure in figures)


def test_mindcvs_weights_are_evaluated_as_its_recipes_do(upstream):
    """MindCV's top-1 is of its recipe's size, crop, interpolation and normalisation, so its weights say those."""
    from mindcv.models import get_pretrained_cfg, list_models

    recipes: dict[str, list[tuple]] = {}
    for cfg in upstream.values():
        evaluation = ((cfg.image_resize,) * 2, cfg.crop_pct, cfg.interpolation, rounded(cfg.mean), rounded(cfg.std))
        recipes.setdefault(cfg.model, []).append(evaluation)
    weights = [name for model in recipes for name in list_models(f"{model}.mindcv*", pretrained=True)]
    assert len(weights) > 150
    odd = []
    for name in weights:
        cfg = get_pretrained_cfg(name)
        got = (cfg.input_size[1:], cfg.crop_pct, cfg.interpolation, rounded(cfg.mean), rounded(cfg.std))
        allowed = recipes[name.partition(".")[0]]
        if got not in allowed:
            odd.append(f"{name}: {got}, its recipes have {allowed}")
    assert odd == []


def test_ours_have_mindcvs_names():
    ours = {name_of(path) for path in RECIPES if device_of(path) != "cpu"}
    assert sorted(set(UPSTREAM) - ours) == []
    assert sorted(ours - set(UPSTREAM)) == []


# Where ours differ from MindCV's by rule: they name their device, a folder for each model and one placeholder for the
# data, and normalise on the device, which MindCV cannot.
DIFFER_BY_RULE = {"config", "device_target", "ckpt_save_dir", "data_dir", "normalize_on_device"}


def test_ours_mean_what_mindcvs_mean(upstream):
    """All keys are equal, but those whose line in the recipe says `# MindCV: <its value>...: <why>`."""
    odd = []
    for name, theirs in upstream.items():
        path = CONFIGS / name
        if not path.is_file():
            continue
        ours = load(path)
        told = dict(re.findall(r"^(\w+): .*  # MindCV: ([\w.]+)\b[^;:]*[;:] .+$", text_of(path), re.MULTILINE))
        differ = {
            key: str(getattr(theirs, key))
            for key in Config.model_fields
            if key not in DIFFER_BY_RULE and getattr(ours, key) != getattr(theirs, key)
        }
        if differ != told:
            odd.append(f"{name}: differs in {differ}, and tells of {told}")
    assert odd == []


def test_recipes_of_mindcv_keep_to_the_rule():
    for path in RECIPES:
        cfg, device = load(path), device_of(path)
        assert cfg.device_target == DEVICES[device], path
        assert cfg.normalize_on_device, path
        assert cfg.dataset_sink_mode == cfg.distribute == (device != "cpu"), path
        assert cfg.ckpt_save_dir == f"./ckpt/{cfg.model}" + ("_digits" if device == "cpu" else ""), path
        if device == "cpu":
            assert (cfg.dataset, cfg.num_classes) == ("digits", 10), path
            assert cfg.warmup_epochs + cfg.decay_epochs == cfg.epoch_size <= 12, path
            assert path.stem == f"{cfg.model}_cpu", path
        else:
            assert (cfg.dataset, cfg.data_dir) == ("imagenet", "/path/to/imagenet"), path


FIGURES = r"top-1 (\d\d\.\d\d)(?:, top-5 (\d\d\.\d\d))?"


def test_header():
    odd = []
    for path in RECIPES:
        title, paper, result = header_of(path)
        where = " digits, on any CPU, " if device_of(path) == "cpu" else " on ImageNet-1K, on "
        by = r"published by \w+ for these hyper-parameters; not yet trained here|measured here \(.+\)"
        if not (
            title.startswith("# ")
            and where in title
            and re.fullmatch(r'# Paper   [^"]+, "[^"]+", https://arxiv\.org/abs/\d{4}\.\d{4,5}', paper)
            and re.fullmatch(rf"# Result  ({FIGURES}.*, ({by})|(none published; )?not yet trained here)", result)
            and paper.endswith(family_of(path.parent)["paper"])
        ):
            odd.append((name_of(path), title, paper, result))
    assert odd == []


def test_the_header_has_the_figures_of_the_results():
    odd = []
    for path in RECIPES:
        rows = [row for row in family_of(path.parent)["results"] if row.get("recipe") == path.name]
        told = re.search(FIGURES, header_of(path)[2])
        pairs = [(f"{row['top1']:.2f}", f"{row['top5']:.2f}" if "top5" in row else None) for row in rows]
        figures = {pair for top1, top5 in pairs for pair in ((top1, top5), (top1, None))}
        models = {row["model"] for row in rows} | {load(path).model}
        if len(models) > 1 or (told.groups() not in figures if told else figures):
            odd.append((name_of(path), told and told[0], figures, models))
    assert odd == []


# What a reader looks for stands in every recipe, whether or not it is the default.
ALWAYS_WRITTEN = {
    *("device_target", "distribute", "dataset", "batch_size", "image_resize", "model", "num_classes", "epoch_size"),
    *("amp_level", "loss", "label_smoothing", "scheduler", "lr", "warmup_epochs", "opt", "weight_decay"),
    "weight_decay_filter",
}
WRITTEN_BY_SCHEDULE = {
    "multi_step_decay": {"multi_step_decay_milestones", "decay_rate"},
    "step_decay": {"decay_epochs", "decay_rate"},
    "cosine_decay": {"min_lr", "decay_epochs"},
    "warmup_cosine_decay": {"min_lr", "decay_epochs"},
}


def test_keys_that_equal_the_default_are_left_out():
    default, odd = Config(), []
    for path in RECIPES:
        keys, cfg = keys_of(path), load(path)
        wanted = ALWAYS_WRITTEN | WRITTEN_BY_SCHEDULE[cfg.scheduler]
        needless = set(keys) - wanted - {"momentum"}
        needless = [key for key in sorted(needless) if getattr(cfg, key) == getattr(default, key)]
        if wanted - set(keys) or needless:
            odd.append(f"{name_of(path)}: lacks {wanted - set(keys)}, needs no {needless}")
    assert odd == []


def test_no_recipe_is_a_copy_of_another():
    trainings: dict[str, list[str]] = {}
    for path in RECIPES:
        keys = load(path).model_dump(exclude={"config", "ckpt_save_dir"}, mode="json")
        trainings.setdefault(json.dumps(keys, sort_keys=True), []).append(name_of(path))
    assert [names for names in trainings.values() if len(names) > 1] == []


def test_a_model_has_one_recipe_for_a_device():
    """`find_recipe("resnet50_ascend")` has one answer."""
    pairs = [(load(path).model, device_of(path)) for path in RECIPES]
    assert sorted({pair for pair in pairs if pairs.count(pair) > 1}) == []


def test_one_cpu_recipe_a_family_for_its_smallest_member():
    from mindcv.models import get_pretrained_cfg, list_models

    for folder in FAMILIES:
        small = [load(path).model for path in folder.glob("*_cpu.yaml")]
        sizes = {name: get_pretrained_cfg(name).params_m for name in list_models(family_of(folder)["models"])}
        assert small == [min(sizes, key=sizes.__getitem__)], folder.name


def test_family_page_has_the_commands():
    for folder in FAMILIES:
        page = text_of(folder / "README.md")
        used = re.findall(r"(?:train|validate)\.py -c(?:onfig)? (configs/\S+\.yaml)|--config (configs/\S+\.yaml)", page)
        recipes = {name for pair in used for name in pair if name}
        assert {device_of(Path(name)) for name in recipes} == {
            device_of(path) for path in folder.glob("*_[ac][sp]*.yaml")
        }
        assert [name for name in recipes if not (CONFIGS.parent / name).is_file()] == []


def test_recipes_are_of_models_that_exist():
    from mindcv.models import list_models

    known = {folder: list_models(family_of(folder)["models"]) for folder in FAMILIES}
    odd = [name_of(path) for path in RECIPES if load(path).model not in known[path.parent]]
    assert not odd, f"the model of {', '.join(odd)} is none of its family's"


def test_no_key_twice():
    for path in RECIPES:
        keys = [line.split(":")[0] for line in text_of(path).splitlines() if line[:1].isalpha()]
        assert len(keys) == len(set(keys)) == len(keys_of(path)), path
