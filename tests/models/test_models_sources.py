"""`create_model` with weights by name, tag, address and file, served by a real HTTP server on loopback."""

import functools
import hashlib
import http.server
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from torch_writer import write_torch_file

from mindcv.build import build_network
from mindcv.config.parse import read_config
from mindcv.models import _registry, create_model, to_timm_names
from mindcv.models._pretrained import published
from mindcv.weights import write_weights

TINY = {"channels": (8, 8, 16, 16), "layers": (1, 1, 1, 1)}


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def send_head(self):
        self.server.requests.append(self.path)
        return super().send_head()


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder and remembers what it was asked for."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        self.requests: list[str] = []
        self.folder = folder
        self.address = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("MINDCV_OFFLINE", "MINDCV_MIRROR", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MINDCV_HOME", str(tmp_path / "home"))
    (tmp_path / "served").mkdir()
    with Server(tmp_path / "served") as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def tiny(**kwargs):
    return create_model("resnet18", **{"num_classes": 10, **TINY, **kwargs})


def arrays_of(model) -> dict[str, np.ndarray]:
    return {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}


def assert_equal(model, arrays: dict[str, np.ndarray], but: tuple[str, ...] = ()) -> None:
    for name, array in arrays_of(model).items():
        assert name in but or np.array_equal(array, arrays[name]), name


@pytest.fixture
def mindcv_weights(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """A tiny resnet18 in place of MindCV's published one, behind a mirror of MindCV's host; returns its arrays."""
    arrays = arrays_of(tiny())
    folder = server.folder / "mirror" / "download.mindspore.cn" / "toolkits" / "mindcv" / "resnet"
    write_weights(folder / "w.ckpt", arrays)
    digits = hashlib.sha256((folder / "w.ckpt").read_bytes()).hexdigest()[:8]
    (folder / "w.ckpt").rename(folder / f"resnet18-{digits}.ckpt")
    names = {"first_conv": "conv1", "classifier": "classifier", "architecture": "resnet18", "tag": "mindcv_in1k"}
    url = f"https://download.mindspore.cn/toolkits/mindcv/resnet/resnet18-{digits}.ckpt"
    monkeypatch.setitem(_registry._weights["resnet18"], "mindcv_in1k", published(url, 70.0, **names))
    monkeypatch.setenv("MINDCV_MIRROR", f"{server.address}/mirror")
    return arrays


@pytest.mark.parametrize(
    ("name", "pretrained"),
    [
        ("resnet18", True),
        ("resnet18.mindcv_in1k", True),
        ("resnet18", "mindcv_in1k"),
        ("resnet18", "resnet18.mindcv_in1k"),
        ("resnet18.mindcv_in1k", "mindcv_in1k"),
    ],
)
def test_published_weights(mindcv_weights, server: Server, name: str, pretrained: bool | str):
    for _ in range(2):
        model = create_model(name, num_classes=10, pretrained=pretrained, **TINY)
        assert_equal(model, mindcv_weights)
        assert model.default_cfg.tag == "mindcv_in1k"
    (path,) = server.requests
    assert path.startswith("/mirror/download.mindspore.cn/toolkits/mindcv/resnet/resnet18-")


def test_offline(mindcv_weights, server: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINDCV_OFFLINE", "1")
    with pytest.raises(
        FileNotFoundError, match=r"MINDCV_OFFLINE is set; place the file by hand as .*/home/models/resn"
    ):
        tiny(pretrained=True)
    monkeypatch.delenv("MINDCV_OFFLINE")
    tiny(pretrained=True)
    monkeypatch.setenv("MINDCV_OFFLINE", "1")
    assert_equal(tiny(pretrained=True), mindcv_weights)
    assert len(server.requests) == 1


def test_another_head_and_image_are_said(mindcv_weights, caplog):
    with caplog.at_level(logging.INFO, logger="mindcv"):
        model = tiny(pretrained=True, num_classes=4, in_channels=1)
    assert "classifier: left out, since it is for 10 classes, not 4" in caplog.text
    assert "conv1.weight: summed its 3 input channels for in_channels 1" in caplog.text
    assert_equal(model, mindcv_weights, but=("conv1.weight", "classifier.weight", "classifier.bias"))
    summed = mindcv_weights["conv1.weight"].sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(arrays_of(model)["conv1.weight"], summed)
    assert arrays_of(model)["classifier.weight"].std() > 0.1


def test_feature_maps_of_published_weights(mindcv_weights):
    model = tiny(pretrained=True, features_only=True, out_indices=(1, 2))
    assert {name for name in arrays_of(model) if name.startswith("layer")} == {
        name for name in mindcv_weights if name.startswith(("layer1.", "layer2."))
    }
    assert_equal(model, mindcv_weights)


def test_address_of_a_file_of_pytorch(server: Server, caplog):
    """Served without a digest: the names, the padding and the head are found out from the file."""
    source = tiny(stem_pool_pad="both", num_classes=1000)
    write_torch_file(server.folder / "tiny.pth", to_timm_names(source, arrays_of(source)))
    with caplog.at_level(logging.INFO, logger="mindcv"):
        model = tiny(pretrained=f"{server.address}/tiny.pth")
    assert_equal(model, arrays_of(source), but=("classifier.weight", "classifier.bias"))
    assert model.stem_pool_pad == "both"
    assert "classifier: left out, since it is for 1000 classes, not 10" in caplog.text
    assert_equal(tiny(pretrained=f"{server.address}/tiny.pth", num_classes=1000), arrays_of(source))
    assert server.requests == ["/tiny.pth"]


def test_address_of_a_store():
    """Any scheme of fsspec; `memory://` stands for `s3://`."""
    fsspec = pytest.importorskip("fsspec")
    source = tiny()
    with fsspec.open("memory://bucket/source.npz", "wb") as file:
        np.savez(file, **arrays_of(source))
    assert_equal(tiny(checkpoint_path="memory://bucket/source.npz"), arrays_of(source))


@pytest.mark.usefixtures("server")
def test_address_of_a_store_as_pretrained():
    fsspec = pytest.importorskip("fsspec")
    source = tiny()
    with fsspec.open("memory://bucket/other.npz", "wb") as file:
        np.savez(file, **arrays_of(source))
    model = tiny(pretrained="memory://bucket/other.npz", num_classes=3)
    assert_equal(model, arrays_of(source), but=("classifier.weight", "classifier.bias"))


def test_file_adapts_as_pretrained_and_has_to_fit_as_checkpoint(tmp_path: Path):
    source = tiny()
    path = str(tmp_path / "w.safetensors")
    write_weights(path, arrays_of(source))
    model = tiny(pretrained=path, num_classes=3, in_channels=4)
    assert_equal(model, arrays_of(source), but=("conv1.weight", "classifier.weight", "classifier.bias"))
    with pytest.raises(ValueError, match=r"w\.safetensors: does not fit resnet18; 3 of another shape: conv1\.weight"):
        tiny(checkpoint_path=path, num_classes=3, in_channels=4)


def test_key_of_the_configuration(server: Server):
    """`--pretrained` with an address, and a checkpoint into the network of a tag."""
    source = create_model("resnet18", stem_pool_pad="both")
    write_weights(server.folder / "full.safetensors", to_timm_names(source, arrays_of(source)))
    words = ["--model", "resnet18", "--pretrained", f"{server.address}/full.safetensors"]
    model = build_network(read_config(words), num_classes=3)
    assert_equal(model, arrays_of(source), but=("classifier.weight", "classifier.bias"))
    path = str(server.folder / "ours.ckpt")
    write_weights(path, arrays_of(source))
    words = ["--model", "resnet18", "--pretrained", "tv_in1k", "--ckpt_path", path]
    model = build_network(read_config(words), num_classes=1000)
    assert_equal(model, arrays_of(source))
    assert model.stem_pool_pad == "both"


def test_missing_file_on_the_server(server: Server):
    with pytest.raises(OSError, match=rf"cannot download {server.address}/nothing\.pth: .*HTTP 404"):
        tiny(pretrained=f"{server.address}/nothing.pth")
