"""Writes the result tables of the families' pages: `python -m mindcv.report.results [--check]`.

`configs/<family>/results.yaml` holds the figures as data: `sources` says who measured and on what, `results`
has a row per model and source. The tables stand in `configs/<family>/README.md` between two markers, one table
per source; a figure that the source does not give is a dash.
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from mindcv.utils.fs import atomic_write
from mindcv.utils.registry import unknown_name_message

_logger = logging.getLogger(__name__)

BEGIN = "<!-- results: begin (generated from results.yaml by python -m mindcv.report.results) -->"
END = "<!-- results: end -->"

SOURCE_KEYS = ("publisher", "url", "setup", "dataset", "measured_here")
# key of a row, title of its column, how it is written
COLUMNS = (
    ("model", "model name", "{}"),
    ("params_m", "params(M)", "{:.2f}"),
    ("cards", "cards", "{}"),
    ("batch_size", "batch size", "{}"),
    ("resolution", "resolution", "{}"),
    ("jit_level", "jit level", "{}"),
    ("graph_compile_s", "graph compile", "{}s"),
    ("ms_per_step", "ms/step", "{:.2f}"),
    ("img_per_s", "img/s", "{:.2f}"),
    ("top1", "acc@top1", "{:.2f}"),
    ("top5", "acc@top5", "{:.2f}"),
    ("recipe", "recipe", "[yaml]({})"),
    ("weight", "weight", "[weights]({})"),
)
ROW_KEYS = ("source", *(key for key, _, _ in COLUMNS))


def read_results(path: Path) -> dict[str, Any]:
    """Reads one `results.yaml`; every row must have known keys only, a model, a known source and a recipe that exists.

    Raises:
        ValueError: Something is wrong with it; the message has the file and the row.
    """
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or set(data) != {"sources", "results"}:
        raise ValueError(f"{path}: it needs the two keys 'sources' and 'results'")
    for name, source in data["sources"].items():
        if set(source) != set(SOURCE_KEYS):
            raise ValueError(f"{path}: source {name!r} has the keys {sorted(source)}; it needs {sorted(SOURCE_KEYS)}")
    for number, row in enumerate(data["results"], start=1):
        where = f"{path}: result {number} ({row.get('model', 'without a model')})"
        for key in row:
            if key not in ROW_KEYS:
                raise ValueError(f"{where}: {unknown_name_message('key', key, ROW_KEYS)}")
        for key in ("model", "source"):
            if key not in row:
                raise ValueError(f"{where}: the key {key!r} is missing")
        if row["source"] not in data["sources"]:
            raise ValueError(f"{where}: {unknown_name_message('source', row['source'], data['sources'])}")
        if "recipe" in row and not (path.parent / row["recipe"]).is_file():
            raise ValueError(f"{where}: there is no recipe {path.parent / row['recipe']}")
    return data


def render_results(data: dict[str, Any]) -> str:
    """Returns the Markdown of one family: a heading line and a table per source that has rows."""
    parts = []
    for name, source in data["sources"].items():
        rows = [row for row in data["results"] if row["source"] == name]
        if not rows:
            continue
        publisher = f"[{source['publisher']}]({source['url']})"
        measured_here = source["measured_here"]
        origin = f"Measured here, {publisher}" if measured_here else f"Published by {publisher}, not measured here"
        parts += [f"**{origin}**: {source['setup']}, {source['dataset']}.", render_table(rows)]
    return "\n\n".join(parts)


def render_table(rows: Sequence[dict[str, Any]], missing: Mapping[str, str] = MappingProxyType({})) -> str:
    """Returns a Markdown table with a line for each row.

    Args:
        rows: Figures by the keys of `COLUMNS`.
        missing: What stands where a row has no figure, by key; a dash for other keys.
    """
    lines = [[title for _, title, _ in COLUMNS], ["---"] * len(COLUMNS)]
    lines += [
        [form.format(row[key]) if key in row else missing.get(key, "-") for key, _, form in COLUMNS] for row in rows
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def render_page(folder: Path) -> str:
    """Returns a family's README with its tables renewed.

    Raises:
        ValueError: The page lacks the two markers.
    """
    page = folder / "README.md"
    text = page.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page}: it needs each of these two lines once: {BEGIN!r} and {END!r}")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n\n{render_results(read_results(folder / 'results.yaml'))}\n\n{END}{after}"


def main(args: Sequence[str] | None = None) -> None:
    """Writes all families' tables, or with `--check` only says which are stale.

    Raises:
        SystemExit: With `--check`, some page is stale.
    """
    parser = argparse.ArgumentParser(
        prog="python -m mindcv.report.results", description="Writes the families' result tables."
    )
    parser.add_argument("--check", action="store_true", help="change nothing; fail when a page is stale")
    parser.add_argument("--configs", type=Path, default=Path("configs"), help="the recipes' folder (default: configs)")
    options = parser.parse_args(args)

    folders = sorted(path.parent for path in options.configs.glob("*/results.yaml"))
    if not folders:
        raise ValueError(f"no results.yaml under {options.configs.absolute()}; name the recipes' folder with --configs")
    pages = {folder / "README.md": render_page(folder) for folder in folders}
    stale = [page for page, text in pages.items() if page.read_text(encoding="utf-8") != text]
    if options.check and stale:
        raise SystemExit(f"stale: {', '.join(map(str, stale))}; run: python -m mindcv.report.results")
    for page in stale:
        with atomic_write(page, "w") as file:
            file.write(pages[page])
        _logger.info("wrote %s", page)


if __name__ == "__main__":
    main()
