"""Images by a CSV or TSV list of paths and labels, one label a sample or several."""

import csv
import io
import os
import re
from pathlib import Path

import numpy as np

from ...utils.registry import suggest
from ..images.image_formats import LeftOut, has_hidden_part, is_hidden
from .folders import check_folder, listing, read_class_names
from .labels import class_index, index_by_name, is_whole
from .samples import FileSamples, StringArray

__all__ = ["find_listed", "read_class_names"]

_PATH_COLUMNS = ("path", "image", "file", "filename", "image_path")
_LABEL_COLUMNS = ("label", "class", "target")
_LABELS_COLUMNS = ("labels", "classes", "tags", "targets")
_SEPARATORS = ";|"
# How far the sum of a soft label may be from 1.
_ROUNDING = 0.01
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf)", re.ASCII | re.IGNORECASE)


def find_listed(root: str, split: str) -> FileSamples:
    """Reads `root/<split>.csv` or `.tsv`, whose first line names the columns.

    The first column is the path of an image, absolute or from `root`. Labels are one of

    * `label` (or class, target): one a sample;
    * `labels` (or classes, tags, targets): several, separated by `;` or `|`, or none;
    * a column for each class, of zeros and ones;
    * soft: a column for each class with its probability, named `p:cat`, `p:dog` ... or `p0`, `p1` ... by index. A row
      sums to 1, up to 0.01 of rounding that is evened out.

    Labels that are all whole numbers are taken as they are, names are numbered in sorted order. `class_names.txt`
    beside the list, one name a line, fixes the indices of names, also for a split in which not all occur. Lines whose
    path is hidden (`._0.png`, `.cache/0.png`) are left out; what has an unusual ending is read all the same.

    Raises:
        FileNotFoundError: There is no list.
        ValueError: A line is not as it should be; the message has its number.
    """
    folder = check_folder(root, "csv")
    path = _list_path(folder, split)
    header, lines = _rows(path)
    if len(header) < 2 or header[0].lower() not in _PATH_COLUMNS:
        raise ValueError(
            f"{path}: the first line must name the columns, first one of {', '.join(_PATH_COLUMNS)}, then the labels; "
            f"got {', '.join(header) or 'nothing'}"
        )
    if not lines:
        raise ValueError(f"{path} lists no images")
    for line, row in lines:
        if len(row) != len(header):
            raise ValueError(f"{path}, line {line}: {len(row)} columns in place of {len(header)}")
    left_out = LeftOut()
    for line, row in lines:
        if _is_hidden_path(row[0]):
            left_out.add("hidden", f"{path}, line {line}: {row[0]}")
    lines = [(line, row) for line, row in lines if not _is_hidden_path(row[0])]
    if not lines:
        raise ValueError(f"{path} lists no images. Left out: {left_out}")
    known = read_class_names(folder)
    column = header[1].lower()
    names: list[str] | None
    soft = _soft_names(path, header[1:], known)
    if soft is not None:
        labels, (names, num_classes) = _probabilities(path, header[1:], lines), soft
    elif len(header) > 2 or column not in (*_LABEL_COLUMNS, *_LABELS_COLUMNS):
        names, num_classes = header[1:], len(header) - 1
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(
                f"{path}: the first line names the column {twice!r} more than once; give each its own name"
            )
        labels = _one_column_each(path, names, lines)
    elif column in _LABEL_COLUMNS:
        indices, names, num_classes = _indexed(path, [(line, [row[1]]) for line, row in lines], known)
        labels = np.array([own[0] for own in indices], np.int32)
    else:
        cells = [(line, _separated(row[1])) for line, row in lines]
        indices, names, num_classes = _indexed(path, cells, known)
        labels = np.zeros((len(lines), num_classes), np.float32)
        for index, own in enumerate(indices):
            labels[index, own] = 1.0
    samples = FileSamples(folder, StringArray.of([row[0] for _, row in lines]), labels, num_classes, names)
    samples.left_out = left_out
    samples.is_soft = soft is not None
    return samples


def _rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The names of the columns, and the cells of each line that is not empty, with the number of the line."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: the byte 0x{data[error.start]:02x} there is not UTF-8; save the list as UTF-8"
        ) from error
    rows = csv.reader(io.StringIO(text, newline=""), delimiter="\t" if path.suffix == ".tsv" else ",")
    try:
        header = [name.strip() for name in next(rows, [])]
        return header, [(rows.line_num, [cell.strip() for cell in row]) for row in rows if any(row)]
    except csv.Error as error:
        raise ValueError(f"{path}, line {rows.line_num}: {error}") from error


def _is_hidden_path(path: str) -> bool:
    """Of an absolute path only the file's own name counts, since data may lie in somebody's `.cache`."""
    return is_hidden(os.path.basename(path)) if os.path.isabs(path) else has_hidden_part(path)


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


def _separated(cell: str) -> list[str]:
    for separator in _SEPARATORS[1:]:
        cell = cell.replace(separator, _SEPARATORS[0])
    return [part.strip() for part in cell.split(_SEPARATORS[0]) if part.strip()]


def _indexed(
    path: Path, cells: list[tuple[int, list[str]]], known: list[str] | None
) -> tuple[list[list[int]], list[str] | None, int]:
    """Indices of the labels of each line, the names by index where there are any, and how many classes there are."""
    seen = {label for _, labels in cells for label in labels}
    names = known
    if known is None and not all(is_whole(label) for label in seen):
        names = sorted(seen)
        for line, labels in cells:
            for label in labels:
                # One that looks like a number, such as 1.0 or -1, is no name, unless class_names.txt says so.
                if not label or (_NUMBER.fullmatch(label) and not is_whole(label)):
                    class_index(label, None, f"{path}, line {line}")
    index_of = None if names is None else index_by_name(names, path.with_name("class_names.txt"))
    # Where a number is the name of a class, all labels are names.
    has_number_names = names is not None and any(is_whole(name) for name in names)

    def index_of_label(label: str, line: int) -> int:
        if index_of is not None and (label in index_of or has_number_names):
            if label not in index_of:
                hint = suggest(label, list(index_of))
                raise ValueError(f"{path}, line {line}: the label {label!r} is not in class_names.txt{hint}")
            return index_of[label]
        return class_index(label, index_of, f"{path}, line {line}")

    indices = [[index_of_label(label, line) for label in labels] for line, labels in cells]
    if names is not None:
        return indices, names, len(names)
    return indices, None, max((index for own in indices for index in own), default=0) + 1


def _one_column_each(path: Path, names: list[str], lines: list[tuple[int, list[str]]]) -> np.ndarray:
    labels = np.zeros((len(lines), len(names)), np.float32)
    for index, (line, row) in enumerate(lines):
        for column, cell in enumerate(row[1:]):
            if cell not in ("0", "1"):
                raise ValueError(
                    f"{path}, line {line}: column {names[column]!r} is {cell!r}; allowed are 0 and 1 (probabilities "
                    f"have columns named p:{names[column]} or p0, p1 ...)"
                )
            labels[index, column] = float(cell)
    return labels


def _soft_names(path: Path, columns: list[str], known: list[str] | None) -> tuple[list[str] | None, int] | None:
    """Names of the classes, where there are any, and how many, when columns are of soft labels; else None."""
    if all(column.startswith("p:") for column in columns):
        names = [column.removeprefix("p:").strip() for column in columns]
        twice = next((name for name in names if not name or names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{path}: each class needs a name of its own; the first line has p:{twice} twice or empty")
        return names, len(names)
    if columns == [f"p{index}" for index in range(len(columns))]:
        if known is not None and len(known) != len(columns):
            raise ValueError(f"{path}: {len(columns)} columns of probabilities, but class_names.txt has {len(known)}")
        return known, len(columns)
    return None


def _probabilities(path: Path, columns: list[str], lines: list[tuple[int, list[str]]]) -> np.ndarray:
    labels = np.zeros((len(lines), len(columns)), np.float64)
    for index, (line, row) in enumerate(lines):
        for column, cell in enumerate(row[1:]):
            value = float(cell) if _NUMBER.fullmatch(cell) else np.nan
            if not 0 <= value <= 1:
                raise ValueError(
                    f"{path}, line {line}: column {columns[column]!r} is {cell!r}; allowed are numbers from 0 to 1"
                )
            labels[index, column] = value
        total = labels[index].sum()
        if abs(total - 1) > _ROUNDING:
            raise ValueError(f"{path}, line {line}: the probabilities sum to {total:.4g}; a soft label sums to 1")
    return (labels / labels.sum(1, keepdims=True)).astype(np.float32)
