"""Curves as a PNG, by matplotlib, or as text for a terminal."""

import dataclasses
import importlib.util
from collections.abc import Sequence
from typing import IO

import numpy as np

__all__ = ["Panel", "require_matplotlib", "save_plot", "text_plot"]

_INK, _MUTED, _RULE, _CURVE, _FAINT, _MARK = "#141414", "#5a5a5a", "#dddddd", "#1f5ab4", "#b9cdea", "#d66000"
_STYLE = {
    "text.parse_math": False,
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _MUTED,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "grid.color": _RULE,
}
# Of the terminal's plot, in characters.
_COLUMNS, _ROWS = 64, 12


@dataclasses.dataclass(frozen=True)
class Panel:
    """One curve with its axes.

    Attributes:
        label: What y is.
        x: (N,), ascending.
        y: (N,); what is not finite is left out.
        faint: (N,), a second curve behind it, such as what was measured before it was smoothed. None: none.
        marks: Places in x that are marked, each with its text.
        log_x: Whether x is drawn by its powers of ten.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    faint: np.ndarray | None = None
    marks: Sequence[tuple[float, str]] = ()
    log_x: bool = False


def save_plot(file: IO[bytes], panels: Sequence[Panel], title: str, x_label: str) -> None:
    """Draws panels one below the other and writes them as PNG.

    Raises:
        ImportError: matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}):
        figure = Figure(figsize=(7.2, 0.6 + 2.9 * len(panels)), dpi=110, layout="constrained")
        figure.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold")
        for axes, panel in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
            if panel.faint is not None:
                axes.plot(panel.x, panel.faint, color=_FAINT, linewidth=1)
            axes.plot(panel.x, panel.y, color=_CURVE, linewidth=1.8, marker="o" if len(panel.x) == 1 else "")
            if panel.log_x:
                axes.set_xscale("log")
                # Not as powers, whose exponents need the parsing of formulas, which is off for names.
                axes.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
                axes.xaxis.set_minor_formatter(lambda value, position: "")
            shown = panel.y[np.isfinite(panel.y)]
            if panel.faint is not None and len(shown):  # the peaks of the other curve may leave the panel
                room = 0.15 * (shown.max() - shown.min() or 1.0)
                axes.set_ylim(shown.min() - room, shown.max() + room)
            for x, text in panel.marks:
                axes.axvline(x, color=_MARK, linewidth=1.2)
                axes.annotate(text, (x, 1), (4, -4), ("data", "axes fraction"), "offset points", color=_MARK, va="top")
            axes.set_ylabel(panel.label)
            axes.grid(axis="y")
            axes.margins(x=0.01)
        axes.set_xlabel(x_label)
        figure.savefig(file, format="png", metadata={"Software": None})


def require_matplotlib() -> None:
    """Says how to get matplotlib where it is not installed.

    Raises:
        ImportError: It is not.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ImportError("a plot as PNG needs matplotlib; pip install 'mindcv[report]'")


def text_plot(panel: Panel) -> list[str]:
    """Returns a panel as lines of text: in each column the mean of the values that fall there."""
    keep = np.isfinite(panel.y)
    y = panel.y[keep]
    x = np.log10(panel.x[keep]) if panel.log_x else panel.x[keep]
    if not len(x):
        return [panel.label, "  (no finite value)"]
    low, high = float(y.min()), float(y.max())
    width = x[-1] - x[0]
    columns = np.zeros(len(x), int) if width == 0 else ((x - x[0]) / width * (_COLUMNS - 1)).round().astype(int)
    cells = [[" "] * _COLUMNS for _ in range(_ROWS)]
    for column in np.unique(columns):
        value = float(y[columns == column].mean())
        row = 0 if high == low else round((value - low) / (high - low) * (_ROWS - 1))
        cells[_ROWS - 1 - row][column] = "*"
    labels = [f"{high:.4g}", *[""] * (_ROWS - 2), f"{low:.4g}"]
    margin = max(map(len, labels))
    lines = [panel.label]
    lines += [f"{label:>{margin}} |{''.join(row)}".rstrip() for label, row in zip(labels, cells, strict=True)]
    first, last = (f"{panel.x[keep][x]:.4g}" for x in (0, -1))
    lines.append(f"{'':>{margin}} +{'-' * _COLUMNS}")
    lines.append(f"{'':>{margin}}  {first}{last:>{max(1, _COLUMNS - len(first))}}")
    return lines
