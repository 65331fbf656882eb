"""The report's page: one HTML file that holds all it shows, without scripts and without anything from elsewhere."""

import base64
import dataclasses
import importlib.util
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..config.render import split_text
from ..config.schema import SECTIONS
from ..utils.fs import atomic_write
from ..utils.text import escaped
from . import charts
from .charts import Line
from .evaluation import ClassRow, Evaluation, image_bytes
from .figures import neighbours
from .run import Run, read_run, shown

__all__ = ["REPORT", "finish_evaluation", "report_of_run", "write_report"]

_logger = logging.getLogger(__name__)

REPORT = "report.html"
_INSTALL = "pip install 'mindcv[report]'"
_TEMPLATES = Path(__file__).with_name("templates")
_MOST_CLASS_ROWS = 200
_MOST_PAIR_ROWS = 50
_MOST_LABELS = 8
_WHOLE_MATRIX_UP_TO = 40
_CLASSES_CLOSE_UP = 16
# A run that came so near to the end of its schedule has no need of a label at both.
_END_OF_SCHEDULE = 0.02
_DASH = "-"


def write_report(folders: Sequence[Path], path: Path) -> list[str]:
    """Writes the report of one run, or of several side by side.

    Args:
        folders: The runs, or folders with an evaluation.
        path: The HTML file.

    Returns:
        What could not be shown, a line each.

    Raises:
        FileNotFoundError: A folder is not there.
        ImportError: jinja2 or matplotlib is not installed.
        ValueError: There is nothing of a run in a folder.
    """
    _require_packages()
    runs = [read_run(folder) for folder in folders]
    _name_apart(runs)
    text = _render(runs)
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))
    notes = [(run.folder, note) for run in runs for note in run.notes]
    notes += [
        (folder, text) for run in runs for folder, evaluation in run.evaluations for text in evaluation.problems()
    ]
    return [f"{folder}: {note}" for folder, note in notes]


def report_of_run(folder: Path) -> None:
    """Writes `report.html` into a run's folder at its end, where the packages for it are installed.

    Whatever goes wrong is told in one line; it is no reason for a run to fail.
    """
    path = folder / REPORT
    try:
        write_report([folder], path)
    except ImportError:
        _logger.info("No report.html: %s draws one", _INSTALL)
    except Exception as error:
        _logger.warning("the report could not be written (%s: %s)", type(error).__name__, _first_line(error))
    else:
        _logger.info("Report: %s", path)


def finish_evaluation(evaluation: Evaluation | None, folder: Path) -> None:
    """Says what an evaluation has written, and draws its page where the packages for it are installed.

    Args:
        evaluation: What was written; None on ranks that write nothing.
        folder: Where to.
    """
    if evaluation is None:
        return
    for text in evaluation.problems():
        _logger.warning("%s", text)
    _logger.info("Evaluation: %s, with predictions.csv and more beside it", folder / "evaluation.json")
    report_of_run(folder)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]


def _require_packages() -> None:
    for name in ("jinja2", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise ImportError(f"a report needs {name}; {_INSTALL}")


def _name_apart(runs: Sequence[Run]) -> None:
    """Names runs by as much of their paths as tells them apart."""
    if len({run.name for run in runs}) < len(runs):
        for run in runs:
            run.name = escaped(str(run.folder))
    if len({run.name for run in runs}) < len(runs):
        for number, run in enumerate(runs, start=1):
            run.name = f"{number}: {run.name}"


def _render(runs: Sequence[Run]) -> str:
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        # No control character of a name gets into the page, whichever way it came.
        finalize=lambda value: escaped(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "number": number_text,
        "names_of": _names_of,
    }
    environment.globals["svg"] = Markup  # what `charts` returns, whose texts are escaped
    is_single = len(runs) == 1
    trained = [run for run in runs if run.epochs or run.train.get("loss")]
    return environment.get_template("report.html").render(
        title=runs[0].name if is_single else f"{len(runs)} runs side by side",
        css=Markup((_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        version=__version__,
        created=time.strftime("%Y-%m-%d %H:%M"),
        runs=[_run_view(run, index) for index, run in enumerate(runs)],
        curves=list(_curves(trained, runs)),
        summary=[_summary(run) for run in runs],
        differing=_differing(runs) if not is_single else [],
        num_colors=charts.NUM_COLORS,
    )


def percent(value: float | None, digits: int = 2) -> str:
    """A share in percent, or a dash."""
    return _DASH if value is None else f"{100 * value:.{digits}f} %"


def _names_of(indices: Sequence[int], names: Sequence[str]) -> str:
    """The classes of an image in words."""
    words = [names[index] for index in indices[:_MOST_LABELS]]
    more = [f"{len(indices) - _MOST_LABELS} more"] if len(indices) > _MOST_LABELS else []
    return ", ".join([*words, *more]) or "none"


def number_text(value: float | None, digits: int = 4) -> str:
    """A number in its short form, or a dash."""
    return _DASH if value is None else f"{value:.{digits}g}"


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _summary(run: Run) -> dict[str, Any]:
    """A run's line in the table of runs, and its tiles."""
    best = run.best()
    losses, speeds = run.epoch_curve("loss"), run.epoch_curve("images_per_s")
    times = run.epoch_curve("total_s") if len(run.epoch_curve("total_s")) else run.epoch_curve("train_s")
    waits = [
        wait / train
        for wait, train in zip(run.epoch_curve("data_wait_s").y, run.epoch_curve("train_s").y, strict=False)
        if train > 0
    ]
    planned = run.config.get("epoch_size")
    done = f"{run.epoch_curve('epoch').y[-1]:.0f}" if len(run.epoch_curve("epoch")) else _DASH
    return {
        "name": run.name,
        "model": shown(run.config["model"]) if "model" in run.config else _DASH,
        "metric": metric_name(best[0]) if best else "",
        "best": percent(best[1]) if best else _DASH,
        "best_epoch": f"epoch {best[2]}" if best else "",
        "loss": number_text(losses.y[-1]) if len(losses) else _DASH,
        "epochs": f"{done} of {planned}" if planned is not None else done,
        "state": "complete" if run.is_complete else "not complete",
        "speed": f"{np.median(speeds.y):.1f}" if len(speeds) else _DASH,
        "wait": percent(float(np.mean(waits)), 1) if waits else _DASH,
        "time": _duration(times.y.sum()) if len(times) else _DASH,
        "has_log": bool(run.epochs or run.train.get("loss")),
    }


def _curves(runs: Sequence[Run], all_runs: Sequence[Run]) -> Iterator[dict[str, str]]:
    """Yields the charts of the training: title, a line about it, and SVG."""
    if not runs:
        return
    is_single = len(all_runs) == 1
    color = {id(run): index for index, run in enumerate(all_runs)}
    x_label = "epoch" if all(run.steps_per_epoch for run in runs) else "epoch or step"

    def chart(title: str, note: str, lines: Sequence[Line], unit: str = "", x: str = "epoch") -> Iterator[dict]:
        svg = charts.line_chart(title, lines, x, unit)
        if svg:
            yield {"title": title, "note": note, "svg": svg}

    def steps(name: str, label: str = "") -> list[Line]:
        return [Line(label if is_single else run.name, run.step_curve(name), color[id(run)]) for run in runs]

    def epochs(name: str) -> list[Line]:
        return [Line("" if is_single else run.name, run.epoch_curve(name), color[id(run)], False, True) for run in runs]

    losses = steps("loss", "training")
    if not any(len(line.series) for line in losses):
        losses = epochs("loss")
    if is_single:
        losses.append(Line("validation", runs[0].epoch_curve("val_loss"), 1, False, True))
        note = "Training: of single steps. Validation: without what only the training loss has, such as class weights."
        yield from chart("Loss", note if len(losses[1].series) else "Of single steps.", losses, x=x_label)
    else:
        yield from chart("Training loss", "Of single steps.", losses, x=x_label)
        yield from chart("Validation loss", "", epochs("val_loss"))
    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics))
    if is_single:
        lines = [
            Line(_metric_title(name), runs[0].epoch_curve(name), index, False, True)
            for index, name in enumerate(metrics)
        ]
        yield from chart("Validation accuracy", "Every image counts once.", lines, "%")
    else:
        for name in metrics:
            yield from chart(f"Validation: {_metric_title(name)}", "", epochs(name), "%")
    rates = steps("lr", "used")
    if not any(len(line.series) for line in rates):
        rates = epochs("lr")
    plans = [Line("planned" if is_single else "", run.schedule(), color[id(run)], True) for run in runs]
    note = "The thin line is the schedule of the whole run." if any(len(plan.series) for plan in plans) else ""
    if is_single and len(rates[0].series):
        planned, done = plans[0].series.x, rates[0].series.x
        if not len(planned) or planned[-1] - done[-1] < _END_OF_SCHEDULE * planned[-1]:
            plans, rates = [dataclasses.replace(plans[0], label="")], [dataclasses.replace(rates[0], label="")]
    yield from chart("Learning rate", note, [*plans, *rates], x=x_label)
    speeds = steps("images_per_s")
    if not any(len(line.series) for line in speeds):
        speeds = epochs("images_per_s")
    yield from chart("Images a second", "Of all ranks together.", speeds, "img/s", x_label)
    waits = steps("data_wait_share")
    note = "Share of the epoch's time spent waiting for data. A large one means that the data pipeline is too slow."
    yield from chart("Data wait", note, waits, "%", x_label)


def metric_name(name: str) -> str:
    """`Top_1_Accuracy` as `top-1 accuracy`; names of one word, as mAP, stay."""
    return name.replace("_", "-", 1).replace("_", " ").lower() if "_" in name else name


def _metric_title(name: str) -> str:
    return escaped(metric_name(name.removesuffix("_Accuracy")) or name)


def _run_view(run: Run, index: int) -> dict[str, Any]:
    """What the page says of one run."""
    sections = [
        (section.title, [(name, shown(run.config[name])) for name in section.model_fields if name in run.config])
        for section in SECTIONS
    ]
    known = {name for _, rows in sections for name, _ in rows}
    others = [(name, shown(value)) for name, value in run.config.items() if name not in known]
    best = max((file.metric for file in run.checkpoints if file.metric is not None), default=None)
    return {
        "index": index,
        "name": run.name,
        "folder": escaped(str(run.folder)),
        "notes": run.notes,
        "has_config": bool(run.config),
        "recipe": run.recipe_name,
        "differences": run.differences(),
        "config": [(title, rows) for title, rows in [*sections, ("Others", others)] if rows],
        "environment": run.environment(),
        "checkpoints": run.checkpoints,
        "best_metric": best,
        "starts": len(run.begins),
        "evaluations": [_evaluation_view(folder, found, run) for folder, found in run.evaluations],
    }


def _differing(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Keys that are not the same in all runs, with their values."""
    names = list(dict.fromkeys(name for run in runs for name in run.config if name != "ckpt_save_dir"))
    rows = [(name, [shown(run.config[name]) if name in run.config else _DASH for run in runs]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _evaluation_view(folder: Path, evaluation: Evaluation, run: Run) -> dict[str, Any]:
    """What the page says of an evaluation."""
    rows = evaluation.classes
    if evaluation.is_multi_label:
        listed = sorted(rows, key=_by_average_precision)[:_MOST_CLASS_ROWS]
        matrices: dict[str, Any] = {}
    else:
        listed = sorted(rows, key=lambda row: (not row.support, row.f1, row.index))[:_MOST_CLASS_ROWS]
        matrices = _matrices(evaluation)
    facts = evaluation.facts
    return {
        "title": escaped(str(folder.relative_to(run.folder))) if folder != run.folder else "",
        "evaluation": evaluation,
        "facts": [
            (name, escaped(text))
            for name, text in (
                ("model", facts.model),
                ("weights", facts.checkpoint),
                ("data", split_text(facts.dataset, evaluation.num_classes, facts.split, facts.data_dir)),
                ("evaluated", time.strftime("%Y-%m-%d %H:%M", time.gmtime(evaluation.created)) + " UTC"),
            )
            if text
        ],
        "problems": list(evaluation.problems()),
        "names": [row.name for row in rows],
        **matrices,
        "rows": listed,
        "num_left_out": len(rows) - len(listed),
        "pairs": evaluation.confused[:_MOST_PAIR_ROWS],
        "pictures": _pictures(folder, evaluation),
        "has_maps": any(shown.is_explained for shown in evaluation.worst),
        "surest_share": _mean_confidence(evaluation),
    }


def _by_average_precision(row: ClassRow) -> tuple[bool, float, int]:
    known = row.average_precision
    return known is None, known or 0.0, row.index


def _matrices(evaluation: Evaluation) -> dict[str, Any]:
    """The confusion matrix, whole or its two pictures, and the reliability diagram."""
    cells = np.array(evaluation.confusion, np.int64).reshape(-1, 3)
    names = [row.name for row in evaluation.classes]
    order = neighbours(cells, evaluation.num_classes)
    is_whole = evaluation.num_classes <= _WHOLE_MATRIX_UP_TO
    close_up = np.arange(evaluation.num_classes) if is_whole else _most_confused(evaluation, order)
    support = np.array([row.support for row in evaluation.classes])
    counts = np.zeros((len(close_up), len(close_up)), np.int64)
    position_of = {int(index): position for position, index in enumerate(close_up)}
    for label, said, count in evaluation.confusion:
        if label in position_of and said in position_of:
            counts[position_of[label], position_of[said]] = count
    title = "Confusion matrix"
    return {
        "matrix": charts.confusion_chart(title, counts, support[close_up], [names[index] for index in close_up])
        if len(close_up)
        else "",
        "is_whole": is_whole,
        "overview": "" if is_whole else charts.overview_chart(f"{title} of all classes", cells, order),
        "reliability": charts.reliability_chart("Accuracy over probability", evaluation.calibration),
    }


def _most_confused(evaluation: Evaluation, order: np.ndarray) -> np.ndarray:
    """The classes of the pairs that are confused most often, in an order that has them side by side."""
    chosen: dict[int, None] = {}
    for pair in evaluation.confused:
        new = dict.fromkeys((pair.label, pair.prediction))
        if len(chosen | new) > _CLASSES_CLOSE_UP:
            break
        chosen |= new
    return np.array([index for index in order.tolist() if index in chosen], np.int64)


def _mean_confidence(evaluation: Evaluation) -> float | None:
    parts = [(part.count, part.confidence) for part in evaluation.calibration if part.confidence is not None]
    total = sum(count for count, _ in parts)
    return sum(count * confidence for count, confidence in parts) / total if total else None


def _pictures(folder: Path, evaluation: Evaluation) -> dict[tuple[int, bool], str]:
    """The small copies of images, and of where the network looked, as addresses that hold the data."""
    shown = [*evaluation.worst, *(image for pair in evaluation.confused for image in pair.images)]
    keys = {(image.image, False) for image in shown if image.image is not None}
    keys |= {(image.image, True) for image in shown if image.image is not None and image.is_explained}
    found = {key: image_bytes(folder, *key) for key in keys}
    return {key: f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" for key, data in found.items() if data}
