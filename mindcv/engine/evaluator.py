"""Evaluation: every sample once, whatever the batch size and the number of ranks."""

import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from tqdm import tqdm

from ..kernels.cells import KernelCells
from ..weights.outputs import MULTIPLE, SINGLE, mean_scores
from .compile_cache import CompileCache
from .distributed import gather_over_ranks, rank, report_alive, sum_integers
from .metrics import (
    MEAN_AVERAGE_PRECISION,
    SUBSET_ACCURACY,
    average_precision,
    count_all_correct,
    count_correct,
    metric_names,
)
from .signals import keep_handlers

_logger = logging.getLogger(__name__)

__all__ = ["Evaluator", "Scores"]

# Every fp32 number is a whole number of such parts, so that sums of losses do not depend on the order.
_UNITS = 1 << 149


class Scores:
    """Figures of a network's outputs, added up batch by batch: accuracies; of several labels a sample, mAP as well.

    Args:
        num_classes: Number of classes.
        is_multi_label: Whether a sample has several labels, as zeros and ones.

    Attributes:
        average_precisions: Of each class, once `metric_values` was called on several labels; NaN of a class that no
            sample has. mAP is the mean of the others.
    """

    def __init__(self, num_classes: int, is_multi_label: bool = False) -> None:
        self.num_classes = num_classes
        self.is_multi_label = is_multi_label
        self.accuracies = {} if is_multi_label else metric_names(num_classes)
        self.num_samples = 0
        self.num_not_finite = 0
        self.hits = [0] * (1 if is_multi_label else len(self.accuracies))
        self.average_precisions: list[float] = []
        self._scores: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []

    @property
    def names(self) -> list[str]:
        """Names of the figures, the one that decides what is best first."""
        return [MEAN_AVERAGE_PRECISION, SUBSET_ACCURACY] if self.is_multi_label else list(self.accuracies)

    def add(self, logits: np.ndarray, labels: np.ndarray) -> None:
        """Adds a batch: scores (N, num_classes), and labels (N,), or (N, num_classes) of probabilities or several."""
        self.num_samples += len(logits)
        self.num_not_finite += int((~np.isfinite(logits).all(axis=1)).sum())
        if labels.ndim == 2 and not self.is_multi_label:
            labels = labels.argmax(1)  # a soft label stands for its most probable class
        if self.is_multi_label:
            hits = [count_all_correct(logits, labels)]
            self._scores.append(logits.astype(np.float32))
            self._labels.append(labels > 0.5)
        else:
            hits = [count_correct(logits, labels, k) for k in self.accuracies.values()]
        self.hits = [total + own for total, own in zip(self.hits, hits, strict=True)]

    @staticmethod
    def require_finite(num_not_finite: int, num_samples: int) -> None:
        """Warns where some of all samples have an output that is not finite: they count as wrong.

        Raises:
            ValueError: All have, so that accuracies would say nothing.
        """
        if num_not_finite == num_samples:
            raise ValueError(
                f"the model's output is not finite for all of the {num_samples} images, so its accuracy says nothing; "
                "look at the weights, or at val_amp_level: half precision may overflow"
            )
        if num_not_finite:
            _logger.warning(
                "the model's output is not finite for %d of %d images, which count as wrong; half precision may "
                "overflow (val_amp_level)",
                *(num_not_finite, num_samples),
            )

    def metric_values(self, num_samples: int, hits: Sequence[int], is_shared: bool = False) -> dict[str, float]:
        """Returns the figures by name, in 0..1.

        Args:
            num_samples: Of all ranks together.
            hits: `hits` of all ranks together.
            is_shared: Whether each rank has its own part of the samples; then this is a collective.

        Raises:
            ValueError: No sample has any label, so that there is no average precision.
        """
        shares = [own / num_samples for own in hits]
        mean = [self._mean_average_precision(is_shared)] if self.is_multi_label else []
        return dict(zip(self.names, [*mean, *shares], strict=True))

    def _mean_average_precision(self, is_shared: bool) -> float:
        """The mean over the classes that at least one sample has; one class after the other is gathered."""
        shape = (0, self.num_classes)
        scores = np.concatenate([np.zeros(shape, np.float32), *self._scores])
        labels = np.concatenate([np.zeros(shape, bool), *self._labels])
        most = int(gather_over_ranks([len(scores)]).max()) if is_shared else 0
        found: list[float] = []
        for column in range(self.num_classes):
            own, positive = scores[:, column].astype(np.float64), labels[:, column]
            if is_shared:
                # Ranks give equally many numbers: what is only filling has no label, -1.
                filling = np.zeros(most - len(own))
                both = gather_over_ranks([*own, *filling, *positive, *(filling - 1)]).reshape(-1, 2, most)
                is_sample = both[:, 1] >= 0
                own, positive = both[:, 0][is_sample], both[:, 1][is_sample] > 0
            found.append(average_precision(own, positive) if positive.any() else math.nan)
        self.average_precisions = found
        found = [value for value in found if not math.isnan(value)]
        if not found:
            raise ValueError("no image of the evaluation has a label, so there is no mAP; look at val_split")
        return math.fsum(found) / len(found)


class _NetworkScores:
    """A network as a function from images to scores. It sees full batches: graph mode compiles one shape only."""

    def __init__(self, network: nn.Cell, batch_size: int, compile_cache: CompileCache | None) -> None:
        self.network = network
        self.kernel_cells = KernelCells(network)
        self.batch_size = batch_size
        self.compile_cache = compile_cache

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Returns float32 (N, num_classes) for at most batch_size images."""
        batch = ms.Tensor(_filled(images, self.batch_size))
        with self.kernel_cells:
            if self.compile_cache is not None:
                self.compile_cache.compile(self.network, (batch,), "the network's evaluation", self.kernel_cells)
            self.kernel_cells.compile(self.network, (batch,))
            scores = self.network(batch)
        if isinstance(scores, (tuple, list)):
            scores = scores[0]
        return scores.asnumpy()[: len(images)].astype(np.float32)


def _filled(rows: np.ndarray, batch_size: int) -> np.ndarray:
    """Returns a full batch: the rows, and the first one again for those that are missing."""
    missing = batch_size - len(rows)
    return np.concatenate([rows, np.repeat(rows[:1], missing, axis=0)]) if missing else rows


@contextlib.contextmanager
def _evaluation_mode(network: nn.Cell) -> Iterator[None]:
    was_training = network.training
    network.set_train(False)
    try:
        yield
    finally:
        network.set_train(was_training)


class Evaluator:
    """Runs a network, or an exported one, over a loader and gives accuracy, mean loss, count and speed.

    Args:
        network: Images `(N, C, H, W)` to logits `(N, num_classes)`, or a tuple whose first entry they are. What is no
            cell, as an `export.ExportedModel`, is a function from numpy to numpy that takes any number of images.
        loss: Called with logits and labels; gives a loss for each sample (reduction "none"). None: there is no `loss`
            among the figures.
        loader: Dataset with the columns image and label. Images with one axis more, (N, V, ...), are V views each, of
            which the probabilities are averaged.
        num_classes: Number of classes.
        batch_size: Rows in a full batch.
        is_shared: Whether each rank's loader gives its own part of the samples. When not, all give all of them.
        is_multi_label: Whether samples have several labels, as zeros and ones, each with a sigmoid of its own.
        compile_cache: Where the network's compiled graph is kept; None: it is compiled at each start.
        are_probabilities: Whether the network gives probabilities, not logits.

    Attributes:
        average_precisions: Of each class in the last run, where samples have several labels; see `Scores`.
    """

    def __init__(
        self,
        network: nn.Cell | Callable[[np.ndarray], np.ndarray],
        loss: nn.Cell | None,
        loader: Any,
        num_classes: int,
        batch_size: int,
        is_shared: bool = True,
        is_multi_label: bool = False,
        compile_cache: CompileCache | None = None,
        are_probabilities: bool = False,
    ) -> None:
        self.network = network
        self.loss = loss
        self.loader = loader
        self.batch_size = batch_size
        self.is_shared = is_shared
        self.num_classes = num_classes
        self.is_multi_label = is_multi_label
        self.are_probabilities = are_probabilities
        self.average_precisions: list[float] = []
        is_cell = isinstance(network, nn.Cell)
        self._scores_of = _NetworkScores(network, batch_size, compile_cache) if is_cell else network
        # Of several labels those count as found whose score is not below.
        self._threshold = np.float32(0.5 if are_probabilities and is_multi_label else 0)

    @property
    def accuracies(self) -> list[str]:
        """Names of the figures that `run` gives besides the loss."""
        return Scores(self.num_classes, self.is_multi_label).names

    @property
    def metric(self) -> str:
        """Name of the figure that decides what is best: top-1 accuracy, or mAP where samples have several labels."""
        return self.accuracies[0]

    def run(
        self,
        show_progress: bool = False,
        should_stop: Callable[[], bool] = lambda: False,
        on_batch: Callable[[np.ndarray, np.ndarray], None] | None = None,
    ) -> dict[str, float] | None:
        """Evaluates the whole loader. With several ranks it is a collective, and all get the same result.

        The figures are those of one process to the last digit when the ranks' batches are the same ones as its own:
        counts and losses are added without rounding.

        Args:
            show_progress: Show a progress bar.
            should_stop: Asked after each batch, on all ranks equally often; must give the same answer on all.
            on_batch: Gets each batch of this rank in order: its logits, float32 (N, num_classes), and its labels.

        Returns:
            Accuracies in 0..1 by upstream's names, or `mAP` and `Subset_Accuracy` where samples have several labels;
            `loss` where there is one, `num_samples` and `images_per_s`; None when it was stopped.

        Raises:
            ValueError: There is nothing to evaluate, no output is finite, or the loss gives no loss for each sample.
        """
        begin = time.perf_counter()
        scores = Scores(self.num_classes, self.is_multi_label)
        with _evaluation_mode(self.network) if isinstance(self.network, nn.Cell) else contextlib.nullcontext():
            losses = self._losses(scores, show_progress, should_stop, on_batch)
        if losses is None:
            return None
        own = [scores.num_samples, scores.num_not_finite, *losses, *scores.hits]
        count, wild, terms, not_finite, loss, *hits = sum_integers(own) if self.is_shared else own
        if count == 0:
            raise ValueError("there are no images to evaluate; look at val_split and data_dir")
        scores.require_finite(wild, count)
        values = scores.metric_values(count, hits, self.is_shared)
        self.average_precisions = scores.average_precisions
        if self.loss is not None:
            values["loss"] = math.nan if not_finite else loss / (terms * _UNITS)
        return {**values, "num_samples": count, "images_per_s": count / (time.perf_counter() - begin)}

    def _losses(
        self,
        scores: Scores,
        show_progress: bool,
        should_stop: Callable[[], bool],
        on_batch: Callable[[np.ndarray, np.ndarray], None] | None,
    ) -> list[int] | None:
        """Adds this rank's part to the scores, and returns the losses' sums; see `_batch_losses`."""
        sums = [0] * 3
        batches = self.loader.create_tuple_iterator(num_epochs=1, output_numpy=True)
        # Some ranks may have one batch less than others.
        rounds = int(gather_over_ranks([self.loader.get_dataset_size()]).max())
        for _ in tqdm(range(rounds), "Evaluating", leave=False, disable=not show_progress or rank() != 0):
            batch = next(batches, None)
            if batch is not None:
                report_alive()
                image, label = batch[0], batch[1]
                logits = self._logits(image)
                losses = self._batch_losses(logits, label)
                sums = [total + value for total, value in zip(sums, losses, strict=True)]
                scores.add(logits - self._threshold, label)
                if on_batch is not None:
                    on_batch(logits, label)
            keep_handlers()
            if should_stop():
                return None
        return sums

    def _logits(self, image: np.ndarray) -> np.ndarray:
        """Returns float32 (N, num_classes) for images, or for views of them."""
        if image.ndim != 5:
            return np.asarray(self._scores_of(image), np.float32)
        views = np.stack([self._scores_of(image[:, index]) for index in range(image.shape[1])])
        if self.are_probabilities:
            return views.mean(0, dtype=np.float32)
        return mean_scores(views, MULTIPLE if self.is_multi_label else SINGLE)

    def _batch_losses(self, logits: np.ndarray, label: np.ndarray) -> list[int]:
        """Returns how many loss values a batch has, how many of them are not finite, and the sum of the others."""
        if self.loss is None:
            return [0] * 3
        full = [ms.Tensor(_filled(rows, self.batch_size)) for rows in (logits, label)]
        losses = self.loss(*full).asnumpy()
        if losses.shape[:1] != (self.batch_size,):
            raise ValueError(
                f"the loss for {self.batch_size} samples has shape {losses.shape}; evaluation needs one with "
                "reduction 'none'"
            )
        values = losses[: len(label)].astype(np.float64).reshape(-1)
        finite = values[np.isfinite(values)]
        units = sum(n * (_UNITS // d) for n, d in map(float.as_integer_ratio, finite.tolist()))
        return [values.size, values.size - finite.size, units]
