"""`mindcv serve`: a real process that finishes what it began, and one line for what is wrong."""

import builtins
import http.client
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from time_limits import LIMIT_S, wait_until

from mindcv.cli import main
from mindcv.cli.serve import _token
from mindcv.models import create_model
from mindcv.serve.server import address_of, is_loopback, open_port
from mindcv.weights import write_weights

FLOWER = Path(__file__).parents[1] / "data" / "photos" / "flower.jpg"
RECIPE = "resnet/resnet18_cpu.yaml"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    network = create_model("resnet18", num_classes=10)
    path = tmp_path_factory.mktemp("serve") / "m.ckpt"
    write_weights(path, {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()})
    return str(path)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S).close()
    except ConnectionError:
        return False
    return True


def test_ctrl_c_finishes_what_was_begun(checkpoint):
    """A request whose body has half come is answered. The network is live, so MindSpore turns Ctrl-C into SIGTERM."""
    command = [sys.executable, "-m", "mindcv", "serve", checkpoint, "-c", RECIPE, "--port", "0", "--max_batch", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        port = int(re.search(r"resnet18 \(live\) is at http://127\.0\.0\.1:(\d+)/", line)[1])
        image = FLOWER.read_bytes()
        answered = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        answered.request("POST", "/predict", image)
        assert b'"probability"' in answered.getresponse().read()
        begun = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        begun.putrequest("POST", "/predict")
        begun.putheader("Content-Length", str(len(image)))
        begun.endheaders(image[:1000])
        answered.request("GET", "/metrics")  # the half body is there when this one, sent later, is answered
        figures = answered.getresponse().read().decode()
        assert 'mindcv_requests_total{path="/predict",status="200"} 1.0' in figures
        process.send_signal(signal.SIGINT)
        wait_until(lambda: not listens(port), "the end of listening")
        begun.send(image[1000:])
        answer = begun.getresponse()
        assert answer.status == 200
        assert b'"probability"' in answer.read()
        assert process.wait(LIMIT_S) == 0
        assert process.stdout.read() == "mindcv: stopped; everything that was begun is answered\n"
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def run(capsys, *words: str) -> str:
    """Runs the command that fails, and returns the one line that it says."""
    assert main(["serve", "--device_target", "CPU", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    return line


def test_a_port_that_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = run(capsys, "m.onnx", "--port", str(port))
        assert line == f"mindcv: error: port {port} of 127.0.0.1 is taken; give --port another one, or 0 for any"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("no.onnx",), "no.onnx: there is no such file"),
        (("resnet99",), "'resnet99' is neither a file nor the name of a model"),
        ((str(FLOWER),), "flower.jpg"),
        (("m.onnx", "--host", "no.such.host.invalid"), "--host: there is no 'no.such.host.invalid'"),
        (("m.onnx", "--port", "70000"), "--port is 70000; give 0 to 65535"),
        (("m.onnx", "--max_body_mb", "0"), "--max_body_mb: got 0; give a number above 0, at most 1024"),
        (("m.onnx", "--max_batch", "0"), "--max_batch: got 0; give a number from 1"),
        (("m.onnx", "--token_file", "no.txt"), "no.txt: there is no such token file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(words, message, capsys):
    assert message in run(capsys, *words, *([] if "--port" in words else ["--port", "0"]))


def test_a_damaged_model(tmp_path, capsys):
    (tmp_path / "m.onnx").write_bytes(b"no model")
    (tmp_path / "m.onnx.json").write_text("{}")
    assert "m.onnx.json" in run(capsys, str(tmp_path / "m.onnx"), "--port", "0")


def test_without_the_extra(capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "uvicorn":
            raise ModuleNotFoundError("No module named 'uvicorn'", name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert run(capsys, "m.onnx") == "mindcv: error: mindcv serve needs uvicorn; pip install 'mindcv[serve]'"


def test_tokens(tmp_path, monkeypatch):
    monkeypatch.delenv("MINDCV_SERVE_TOKEN", raising=False)
    assert _token(None) is None
    monkeypatch.setenv("MINDCV_SERVE_TOKEN", "0123456789abcdef")
    assert _token(None) == "0123456789abcdef"
    file = tmp_path / "token"
    file.write_text("  fedcba9876543210\n")
    assert _token(str(file)) == "fedcba9876543210"
    for text in ("", "short", "0123456789 abcdef", "0123456789abcdeé"):
        file.write_text(text)
        with pytest.raises(ValueError, match="a token has at least 16 letters"):
            _token(str(file))


def test_addresses():
    with open_port("localhost", 0) as listener:
        assert is_loopback(listener)
        assert re.fullmatch(r"http://(127\.0\.0\.1|\[::1\]):\d+/", address_of(listener))
        with pytest.raises(ValueError, match=r"port \d+ of localhost is taken"):
            open_port("localhost", listener.getsockname()[1])
    with open_port("0.0.0.0", 0) as listener:
        assert not is_loopback(listener)
        assert address_of(listener).startswith(f"http://{socket.gethostname()}:")
