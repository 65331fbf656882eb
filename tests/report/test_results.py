"""The families' result tables: rendering, staleness, and wrong entries."""

import copy
from pathlib import Path

import pytest
import yaml

from mindcv.report import results

pytestmark = pytest.mark.no_mindspore

CONFIGS = Path(__file__).parents[2] / "configs"

DATA = {
    "sources": {
        "them": {"publisher": "Them", "url": "https://a.b/c", "setup": "8 x X", "dataset": "D", "measured_here": False},
        "us": {"publisher": "log", "url": "../log", "setup": "2 cores", "dataset": "digits", "measured_here": True},
    },
    "results": [
        {
            "source": "them",
            "model": "net50",
            "params_m": 25.1,
            "graph_compile_s": 49,
            "top1": 78.5,
            "recipe": "net50.yaml",
        },
        {"source": "us", "model": "net50", "top1": 97.5},
    ],
}


@pytest.fixture
def family(tmp_path):
    """A folder `configs/net` with a page, a recipe and the figures above."""
    folder = tmp_path / "configs" / "net"
    folder.mkdir(parents=True)
    (folder / "net50.yaml").write_text("model: net50\n")
    (folder / "README.md").write_text(f"# Net\n{results.BEGIN}\nold\n{results.END}\nafter\n")
    write(folder, DATA)
    return folder


def write(folder: Path, data: object) -> None:
    (folder / "results.yaml").write_text(yaml.safe_dump(data, sort_keys=False))


def run(folder: Path, *args: str) -> None:
    results.main([*args, "--configs", str(folder.parent)])


def test_tables_of_the_repository_are_fresh():
    results.main(["--check", "--configs", str(CONFIGS)])


def test_every_row_of_the_repository_has_a_source():
    for path in CONFIGS.glob("*/results.yaml"):
        data = results.read_results(path)
        assert {row["source"] for row in data["results"]} == set(data["sources"])


def test_rendered_page(family):
    run(family)
    lines = (family / "README.md").read_text().splitlines()
    assert lines[0] == "# Net"
    assert lines[-2:] == [results.END, "after"]
    assert "**Published by [Them](https://a.b/c), not measured here**: 8 x X, D." in lines
    assert "**Measured here, [log](../log)**: 2 cores, digits." in lines
    assert "| net50 | 25.10 | - | - | - | - | 49s | - | - | 78.50 | - | [yaml](net50.yaml) | - |" in lines
    run(family, "--check")


def test_check_names_the_stale_page_and_changes_nothing(family):
    before = (family / "README.md").read_text()
    with pytest.raises(SystemExit, match=r"^stale: .*net/README.md; run: python -m mindcv.report.results$"):
        run(family, "--check")
    assert (family / "README.md").read_text() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["results"][0].update(tp1=1), "unknown key 'tp1'; did you mean 'top1'"),
        (lambda data: data["results"][1].pop("source"), "the key 'source' is missing"),
        (lambda data: data["results"][1].update(source="thm"), "unknown source 'thm'; did you mean 'them'"),
        (lambda data: data["results"][0].update(recipe="net5.yaml"), "there is no recipe .*net5.yaml"),
        (lambda data: data["sources"]["us"].pop("setup"), "source 'us' has the keys"),
        (lambda data: data.pop("sources"), "it needs the two keys"),
    ],
)
def test_wrong_entries(family, change, message):
    data = copy.deepcopy(DATA)
    change(data)
    write(family, data)
    with pytest.raises(ValueError, match=message):
        run(family)


def test_page_without_markers(family):
    (family / "README.md").write_text("# Net\n")
    with pytest.raises(ValueError, match=r"README.md: it needs each of these two lines once"):
        run(family)


def test_no_figures(tmp_path):
    with pytest.raises(ValueError, match=r"no results\.yaml under"):
        results.main(["--configs", str(tmp_path)])
