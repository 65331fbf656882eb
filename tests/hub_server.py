"""A hub of models on the loopback: what is read of it, as it answers, and what is uploaded to it."""

import base64
import contextlib
import hashlib
import http.server
import json
import threading
from collections.abc import Iterator

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_POST(self) -> None:
        """What `huggingface_hub` asks when it uploads: a repository, how each file is to come, the commit."""
        hub_ = self.server
        content = self.rfile.read(int(self.headers["Content-Length"]))
        hub_.requests.append((self.command, self.path))
        if hub_.refuses:
            self.send_error(hub_.refuses)
            return
        said: dict = {}
        if self.path == "/api/repos/create":
            hub_.created.append(json.loads(content))
            said = {"url": f"{hub_.url}/somebody/pets"}
        elif "/preupload/" in self.path:
            names = [file["path"] for file in json.loads(content)["files"]]
            modes = {True: "lfs", False: "regular"}
            said["files"] = [
                {"path": name, "uploadMode": modes[name.endswith(".safetensors")], "shouldIgnore": False}
                for name in names
            ]
        elif self.path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(content)["objects"]
            address = f"{hub_.url}/lfs/"
            actions = [{**o, "actions": {"upload": {"href": address + o["oid"]}}} for o in objects]
            said = {"transfer": "basic", "objects": actions}
        elif "/commit/" in self.path:
            for line in map(json.loads, content.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    hub_.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    hub_.files[value["path"]] = hub_.received[value["oid"]]
            said = {"commitUrl": f"http://127.0.0.1/somebody/pets/commit/{COMMIT}", "commitOid": COMMIT}
        self._send(json.dumps(said).encode(), {"Content-Type": "application/json"}, body=True)

    def do_PUT(self) -> None:
        self.server.received[self.path.rpartition("/")[2]] = self.rfile.read(int(self.headers["Content-Length"]))
        self._send(b"", {}, body=True)

    def _answer(self, body: bool) -> None:
        hub_ = self.server
        hub_.requests.append((self.command, self.path))
        hub_.logins.append(self.headers.get("Authorization", ""))
        if hub_.statuses:
            self.send_error(hub_.statuses.pop(0))
            return
        if hub_.token and self.headers.get("Authorization") != f"Bearer {hub_.token}":
            self.send_error(401)
            return
        if self.path.startswith("/cdn/"):  # where large files are
            self._send_part(hub_.files[self.path.removeprefix("/cdn/")], body)
            return
        if self.path.startswith("/old/"):
            self.send_response(307)
            self.send_header("Location", hub_.moved_to + self.path.replace("/old/", "/new/", 1))
            self.end_headers()
            return
        name = self.path.rpartition("/")[2]
        if name not in hub_.files:
            self.send_error(404)
            return
        data = hub_.files[name]
        if name.endswith(".safetensors"):
            self.send_response(302)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("X-Linked-Etag", f'"{hub_.said.get(name) or hashlib.sha256(data).hexdigest()}"')
            self.send_header("Location", f"{hub_.cdn}/cdn/{name}")
            self.end_headers()
        else:
            digest = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            self._send(data, {"X-Repo-Commit": COMMIT, "ETag": f'"{hub_.said.get(name) or digest}"'}, body)

    def _send_part(self, data: bytes, body: bool) -> None:
        """The bytes from where they are asked for on, and of a first request only as many as `cut_at` says."""
        hub_ = self.server
        start = int(self.headers.get("Range", "bytes=0-")[6:].rstrip("-"))
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body:
            end, hub_.cut_at = hub_.cut_at or len(data), 0
            self.wfile.write(data[start:end])
        self.close_connection = True

    def _send(self, data: bytes, headers: dict[str, str], body: bool) -> None:
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


class Hub(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.said: dict[str, str] = {}
        self.requests: list[tuple[str, str]] = []
        self.received: dict[str, bytes] = {}
        self.created: list[dict] = []
        self.refuses = 0
        self.logins: list[str] = []  # of each request
        self.statuses: list[int] = []  # what the next requests are answered with
        self.token = ""  # what is wanted as a login
        self.cdn = ""  # where large files are
        self.moved_to = ""  # scheme and host of a repository that was renamed
        self.cut_at = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @contextlib.contextmanager
    def serving(self) -> Iterator["Hub"]:
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()
