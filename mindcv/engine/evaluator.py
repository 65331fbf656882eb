"""Evaluation: every sample once, whatever the batch size and the number of ranks."""

import time
from collections.abc import Callable
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from tqdm import tqdm

from .distributed import rank, sum_over_ranks
from .metrics import count_correct, metric_names
from .signals import keep_handlers

__all__ = ["Evaluator"]


class Evaluator:
    """Runs a network over a loader and gives accuracy, mean loss, count and speed.

    The last batch is filled up to the batch size, so that graph mode compiles one shape only.

    Args:
        network: Images `(N, C, H, W)` to logits `(N, num_classes)`, or a tuple whose first entry they are.
        loss: Called with logits and labels.
        loader: Dataset with the columns image and label. With several ranks each gives its own part.
        num_classes: Number of classes.
        batch_size: Rows in a full batch.
    """

    def __init__(self, network: nn.Cell, loss: nn.Cell, loader: Any, num_classes: int, batch_size: int) -> None:
        self.network = network
        self.loss = loss
        self.loader = loader
        self.batch_size = batch_size
        self.accuracies = metric_names(num_classes)

    def run(
        self, show_progress: bool = False, should_stop: Callable[[], bool] = lambda: False
    ) -> dict[str, float] | None:
        """Evaluates the whole loader.

        Args:
            show_progress: Show a progress bar.
            should_stop: Asked after each batch.

        Returns:
            Accuracies in 0..1 by upstream's names, `loss`, `num_samples` and `images_per_s`; None when it was stopped.

        Raises:
            ValueError: There is nothing to evaluate.
        """
        was_training = self.network.training
        self.network.set_train(False)
        begin = time.perf_counter()
        sums = np.zeros(2 + len(self.accuracies))
        batches = self.loader.create_tuple_iterator(num_epochs=1, output_numpy=True)
        total = self.loader.get_dataset_size()
        try:
            for image, label in tqdm(
                batches, "Evaluating", total, leave=False, disable=not show_progress or rank() != 0
            ):
                sums += self._batch_sums(image, label)
                keep_handlers()
                if should_stop():
                    return None
        finally:
            self.network.set_train(was_training)
        count, loss, *correct = sum_over_ranks(sums)
        if count == 0:
            raise ValueError("there are no images to evaluate; look at val_split and data_dir")
        values = {name: hits / count for name, hits in zip(self.accuracies, correct, strict=True)}
        seconds = time.perf_counter() - begin
        return {**values, "loss": loss / count, "num_samples": int(count), "images_per_s": count / seconds}

    def _batch_sums(self, image: np.ndarray, label: np.ndarray) -> np.ndarray:
        count = len(image)
        if count < self.batch_size:
            image = np.concatenate([image, np.repeat(image[:1], self.batch_size - count, axis=0)])
        logits = self.network(ms.Tensor(image))
        if isinstance(logits, (tuple, list)):
            logits = logits[0]
        logits = logits.asnumpy()[:count].astype(np.float32)
        loss = float(self.loss(ms.Tensor(logits), ms.Tensor(label)).asnumpy().mean())
        return np.array([count, loss * count, *(count_correct(logits, label, k) for k in self.accuracies.values())])
