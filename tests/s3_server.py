"""A real S3 server (moto) on the loopback, and a proxy in front of it that cuts connections."""

import logging
import os
import socket
import threading
from collections.abc import Iterator

import pytest

_CHUNK = 1 << 14


class Proxy:
    """Passes connections on to a server, some of them not to their end.

    Attributes:
        cuts: For each of the next connections: after how many bytes, of both directions, it is cut.
        is_down: Whether connections are refused.
        down_after: Bytes after which it goes down for good; None for never.
        passed: Bytes passed on so far, to the server and from it.
        requests: First line of each request.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.cuts: list[int] = []
        self.is_down = False
        self.down_after: int | None = None
        self.passed = [0, 0]
        self.requests: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def forget(self) -> None:
        self.passed = [0, 0]
        self.requests.clear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.is_down:
                client.close()
                continue
            server = socket.create_connection(self.target)
            budget = [self.cuts.pop(0) if self.cuts else None]
            for direction, ends in enumerate([(client, server), (server, client)]):
                threading.Thread(target=self._pass, args=(direction, *ends, budget), daemon=True).start()

    def _pass(self, direction: int, source: socket.socket, sink: socket.socket, budget: list[int | None]) -> None:
        is_new = direction == 0
        try:
            while data := source.recv(_CHUNK):
                if is_new:
                    self.requests.append(data.split(b"\r\n", 1)[0].decode())
                    is_new = False
                self.passed[direction] += len(data)
                if budget[0] is not None:
                    budget[0] -= len(data)
                if self.down_after is not None and sum(self.passed) > self.down_after:
                    self.is_down = True
                if self.is_down or (budget[0] is not None and budget[0] < 0):
                    break
                sink.sendall(data)
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        except OSError:
            pass
        for end in (source, sink):
            # A reset, as a cut connection gives.
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()


class Bucket:
    """A bucket of its own for a test.

    Attributes:
        url: Its address.
        proxy: What mindcv's connections go through.
        client: boto3's client, which goes straight to the server.
    """

    def __init__(self, name: str, proxy: Proxy, client: object) -> None:
        self.name, self.proxy, self.client = name, proxy, client
        self.url = f"s3://{name}"
        client.create_bucket(Bucket=name)

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def names(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))


@pytest.fixture(scope="session")
def s3_address() -> Iterator[tuple[str, int]]:
    os.environ["S3_UPLOAD_PART_MIN_SIZE"] = "1024"  # read when moto is imported
    server = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = server.ThreadedMotoServer(port=0, verbose=False)
    running.start()
    yield running.get_host_and_port()
    running.stop()


@pytest.fixture
def bucket(s3_address, monkeypatch, tmp_path, request) -> Iterator[Bucket]:
    import boto3

    from mindcv.utils import remote, transfer

    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "MINDCV_HOME": str(tmp_path / "home"),
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url="http://{}:{}".format(*s3_address))
    proxy = Proxy(s3_address)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    monkeypatch.setattr(remote, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(transfer, "_BLOCK_BYTES", 1 << 17)
    monkeypatch.setattr(transfer, "_PART_BYTES", 1 << 18)
    monkeypatch.setattr(transfer, "_without_md5", set())
    remote._store.cache_clear()
    yield Bucket(f"b{abs(hash(request.node.nodeid)):x}", proxy, client)
    remote._store.cache_clear()
    proxy.close()
