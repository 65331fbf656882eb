"""What the service counts, for Prometheus."""

from collections.abc import Iterable
from typing import Any

from .service import Answer, Service

__all__ = ["Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_OTHER = "other"


class Metrics:
    """Counters of one service.

    Args:
        service: Whose queue and batches are measured.
        paths: Paths that are counted by name; all others are counted together, since callers make them up.
    """

    def __init__(self, service: Service, paths: Iterable[str]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

        self._paths = frozenset(paths)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        sizes = [size for size in (1, 2, 4, 8, 16, 32, 64, 128, 256) if size < service.max_batch]

        def name(what: str) -> dict[str, Any]:
            return {"name": f"mindcv_{what}", "registry": self._registry}

        self._requests = Counter(
            documentation="Requests by path and status.", labelnames=("path", "status"), **name("requests")
        )
        self._request_seconds = Histogram(
            documentation="Seconds from a request's headers to its answer, by path.",
            labelnames=("path",),
            buckets=_SECONDS,
            **name("request_seconds"),
        )
        self._images = Counter(
            documentation="Images by result: classified or refused.", labelnames=("result",), **name("images")
        )
        self._batch_images = Histogram(
            documentation="Images in a batch.", buckets=(*sizes, service.max_batch), **name("batch_images")
        )
        self._batch_seconds = Histogram(
            documentation="Seconds of the network on a batch.", buckets=_SECONDS, **name("batch_seconds")
        )
        queue = Gauge(documentation="Images that are decoded, wait or run.", **name("queue_images"))
        queue.set_function(lambda: service.waiting)
        limit = Gauge(documentation="Images that the queue takes.", **name("queue_limit_images"))
        limit.set(service.max_queue)
        service.watch = self._watch_batch

    def watch_request(self, path: str, status: int, seconds: float) -> None:
        """Counts a request; status 0 is one whose caller has gone."""
        path = path if path in self._paths else _OTHER
        self._requests.labels(path, str(status)).inc()
        self._request_seconds.labels(path).observe(seconds)

    def watch_answers(self, answers: Iterable[Answer]) -> None:
        """Counts images."""
        for answer in answers:
            self._images.labels("classified" if answer.error is None else "refused").inc()

    def text(self) -> tuple[bytes, str]:
        """Returns all figures, and the content type that they have."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def _watch_batch(self, size: int, seconds: float) -> None:
        self._batch_images.observe(size)
        self._batch_seconds.observe(seconds)
