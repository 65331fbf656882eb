"""A classifier for many callers at once: threads decode, one thread runs the network on what has come, in batches."""

import dataclasses
import io
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from ..data.images.image_check import claimed_size
from ..export import Classifier, Label
from ..export.images import ImageReader

__all__ = ["Answer", "Busy", "Service", "sizes_up_to"]

# A progressive JPEG may go over all of its pixels with every few bytes. Cameras and programs write at most about 20.
_MOST_SCANS = 100
_START_OF_SCAN = b"\xff\xda"
# What draws pictures waits for the network too, one at a time.
_MOST_TASKS = 8
_WORTH_WAITING = 1 / 7  # of the time that a full batch takes
_NEWEST_SHARE = 0.1  # of the newest batch, in the average of what an image takes

_Read = TypeVar("_Read")


class Busy(Exception):  # noqa: N818
    """There is no room for more images.

    Attributes:
        retry_after_s: When there may be some.
    """

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"too many images are waiting; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


@dataclasses.dataclass(frozen=True)
class Answer:
    """What is in an image, and what that took; or why nobody knows.

    Attributes:
        labels: The most probable classes, the first one first.
        error: Why there are none.
        decode_ms: Decoding, resizing and normalising.
        wait_ms: Waiting for a thread, for others of the batch, and for the network.
        model_ms: The network, for the whole batch.
        batch: Images in that batch.
    """

    labels: tuple[Label, ...] = ()
    error: str | None = None
    decode_ms: float = 0.0
    wait_ms: float = 0.0
    model_ms: float = 0.0
    batch: int = 0


@dataclasses.dataclass
class _Job:
    data: bytes
    top_k: int
    came: float
    answer: "Future[Answer]" = dataclasses.field(default_factory=Future)
    pixels: np.ndarray | None = None
    decode_s: float = 0.0


class Service:
    """Classifies images of many callers. Every method may be called by any thread.

    Args:
        classifier: What classifies.
        max_batch: Images that run at once, at most.
        max_wait_ms: How long a batch waits for images that are being decoded or are likely to come, at most; and never
            longer than a seventh of what a full batch takes. One caller alone does not wait.
        max_queue: Images that may wait or run; more are refused with `Busy`.
        max_pixels: Of an image; larger ones are refused before they are decoded.
        workers: Threads that decode.

    Attributes:
        watch: Called with each batch's size and seconds.
        num_classes: Length of a row of probabilities, known after `warm_up`.

    Raises:
        ValueError: A number is out of range, or the network cannot be run.
    """

    def __init__(
        self,
        classifier: Classifier,
        *,
        max_batch: int = 16,
        max_wait_ms: float = 100.0,
        max_queue: int = 128,
        max_pixels: int = 64_000_000,
        workers: int = 2,
    ) -> None:
        for name, value in (("max_batch", max_batch), ("max_pixels", max_pixels), ("workers", workers)):
            if value < 1:
                raise ValueError(f"{name} is {value}; give a number from 1")
        if max_queue < max_batch:
            raise ValueError(f"max_queue is {max_queue}, which is less than max_batch {max_batch}")
        if not 0 <= max_wait_ms <= 60_000:
            raise ValueError(f"max_wait_ms is {max_wait_ms}; give 0 to 60000")
        self.classifier = classifier
        self.max_batch = max_batch
        self.max_queue = max_queue
        self.max_pixels = max_pixels
        self.watch: Callable[[int, float], None] = lambda size, seconds: None
        self.num_classes = 0
        self._max_wait_s = max_wait_ms / 1e3
        self._crop_reader = ImageReader(classifier.preprocess, normalise=False)
        self._changed = threading.Condition()  # guards all that follows
        self._waiting = 0  # images that are decoded, wait or run
        self._decoding = 0
        self._ready: deque[_Job] = deque()
        self._tasks: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._is_closed = False
        self._seconds_an_image = 0.0
        self._last_size = 1
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._thread.start()

    def warm_up(self, sizes: Sequence[int] = (1,)) -> None:
        """Runs the network on black pictures in batches of these sizes, so that no caller waits for its compilation.

        Raises:
            ValueError: The network cannot be run, its output is not finite, or it has other classes than names.
        """

        def run() -> np.ndarray:
            height, width = self.classifier.preprocess.image_size
            black = np.zeros((height, width, len(self.classifier.preprocess.mean)), np.uint8)
            pixels = self.classifier.read(black)[None]
            return [self.classifier.probabilities(np.repeat(pixels, size, axis=0)) for size in sizes][-1]

        rows: Future[np.ndarray] = Future()
        self._queue_task(rows, run)
        row = rows.result()[0]
        self.num_classes = len(row)
        self.classifier.labels(row)

    @property
    def waiting(self) -> int:
        """Images that are decoded, wait or run."""
        return self._waiting

    @property
    def is_alive(self) -> bool:
        """Whether images are taken."""
        return self._thread.is_alive() and not self._is_closed

    def check_room(self, count: int = 1) -> None:
        """Looks whether there is room for so many images.

        Raises:
            Busy: There is none.
        """
        if self._waiting + count > self.max_queue or self._is_closed:
            raise Busy(self._retry_after_s())

    def submit(self, images: Sequence[bytes], top_k: int = 5) -> "list[Future[Answer]]":
        """Takes image files, all or none of them. One whose future is cancelled in time does not run.

        Raises:
            Busy: There is no room for them.
        """
        now = time.monotonic()
        jobs = [_Job(data, top_k, now) for data in images]
        with self._changed:
            self._admit([job.answer for job in jobs])
            self._decoding += len(jobs)
            for job in jobs:
                self._pool.submit(self._decode, job)
        return [job.answer for job in jobs]

    def crop(self, data: bytes) -> "Future[bytes]":
        """Draws what the network sees of an image file, before normalisation, as PNG.

        The future raises a ValueError for a file that cannot be read, or is too large.

        Raises:
            Busy: There is no room.
        """
        return self._draw(lambda: self._crop_of(data), _png)

    def explain(self, data: bytes, class_index: int | None = None) -> "Future[bytes]":
        """Draws where the network looks: Grad-CAM over the preprocessed crop, as PNG.

        The future raises a ValueError for a file that cannot be read or is too large, and for a network without maps.

        Args:
            data: An image file.
            class_index: Of which class. None: the most probable one.

        Raises:
            Busy: There is no room.
            ValueError: There is no such class, or the file has no gradients.
        """
        network = self.classifier.network
        if network is None:
            raise ValueError(self.why_unexplained)
        if class_index is not None and not 0 <= class_index < self.num_classes:
            raise ValueError(f"class_index is {class_index}; give 0 to {self.num_classes - 1}")
        from ..report.grad_cam import grad_cam, overlay

        def draw(read: tuple[np.ndarray, np.ndarray]) -> bytes:
            crop, pixels = read
            return _png(overlay(crop, grad_cam(network, pixels, class_index)))

        return self._draw(lambda: (_as_rgb(self._crop_of(data)), self.classifier.read(data)), draw, is_alone=True)

    @property
    def why_unexplained(self) -> str:
        """Why `explain` draws nothing; empty when it does."""
        if self.classifier.network is not None:
            return ""
        return (
            f"an exported file ({self.classifier.format}) has no gradients; serve the checkpoint to see where it looks"
        )

    def close(self) -> None:
        """Takes nothing more and returns when all is done that was taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._pool.shutdown()
        self._thread.join()

    def _admit(self, futures: "Sequence[Future[Any]]") -> None:
        """Counts what is to be done until it is done. The caller holds the lock."""
        self.check_room(len(futures))
        self._waiting += len(futures)
        for future in futures:
            future.add_done_callback(self._release)

    def _release(self, future: "Future[Any]") -> None:
        with self._changed:
            self._waiting -= 1
            self._changed.notify_all()

    def _draw(
        self, read: Callable[[], _Read], draw: Callable[[_Read], bytes], is_alone: bool = False
    ) -> "Future[bytes]":
        """Reads an image in a thread of the pool and draws it there or, alone, in the network's thread."""
        future: Future[bytes] = Future()
        with self._changed:
            if is_alone and len(self._tasks) >= _MOST_TASKS:
                raise Busy(self._retry_after_s())
            self._admit([future])

            def run() -> None:
                try:
                    image = read()
                except Exception as error:  # the caller's to see
                    _settle(future, error=error)
                    return
                if is_alone:
                    self._queue_task(future, lambda: draw(image))
                else:
                    _run_task(future, lambda: draw(image))

            self._pool.submit(run)
        return future

    def _queue_task(self, future: "Future[Any]", function: Callable[[], Any]) -> None:
        """Has a function run while the network does not, between two batches."""
        with self._changed:
            self._tasks.append((future, function))
            self._changed.notify_all()

    def _crop_of(self, data: bytes) -> np.ndarray:
        self._check(data)
        return np.ascontiguousarray(self._crop_reader(data).transpose(1, 2, 0))

    def _check(self, data: bytes) -> None:
        """Checks what decoding would take, before it.

        Raises:
            ValueError: It is no image, or too much.
        """
        claimed_size(data, self.max_pixels)
        if data.startswith(b"\xff\xd8") and data.count(_START_OF_SCAN) > _MOST_SCANS:
            raise ValueError(f"this JPEG has more than {_MOST_SCANS} scans; save it anew")

    def _decode(self, job: _Job) -> None:
        """Runs in a thread of the pool."""
        error: Exception | None = None
        begin = time.monotonic()
        if not job.answer.cancelled():
            try:
                self._check(job.data)
                job.pixels = self.classifier.read(job.data)
            except Exception as problem:  # whatever it is, the caller is to be answered
                error = problem
        job.data = b""
        job.decode_s = time.monotonic() - begin
        with self._changed:
            self._decoding -= 1
            if job.pixels is not None:
                self._ready.append(job)
            self._changed.notify_all()
        if isinstance(error, ValueError):
            _settle(job.answer, Answer(error=str(error), decode_ms=1e3 * job.decode_s))
        elif error is not None:
            _settle(job.answer, error=error)

    def _run(self) -> None:
        """Runs in the network's thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._tasks or self._is_done())
                if not self._ready and not self._tasks:
                    return
                task = self._tasks.popleft() if self._tasks else None
                batch = self._next_batch() if self._ready else []
            if task is not None:
                _run_task(*task)
            if batch:
                self._run_batch(batch)

    def _is_done(self) -> bool:
        return self._is_closed and not self._waiting

    def _next_batch(self) -> list[_Job]:
        """Waits for what is being decoded, or is likely to come, but not too long. The caller holds the lock.

        As many as were answered last are likely to ask again; the first of them alone would make a poor batch.
        """

        def is_complete() -> bool:
            count = len(self._ready)
            return count >= self.max_batch or (not self._decoding and count >= self._last_size)

        worth_s = _WORTH_WAITING * self.max_batch * self._seconds_an_image
        self._changed.wait_for(is_complete, min(self._max_wait_s, worth_s))
        batch = [self._ready.popleft() for _ in range(min(len(self._ready), self.max_batch))]
        self._last_size = len(batch)
        return batch

    def _run_batch(self, batch: list[_Job]) -> None:
        jobs = [job for job in batch if job.answer.set_running_or_notify_cancel()]
        if not jobs:
            return
        begin = time.monotonic()
        try:
            rows = self.classifier.probabilities(np.stack([job.pixels for job in jobs if job.pixels is not None]))
        except Exception as error:  # of whatever runs the network; the next batch may be a good one
            for job in jobs:
                job.answer.set_exception(error)
            return
        seconds = time.monotonic() - begin
        share = _NEWEST_SHARE if self._seconds_an_image else 1.0
        self._seconds_an_image += (seconds / len(jobs) - self._seconds_an_image) * share
        self.watch(len(jobs), seconds)
        for job, row in zip(jobs, rows, strict=True):
            labels: tuple[Label, ...] = ()
            problem = None
            try:
                labels = self.classifier.labels(row, job.top_k)
            except ValueError as error:
                problem = str(error)
            wait_s = begin - job.came - job.decode_s
            answer = Answer(labels, problem, 1e3 * job.decode_s, 1e3 * wait_s, 1e3 * seconds, len(jobs))
            job.answer.set_result(answer)

    def _retry_after_s(self) -> int:
        return max(1, math.ceil(self._waiting * self._seconds_an_image))


def sizes_up_to(max_batch: int) -> tuple[int, ...]:
    """Batch sizes to compile a network for: powers of four, and the largest one."""
    sizes = [4**power for power in range(16) if 4**power < max_batch]
    return (*sizes, max_batch)


def _settle(future: "Future[Any]", result: Any = None, error: Exception | None = None) -> None:
    """Gives a future what it waits for, unless it was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


def _run_task(future: "Future[Any]", function: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(function())
    except Exception as error:  # the caller's to see
        future.set_exception(error)


def _as_rgb(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels


def _png(pixels: np.ndarray) -> bytes:
    """Encodes uint8 (H, W, 1 or 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
