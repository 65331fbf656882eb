"""From a request to image files in memory, with limits on everything that a caller could make grow."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["Bodies", "Refused", "Upload"]

_MULTIPART = "multipart/form-data"
# Bodies of the largest size that may be in memory at once.
_BODIES_AT_ONCE = 8
_MOST_FIELDS = 16
_LARGEST_FIELD = 1024


class Refused(Exception):  # noqa: N818
    """A request is not answered as asked.

    Attributes:
        status: HTTP's.
        retry_after_s: When to try again; None: never.
    """

    def __init__(self, status: int, message: str, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class Upload:
    """What came with a request.

    Attributes:
        images: Name and bytes of each file.
        fields: The other fields of a form.
    """

    images: list[tuple[str, bytes]]
    fields: dict[str, str]


class Bodies:
    """Reads requests' bodies.

    Args:
        max_bytes: Of one body.
        max_images: Of one body.
        limit_s: How long it may take to come.
    """

    def __init__(self, max_bytes: int, max_images: int, limit_s: float = 60.0) -> None:
        self.max_bytes = max_bytes
        self.max_images = max_images
        self._limit_s = limit_s
        self._held = 0

    @contextlib.asynccontextmanager
    async def read(self, request: "Request") -> AsyncIterator[Upload]:
        """Gives the images of a request: the files of a form, or the whole body. Its memory counts until the end.

        Raises:
            Refused: The body is too large, too slow, or no form though it says so.
        """
        data = bytearray()
        try:
            try:
                await asyncio.wait_for(self._fill(request, data), self._limit_s)
            except asyncio.TimeoutError:
                raise Refused(408, f"the body did not come within {self._limit_s:g} s") from None
            yield await self._parsed(request, bytes(data))
        finally:
            self._held -= len(data)

    async def _fill(self, request: "Request", data: bytearray) -> None:
        claimed = request.headers.get("content-length", "")
        if claimed.isdecimal() and int(claimed) > self.max_bytes:
            raise self._too_large()
        async for chunk in request.stream():
            if len(data) + len(chunk) > self.max_bytes:  # without a Content-Length
                raise self._too_large()
            if self._held + len(chunk) > _BODIES_AT_ONCE * self.max_bytes:
                raise Refused(503, "too many large bodies at once; try again in 1 s", retry_after_s=1)
            self._held += len(chunk)
            data += chunk

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is larger than the {self.max_bytes / 1e6:g} MB that are allowed")

    async def _parsed(self, request: "Request", data: bytes) -> Upload:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _MULTIPART:
            if not data:
                raise Refused(422, "there is no image: send one as the body, or several as the files of a form")
            return Upload([("image", data)], {})
        from starlette.formparsers import MultiPartException, MultiPartParser

        async def whole() -> AsyncGenerator[bytes, None]:
            yield data

        # One more of each than is allowed, so that the refusal says what is.
        parser = MultiPartParser(
            request.headers,
            whole(),
            max_files=self.max_images + 1,
            max_fields=_MOST_FIELDS,
            max_part_size=_LARGEST_FIELD,
        )
        parser.spool_max_size = self.max_bytes  # what is in memory already need not go to the disk
        try:
            form = await parser.parse()
        except MultiPartException as error:
            raise Refused(400, f"the form cannot be read: {error.message}") from error
        except Exception as error:  # a boundary of strange characters, headers that never end ...
            raise Refused(400, f"the form cannot be read: {type(error).__name__}") from error
        images: list[tuple[str, bytes]] = []
        fields: dict[str, str] = {}
        try:
            for name, value in form.multi_items():
                if isinstance(value, str):
                    fields[name] = value
                else:
                    images.append((value.filename or f"image {len(images)}", await value.read()))
        finally:
            await form.close()
        if not images:
            raise Refused(422, "there is no image: the form has no files")
        if len(images) > self.max_images:
            raise Refused(413, f"a request may have {self.max_images} images")
        return Upload(images, fields)
