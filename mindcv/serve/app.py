"""The service's addresses: classification, pictures of what the network sees, what it is, how it does, and the page."""

import asyncio
from collections.abc import Iterable
from concurrent.futures import Future
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from .. import __version__
from .bodies import Bodies, Refused
from .guard import Guard, json_body
from .metrics import Metrics
from .service import Answer, Busy, Service

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["create_app"]

_PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"image": {"type": "array", "items": _IMAGE["schema"]}}}
        },
        "application/octet-stream": _IMAGE,
    },
}
_REFUSALS = {
    401: "The token is missing or wrong.",
    413: "The body is too large, or has too many images.",
    422: "No image could be read, or an option is wrong.",
    503: "There is no room; Retry-After says when to try again.",
}


def create_app(
    service: Service,
    *,
    max_body_bytes: int = 32_000_000,
    token: str | None = None,
    hosts: Iterable[str] = (),
    device: str = "",
) -> "FastAPI":
    """Returns the application of a service, for uvicorn or any other ASGI server. Closing it closes the service.

    Args:
        service: What classifies.
        max_body_bytes: Of one request.
        token: What callers must show (`Authorization: Bearer TOKEN`); None: nothing.
        hosts: Names by which the service is reached, besides this machine's own and its addresses.
        device: Where the network runs, as `/model` says it.

    Raises:
        ImportError: FastAPI, python-multipart or prometheus-client is not installed.
    """
    from contextlib import asynccontextmanager

    from fastapi import FastAPI, Request, Response
    from fastapi.responses import JSONResponse
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect

    class JSON(JSONResponse):
        def render(self, content: Any) -> bytes:
            return json_body(content)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        yield
        await asyncio.to_thread(service.close)

    classifier = service.classifier
    app = FastAPI(
        title="mindcv",
        version=__version__,
        description=f"Classifies images with {classifier.name}.",
        docs_url=None,  # their scripts come from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    bodies = Bodies(max_body_bytes, max_images=service.max_queue)
    described: dict[str, Any] = {"openapi_extra": {"requestBody": _BODY}}
    described["responses"] = {status: {"description": text} for status, text in _REFUSALS.items()}

    @app.post("/predict", **described)
    async def predict(request: Request) -> Response:
        """Says what is in one or several images.

        The query or the form may have `top_k`, the number of classes an image (default: 5).
        """
        service.check_room()
        async with bodies.read(request) as upload:
            top_k = _number({**upload.fields, **request.query_params}, "top_k", 5, 1)
            futures = service.submit([data for _, data in upload.images], top_k)
            answers = await _all(futures)
            names = [name for name, _ in upload.images]
        metrics.watch_answers(answers)
        # Who sent several images wants to know of the good ones.
        status = 422 if all(answer.error is not None for answer in answers) else 200
        results = [_result(name, answer) for name, answer in zip(names, answers, strict=True)]
        return JSON({"model": classifier.name, "head": classifier.head, "results": results}, status)

    @app.post("/crop", **described)
    async def crop(request: Request) -> Response:
        """Draws what the network sees of an image: resized and cropped, before normalisation. PNG."""
        service.check_room()
        async with bodies.read(request) as upload:
            return Response(await _drawn(service.crop(_single(upload.images))), media_type="image/png")

    @app.post("/explain", **described)
    async def explain(request: Request) -> Response:
        """Draws where the network looks: Grad-CAM over what it sees. PNG; for live networks only.

        The query or the form may have `class_index`, of which class (default: the most probable one).
        """
        if service.why_unexplained:
            raise Refused(422, service.why_unexplained)
        service.check_room()
        async with bodies.read(request) as upload:
            index = _number({**upload.fields, **request.query_params}, "class_index", None, 0, service.num_classes - 1)
            return Response(await _drawn(service.explain(_single(upload.images), index)), media_type="image/png")

    @app.get("/model")
    async def model() -> Response:
        """Says what the model is, how images are prepared for it, and what its limits are."""
        preprocess = classifier.preprocess
        return JSON(
            {
                "name": classifier.name,
                "format": classifier.format,
                "device": device,
                "head": classifier.head,
                "threshold": classifier.threshold,
                "num_classes": service.num_classes,
                "class_names": classifier.class_names,
                "preprocess": {
                    "image_size": preprocess.image_size,
                    "crop_pct": preprocess.crop_pct,
                    "interpolation": preprocess.interpolation,
                    "mean": preprocess.mean,
                    "std": preprocess.std,
                },
                "explains": not service.why_unexplained,
                "why_unexplained": service.why_unexplained,
                "limits": {
                    "body_bytes": bodies.max_bytes,
                    "pixels": service.max_pixels,
                    "images": bodies.max_images,
                    "batch": service.max_batch,
                    "queue": service.max_queue,
                },
                "version": __version__,
            }
        )

    @app.get("/health")
    async def health() -> Response:
        """Says whether images are taken."""
        if service.is_alive:
            return JSON({"status": "ok"})
        return JSON({"status": "stopping"}, 503)

    @app.get("/metrics")
    async def prometheus() -> Response:
        """Gives figures in Prometheus's form."""
        text, media_type = metrics.text()
        return Response(text, headers={"content-type": media_type})

    def add_file(path: str, name: str, media_type: str) -> None:
        content = files("mindcv.serve").joinpath("page", name).read_bytes()

        @app.get(path, include_in_schema=False)
        async def file() -> Response:
            return Response(content, headers={"content-type": media_type, "cache-control": "no-cache"})

    for path, (name, media_type) in _PAGE.items():
        add_file(path, name, media_type)

    @app.exception_handler(Refused)
    async def refuse(request: Request, error: Refused) -> Response:
        headers = {} if error.retry_after_s is None else {"retry-after": str(error.retry_after_s)}
        return JSON({"error": str(error)}, error.status, headers)

    @app.exception_handler(Busy)
    async def is_busy(request: Request, error: Busy) -> Response:
        return JSON({"error": str(error)}, 503, {"retry-after": str(error.retry_after_s)})

    @app.exception_handler(HTTPException)
    async def no_such(request: Request, error: HTTPException) -> Response:
        return JSON({"error": str(error.detail)}, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def is_gone(request: Request, error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it

    metrics = Metrics(service, [*_PAGE, "/predict", "/crop", "/explain", "/model", "/health", "/metrics"])
    app.add_middleware(Guard, hosts=hosts, token=token, watch=metrics.watch_request)
    return app


async def _all(futures: "list[Future[Answer]]") -> list[Answer]:
    """Waits for all answers; where it is ended itself, what has not begun is left undone."""
    return await asyncio.gather(*map(asyncio.wrap_future, futures))


async def _drawn(future: "Future[bytes]") -> bytes:
    """Waits for a picture.

    Raises:
        Refused: It cannot be drawn.
    """
    try:
        return await asyncio.wrap_future(future)
    except ValueError as error:
        raise Refused(422, str(error)) from error


def _single(images: list[tuple[str, bytes]]) -> bytes:
    if len(images) != 1:
        raise Refused(422, f"a picture is drawn of one image, got {len(images)}")
    return images[0][1]


def _number(options: dict[str, str], name: str, default: Any, least: int, most: int | None = None) -> Any:
    """Returns an option as a number, or the default.

    Raises:
        Refused: It is none, or out of range.
    """
    text = options.get(name)
    if text is None:
        return default
    value = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1
    if least <= value and (most is None or value <= most):
        return value
    allowed = f"a number from {least}" if most is None else f"{least} to {most}"
    raise Refused(422, f"{name} is {text[:20]!r}; give {allowed}")


def _result(name: str, answer: Answer) -> dict[str, Any]:
    """One image's part of an answer; its entries are those of `mindcv infer --output_format jsonl`, and times."""
    result: dict[str, Any] = {"image": name}
    if answer.error is not None:
        result["error"] = answer.error
    else:
        result["predictions"] = [
            {"index": label.index, "class": label.name, "probability": label.probability} for label in answer.labels
        ]
    result["times"] = {
        "decode_ms": round(answer.decode_ms, 2),
        "wait_ms": round(answer.wait_ms, 2),
        "model_ms": round(answer.model_ms, 2),
        "batch": answer.batch,
    }
    return result
