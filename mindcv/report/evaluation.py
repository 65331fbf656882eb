"""An evaluation as files: written by `mindcv validate --report DIR`, read by `mindcv report`.

`evaluation.json` has all figures, `predictions.csv` a line an image, `classes.csv`, `confusion.csv` and
`calibration.csv` the tables, `images/` small copies of the images that are worth a look.
"""

import dataclasses
import functools
import io
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..utils.fs import atomic_write, read_local, require_directory
from ..utils.text import csv_line, escaped, json_text
from .figures import (
    NO_CLASS,
    ByClass,
    Predictions,
    averages,
    calibration,
    confusion,
    expected_calibration_error,
)
from .label_sets import LabelSets

__all__ = ["EVALUATION", "Evaluation", "Facts", "PredictionRecorder", "find_evaluations", "read_evaluation"]

_logger = logging.getLogger(__name__)

EVALUATION = "evaluation.json"
PREDICTIONS = "predictions.csv"
IMAGES = "images"
NUM_WORST = 24
NUM_PAIRS = 12
IMAGES_OF_A_PAIR = 4
_EXPLAINED_AT_ONCE = 8
_SIDE = 192
_MOST_PAIRS = 1000
_COLUMNS = ("path", "label", "prediction", "label_name", "prediction_name", "label_probability", "probability")
_SET_COLUMNS = ("path", "labels", "predictions", "label_names", "prediction_names")
# Between the labels of an image, as in the lists that datasets are made of.
_SEPARATOR = ";"
_LARGEST_JSON = 512 << 20
_LARGEST_IMAGE = 1 << 20
_JPEG = b"\xff\xd8\xff"

Index = Annotated[int, Field(ge=0, le=10**12)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, protected_namespaces=())


class Facts(_Part):
    """What was evaluated.

    Attributes:
        model: Name of the network, or the exported file.
        checkpoint: Where its weights are from.
        dataset: Name of the dataset.
        data_dir: Its folder.
        split: The split.
        loss: Mean loss, where there is one.
        class_names: By index, or None.
    """

    model: str = ""
    checkpoint: str = ""
    dataset: str = ""
    data_dir: str = ""
    split: str = ""
    loss: float | None = None
    class_names: list[str] | None = None


class Means(_Part):
    """Precision, recall and F1, averaged over classes."""

    precision: Share
    recall: Share
    f1: Share


class ClassRow(_Part):
    """The figures of one class; the average precision where images have several labels, and some image has this one."""

    index: Index
    name: str
    support: Index
    predicted: Index
    hits: Index
    precision: Share
    recall: Share
    f1: Share
    average_precision: Share | None = None


class CalibrationBin(_Part):
    """See `figures.Bin`."""

    lower: Share
    upper: Share
    count: Index
    confidence: Share | None
    accuracy: Share | None


class Shown(_Part):
    """One image that is worth a look.

    Attributes:
        path: What it is called.
        label: Its class. Where images have several, the class whose probability is farthest from the truth.
        prediction: The class that it was taken for, or `label` again; None where the output is not finite.
        probability: That of the prediction.
        label_probability: That of the label.
        image: Index of its small copy, `images/<index>.jpg`; None where the image cannot be read.
        error: Why it cannot.
        is_explained: Whether there is a picture of where the network looked, `images/<index>_cam.jpg`.
        labels: All classes that it has, where images have several.
        predictions: All that the model says, likewise.
    """

    path: str
    label: Index
    prediction: Index | None
    probability: Share | None
    label_probability: Share | None
    image: Index | None = None
    error: str | None = None
    is_explained: bool = False
    labels: list[Index] = []
    predictions: list[Index] = []


class ConfusedPair(_Part):
    """Images of one class that are taken for another.

    Attributes:
        label: The class.
        prediction: The other.
        count: How many.
        share: Of the images of the class.
        images: The most certain of them, for the first pairs.
    """

    label: Index
    prediction: Index
    count: Index
    share: Share
    images: list[Shown] = []


class Evaluation(_Part):
    """All that an evaluation found out, but for the predictions of each image.

    Where images have several labels each, `is_multi_label`, mAP and the share of images all of whose labels are right
    stand in place of accuracies, and there is neither a confusion matrix nor a calibration.
    """

    facts: Facts
    created: Annotated[float, Field(ge=0, le=1e11)]
    num_images: Annotated[int, Field(ge=1)]
    num_not_finite: Index
    num_classes: Annotated[int, Field(ge=1)]
    is_multi_label: bool = False
    mean_average_precision: Share | None = None
    subset_accuracy: Share | None = None
    top_1_accuracy: Share | None
    top_5_accuracy: Share | None
    macro: Means
    weighted: Means
    expected_calibration_error: Share | None
    classes: list[ClassRow]
    calibration: list[CalibrationBin]
    confusion: list[tuple[Index, Index, Index]]
    confused: list[ConfusedPair]
    worst: list[Shown]
    notes: list[str] = []

    def name(self, index: int) -> str:
        """What a class is called."""
        return self.classes[index].name

    def problems(self) -> Iterator[str]:
        """Yields what a reader of the figures has to know, a sentence each."""
        if self.num_not_finite:
            left_out = "" if self.is_multi_label else " and are left out of the confusion matrix and of the calibration"
            yield (
                f"The output for {self.num_not_finite} of {self.num_images} images is not finite: they count as wrong"
                f"{left_out}."
            )
        if self.num_classes == 1 and not self.is_multi_label:
            yield "There is one class, so that every answer is right."
        without = [row.name for row in self.classes if not row.support]
        if without:
            more = f" and {len(without) - 5} more" if len(without) > 5 else ""
            yield f"Classes without images, of which nothing is known: {', '.join(without[:5])}{more}."
        unread = {shown.path for shown in self._shown() if shown.image is None}
        if unread:
            yield f"{len(unread)} of the images to show cannot be read."
        yield from self.notes

    def _shown(self) -> Iterator[Shown]:
        yield from self.worst
        for pair in self.confused:
            yield from pair.images


class _Samples(Protocol):
    labels: np.ndarray


class PredictionRecorder:
    """Keeps what a model says of the images of an evaluation, batch by batch, and writes what that comes to.

    Args:
        folder: Where to; it is made.
        num_classes: Number of classes.
        samples: The samples of the dataset, of which all ranks know all.
        indices: Those that this rank evaluates, in their order, (N,).
        facts: What is evaluated.
        picture_of: Reads a sample by its index; raises OSError or ValueError where it cannot.
        are_probabilities: Whether the model gives probabilities, not scores.
        explain: Gives pictures, uint8 (H, W, 3), of where the network looks in samples for the classes that it says;
            raises ValueError where it cannot. None: there are none.
        is_multi_label: Whether images have several labels, as zeros and ones.

    Raises:
        ValueError: The folder cannot be written to.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        num_classes: int,
        samples: Any,
        indices: np.ndarray,
        facts: Facts,
        picture_of: Callable[[int], Image.Image],
        are_probabilities: bool = False,
        explain: Callable[[list[int], list[int]], list[np.ndarray]] | None = None,
        is_multi_label: bool = False,
    ) -> None:
        self.folder = require_directory(folder, "report")
        self.num_classes = num_classes
        self.samples = samples
        self.indices = indices
        self.facts = facts
        self.picture_of = picture_of
        self.are_probabilities = are_probabilities
        self.explain = explain
        self.outcomes: type[Any] = LabelSets if is_multi_label else Predictions
        self._parts = [self.outcomes.empty(num_classes)]
        self._count = 0

    def add(self, scores: np.ndarray, labels: np.ndarray) -> None:
        """Adds a batch: float32 (N, num_classes) and labels (N,), or (N, num_classes) of probabilities.

        Raises:
            ValueError: The labels are not those of the samples that should have come.
        """
        indices = self.indices[self._count : self._count + len(labels)]
        self._count += len(labels)
        if not np.array_equal(labels, self.samples.labels[indices]):
            raise ValueError(
                "report: the images did not come in the order of the dataset, so it is not known which is which; "
                "leave out report"
            )
        self._parts.append(self.outcomes.of(scores, labels, indices, self.are_probabilities))

    def write(
        self,
        gather: Callable[[np.ndarray], np.ndarray] | None = None,
        is_master: bool = True,
        loss: float | None = None,
        average_precisions: Sequence[float] = (),
    ) -> Evaluation | None:
        """Writes all files. With several ranks it is a collective, and rank 0 writes.

        Args:
            gather: Gives the rows of all ranks for those of this one; None: this rank has seen all images.
            is_master: Whether this is rank 0.
            loss: The mean loss.
            average_precisions: Of each class, of all ranks' images, where images have several labels; NaN of a class
                that no image has.

        Returns:
            What was written; None on other ranks.

        Raises:
            OSError: A file cannot be written.
        """
        predictions = self.outcomes.joined(self._parts)
        if gather is not None:
            rows = gather(predictions.to_rows())
            predictions = self.outcomes.joined([self.outcomes.from_rows(rows, self.num_classes)])
        if not is_master:
            return None
        facts = self.facts.model_copy(update={"loss": loss if loss is not None and np.isfinite(loss) else None})
        names = [name_of_class(facts.class_names, index) for index in range(self.num_classes)]
        evaluation = self._evaluation(predictions, facts, names, average_precisions)
        tables = _tables(evaluation)
        tables[PREDICTIONS] = self._prediction_lines(predictions, names)
        for file_name, lines in tables.items():
            with atomic_write(self.folder / file_name) as file:
                for line in lines:
                    file.write(f"{line}\r\n".encode("utf-8", "surrogateescape"))
        with atomic_write(self.folder / EVALUATION) as file:
            file.write(json_text(evaluation.model_dump(), indent=1, allow_nan=False).encode())
        return evaluation

    def _evaluation(
        self,
        predictions: Predictions | LabelSets,
        facts: Facts,
        names: list[str],
        average_precisions: Sequence[float],
    ) -> Evaluation:
        figures = predictions.by_class()
        macro, weighted = averages(figures)
        pictures = _Pictures(self.folder, self._name, self.picture_of)
        shown = functools.partial(
            _shown_with_sets if isinstance(predictions, LabelSets) else _shown, pictures, predictions
        )
        worst, notes = self._explained(pictures, [shown(row) for row in predictions.worst(NUM_WORST).tolist()])
        if isinstance(predictions, LabelSets):
            own = _figures_of_sets(predictions, average_precisions)
        else:
            own = _figures_of_labels(predictions, figures.support, shown)
        return Evaluation(
            facts=facts.model_copy(update={"class_names": facts.class_names and names}),
            created=round(time.time(), 3),
            num_images=len(predictions),
            num_not_finite=int((~predictions.is_finite).sum()),
            num_classes=self.num_classes,
            macro=Means(**dataclasses.asdict(macro)),
            weighted=Means(**dataclasses.asdict(weighted)),
            classes=_class_rows(figures, names, average_precisions),
            worst=worst,
            notes=notes,
            **own,
        )

    def _explained(self, pictures: "_Pictures", worst: list[Shown]) -> tuple[list[Shown], list[str]]:
        """Adds pictures of where the network looked, or a note that says why there are none."""
        if self.explain is not None:
            try:
                return pictures.explained(worst, self.explain), []
            except (ValueError, RuntimeError) as error:
                return worst, [f"Where the network looks is not shown: {_line(error)}"]
        return worst, []

    def _name(self, index: int) -> str:
        name = getattr(self.samples, "name", None)
        return name(index) if name else f"sample {index}"

    def _prediction_lines(self, predictions: Predictions | LabelSets, names: list[str]) -> Iterator[str]:
        """The lines of predictions.csv: probabilities of all classes where they are kept, else of the best ones."""
        some = predictions.probabilities.shape[1] == 0
        count = predictions.top_classes.shape[1]
        titles = [f"probability_{index}" for index in range(predictions.probabilities.shape[1])]
        if some:
            titles = [title for k in range(1, count + 1) for title in (f"class_{k}", f"class_{k}_probability")]
        are_sets = isinstance(predictions, LabelSets)
        first = _SET_COLUMNS if are_sets else _COLUMNS
        yield csv_line(*first, *titles)
        for row in range(len(predictions)):
            cells: list[object] = [self._name(int(predictions.indices[row]))]
            if are_sets:
                sets = [np.flatnonzero(sets[row]).tolist() for sets in (predictions.labels, predictions.said)]
                cells += [_SEPARATOR.join(map(str, own)) for own in sets]
                cells += [_SEPARATOR.join(names[index] for index in own) for own in sets]
            else:
                label, said = int(predictions.labels[row]), int(predictions.predicted[row])
                cells += [label, said, names[label], "" if said == NO_CLASS else names[said]]
                cells += _shortest(predictions.label_probabilities[row], predictions.top_probabilities[row, 0])
            if some:
                top = predictions.top_classes[row].tolist()
                shares = _shortest(*predictions.top_probabilities[row])
                cells += [cell for pair in zip(top, shares, strict=True) for cell in pair]
            else:
                cells += _shortest(*predictions.probabilities[row])
            yield csv_line(*cells)


def name_of_class(names: Sequence[str] | None, index: int) -> str:
    """What a class is called: its name in one line, else its index."""
    return escaped(names[index]) if names and index < len(names) and names[index] else str(index)


def _class_rows(figures: ByClass, names: list[str], average_precisions: Sequence[float] = ()) -> list[ClassRow]:
    fields = [field.name for field in dataclasses.fields(figures)]
    columns = [getattr(figures, name).tolist() for name in fields]
    rows = [
        ClassRow(index=index, name=names[index], **dict(zip(fields, row, strict=True)))
        for index, row in enumerate(zip(*columns, strict=True))
    ]
    known = [value if np.isfinite(value) else None for value in average_precisions] or [None] * len(rows)
    return [row.model_copy(update={"average_precision": value}) for row, value in zip(rows, known, strict=True)]


def _shortest(*values: np.float32) -> list[str]:
    """Each value in as few digits as tell it from other ones of float32."""
    return [f"{value:.9g}" for value in values]


def _figures_of_labels(predictions: Predictions, support: np.ndarray, shown: Callable[[int], Shown]) -> dict[str, Any]:
    """The fields of an `Evaluation` that images with one label each have."""
    bins, cells = calibration(predictions), confusion(predictions)
    return {
        "top_1_accuracy": predictions.accuracy(1),
        "top_5_accuracy": predictions.accuracy(5) if predictions.num_classes >= 5 else None,
        "expected_calibration_error": expected_calibration_error(bins),
        "calibration": [CalibrationBin(**dataclasses.asdict(part)) for part in bins],
        "confusion": [tuple(cell) for cell in cells.tolist()],
        "confused": list(_confused(predictions, cells, support, shown)),
    }


def _figures_of_sets(predictions: LabelSets, average_precisions: Sequence[float]) -> dict[str, Any]:
    """The fields of an `Evaluation` that images with several labels each have; those of one label are empty."""
    known = [value for value in average_precisions if np.isfinite(value)]
    return {
        "is_multi_label": True,
        "mean_average_precision": math.fsum(known) / len(known) if known else None,
        "subset_accuracy": float(predictions.is_right.mean()),
        **dict.fromkeys(("top_1_accuracy", "top_5_accuracy", "expected_calibration_error")),
        **{name: [] for name in ("calibration", "confusion", "confused")},
    }


def _confused(
    predictions: Predictions, cells: np.ndarray, support: np.ndarray, shown: "Callable[[int], Shown]"
) -> Iterator[ConfusedPair]:
    """Yields the pairs of classes that are confused most often; the first ones have images."""
    wrong = cells[cells[:, 0] != cells[:, 1]]
    for rank, (label, said, count) in enumerate(wrong[np.argsort(-wrong[:, 2], kind="stable")][:_MOST_PAIRS].tolist()):
        images: list[Shown] = []
        if rank < NUM_PAIRS:
            rows = np.flatnonzero((predictions.labels == label) & (predictions.predicted == said))
            surest = rows[np.argsort(-predictions.top_probabilities[rows, 0], kind="stable")[:IMAGES_OF_A_PAIR]]
            images = [shown(int(row)) for row in surest]
        yield ConfusedPair(label=label, prediction=said, count=count, share=count / support[label], images=images)


class _Pictures:
    """Writes small copies of images into a folder, each once."""

    def __init__(self, folder: Path, name_of: Callable[[int], str], picture_of: Callable[[int], Image.Image]) -> None:
        self.folder = folder / IMAGES
        self.folder.mkdir(exist_ok=True)
        for earlier in self.folder.glob("*.jpg"):
            if earlier.stem.removesuffix("_cam").isdigit():
                earlier.unlink()
        self.name_of = name_of
        self.picture_of = picture_of
        self._done: dict[int, dict[str, Any]] = {}

    def __call__(self, index: int) -> dict[str, Any]:
        """Returns what `Shown` says of a sample by its index, and of its copy."""
        if index not in self._done:
            self._done[index] = {"path": escaped(self.name_of(index)), **self._copy(index)}
        return self._done[index]

    def _copy(self, index: int) -> dict[str, Any]:
        try:
            picture = self.picture_of(index)
        except (OSError, ValueError) as error:
            return {"error": _line(error)}
        larger = _SIDE // max(picture.size)
        if larger > 1:  # in whole pixels, so that the pixels of a small image can be seen
            picture = picture.resize((picture.width * larger, picture.height * larger), Image.Resampling.NEAREST)
        self._write(f"{index}.jpg", picture)
        return {"image": index}

    def explained(self, worst: list[Shown], explain: Callable[[list[int], list[int]], list[np.ndarray]]) -> list[Shown]:
        """Adds pictures of where the network looked, for all images that can be read."""
        known = [shown for shown in worst if shown.image is not None and shown.prediction is not None]
        for begin in range(0, len(known), _EXPLAINED_AT_ONCE):
            some = known[begin : begin + _EXPLAINED_AT_ONCE]
            indices = [shown.image for shown in some if shown.image is not None]
            classes = [shown.prediction for shown in some if shown.prediction is not None]
            for index, pixels in zip(indices, explain(indices, classes), strict=True):
                self._write(f"{index}_cam.jpg", Image.fromarray(pixels))
        return [shown.model_copy(update={"is_explained": shown in known}) for shown in worst]

    def _write(self, name: str, picture: Image.Image) -> None:
        picture = picture.convert("RGB")
        picture.thumbnail((_SIDE, _SIDE))
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=88)
        with atomic_write(self.folder / name) as file:
            file.write(data.getvalue())


def _shown(pictures: _Pictures, predictions: Predictions, row: int) -> Shown:
    said = int(predictions.predicted[row])
    return Shown(
        label=int(predictions.labels[row]),
        prediction=None if said == NO_CLASS else said,
        probability=_known(predictions.top_probabilities[row, 0]),
        label_probability=_known(predictions.label_probabilities[row]),
        **pictures(int(predictions.indices[row])),
    )


def _shown_with_sets(pictures: _Pictures, predictions: LabelSets, row: int) -> Shown:
    worst, share = int(predictions.worst_classes[row]), _known(predictions.worst_probabilities[row])
    labels, said = (np.flatnonzero(sets[row]).tolist() for sets in (predictions.labels, predictions.said))
    return Shown(
        label=max(worst, 0),
        prediction=None if worst == NO_CLASS else worst,
        probability=share,
        label_probability=share,
        labels=labels,
        predictions=said,
        **pictures(int(predictions.indices[row])),
    )


def _known(share: np.float32) -> float | None:
    return float(share) if np.isfinite(share) else None


def _line(error: Exception) -> str:
    lines = (getattr(error, "strerror", None) or str(error)).splitlines()
    return escaped(lines[0] if lines else type(error).__name__)


def _tables(evaluation: Evaluation) -> dict[str, Iterable[str]]:
    """The lines of the CSV files but predictions.csv, by the file's name."""
    class_columns = ["index", "name", "support", "predicted", "hits", "precision", "recall", "f1"]
    class_columns += ["average_precision"] if evaluation.is_multi_label else []
    rows = [[getattr(row, column) for column in class_columns] for row in evaluation.classes]
    if evaluation.is_multi_label:
        return {"classes.csv": _csv(class_columns, rows)}
    bin_columns = ("lower", "upper", "count", "confidence", "accuracy")
    names = [row.name for row in evaluation.classes]
    return {
        "classes.csv": _csv(class_columns, rows),
        "calibration.csv": _csv(bin_columns, (part.model_dump().values() for part in evaluation.calibration)),
        "confusion.csv": _csv(
            ("label", "prediction", "count", "label_name", "prediction_name"),
            ((label, said, count, names[label], names[said]) for label, said, count in evaluation.confusion),
        ),
    }


def _csv(titles: Sequence[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    yield csv_line(*titles)
    for row in rows:
        yield csv_line(*("" if cell is None else cell for cell in row))


def find_evaluations(folder: Path) -> list[Path]:
    """Returns the folders with an evaluation: a folder itself and those in it, sorted by name."""
    return [path.parent for path in (folder / EVALUATION, *sorted(folder.glob(f"*/{EVALUATION}"))) if path.is_file()]


def read_evaluation(folder: Path) -> Evaluation:
    """Reads an evaluation, which may be anybody's.

    Raises:
        ValueError: It is damaged.
    """
    path = folder / EVALUATION
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ValueError(f"it has more than {_LARGEST_JSON >> 20} MB")
        evaluation = Evaluation.model_validate(json.loads(read_local(path)))
        classes = evaluation.num_classes
        named = [max(cell[:2]) for cell in evaluation.confusion]
        named += [max(pair.label, pair.prediction) for pair in evaluation.confused]
        named += [max(shown.label, shown.prediction or 0) for shown in evaluation._shown()]
        named += [index for shown in evaluation._shown() for index in (*shown.labels, *shown.predictions)]
        if len(evaluation.classes) != classes or max(named, default=0) >= classes:
            raise ValueError("it names classes that there are not")
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise ValueError(f"{path}: it is no evaluation of mindcv ({where}: {fault['msg']})") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: it cannot be read ({error})") from error
    return evaluation


def image_bytes(folder: Path, index: int, is_explained: bool = False) -> bytes | None:
    """Returns the small copy of an image, or of where the network looked, as JPEG; None where there is none."""
    path = folder / IMAGES / (f"{index}_cam.jpg" if is_explained else f"{index}.jpg")
    try:
        if path.stat().st_size > _LARGEST_IMAGE:
            return None
        data = read_local(path)
    except OSError:
        return None
    return data if data.startswith(_JPEG) else None
