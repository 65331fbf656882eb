"""Charts as SVG for the report's page, whose colours come from the page, so that they follow its light or dark mode."""

import contextlib
import dataclasses
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .run import Series

__all__ = ["NUM_COLORS", "Line", "confusion_chart", "line_chart", "overview_chart", "reliability_chart"]

NUM_COLORS = 8
# Stand-ins that the page's colours are put in place of.
INK, MUTED, RULE = "#010101", "#020202", "#030303"
_VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule"}
_COLORS = [f"#0a0a0{index}" for index in range(NUM_COLORS)]
_VARIABLES |= {color: f"--series-{index}" for index, color in enumerate(_COLORS)}
_DASHES = ("-", "--", ":", "-.")
# What is right and what is wrong, (R, G, B) from 0 to 1; seen on white and on black.
_RIGHT, _WRONG = (0.23, 0.51, 0.96), (0.93, 0.36, 0.05)
_STRONGEST = 0.85
_WEAKEST_ERROR = 0.2
_MOST_POINTS = 400
_MOST_CELLS = 160
_LONGEST_LABEL = 22
_STYLE: dict[str, Any] = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "mindcv",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "lines.solid_capstyle": "round",
}


@dataclasses.dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        label: What stands beside its end; empty: nothing.
        series: Its points.
        color: Number of its colour, from 0; they repeat, with other dashes.
        is_faint: Drawn thin, as what others are compared with.
        has_points: Whether each point is marked.
    """

    label: str
    series: Series
    color: int = 0
    is_faint: bool = False
    has_points: bool = False


@contextlib.contextmanager
def _figure(width: float, height: float) -> Iterator[Any]:
    """Gives a figure of so many inches, in the page's style."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the page's fonts are used, not matplotlib's
        yield Figure(figsize=(width, height), layout="constrained")


def _svg(figure: Any, title: str) -> str:
    """Returns a figure as SVG for the inside of a page."""
    from markupsafe import escape

    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    size = re.search(r'viewBox="[^"]+"', text)
    body = text[text.index(">") + 1 :]
    head = f'<svg class="chart" role="img" aria-label="{escape(title)}" {size[0] if size else ""}>'
    return head + re.sub(r"<[^<>]*>", _with_page_colors, body)


def _with_page_colors(tag: re.Match[str]) -> str:
    """Only inside a tag, where no text is."""
    return re.sub(r"#0[0-9a]0[0-9a]0\d", lambda found: f"var({_VARIABLES.get(found[0], '--ink')})", tag[0])


def short(label: str, longest: int = _LONGEST_LABEL) -> str:
    """A label that has room; its end is kept too, which often is what tells it from others."""
    if len(label) <= longest:
        return label
    tail = longest // 3
    return f"{label[: longest - tail - 1]}…{label[-tail:]}"


def thinned(series: Series) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns x and the mean, least and largest y of at most 400 runs of neighbouring points."""
    count = len(series)
    starts = np.unique(np.linspace(0, count, min(count, _MOST_POINTS), endpoint=False).astype(int))
    sizes = np.diff(np.append(starts, count))
    x, y = series.x, series.y
    means = [np.add.reduceat(values, starts) / sizes for values in (x, y)]
    return means[0], means[1], np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)


def line_chart(title: str, lines: Sequence[Line], x_label: str = "epoch", unit: str = "") -> str:
    """Returns curves over the epochs, each with its label at its end; empty when there is no point.

    Args:
        title: What it shows, for those who cannot see it.
        lines: The curves.
        x_label: What x is.
        unit: `%` for shares, else what stands beside the y axis.
    """
    lines = [line for line in lines if len(line.series)]
    if not lines:
        return ""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    with _figure(5.6, 3.0) as figure:
        axes = figure.add_subplot()
        ends = []
        for line in lines:
            x, y, low, high = thinned(line.series)
            color = _COLORS[line.color % NUM_COLORS]
            dash = _DASHES[line.color // NUM_COLORS % len(_DASHES)]
            if len(line.series) > _MOST_POINTS and len(lines) <= 3:
                axes.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)
            marker = "o" if (line.has_points and len(x) <= 40) or len(x) == 1 else ""
            width, alpha = (1.0, 0.55) if line.is_faint else (1.8, 1.0)
            axes.plot(x, y, dash, color=color, linewidth=width, alpha=alpha, marker=marker, markersize=3.5)
            ends.append((line.label, x[-1], y[-1], color))
        axes.grid(axis="y")
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=max(x for _, x, _, _ in ends) > 3))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(x=0.02, y=0.08)
        if unit == "%":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        elif unit:
            axes.set_ylabel(unit)
        _label_ends(axes, ends)
        return _svg(figure, title)


def _label_ends(axes: Any, ends: Sequence[tuple[str, float, float, str]]) -> None:
    """Writes labels beside the ends of the curves, moved apart where they would lie on each other."""
    low, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    gap = (high - low) * 0.075
    placed: list[float] = []
    labelled = sorted((end for end in ends if end[0]), key=lambda end: end[2])
    for _, _, y, _ in labelled:
        placed.append(max(y, placed[-1] + gap) if placed else y)
    # What has grown over the top is moved down again.
    limit = high
    for index in range(len(placed) - 1, -1, -1):
        placed[index] = min(placed[index], limit)
        limit = placed[index] - gap
    for (label, _, _, color), y in zip(labelled, placed, strict=True):
        axes.annotate(
            short(label),
            *((right, y), (5, 0)),
            textcoords="offset points",
            color=color,
            va="center",
            fontweight="bold",
            annotation_clip=False,
        )


def reliability_chart(title: str, bins: Sequence[Any]) -> str:
    """Returns accuracy over confidence, beside the line of a model that is right as often as it says, and how many.

    Args:
        title: What it shows.
        bins: `lower`, `upper`, `count`, `confidence` and `accuracy` each.
    """
    filled = [part for part in bins if part.count]
    if not filled:
        return ""
    from matplotlib.ticker import PercentFormatter

    total = sum(part.count for part in filled)
    with _figure(5.0, 4.2) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        width = filled[0].upper - filled[0].lower
        middles = [(part.lower + part.upper) / 2 for part in filled]
        top.bar(middles, [part.accuracy for part in filled], width * 0.92, color=_COLORS[0], alpha=0.75)
        top.plot([0, 1], [0, 1], "--", color=MUTED, linewidth=1)
        top.plot([part.confidence for part in filled], [part.accuracy for part in filled], "o", color=INK, markersize=3)
        top.set_ylabel("accuracy")
        bottom.bar(middles, [part.count / total for part in filled], width * 0.92, color=MUTED, alpha=0.7)
        bottom.set_ylabel("images")
        bottom.set_xlabel("probability of the prediction")
        for axes in (top, bottom):
            axes.grid(axis="y")
            axes.set_xlim(0, 1)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        top.set_ylim(0, 1)
        bottom.xaxis.set_major_formatter(PercentFormatter(1.0))
        return _svg(figure, title)


def confusion_chart(title: str, counts: np.ndarray, support: np.ndarray, names: Sequence[str]) -> str:
    """Returns a confusion matrix of up to about 40 classes: a row a class, what it is taken for in the columns.

    Args:
        title: What it shows.
        counts: Images, int (K, K).
        support: Images of each class, those that are taken for classes not shown too, (K,).
        names: Of the classes.
    """
    count = len(names)
    shares = counts / np.maximum(support, 1)[:, None]
    side = max(3.0, 1.8 + 0.26 * count)
    with _figure(side, side) as figure:
        axes = figure.add_subplot()
        axes.imshow(_colored(shares, np.eye(count, dtype=bool)), interpolation="none")
        if count <= 30:
            size = 8 if count <= 15 else 6
            for row, column in np.argwhere(counts > 0).tolist():
                text = f"{counts[row, column]}"
                axes.text(column, row, text, ha="center", va="center", fontsize=size if len(text) < 4 else size - 2)
        axes.set_xticks(range(count), [short(name) for name in names], rotation=90)
        axes.set_yticks(range(count), [short(name) for name in names])
        axes.set_xlabel("is said")
        axes.set_ylabel("is true")
        _separate(axes, count)
        return _svg(figure, title)


def overview_chart(title: str, cells: np.ndarray, order: np.ndarray) -> str:
    """Returns the errors of many classes, in an order that has those that are confused side by side.

    With more than 160 classes neighbours share a cell. The strength of a cell goes with the logarithm of its errors.

    Args:
        title: What it shows.
        cells: Rows (label, prediction, count), int64 (M, 3).
        order: The order of the classes, (num_classes,).
    """
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    per_cell = -(-len(order) // _MOST_CELLS)
    side = -(-len(order) // per_cell)
    wrong = cells[cells[:, 0] != cells[:, 1]]
    errors = np.zeros((side, side))
    np.add.at(errors, (rank[wrong[:, 0]] // per_cell, rank[wrong[:, 1]] // per_cell), wrong[:, 2])
    strength = np.log1p(errors) / max(np.log1p(errors.max()), 1e-9)
    with _figure(5.4, 5.4) as figure:
        axes = figure.add_subplot()
        axes.imshow(_colored(strength, np.zeros((side, side), bool)), interpolation="none")
        axes.plot([-0.5, side - 0.5], [-0.5, side - 0.5], color=RULE, linewidth=0.6)
        axes.set_xticks([])
        axes.set_yticks([])
        what = f"{per_cell} classes a cell" if per_cell > 1 else f"{len(order)} classes"
        axes.set_xlabel(f"is said ({what})")
        axes.set_ylabel("is true")
        for spine in axes.spines.values():
            spine.set_visible(True)
        return _svg(figure, title)


def _colored(strength: np.ndarray, is_right: np.ndarray) -> np.ndarray:
    """Returns RGBA, uint8 (K, K, 4): what is right in blue, what is wrong in orange, the stronger the less can be seen
    through it. Errors are made stronger, as they are what is looked for: one alone must be seen among a thousand."""
    seen = np.where(strength > 0, _WEAKEST_ERROR + (1 - _WEAKEST_ERROR) * np.sqrt(strength), 0)
    alpha = np.where(is_right, strength, seen) * _STRONGEST
    colors = np.where(is_right[..., None], _RIGHT, _WRONG)
    return np.rint(np.concatenate([colors, alpha[..., None]], axis=-1) * 255).astype(np.uint8)


def _separate(axes: Any, count: int) -> None:
    """Thin lines between the cells."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
