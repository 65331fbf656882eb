"""Copies between this machine and remote stores: exact, resumed where they were cut, and nothing twice."""

import contextlib
import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar

from .errors import RunError
from .part_file import Content, PartFile
from .remote import Entry, RemoteError, files_below, find_file, read_range, remove_file, retried, store_of

__all__ = ["Mirror", "copy_in", "download", "upload", "upload_folder"]

_logger = logging.getLogger(__name__)

_THREADS = 8
_BLOCK_BYTES = 8 << 20
_BLOCKS_AT_ONCE = 4
# S3 takes at least 5 MiB and at most 10,000 parts of a file.
_PART_BYTES = 16 << 20
_MOST_PARTS = 10_000
# Places whose tags are no md5, as of encrypted buckets; found out when two copies agree with each other.
_without_md5: set[str] = set()

T = TypeVar("T")
R = TypeVar("R")


def download(url: str, target: Path, entry: Entry | None = None) -> None:
    """Copies a remote file to `target`, which is there whole or not at all, with the remote's time of change.

    A part that an earlier call left is gone on with, when the remote file is the same.

    Args:
        url: The file.
        target: Its path here.
        entry: What `find_file` or `files_below` said of it. None: this asks.

    Raises:
        FileNotFoundError: There is no such remote file.
        RemoteError: It cannot be had, or what comes is not what the store says it is.
    """
    entry = entry or find_file(url)
    if entry is None:
        raise FileNotFoundError(f"{url} is a folder, not a file")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = PartFile(target.with_name(f".{target.name}.part"))
    source = _StoreFile(url, entry)
    part.receive(source)
    got = _wrong_tag(url, entry.tag, part.path)
    if got is not None:
        _logger.warning("%s: the copy has the checksum %s in place of %s; copying again", url, got, entry.tag)
        part.remove()
        part.receive(source)
        again = _wrong_tag(url, entry.tag, part.path)
        if again is not None:
            if again != got:
                part.remove()
                raise RemoteError(f"{url}: two copies have the checksums {got} and {again} in place of {entry.tag}")
            _trust_no_tags(url)
    if entry.modified_s is not None:
        os.utime(part.path, (entry.modified_s, entry.modified_s))
    part.move_to(target)


class _StoreFile:
    """A file in a store, as a source of `PartFile`: read by blocks, some at a time, each of which is tried again."""

    def __init__(self, url: str, entry: Entry) -> None:
        self.url = url
        self.entry = entry

    @contextlib.contextmanager
    def open(self, offset: int, version: str) -> Iterator[Content]:
        size = self.entry.size
        same = f"{self.url} {size} {self.entry.tag} {self.entry.modified_s}"
        start = offset if version == same else 0
        if start:
            _logger.info("%s: going on at byte %d of %d", self.url, start, size)
        yield Content(start, size, same, self._blocks(start, size))

    def _blocks(self, start: int, size: int) -> Iterator[bytes]:
        starts = range(start, size, _BLOCK_BYTES)
        for first in range(0, len(starts), _BLOCKS_AT_ONCE):
            blocks = starts[first : first + _BLOCKS_AT_ONCE]
            yield from _in_threads(lambda begin: read_range(self.url, begin, min(begin + _BLOCK_BYTES, size)), blocks)


def _in_threads(work: Callable[[T], R], items: Iterable[T], threads: int = _BLOCKS_AT_ONCE) -> Iterator[R]:
    """Results in order; after an error nothing more is begun."""
    items = list(items)
    if len(items) == 1:
        yield work(items[0])
        return
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _part_bytes(size: int) -> int:
    return max(_PART_BYTES, -(-size // _MOST_PARTS))


def _tag_of(read: Callable[[int, int], bytes], size: int, in_parts: bool) -> str:
    """The tag that S3 gives a file: its md5, or that of its parts' md5s with their number."""
    length = _part_bytes(size)
    whole, parts = hashlib.md5(), []
    for start in range(0, size, length):
        data = read(start, min(start + length, size))
        whole.update(data)
        parts.append(hashlib.md5(data).digest())
    return f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}" if in_parts else whole.hexdigest()


def _is_checksum(tag: str, size: int) -> bool:
    """Whether a tag is one of `_tag_of`; that of parts of another size, or of another store, says nothing here."""
    match = re.fullmatch(r"[0-9a-f]{32}(?:-(\d+))?", tag)
    return match is not None and (match[1] is None or int(match[1]) == -(-size // _part_bytes(size)))


def _file_tag(path: Path, tag: str) -> str:
    """What `tag` would be for a file here; empty when `tag` is no checksum."""
    size = path.stat().st_size
    if not _is_checksum(tag, size):
        return ""
    with path.open("rb") as file:
        return _tag_of(lambda start, end: os.pread(file.fileno(), end - start, start), size, "-" in tag)


def _bucket(url: str) -> str:
    return url.split("://")[-1].split("/")[0]


def _trust_no_tags(url: str) -> None:
    _logger.info("%s: what comes back is always the same, so the tags of this bucket are no checksums", url)
    _without_md5.add(_bucket(url))


def _wrong_tag(url: str, tag: str, path: Path) -> str | None:
    """The tag of a copy when it is another one than the store's."""
    got = _file_tag(path, tag) if _bucket(url) not in _without_md5 else ""
    return got if got and got != tag else None


def upload(path: Path, url: str) -> None:
    """Copies a file to a remote address and makes sure that it is there whole.

    Large files go to S3 in parts. Those that an earlier call, also one that was killed, has brought there are not sent
    again.

    Raises:
        FileNotFoundError: There is no such file here, or no such bucket.
        RemoteError: It cannot be brought there, or the store has something else then.
    """
    store, remote = store_of(url)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= _part_bytes(size):
            data = file.read(size)
            tag = hashlib.md5(data).hexdigest()
            retried(url, lambda: store.pipe_file(remote, data))
        elif hasattr(store, "call_s3"):
            tag = _upload_parts(file, url, size)
        else:
            tag = ""
            retried(url, lambda: store.put_file(os.fspath(path), remote))
    there = find_file(url)
    if there is None or there.size != size:
        raise RemoteError(f"{url} has {there and there.size} bytes in place of {size} after it was copied there")
    is_comparable = tag and _is_checksum(there.tag, size) and ("-" in tag) == ("-" in there.tag)
    if is_comparable and there.tag != tag and _bucket(url) not in _without_md5:
        # A bucket that encrypts has other tags; what it gives back decides.
        got = _tag_of(lambda start, end: read_range(url, start, end), size, "-" in tag)
        if got != tag:
            raise RemoteError(f"{url} has the checksum {got} in place of {tag} after it was copied there")
        _trust_no_tags(url)


def _upload_parts(file: IO[bytes], url: str, size: int) -> str:
    """Sends a file to S3 in parts, going on with an upload of it that was begun; returns the tag it must have then."""
    store, remote = store_of(url)
    bucket, _, key = remote.partition("/")
    key_of_file = {"Bucket": bucket, "Key": key}

    def call(method: str, **arguments: Any) -> dict[str, Any]:
        return retried(url, lambda: store.call_s3(method, **arguments))

    upload_id, there = _begun_upload(call, bucket, key)
    if upload_id is None:
        upload_id = call("create_multipart_upload", **key_of_file)["UploadId"]
    key_of_file["UploadId"] = upload_id
    length = _part_bytes(size)
    count = -(-size // length)
    if there:
        _logger.info("%s: going on with an upload, of which %d of %d parts are there", url, len(there), count)

    def send(part_number: int) -> dict[str, Any]:
        start = (part_number - 1) * length
        data = os.pread(file.fileno(), min(length, size - start), start)
        tag = there.get(part_number)
        if tag != hashlib.md5(data).hexdigest():
            tag = call("upload_part", **key_of_file, PartNumber=part_number, Body=data)["ETag"].strip('"')
        return {"PartNumber": part_number, "ETag": f'"{tag}"'}

    parts = list(_in_threads(send, range(1, count + 1)))
    call("complete_multipart_upload", **key_of_file, MultipartUpload={"Parts": parts})
    return _tag_of(lambda start, end: os.pread(file.fileno(), end - start, start), size, in_parts=True)


def _begun_upload(call: Callable[..., dict[str, Any]], bucket: str, key: str) -> tuple[str | None, dict[int, str]]:
    """The upload of a file that was begun last, and the tags of the parts that are there."""
    try:
        found = call("list_multipart_uploads", Bucket=bucket, Prefix=key).get("Uploads", [])
    except PermissionError:
        return None, {}  # whoever may write need not be allowed to list
    begun = [entry for entry in found if entry["Key"] == key]
    if not begun:
        return None, {}
    upload_id = max(begun, key=lambda entry: entry["Initiated"])["UploadId"]
    tags: dict[int, str] = {}
    last = 0
    while True:
        page = call("list_parts", Bucket=bucket, Key=key, UploadId=upload_id, PartNumberMarker=last)
        tags |= {part["PartNumber"]: part["ETag"].strip('"') for part in page.get("Parts", [])}
        if not page.get("IsTruncated"):
            return upload_id, tags
        last = int(page["NextPartNumberMarker"])


def copy_in(url: str, target: Path) -> int:
    """Copies a remote folder to a local one, but for files that are there with the same size and time of change.

    Args:
        url: The folder.
        target: Its path here. Files there that the remote folder does not have stay.

    Returns:
        How many files were copied.

    Raises:
        FileNotFoundError: There is no such folder, or it is empty.
        RemoteError: A file cannot be copied.
    """
    store, _ = store_of(url)
    if hasattr(store, "copy_folder"):
        return _copy_in_at_once(store, url, target)
    entries = files_below(url)
    if not entries:
        raise FileNotFoundError(f"{url}: there is no such folder, or it is empty")
    odd = [name for name in entries if ".." in name.split("/")]
    if odd:
        raise ValueError(f"{url}: refused the file {odd[0]!r}, whose path would be outside of the folder")
    missing = {name: entry for name, entry in entries.items() if not _is_same(target / name, entry)}
    if missing:
        size = sum(entry.size for entry in missing.values()) / 2**20
        _logger.info("copying %d of %d files (%.1f MiB) from %s to %s", len(missing), len(entries), size, url, target)

    def copy(name: str) -> None:
        download(f"{url.rstrip('/')}/{name}", target / name, missing[name])

    for _ in _in_threads(copy, missing, _THREADS):
        pass
    return len(missing)


def _copy_in_at_once(store: Any, url: str, target: Path) -> int:
    """For moxing, which copies folders by itself; the sum of the sizes tells whether all is there."""
    size = retried(url, lambda: store.file.get_size(url, recursive=True))
    if not size:
        raise FileNotFoundError(f"{url}: there is no such folder, or it is empty")
    if _size_below(target) == size:
        return 0
    retried(url, lambda: store.copy_folder(url, os.fspath(target)))
    files = [path for path in target.rglob("*") if path.is_file()]
    if _size_below(target) < size:
        raise RemoteError(f"{url} has {size} bytes, of which {_size_below(target)} came to {target}")
    return len(files)


def _size_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0


def _is_same(path: Path, entry: Entry) -> bool:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return False
    return stat.st_size == entry.size and entry.modified_s is not None and abs(stat.st_mtime - entry.modified_s) < 1


def upload_folder(folder: Path, url: str, last: tuple[str, ...] = ()) -> None:
    """Copies a folder to a remote one, but for files that are there already; those named `last` after all others."""
    Mirror(folder, url, last=last).copy_out()


class Mirror:
    """Keeps a remote copy of a folder that is being written to.

    Files that are gone here are removed there, when it was this object that has brought them there or has found them
    equal. Hidden files are left alone.

    Args:
        folder: The folder here.
        url: Its copy.
        is_wanted: Which files, by their paths from the folder. None: all.
        last: Files that name others, so that they are copied after all others.
    """

    def __init__(
        self,
        folder: Path,
        url: str,
        is_wanted: Callable[[str], bool] | None = None,
        last: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.url = url.rstrip("/")
        self.is_wanted = is_wanted
        self.last = last
        self._sent: dict[str, tuple[int, int, int]] = {}
        self._changed = threading.Event()
        self._is_ending = False
        self._thread: threading.Thread | None = None

    def changed(self) -> None:
        """Lets a thread copy what has changed; returns at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="mirror", daemon=True)
            self._thread.start()
        self._changed.set()

    def find_copies(self) -> None:
        """Looks which files have their copy already, so that those are removed there when they are dropped here.

        Raises:
            RemoteError: The copy cannot be listed.
        """
        there = files_below(self.url)
        for name, facts in self._files().items():
            if name in there and self._is_there(self.folder / name, there[name]):
                self._sent[name] = facts

    def finish(self) -> None:
        """Copies what has changed since the last time, and waits for it.

        Raises:
            RemoteError: It cannot be copied.
        """
        self._is_ending = True
        self._changed.set()
        if self._thread is not None:
            self._thread.join()
        self.copy_out()

    def _follow(self) -> None:
        while True:
            self._changed.wait()
            self._changed.clear()
            if self._is_ending:
                return
            try:
                self.copy_out()
            except (RunError, OSError) as error:
                _logger.error(
                    "the outputs could not be copied out and are tried again with the next checkpoint: %s", error
                )

    def copy_out(self) -> None:
        """Copies what has changed since the last time.

        Raises:
            RemoteError: It cannot be copied.
        """
        there = files_below(self.url) if not self._sent else {}
        files = self._files()
        for name in sorted(files, key=lambda name: (Path(name).name in self.last, name)):
            if self._is_ending and self._thread is threading.current_thread():
                return
            if self._sent.get(name) == files[name]:
                continue
            path = self.folder / name
            try:
                if name not in there or not self._is_there(path, there[name]):
                    upload(path, f"{self.url}/{name}")
                self._sent[name] = files[name]
            except FileNotFoundError:
                if path.exists():
                    raise  # it is the bucket that is not there; a file may be dropped by the policy of checkpoints
        for name in [name for name in self._sent if name not in files]:
            with contextlib.suppress(FileNotFoundError):
                remove_file(f"{self.url}/{name}")
            del self._sent[name]

    def _files(self) -> dict[str, tuple[int, int, int]]:
        """The files, each with what changes when it does."""
        found = {}
        for path in self.folder.rglob("*"):
            name = path.relative_to(self.folder).as_posix()
            hidden = any(part.startswith(".") for part in name.split("/"))
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                if path.is_file() and not hidden and (self.is_wanted is None or self.is_wanted(name)):
                    found[name] = (stat.st_size, stat.st_mtime_ns, stat.st_ino)
        return found

    @staticmethod
    def _is_there(path: Path, entry: Entry) -> bool:
        return path.stat().st_size == entry.size and _file_tag(path, entry.tag) == entry.tag != ""
