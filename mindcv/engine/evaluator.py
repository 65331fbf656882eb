"""Evaluation: every sample once, whatever the batch size and the number of ranks."""

import math
import time
from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from tqdm import tqdm

from .distributed import gather_over_ranks, rank, report_alive, sum_integers
from .metrics import count_correct, metric_names
from .signals import keep_handlers

__all__ = ["Evaluator"]

# Every fp32 number is a whole number of such parts, so that sums of losses do not depend on the order.
_UNITS = 1 << 149


class Evaluator:
    """Runs a network over a loader and gives accuracy, mean loss, count and speed.

    The last batch is filled up to the batch size, so that graph mode compiles one shape only.

    Args:
        network: Images `(N, C, H, W)` to logits `(N, num_classes)`, or a tuple whose first entry they are.
        loss: Called with logits and labels; gives a loss for each sample (reduction "none").
        loader: Dataset with the columns image and label.
        num_classes: Number of classes.
        batch_size: Rows in a full batch.
        is_shared: Whether each rank's loader gives its own part of the samples. When not, all give all of them.
    """

    def __init__(
        self,
        network: nn.Cell,
        loss: nn.Cell,
        loader: Any,
        num_classes: int,
        batch_size: int,
        is_shared: bool = True,
    ) -> None:
        self.network = network
        self.loss = loss
        self.loader = loader
        self.batch_size = batch_size
        self.is_shared = is_shared
        self.accuracies = metric_names(num_classes)

    def run(
        self, show_progress: bool = False, should_stop: Callable[[], bool] = lambda: False
    ) -> dict[str, float] | None:
        """Evaluates the whole loader. With several ranks it is a collective, and all get the same result.

        The figures are those of one process to the last digit when the ranks' batches are the same ones as its own:
        counts and losses are added without rounding.

        Args:
            show_progress: Show a progress bar.
            should_stop: Asked after each batch, on all ranks equally often; must give the same answer on all.

        Returns:
            Accuracies in 0..1 by upstream's names, `loss`, `num_samples` and `images_per_s`; None when it was stopped.

        Raises:
            ValueError: There is nothing to evaluate, or the loss gives no loss for each sample.
        """
        was_training = self.network.training
        self.network.set_train(False)
        begin = time.perf_counter()
        own = self._sums(show_progress, should_stop)
        self.network.set_train(was_training)
        if own is None:
            return None
        count, terms, not_finite, loss, *correct = sum_integers(own) if self.is_shared else own
        if count == 0:
            raise ValueError("there are no images to evaluate; look at val_split and data_dir")
        values = {name: hits / count for name, hits in zip(self.accuracies, correct, strict=True)}
        values["loss"] = math.nan if not_finite else loss / (terms * _UNITS)
        return {**values, "num_samples": count, "images_per_s": count / (time.perf_counter() - begin)}

    def _sums(self, show_progress: bool, should_stop: Callable[[], bool]) -> list[int] | None:
        """This rank's part; see `_batch_sums`."""
        sums = [0] * (4 + len(self.accuracies))
        batches = self.loader.create_tuple_iterator(num_epochs=1, output_numpy=True)
        # Some ranks may have one batch less than others.
        rounds = int(gather_over_ranks([self.loader.get_dataset_size()]).max())
        for _ in tqdm(range(rounds), "Evaluating", leave=False, disable=not show_progress or rank() != 0):
            batch = next(batches, None)
            if batch is not None:
                report_alive()
                sums = [total + value for total, value in zip(sums, self._batch_sums(*batch), strict=True)]
            keep_handlers()
            if should_stop():
                return None
        return sums

    def _batch_sums(self, image: np.ndarray, label: np.ndarray) -> list[int]:
        """Returns samples, loss values, how many of those are not finite, their sum in units, and hits by accuracy."""
        count = len(image)
        logits = self.network(ms.Tensor(self._filled(image)))
        if isinstance(logits, (tuple, list)):
            logits = logits[0]
        logits = logits.asnumpy().astype(np.float32)
        losses = self.loss(ms.Tensor(logits), ms.Tensor(self._filled(label))).asnumpy()
        if losses.shape[:1] != (self.batch_size,):
            raise ValueError(
                f"the loss for {self.batch_size} samples has shape {losses.shape}; evaluation needs one with "
                "reduction 'none'"
            )
        values = losses[:count].astype(np.float64).reshape(-1)
        finite = values[np.isfinite(values)]
        units = sum(n * (_UNITS // d) for n, d in map(float.as_integer_ratio, finite.tolist()))
        hits = (count_correct(logits[:count], label, k) for k in self.accuracies.values())
        return [count, values.size, values.size - finite.size, units, *hits]

    def _filled(self, rows: np.ndarray) -> np.ndarray:
        """Returns a full batch: the rows, and the first one again for those that are missing."""
        missing = self.batch_size - len(rows)
        return np.concatenate([rows, np.repeat(rows[:1], missing, axis=0)]) if missing else rows
