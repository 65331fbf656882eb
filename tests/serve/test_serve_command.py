"""`mindcv serve`: a real process that finishes what it began, and one line for what is wrong."""

import builtins
import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from time_limits import LIMIT_S, wait_until

from mindcv.cli import main
from mindcv.cli.serve import _token
from mindcv.data import EvalPreprocess
from mindcv.export import Classifier, export_model, onnx_runtimes
from mindcv.models import create_model
from mindcv.serve import Service, create_app
from mindcv.serve.server import address_of, is_loopback, make_server, open_port
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


@pytest.fixture
def port():
    """The port of a server in a thread, whose network is small and whose bodies are at most 200 kB."""
    network = create_model("squeezenet1_1", num_classes=3).set_train(False)
    service = Service(Classifier(network, preprocess=EvalPreprocess(32)))
    service.warm_up()
    started = threading.Event()
    server = make_server(create_app(service, max_body_bytes=200_000), started.set)
    listener = open_port("127.0.0.1", 0)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    assert started.wait(LIMIT_S)
    yield port
    server.should_exit = True
    thread.join(LIMIT_S)


def test_who_sends_too_much_reads_why(port):
    """The answer to a body that is refused half way reaches its sender, who may go on with the same connection."""
    large = bytes(20_000_000)
    for headers, body in (
        ({}, large),
        ({"transfer-encoding": "chunked"}, iter([large, large])),
        ({"host": "evil.example"}, large),
    ):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        client.request("POST", "/predict", body, headers, encode_chunked="transfer-encoding" in headers)
        answer = client.getresponse()
        assert answer.status == (421 if "host" in headers else 413)
        assert b'"error"' in answer.read()
        client.request("POST", "/predict", FLOWER.read_bytes())
        assert client.getresponse().status == 200
        client.close()


def test_who_asks_before_sending_is_told_at_once(port):
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
        head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000000\r\nExpect: 100-continue\r\n\r\n"
        client.sendall(head.encode())
        answer = b""
        while part := client.recv(65536):  # until it is closed: nothing is sent
            answer += part
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer


def test_who_leaves_half_way_leaves_nothing(port):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as client:
            client.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n\xff\xd8")
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)

    def figures() -> str:
        client.request("GET", "/metrics")
        return client.getresponse().read().decode()

    wait_until(lambda: 'mindcv_requests_total{path="/predict",status="400"} 20.0' in figures(), "the end of all")
    assert "mindcv_queue_images 0.0" in figures()
    client.close()


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


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory) -> str:
    pytest.importorskip("onnx")
    path = tmp_path_factory.mktemp("serve") / "m.onnx"
    network = create_model("resnet18", channels=(8, 8, 16, 16), layers=(1, 1, 1, 1), num_classes=5)
    export_model(network.set_train(False), path, batch_size="dynamic", preprocess=EvalPreprocess(32))
    return str(path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ((), None),
        (("--runtime", "auto"), r"onnxruntime [\d.]+, fp32 \(auto\)"),
        (("--runtime", "onnxruntime"), r"onnxruntime [\d.]+, fp32"),
        (("--runtime", "openvino"), r"openvino [\d.]+, fp32"),
    ],
)
def test_the_runtime_that_is_asked_for_answers(words, line, onnx_file, capsys, monkeypatch):
    if "openvino" in words:
        pytest.importorskip("openvino")
    served = []

    class Ended:
        force_exit = False

        def run(self, sockets):
            sockets[0].close()

    def make(app, say):
        served.append(app)
        return Ended()

    monkeypatch.setattr("mindcv.serve.server.make_server", make)
    assert main(["serve", onnx_file, "--port", "0", *words]) == 0
    err = capsys.readouterr().err
    if line is None:
        assert "runtime" not in err
    else:
        assert re.search(rf"^mindcv: runtime: {line}$", err, re.MULTILINE)
    from fastapi.testclient import TestClient

    with TestClient(served[0], base_url="http://127.0.0.1") as client:
        answer = client.post("/predict", content=FLOWER.read_bytes())
    assert answer.status_code == 200
    (result,) = answer.json()["results"]
    (expected,) = Classifier(onnx_file, runtime="onnxruntime").predict([str(FLOWER)], top_k=5)
    assert [p["index"] for p in result["predictions"]] == [label.index for label in expected.labels]
    assert np.allclose(
        [p["probability"] for p in result["predictions"]], [p.probability for p in expected.labels], 0, 1e-4
    )


def test_a_runtime_that_is_not_installed(onnx_file, capsys, monkeypatch):
    monkeypatch.setattr(onnx_runtimes, "is_installed", lambda name: name != "openvino")
    line = run(capsys, onnx_file, "--port", "0", "--runtime", "openvino")
    assert line.endswith("m.onnx: openvino is not installed; pip install 'mindcv[openvino]'")
    assert "unknown runtime 'tensorrt'" in run(capsys, onnx_file, "--port", "0", "--runtime", "tensorrt")


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
