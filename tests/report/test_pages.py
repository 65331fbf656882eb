"""The generated parts of the families' pages: what is in them, staleness, and wrong entries."""

import copy
from pathlib import Path

import pytest
import yaml

from mindcv.models import get_pretrained_cfg, list_models
from mindcv.report import pages

ROOT = Path(__file__).parents[2]
FAMILIES = sorted((ROOT / "configs").glob("*/results.yaml"))

DATA = {
    "title": "Net",
    "paper": "https://arxiv.org/abs/0000.00000",
    "models": ["resnet18", "resnet50"],
    "sources": {
        "them": {"publisher": "Them", "url": "https://a.b/c", "setup": "8 x X", "dataset": "D", "measured_here": False},
        "us": {"publisher": "log", "url": "../log", "setup": "2 cores", "dataset": "digits", "measured_here": True},
    },
    "results": [
        {
            "source": "them",
            "weights": "resnet50.mindcv_in1k",
            "graph_compile_s": 49,
            "recipe": "resnet50_ascend.yaml",
        },
        {"source": "us", "model": "resnet18", "params_m": 11.18, "resolution": "32x32", "top1": 97.5},
    ],
}
PARTS = ("models", "commands", "results")


def markers(*parts: str) -> str:
    return "".join(f"{pages.begin_marker(part)}\nold\n{pages.end_marker(part)}\n" for part in parts)


@pytest.fixture
def family(tmp_path):
    """A repository with a README, and a folder `configs/net` with a page, recipes and the figures above."""
    folder = tmp_path / "configs" / "net"
    folder.mkdir(parents=True)
    (folder / "resnet50_ascend.yaml").write_text("model: resnet50\n")
    (folder / "resnet18_cpu.yaml").write_text("model: resnet18\nckpt_save_dir: ./ckpt/r\n")
    (folder / "README.md").write_text(f"# Net\n{markers(*PARTS)}after\n")
    (tmp_path / "README.md").write_text(f"# All\n{markers('families')}the end\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "models.md").write_text(f"# Models\n{markers('all models')}")
    (tmp_path / "docs" / "weights.md").write_text(f"# Weights\n{markers('sources')}")
    write(folder, DATA)
    return folder


def write(folder: Path, data: object) -> None:
    (folder / "results.yaml").write_text(yaml.safe_dump(data, sort_keys=False))


def run(folder: Path, *args: str) -> None:
    pages.main([*args, "--root", str(folder.parents[1])])


def test_pages_of_the_repository_are_fresh():
    pages.main(["--check", "--root", str(ROOT)])


@pytest.mark.parametrize("path", FAMILIES, ids=lambda path: path.parent.name)
def test_every_row_of_the_repository_has_a_source(path):
    data = pages.read_family(path)
    assert {row["source"] for row in data["results"]} == set(data["sources"])


def test_every_model_is_of_one_family():
    names = [name for path in FAMILIES for name in list_models(pages.read_family(path)["models"])]
    assert sorted(names) == sorted(list_models()), "python -m mindcv.report.pages reads the families' results.yaml"


def test_generated_parts(family):
    run(family)
    lines = (family / "README.md").read_text().splitlines()
    assert lines[0] == "# Net"
    assert lines[-2:] == [pages.end_marker("results"), "after"]
    assert "old" not in lines
    assert "**Published by [Them](https://a.b/c), not measured here**: 8 x X, D." in lines
    assert "**Measured here, [log](../log)**: 2 cores, digits." in lines
    url = get_pretrained_cfg("resnet50.mindcv_in1k").url
    links = f"[yaml](resnet50_ascend.yaml) | [weights]({url})"
    assert f"| resnet50 | 25.56 | - | - | 224x224 | - | 49s | - | - | 76.69 | 93.50 | {links} |" in lines
    assert "| resnet18 | 11.18 | - | - | 32x32 | - | - | - | - | 97.50 | - | - | - |" in lines
    count = len(list_models("resnet18.*", pretrained=True))
    assert count > 5
    row = f"| `resnet18` | 11.69 | 224x224 | 70.21 | `mindcv_in1k` | {count} | [cpu](resnet18_cpu.yaml) |"
    assert row in lines
    assert "python validate.py -c configs/net/resnet18_cpu.yaml --ckpt_path ./ckpt/r/resnet18_best.ckpt" in lines
    assert [line for line in lines if line.startswith("msrun ")] == [
        "msrun --bind_core=True --worker_num 8 python train.py --config configs/net/resnet50_ascend.yaml "
        "--data_dir /path/to/imagenet"
    ]
    readme = (family.parents[1] / "README.md").read_text()
    page = "[configs/net](configs/net/README.md)"
    row = f"| [Net](https://arxiv.org/abs/0000.00000) | 2 | `resnet18` (11.7 M) | `resnet50` (25.6 M) | {page} |"
    assert row in readme.splitlines()
    lines = (family.parents[1] / "docs" / "models.md").read_text().splitlines()
    assert "### Net" in lines
    assert f"| `resnet18` | 11.7M | 1.81G | 224 | 73.16 | a1_in1k | {count} |" in lines
    sources = [
        get_pretrained_cfg(name).source for net in (18, 50) for name in list_models(f"resnet{net}.*", pretrained=True)
    ]
    counts = [
        sum(source.startswith(publisher) for source in sources) for publisher in ("MindCV", "timm", "torchvision")
    ]
    assert min(counts) > 1
    lines = (family.parents[1] / "docs" / "weights.md").read_text().splitlines()
    assert "| family | MindCV | timm | torchvision | licences |" in lines
    assert "| Net | " + " | ".join(map(str, counts)) + " | Apache-2.0, BSD-3-Clause, CC-BY-NC-4.0 |" in lines
    run(family, "--check")


def test_check_names_the_stale_pages_and_changes_nothing(family):
    before = (family / "README.md").read_text()
    with pytest.raises(
        SystemExit, match=r"^stale: .*net/README.md, .*/README.md, .*; run: python -m mindcv.report.pages$"
    ):
        run(family, "--check")
    assert (family / "README.md").read_text() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["results"][0].update(tp5=1), "unknown key 'tp5'; did you mean 'top5'"),
        (lambda data: data["results"][1].pop("source"), "unknown source 'None'"),
        (lambda data: data["results"][1].update(source="thm"), "unknown source 'thm'; did you mean 'them'"),
        (lambda data: data["results"][0].update(recipe="net5.yaml"), "there is no recipe .*net5.yaml"),
        (lambda data: data["results"][0].update(top1=76.69), "top1: the weights' own facts say that"),
        (lambda data: data["results"][0].update(model="resnet50"), "either 'weights' .* or 'model'"),
        (lambda data: data["results"][1].pop("model"), "either 'weights' .* or 'model'"),
        (lambda data: data["results"][1].update(model="resnet34"), "resnet34 is no model that matches"),
        (lambda data: data["results"][0].update(weights="resnet50.mindcv"), "unknown weights 'resnet50.mindcv'"),
        (lambda data: data.update(models="resnot*"), r"no model's name matches 'resnot\*'"),
        (lambda data: data["sources"]["us"].pop("setup"), "source 'us' has the keys"),
        (lambda data: data.pop("sources"), "it needs these keys and no others: title, paper"),
    ],
)
def test_wrong_entries(family, change, message):
    data = copy.deepcopy(DATA)
    change(data)
    write(family, data)
    with pytest.raises(ValueError, match=message):
        run(family)


@pytest.mark.parametrize("text", ["# Net\n", f"{pages.end_marker('models')}\n{pages.begin_marker('models')}\n"])
def test_page_without_markers(family, text):
    (family / "README.md").write_text(text)
    with pytest.raises(ValueError, match=r"README.md: it needs each of these two lines once, in this order"):
        run(family)


def test_no_figures(tmp_path):
    with pytest.raises(ValueError, match=r"no results\.yaml under"):
        pages.main(["--root", str(tmp_path)])
