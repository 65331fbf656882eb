"""Classification of single images with an exported file, a checkpoint, a published model or your own network."""

import dataclasses
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn
from PIL import Image

from ..data import imagenet_class_names
from ..data.preprocess import EvalPreprocess
from ..models import create_model, is_model, list_models
from ..utils.cores import usable_cores
from ..utils.fs import is_remote, local_path
from ..utils.registry import suggest, unknown_name_message
from ..weights.hub import is_hub_model
from ..weights.outputs import HEADS, MULTIPLE, check_threshold, probabilities, renamed_classes
from .exporter import preprocess_of
from .images import ImageReader, name_of
from .onnx_runtimes import AUTO, FP32
from .runtime import ExportedModel, in_batches, in_sizes, is_exported_file, live_run
from .source import Source, source_from_checkpoint, source_from_name

__all__ = ["Classifier", "Label", "Prediction"]

_NOT_FINITE = "the model's output for it is not finite; look at the weights, or at half precision, which may overflow"

# Images that are decoded ahead of the network, in batches.
_BATCHES_AHEAD = 3


@dataclasses.dataclass(frozen=True)
class Label:
    """A class and its probability, which with several labels an image is that of this label alone."""

    index: int
    name: str
    probability: float


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The most probable classes of an image, the first one first; or why there are none."""

    image: str
    labels: tuple[Label, ...] = ()
    error: str | None = None


class Classifier:
    """Says what is in images.

        classifier = mindcv.Classifier("model.onnx")
        classifier.predict("cat.jpg")[0].labels[0].name

    Args:
        model: A `.mindir` or `.onnx` file of `mindcv export`; a checkpoint; a registered name (`resnet50`, or with a
            tag) for published weights; a model of timm's form (`hf-hub:OWNER/NAME`, `local-dir:FOLDER`); or a network.
        recipe: The recipe of a checkpoint, or one that says how images are prepared for a model's name. Empty: the
            `config.yaml` beside the checkpoint.
        preprocess: How images are prepared. None: as the file, recipe or weights say.
        class_names: Names by index, other words for the model's own. None: as the file or the checkpoint says, or for a
            checkpoint of an earlier version the recipe's dataset; else the indices.
        batch_size: Images that run at once. An exported file of a fixed batch size keeps its own. In graph mode a
            network always gets this many, filled up, since each other number would be compiled again.
        workers: Threads that read and decode images. None: as many as cores, at most 4.
        key: Key of an encrypted MINDIR. None: the file named by `MINDCV_KEY_FILE`.
        pretrained: Weights for a registered name in place of its published ones: path or address of a file.
        head: What probabilities are: `single`, a softmax, or `multiple`, a sigmoid for each of several labels. None: as
            the file or the checkpoint says, else `single`.
        threshold: Least probability of a label that is told, for the head `multiple`; an image may then have none.
            None: as the file says, else all are told.
        runtime: What runs an ONNX file: `onnxruntime`, `openvino`, or `auto`, see `mindcv.export.choose_runtime`.
        precision: `fp32`, or `bf16`, which OpenVINO computes in where the processor does.
        compiled_sizes: Batch sizes that a network is compiled for in graph mode, 1 among them; a batch is cut into
            these. None: `batch_size` alone, which each batch is filled up to.
        tta: Test-time augmentation: `flip`, `five_crop`, `ten_crop` or `scales` (see `mindcv.data.tta.Views`);
            probabilities are the mean of those of the views. None: one view.
        shares_cores: Whether other threads work while the network runs, see `ExportedModel`.

    Attributes:
        name: The model's name.
        format: `onnx` or `mindir`; `live` for a network.
        runtime: What runs the file, and why it was chosen; None for what MindSpore runs.
        network: The network; None for an exported file.
        preprocess: How images are prepared.
        class_names: Names by index; None: classes are called by their indices.
        head: What probabilities are.
        batch_size: Images that run at once.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is none of these, or arguments do not fit it.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | nn.Cell,
        recipe: str = "",
        *,
        preprocess: EvalPreprocess | None = None,
        class_names: Sequence[str] | None = None,
        batch_size: int = 16,
        workers: int | None = None,
        key: bytes | None = None,
        pretrained: str = "",
        head: str | None = None,
        compiled_sizes: Sequence[int] | None = None,
        threshold: float | None = None,
        tta: str | None = None,
        shares_cores: bool = False,
        runtime: str = AUTO,
        precision: str = FP32,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; give a number from 1")
        gives_probabilities = takes_pixels = False
        own_threshold: float | None = None
        names: Sequence[str] | None
        if not isinstance(model, nn.Cell) and is_exported_file(model):
            if recipe or preprocess or pretrained:
                raise ValueError(
                    f"{model} has its weights and says itself how images are prepared; leave out recipe, preprocess "
                    "and pretrained"
                )
            exported = ExportedModel(model, key, shares_cores=shares_cores, runtime=runtime, precision=precision)
            self.runtime = exported.runtime
            info = exported.info
            self._run: Callable[[np.ndarray], np.ndarray] = exported
            self.preprocess, names, self.head = info.preprocess, info.class_names, info.head
            self.name, self.format, self.network = info.model, info.format, None
            own_threshold = info.threshold
            gives_probabilities, takes_pixels = info.output_name == "probabilities", info.normalisation == "inside"
            batch_size = info.batch_size or batch_size
        else:
            if (runtime, precision) != (AUTO, FP32):
                raise ValueError(
                    f"runtime and precision are for ONNX files of `mindcv export`, not for {_named(model)}"
                )
            self.runtime = None
            source = _find_source(model, recipe, preprocess, pretrained)
            run = live_run(source.network)
            if ms.get_context("mode") != ms.GRAPH_MODE:
                self._run = run
            elif compiled_sizes:
                self._run = lambda images: in_sizes(run, images, compiled_sizes)
            else:
                self._run = lambda images: in_batches(run, images, batch_size)
            self.preprocess, names = preprocess or source.preprocess, source.class_names
            self.name, self.format, self.network = source.name, "live", source.network
            self.head = source.head
        if head is not None:
            if head not in HEADS:
                raise ValueError(unknown_name_message("head", head, HEADS))
            if gives_probabilities and head != self.head:
                raise ValueError(f"{model} gives the probabilities of the head {self.head!r}; leave out head")
            self.head = head
        check_threshold(threshold, self.head)
        self.threshold = own_threshold if threshold is None and self.head == MULTIPLE else threshold
        if class_names is not None:
            names = renamed_classes(names, class_names, "class_names")
        self.class_names = None if names is None else tuple(names)
        self.batch_size = batch_size
        self._gives_probabilities = gives_probabilities
        self._reader = ImageReader(self.preprocess, not takes_pixels, tta)
        self._workers = workers or min(4, usable_cores())

    def predict(self, images: Any, top_k: int = 5) -> list[Prediction]:
        """Classifies images.

        Args:
            images: One or several of: path or address, bytes of an image file, Pillow image, uint8 array (H, W, C).
            top_k: How many classes to give.

        Returns:
            One prediction an image.

        Raises:
            ValueError: An image cannot be read; `predict_each` goes on instead.
        """
        predictions = []
        for prediction in self.predict_each([images] if _is_single(images) else images, top_k):
            if prediction.error is not None:
                raise ValueError(f"{prediction.image}: {prediction.error}")
            predictions.append(prediction)
        return predictions

    def predict_each(self, images: Iterable[Any], top_k: int = 5) -> Iterator[Prediction]:
        """Classifies images one after the other, in their order, while threads decode the next ones.

        Args:
            images: As for `predict`; they are taken as they are needed.
            top_k: How many classes to give.

        Yields:
            One prediction an image; for one that cannot be read, with `error`.
        """
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}; give a number from 1")
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="decode")
        try:
            reads = _ahead(pool, self._read, enumerate(images), _BATCHES_AHEAD * self.batch_size)
            while batch := list(itertools.islice(reads, self.batch_size)):
                yield from self._predict_batch(batch, top_k)
        finally:
            pool.shutdown(cancel_futures=True)

    def read(self, image: Any) -> np.ndarray:
        """Makes an image, of any kind that `predict` takes, the network's input (C, H, W), or with `tta` (V, C, H, W).

        Threads may do it at once.

        Raises:
            ValueError: It cannot be read; the reason in one line.
        """
        try:
            return self._reader(image)
        except FileNotFoundError as error:
            raise ValueError("there is no such file") from error
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError((getattr(error, "strerror", None) or str(error)).splitlines()[0]) from error

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """Runs inputs of `read`, (N, C, H, W) or with views (N, V, C, H, W); returns probabilities (N, num_classes)."""
        if inputs.ndim == 5:
            return np.mean([self.probabilities(inputs[:, index]) for index in range(inputs.shape[1])], axis=0)
        scores = self._run(inputs)
        return scores if self._gives_probabilities else probabilities(scores, self.head)

    def labels(self, row: np.ndarray, top_k: int = 5) -> tuple[Label, ...]:
        """Returns the most probable classes of a row of `probabilities`, the first one first, from `threshold` on.

        Raises:
            ValueError: The row is not finite, or there are not as many class names as classes.
        """
        names = self.class_names
        if names is not None and len(names) != len(row):
            raise ValueError(f"got {len(names)} class names for a network of {len(row)} classes")
        if not np.isfinite(row).all():
            raise ValueError(_NOT_FINITE)
        order = np.argsort(-row, kind="stable")[:top_k]
        if self.threshold is not None:
            order = order[row[order] >= self.threshold]
        return tuple(Label(int(index), (names and names[index]) or str(index), float(row[index])) for index in order)

    def _read(self, item: tuple[int, Any]) -> tuple[str, np.ndarray | str]:
        """Returns the image's name with its input, or with the reason why there is none."""
        index, image = item
        name = name_of(image, index)
        try:
            return name, self.read(image)
        except ValueError as error:
            return name, str(error)

    def _predict_batch(self, batch: Sequence[tuple[str, np.ndarray | str]], top_k: int) -> Iterator[Prediction]:
        inputs = [image for _, image in batch if isinstance(image, np.ndarray)]
        rows = iter(self.probabilities(np.stack(inputs)) if inputs else ())
        for name, image in batch:
            if isinstance(image, str):
                yield Prediction(name, error=image)
                continue
            row = next(rows)
            if np.isfinite(row).all():
                yield Prediction(name, self.labels(row, top_k))
            else:
                yield Prediction(name, error=_NOT_FINITE)


def _find_source(
    model: str | os.PathLike[str] | nn.Cell, recipe: str, preprocess: EvalPreprocess | None, pretrained: str
) -> Source:
    if pretrained:
        if isinstance(model, nn.Cell) or not is_model(os.fspath(model)):
            raise ValueError(f"pretrained gives the weights of a model by name, not of {model}; leave one of them out")
        return source_from_name(os.fspath(model), pretrained, recipe)
    if isinstance(model, nn.Cell):
        return Source(model, type(model).__name__, preprocess or preprocess_of(model), None, "")
    name = os.fspath(model)
    if is_hub_model(name):
        return _source_from_hub(name, recipe, preprocess)
    is_file = is_remote(name) or local_path(name).is_file()
    if is_model(name) and not is_file:
        return source_from_name(name, recipe=recipe)
    if recipe or is_file:
        return source_from_checkpoint(name, recipe)
    raise ValueError(
        f"{name!r} is neither a file nor the name of a model{suggest(name, list_models())}; give a .mindir or .onnx "
        "file, a checkpoint with its recipe, or a name of `mindcv models --pretrained`"
    )


def _source_from_hub(name: str, recipe: str, preprocess: EvalPreprocess | None) -> Source:
    """A model of timm's form. It names its classes itself, but timm's own of ImageNet-1K, which do without."""
    if recipe:
        raise ValueError(f"{name} says itself how images are prepared; leave out the recipe")
    network = create_model(name, pretrained=True).set_train(False)
    if network.num_classes == 0:
        raise ValueError(f"{name}: its weights have no classifier")
    names = network.default_cfg["label_names"] or None
    if names is None and name.partition(":")[2].startswith("timm/") and network.num_classes == 1000:
        names = imagenet_class_names()
    return Source(network, name, preprocess or preprocess_of(network), names, "", network.default_cfg["head"])


def _named(model: str | os.PathLike[str] | nn.Cell) -> str:
    return type(model).__name__ if isinstance(model, nn.Cell) else os.fspath(model)


def _is_single(images: Any) -> bool:
    if isinstance(images, np.ndarray):
        return images.ndim <= 3
    return isinstance(images, (str, os.PathLike, bytes, bytearray, Image.Image))


def _ahead(pool: ThreadPoolExecutor, function: Callable[[Any], Any], items: Iterable[Any], count: int) -> Iterator[Any]:
    """Yields `function(item)` in order, with that many calls under way or waiting to be taken."""
    futures: deque[Future] = deque()
    for item in items:
        futures.append(pool.submit(function, item))
        if len(futures) >= count:
            yield futures.popleft().result()
    while futures:
        yield futures.popleft().result()
