"""Images by a CSV or TSV list of paths and labels, one label a sample or several."""

import csv
from pathlib import Path

import numpy as np

from ..utils.registry import suggest
from ..utils.text import names_in
from .image_folder import check_folder, listing
from .samples import FileSamples, Names

__all__ = ["find_listed", "read_class_names"]

_PATH_COLUMNS = ("path", "image", "file", "filename", "image_path")
_LABEL_COLUMNS = ("label", "class", "target")
_LABELS_COLUMNS = ("labels", "classes", "tags", "targets")
_SEPARATORS = ";|"


def find_listed(root: str, split: str) -> FileSamples:
    """Reads `root/<split>.csv` or `.tsv`, whose first line names the columns.

    The first column is the path of an image, absolute or from `root`. Labels are one of

    * `label` (or class, target): one a sample;
    * `labels` (or classes, tags, targets): several, separated by `;` or `|`, or none;
    * a column for each class, of zeros and ones.

    Labels that are all whole numbers are taken as they are, names are numbered in sorted order. `class_names.txt`
    beside the list, one name a line, fixes the numbers of names, also for a split in which not all occur.

    Raises:
        FileNotFoundError: There is no list.
        ValueError: A line is not as it should be; the message has its number.
    """
    folder = check_folder(root, "csv")
    path = _list_path(folder, split)
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        header = [name.strip() for name in next(rows, [])]
        lines = [(number, [cell.strip() for cell in row]) for number, row in enumerate(rows, 2) if any(row)]
    if len(header) < 2 or header[0].lower() not in _PATH_COLUMNS:
        raise ValueError(
            f"{path}: the first line must name the columns, first one of {', '.join(_PATH_COLUMNS)}, then the labels; "
            f"got {', '.join(header) or 'nothing'}"
        )
    if not lines:
        raise ValueError(f"{path} lists no images")
    for number, row in lines:
        if len(row) != len(header):
            raise ValueError(f"{path}, line {number}: {len(row)} columns in place of {len(header)}")
    known = read_class_names(folder)
    kind = header[1].lower()
    if len(header) > 2 or kind not in (*_LABEL_COLUMNS, *_LABELS_COLUMNS):
        labels, names = _one_column_each(path, header[1:], lines), header[1:]
    elif kind in _LABEL_COLUMNS:
        numbers, names = _numbered(path, [(number, [row[1]]) for number, row in lines], known)
        labels = np.array([own[0] for own in numbers], np.int32)
    else:
        cells = [(number, _separated(row[1])) for number, row in lines]
        numbers, names = _numbered(path, cells, known)
        labels = np.zeros((len(lines), len(names)), np.float32)
        for row_number, own in enumerate(numbers):
            labels[row_number, own] = 1.0
    paths = [row[0] for _, row in lines]
    is_plain = all(name.isdigit() for name in names)
    return FileSamples(folder, Names.of(paths), labels, len(names), None if is_plain else list(names))


def _list_path(folder: Path, split: str) -> Path:
    for suffix in (".csv", ".tsv"):
        path = folder / f"{split}{suffix}"
        if path.is_file():
            return path
    there = sorted(path.stem for path in folder.iterdir() if path.suffix in (".csv", ".tsv"))
    raise FileNotFoundError(
        f"split {split!r}: there is no list {folder / split}.csv or .tsv{suggest(split, there) or '.'} "
        f"Lists there: {listing(there) or 'none'}"
    )


def read_class_names(folder: Path) -> list[str] | None:
    """Names of `class_names.txt`, one a line; None when there is no such file."""
    path = folder / "class_names.txt"
    if not path.is_file():
        return None
    return names_in(path.read_bytes())


def _separated(cell: str) -> list[str]:
    for separator in _SEPARATORS[1:]:
        cell = cell.replace(separator, _SEPARATORS[0])
    return [part.strip() for part in cell.split(_SEPARATORS[0]) if part.strip()]


def _numbered(
    path: Path, cells: list[tuple[int, list[str]]], known: list[str] | None
) -> tuple[list[list[int]], list[str]]:
    """Numbers of the labels of each line, and the names by number."""
    seen = {label for _, labels in cells for label in labels}
    if known is None and all(label.isdigit() for label in seen):
        names = [str(number) for number in range(max((int(label) for label in seen), default=0) + 1)]
    else:
        names = known if known is not None else sorted(seen)
    number_of = {name: number for number, name in enumerate(names)}
    for number, labels in cells:
        unknown = next((label for label in labels if label not in number_of), None)
        if unknown is not None:
            raise ValueError(
                f"{path}, line {number}: the label {unknown!r} is not in class_names.txt{suggest(unknown, names)}"
            )
    return [[number_of[label] for label in labels] for _, labels in cells], names


def _one_column_each(path: Path, names: list[str], lines: list[tuple[int, list[str]]]) -> np.ndarray:
    labels = np.zeros((len(lines), len(names)), np.float32)
    for place, (number, row) in enumerate(lines):
        for column, cell in enumerate(row[1:]):
            if cell not in ("0", "1"):
                raise ValueError(f"{path}, line {number}: column {names[column]!r} is {cell!r}; allowed are 0 and 1")
            labels[place, column] = float(cell)
    return labels
