"""Files on web servers: certificates checked, redirects never to plain text, reading from an offset on."""

import contextlib
import functools
import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from .._version import __version__
from .part_file import Content

__all__ = ["WebFile", "open_url", "with_token"]

_BLOCK_BYTES = 1 << 20
_HTTP_NOT_SATISFIABLE = 416


class WebFile:
    """A file on a web server, as a source of `PartFile`.

    Args:
        url: Its address.
        timeout_s: Seconds without a byte after which a connection counts as stalled.
        token: What its host wants as a login; no host that it redirects to gets it.
    """

    def __init__(self, url: str, timeout_s: float, token: str = "") -> None:
        self.url = url
        self.timeout_s = timeout_s
        self.token = token

    @contextlib.contextmanager
    def open(self, offset: int, version: str) -> Iterator[Content]:
        """Asks for the file from an offset on; `version` is the server's tag of an earlier answer.

        Raises:
            InterruptedDownload: The connection is cut.
            OSError: The server refuses, or the network fails.
        """
        headers = {"User-Agent": f"mindcv/{__version__}", "Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if version:
                headers["If-Range"] = version
        request = with_token(urllib.request.Request(self.url, headers=headers), self.token)
        try:
            response = open_url(request, timeout_s=self.timeout_s)
        except urllib.error.HTTPError as error:
            if not offset or error.code != _HTTP_NOT_SATISFIABLE:
                raise
            if _total_size(error.headers.get("Content-Range")) != offset:
                with self.open(0, "") as content:  # the server has another version
                    yield content
                return
            yield Content(offset, offset, version, ())
            return
        with response:
            is_partial = response.status == http.HTTPStatus.PARTIAL_CONTENT
            start = _range_start(response.headers.get("Content-Range")) if is_partial else 0
            length = response.headers.get("Content-Length")
            tag = response.headers.get("ETag", "")
            yield Content(
                start,
                None if length is None else start + int(length),
                "" if tag.startswith("W/") else tag,
                iter(lambda: response.read1(_BLOCK_BYTES), b""),
            )


def _range_start(content_range: str | None) -> int:
    """First byte of a `Content-Range: bytes 5-9/10`."""
    match = re.match(r"bytes (\d+)-", content_range or "")
    return int(match[1]) if match else 0


def _total_size(content_range: str | None) -> int | None:
    """Size of the whole file in a `Content-Range: bytes */10`."""
    match = re.search(r"/(\d+)$", content_range or "")
    return int(match[1]) if match else None


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from TLS to plain text."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.type == "https" and not newurl.startswith("https:"):
            raise urllib.error.HTTPError(req.full_url, code, "redirect from https to plain http", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Hands a redirect to the caller, as an error with its headers."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        return None


def with_token(request: urllib.request.Request, token: str) -> urllib.request.Request:
    """Returns a request with a login for its host, which is not sent along where it is redirected to."""
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    return request


def open_url(request: urllib.request.Request, follow: bool = True, timeout_s: float = 30.0) -> Any:
    """Opens an address with the certificates checked.

    Args:
        request: What to ask for.
        follow: Whether to follow redirects; otherwise one is an `HTTPError` with its headers.
        timeout_s: Seconds without a byte after which a connection counts as stalled.
    """
    return _opener(follow).open(request, timeout=timeout_s)


@functools.cache
def _opener(follow: bool = True) -> urllib.request.OpenerDirector:
    redirects = _NoDowngrade() if follow else _NoRedirect()
    return urllib.request.build_opener(redirects, urllib.request.HTTPSHandler(context=ssl.create_default_context()))
