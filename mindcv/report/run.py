"""A run's folder as a report needs it: log, config, environment, checkpoints, evaluations. It may be anybody's.

What is missing or damaged becomes a note, and the rest is read all the same.
"""

import dataclasses
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..config.parse import build_config, find_recipe, load_recipe
from ..config.recipe_file import ConfigError, read_settings
from ..config.render import format_value
from ..config.schema import KEYS
from ..utils.fs import is_remote, local_path
from ..utils.text import escaped
from ..weights.locations import OPTIMIZER_PREFIX
from .evaluation import Evaluation, find_evaluations, read_evaluation

__all__ = ["Checkpoint", "Run", "Series", "points_of_schedule", "read_run"]

LOG = "log.jsonl"
CONFIG = "config.yaml"
RESULT_LOG = "result.log"
CHECKPOINTS = "checkpoints.json"
POINTS_OF_SCHEDULE = 200
_LONGEST_LINE = 1 << 20
_LARGEST_TABLE = 16 << 20
_MOST_EVENTS = 2_000_000
_MOST_SHOWN = 200
_MOST_METRICS = 6
_LARGEST_NUMBER = 1e30
# Columns of result.log that are no metrics.
_RESULT_LOSS, _RESULT_TIMES = "TrainLoss", {"TrainTime": "train_s", "EvalTime": "eval_s", "TotalTime": "total_s"}
# What an `epoch` event says besides the validation metrics.
_NO_METRICS = {
    *("event", "time", "epoch", "steps", "global_step", "loss", "lr", "images_per_s", "data_wait_s", "train_s"),
    *("eval_s", "total_s", "val_loss", "val_samples", "host_peak_mb", "device_peak_mb", "best_metric", "best_epoch"),
    *("dropped_updates", "lost_steps"),
}


@dataclasses.dataclass(frozen=True)
class Series:
    """Points of a curve: x in epochs, float64 (N,), and y, float64 (N,), all finite."""

    x: np.ndarray
    y: np.ndarray

    @classmethod
    def of(cls, points: Sequence[tuple[float | None, float | None]]) -> "Series":
        """Leaves out what is not finite."""
        pairs = [(x, y) for x, y in points if x is not None and y is not None]
        array = np.array(pairs, np.float64).reshape(-1, 2)
        array = array[np.isfinite(array).all(axis=1)]
        return cls(array[:, 0], array[:, 1])

    def __len__(self) -> int:
        return len(self.x)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A file of weights in the run's folder; what is not known is None."""

    file: str
    megabytes: float
    epoch: int | None = None
    step: int | None = None
    metric: float | None = None


@dataclasses.dataclass
class Run:
    """One run.

    Attributes:
        folder: Its folder.
        name: What it is called in the report.
        notes: What is missing or damaged, a line each.
        train: `train` events as columns of numbers, NaN for what one does not have.
        epochs: `epoch` events.
        begins: `run_begin` events.
        is_complete: Whether it has come to its end.
        config: Its keys; empty when there are none.
        recipe_name: The recipe that it started from; empty when it had none, or that cannot be read now.
        recipe: That recipe's keys, or the defaults.
        checkpoints: Its checkpoints.
        evaluations: Folders of evaluations with what they found.
    """

    folder: Path
    name: str
    notes: list[str] = dataclasses.field(default_factory=list)
    train: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    epochs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    begins: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    is_complete: bool = False
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    recipe_name: str = ""
    recipe: dict[str, Any] = dataclasses.field(default_factory=dict)
    checkpoints: list[Checkpoint] = dataclasses.field(default_factory=list)
    evaluations: list[tuple[Path, Evaluation]] = dataclasses.field(default_factory=list)

    @property
    def begin(self) -> Mapping[str, Any]:
        """The last start."""
        return self.begins[-1] if self.begins else {}

    @property
    def has_steps(self) -> bool:
        """Whether the log has anything to draw."""
        return bool(self.train.get("loss") or self.epochs)

    @property
    def metrics(self) -> list[str]:
        """Names of the validation metrics, the one that decides first."""
        names = dict.fromkeys(name for row in self.epochs for name, value in row.items() if _number(value) is not None)
        return [name for name in names if name not in _NO_METRICS][:_MOST_METRICS]

    @property
    def steps_per_epoch(self) -> float | None:
        """How many steps an epoch has, where that is known."""
        steps = _number(self.begin.get("steps_per_epoch"))
        if not steps and self.epochs:
            last = self.epochs[-1]
            steps, epoch = _number(last.get("global_step")), _number(last.get("epoch"))
            steps = steps / epoch if steps and epoch else None
        return steps if steps and steps > 0 else None

    def step_curve(self, name: str) -> Series:
        """A value of the `train` events over the epochs that were done."""
        steps = self.steps_per_epoch
        steps_done, values = self.train.get("global_step", []), self.train.get(name, [])
        points = zip(steps_done, values, strict=False)
        return Series.of([(step / steps if steps else step, value) for step, value in points])

    def epoch_curve(self, name: str) -> Series:
        """A value of the `epoch` events."""
        return Series.of([(_number(row.get("epoch")), _number(row.get(name))) for row in self.epochs])

    def schedule(self) -> Series:
        """The learning rate as it was planned for the whole run."""
        points = self.begin.get("schedule")
        points = points if isinstance(points, list) else []
        pairs = [pair for pair in points[:10_000] if isinstance(pair, list) and len(pair) == 2]
        return Series.of([(_number(x), _number(y)) for x, y in pairs])

    def environment(self) -> dict[str, str]:
        """Versions, machine, device and peak memory."""
        facts: dict[str, Any] = {}
        for name in ("device", "world_size"):
            if self.begin.get(name) is not None:
                facts["ranks" if name == "world_size" else name] = self.begin[name]
        given = self.begin.get("environment")
        facts |= given if isinstance(given, dict) else {}
        for name in ("host_peak_mb", "device_peak_mb"):
            peaks = [peak for row in self.epochs if (peak := _number(row.get(name))) is not None]
            if peaks:
                facts[f"peak memory, {name.removesuffix('_peak_mb')}"] = f"{max(peaks):.0f} MB"
        return {escaped(str(name)): escaped(str(value))[:300] for name, value in list(facts.items())[:_MOST_SHOWN]}

    def best(self) -> tuple[str, float, int] | None:
        """Name and largest value of the metric that decides, and its epoch."""
        if not self.metrics:
            return None
        curve = self.epoch_curve(self.metrics[0])
        index = int(curve.y.argmax())
        return self.metrics[0], float(curve.y[index]), int(curve.x[index])

    def differences(self) -> list[tuple[str, str, str]]:
        """Keys that are not as in the recipe, or at their defaults where there is none: key, there, here."""
        return [
            (name, shown(self.recipe.get(name)), shown(value))
            for name, value in self.config.items()
            if name not in ("config", "ckpt_save_dir") and shown(value) != shown(self.recipe.get(name))
        ]


def points_of_schedule(learning_rates: Sequence[float], epochs_per_update: float) -> list[tuple[float, float]]:
    """Returns as many points (epoch, learning rate) of a schedule as a curve needs, the first and the last with them.

    An update stands at its end, where the steps of the log stand too.

    Args:
        learning_rates: One for each update.
        epochs_per_update: How much of an epoch an update takes.
    """
    updates = np.unique(np.linspace(0, len(learning_rates) - 1, POINTS_OF_SCHEDULE).round().astype(int)).tolist()
    return [(round((index + 1) * epochs_per_update, 4), learning_rates[index]) for index in updates]


def shown(value: Any) -> str:
    """A value of a key in one line."""
    return escaped(format_value(value))[:500]


def read_run(folder: Path) -> Run:
    """Reads a run, or what there is of it.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds nothing of a run or of an evaluation.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder; give that of a run, its ckpt_save_dir")
    run = Run(folder, escaped(folder.resolve().name))
    for found in find_evaluations(folder):
        try:
            run.evaluations.append((found, read_evaluation(found)))
        except ValueError as error:
            run.notes.append(_line(error))
    has_log, has_config = (folder / LOG).is_file(), (folder / CONFIG).is_file()
    if not has_log and not has_config and not (folder / RESULT_LOG).is_file():
        if not run.evaluations and not run.notes:
            raise ValueError(
                f"{folder}: there is no run ({LOG}, {RESULT_LOG} or {CONFIG}) and no evaluation (evaluation.json) in it"
            )
        return run
    if has_log:
        _read_log(run)
        if not run.has_steps and (folder / RESULT_LOG).is_file():
            _read_result_log(run)
            run.notes += [f"its epochs are those of {RESULT_LOG}"] if run.epochs else []
    else:
        run.notes.append(f"there is no {LOG}: curves of single steps, environment and schedule are not known")
        _read_result_log(run)
    if has_config:
        _read_config(run)
    else:
        run.notes.append(f"there is no {CONFIG}: the keys of the run are not known")
    run.checkpoints = list(_checkpoints(run))
    if not run.metrics:
        run.notes.append("it was not evaluated while it trained (val_while_train: False, or it ended before)")
    if not run.evaluations:
        run.notes.append(
            "there is no evaluation in it: mindcv validate -c CONFIG --ckpt_path CHECKPOINT --report FOLDER adds one"
        )
    return run


def _line(error: Exception) -> str:
    return escaped(str(error).splitlines()[0] if str(error) else type(error).__name__)


def _number(value: Any) -> float | None:
    """A finite number that can be drawn, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= _LARGEST_NUMBER else None


def _read_log(run: Run) -> None:
    """Reads `log.jsonl`; lines that are no events are counted."""
    wrong, is_torn = 0, False
    columns = ("global_step", "loss", "lr", "images_per_s", "data_wait_share")
    run.train = {name: [] for name in columns}
    try:
        for number, line in enumerate(_lines(run.folder / LOG)):
            if number == _MOST_EVENTS:
                run.notes.append(f"{LOG} is read up to its first {_MOST_EVENTS} events")
                break
            is_torn = not line.endswith(b"\n")
            try:
                event = json.loads(line)
                kind = event["event"]
            except (ValueError, TypeError, KeyError, RecursionError):
                wrong += 1
                continue
            if kind == "train":
                for name in columns:
                    value = _number(event.get(name))
                    run.train[name].append(math.nan if value is None else value)
            elif kind == "epoch":
                run.epochs.append(event)
            elif kind == "run_begin":
                run.begins.append(event)
            run.is_complete = kind == "run_end"
    except OSError as error:
        run.notes.append(f"{LOG} cannot be read ({error.strerror})")
    if is_torn and wrong:
        wrong -= 1
        run.notes.append(f"{LOG} is cut in the middle of its last line: the run ended there")
    if wrong:
        run.notes.append(f"{LOG}: {wrong} lines are damaged and left out")
    if not run.has_steps:
        run.notes.append(f"{LOG} has no steps: there is nothing to draw")


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file; what is too long for one is cut into several, which then are damaged."""
    with path.open("rb") as file:
        while line := file.readline(_LONGEST_LINE):
            if line.strip():
                yield line


def _read_result_log(run: Run) -> None:
    """Reads the table that MindCV writes too."""
    try:
        with (run.folder / RESULT_LOG).open("rb") as file:
            lines = file.read(_LARGEST_TABLE).decode("utf-8", "replace").splitlines()
    except OSError:
        return
    titles = lines[0].split() if lines else []
    for line in lines[1:]:
        try:
            cells = [float(cell) if cell != "-" else None for cell in line.split()]
            row = dict(zip(titles, cells, strict=True))
            named = {"epoch": row.pop("Epoch"), "loss": row.pop(_RESULT_LOSS)}
        except (ValueError, KeyError):
            run.notes.append(f"{RESULT_LOG}: a line is damaged and left out")
            continue
        run.epochs.append({**named, **{_RESULT_TIMES.get(name, name): value for name, value in row.items()}})


def _read_config(run: Run) -> None:
    """Reads the keys, and the recipe that they started from."""
    path = run.folder / CONFIG
    run.recipe = {name: known.default for name, known in KEYS.items()}
    try:
        settings = read_settings(str(path))
    except (ConfigError, OSError) as error:
        run.notes.append(_line(error))
        return
    try:
        config = build_config(settings, [], str(path))[0]
        run.config = {name: getattr(config, name) for name in KEYS}
        given = {setting.key: setting.value for setting in settings}
        run.config["config"] = str(given.get("config") or "")
    except ConfigError:
        run.config = {escaped(setting.key): setting.value for setting in settings}
        run.notes.append(f"{CONFIG} has keys or values that this version does not know; they are shown as they are")
    name = str(run.config.get("config") or "")
    if not name or is_remote(name):
        return
    try:
        # What is wrong with it is not told: it may be any file, of a run that came from elsewhere.
        found = find_recipe(name)
        recipe = load_recipe(found) if local_path(found).is_file() else None
    except (ConfigError, OSError):
        recipe = None
    if recipe is None:
        run.notes.append(f"its recipe {escaped(name)} cannot be read here: differences are those from the defaults")
        return
    run.recipe = {key: getattr(recipe, key) for key in KEYS}
    run.recipe_name = escaped(name)


_POSITION = re.compile(r".+-(\d{1,9})_(\d{1,9})\.ckpt")


def _checkpoints(run: Run) -> Iterator[Checkpoint]:
    """The files of weights in the folder, in the order of their positions, with the metrics that the list has."""
    metrics: dict[str, float | None] = {}
    try:
        with (run.folder / CHECKPOINTS).open("rb") as file:
            for entry in json.loads(file.read(_LARGEST_TABLE))["checkpoints"]:
                metrics[str(entry["file"])] = _number(entry.get("metric"))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        run.notes.append(f"{CHECKPOINTS} cannot be read; the folder's own files are listed")
    found = []
    for path in run.folder.glob("*.ckpt"):
        match = _POSITION.fullmatch(path.name)
        epoch, step = (int(match[1]), int(match[2])) if match else (None, None)
        metric = metrics.get(path.name)
        if path.is_file() and not path.name.startswith(OPTIMIZER_PREFIX):
            megabytes = path.stat().st_size / 2**20
            found.append(Checkpoint(escaped(path.name), megabytes, epoch, step, metric))
    yield from sorted(found, key=lambda file: (file.epoch is None, file.epoch or 0, file.step or 0, file.file))
