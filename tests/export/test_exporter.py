"""Exports: what is written computes the same, says what it is, and appears whole or not at all."""

import json
import os
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from small_networks import NETWORKS, build

from mindcv.data import EvalPreprocess
from mindcv.export import ExportedModel, export_model, info_path, read_info
from mindcv.export import exporter as exporter_module
from mindcv.models import create_model, list_models, model_entrypoint
from mindcv.utils.errors import RunError
from mindcv.weights import read_weights

PIXELS = np.random.RandomState(1).randint(0, 256, (5, 3, 32, 32)).astype(np.uint8)


@pytest.fixture
def preprocess() -> EvalPreprocess:
    return EvalPreprocess(32)


def normalised(pixels: np.ndarray, preprocess: EvalPreprocess) -> np.ndarray:
    mean, std = (np.reshape(values, (1, 3, 1, 1)) for values in (preprocess.mean, preprocess.std))
    return ((pixels - mean) / std).astype(np.float32)


def probabilities(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("file_format", ["mindir", "onnx"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_of_block(name, file_format, tmp_path, preprocess):
    network = build(name)
    images = normalised(PIXELS, preprocess)
    expected = network(Tensor(images)).asnumpy()
    info = export_model(network, tmp_path / "m", file_format, "dynamic", preprocess=preprocess)
    assert info.verification["batch_sizes"] == [1, 3, 1]
    assert 0 <= info.verification["largest_difference"] <= 1e-4 * np.abs(expected).max() * 3
    model = ExportedModel(tmp_path / f"m.{file_format}")
    np.testing.assert_allclose(model(images), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model(images[:2]), expected[:2], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("file_format", ["mindir", "onnx"])
def test_parallel_branches_are_one_convolution(file_format, tmp_path, preprocess):
    network = build("repvgg")
    images = normalised(PIXELS, preprocess)
    expected = network(Tensor(images)).asnumpy()
    path = tmp_path / f"m.{file_format}"
    export_model(network, path, batch_size="dynamic", preprocess=preprocess)
    np.testing.assert_allclose(ExportedModel(path)(images), expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(network(Tensor(images)).asnumpy(), expected)
    blocks = 6  # the first, and five in the stages
    if file_format == "onnx":
        onnx = pytest.importorskip("onnx")
        kinds = [node.op_type for node in onnx.load(path).graph.node]
        assert kinds.count("Conv") == blocks
        assert not {"BatchNormalization", "Add"} & set(kinds)
    else:
        names = [parameter.name for parameter in nn.GraphCell(ms.load(str(path))).get_parameters()]
        assert len([name for name in names if name.endswith(".weight")]) == blocks + 1
        assert not [name for name in names if "rbr_" in name or name.endswith("gamma")]


# A loop over all registered models; their blocks are covered above.
@pytest.mark.slow
@pytest.mark.skipif("MINDCV_TEST_ALL_MODELS" not in os.environ, reason="10 minutes; set MINDCV_TEST_ALL_MODELS=1")
@pytest.mark.parametrize("file_format", ["mindir", "onnx"])
@pytest.mark.parametrize("batch_size", [1, "dynamic"])
@pytest.mark.parametrize("name", [name for name in list_models() if model_entrypoint(name).network.gives_logits])
def test_every_model(name, batch_size, file_format, tmp_path, preprocess):
    network = create_model(name, num_classes=10)
    info = export_model(network, tmp_path / "m", file_format, batch_size, preprocess=preprocess)
    assert info.model == name


@pytest.mark.parametrize("file_format", ["mindir", "onnx"])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_fixed_batch_size_is_filled_up(batch_size, file_format, tmp_path, preprocess):
    network = build("resnext")
    info = export_model(network, tmp_path / "m", file_format, batch_size, preprocess=preprocess)
    assert info.input_shape == (batch_size, 3, 32, 32)
    assert info.verification["batch_sizes"] == [batch_size] * 3
    images = normalised(PIXELS, preprocess)
    result = ExportedModel(tmp_path / f"m.{file_format}")(images)
    np.testing.assert_allclose(result, network(Tensor(images)).asnumpy(), rtol=1e-4, atol=1e-4)


OPTIONS = {
    "softmax": ({"softmax": True}, 1e-5),
    "uint8_input": ({"uint8_input": True}, 1e-4),
    "fold_bn": ({"fold_bn": True}, 1e-4),
    "fp16_weights": ({"fp16_weights": True}, 3e-2),
    "all": ({"softmax": True, "uint8_input": True, "fold_bn": True, "fp16_weights": True}, 3e-2),
}


@pytest.mark.parametrize("file_format", ["mindir", "onnx"])
@pytest.mark.parametrize("option", OPTIONS)
def test_options(option, file_format, tmp_path, preprocess):
    options, tolerance = OPTIONS[option]
    network = build("senet154")
    path = tmp_path / f"m.{file_format}"
    info = export_model(network, path, batch_size="dynamic", preprocess=preprocess, **options)
    images = normalised(PIXELS, preprocess)
    expected = network(Tensor(images)).asnumpy()
    if "softmax" in options:
        expected = probabilities(expected)
    result = ExportedModel(path)(PIXELS if "uint8_input" in options else images)
    np.testing.assert_allclose(result, expected, atol=tolerance)
    assert info.normalisation == ("inside" if "uint8_input" in options else "outside")
    assert info.input_dtype == ("uint8" if "uint8_input" in options else "float32")
    assert info.output_name == ("probabilities" if "softmax" in options else "scores")
    assert info.batch_norm_folded == ("fold_bn" in options)
    assert info.weights_dtype == ("float16" if "fp16_weights" in options else "float32")
    if "fp16_weights" in options:
        weights = sum(p.size * p.itemsize for p in network.get_parameters())
        assert path.stat().st_size < 0.75 * weights
    if "fold_bn" in options and file_format == "onnx":
        assert "BatchNormalization" not in operators(path)


def operators(path: Path) -> set[str]:
    import onnx

    return {node.op_type for node in onnx.load(path).graph.node}


def test_onnx_is_valid_and_runs_without_mindcv(tmp_path, preprocess):
    import onnx
    import onnxruntime

    network = build("se_resnext")
    path = tmp_path / "m.onnx"
    export_model(network, path, batch_size="dynamic", preprocess=preprocess)
    onnx.checker.check_model(str(path), full_check=True)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (image,), (scores,) = session.get_inputs(), session.get_outputs()
    assert (image.name, image.shape, image.type) == ("image", ["batch", 3, 32, 32], "tensor(float)")
    assert (scores.name, scores.shape[1]) == ("scores", 7)


def test_graph_mode_exports_the_same(tmp_path, preprocess):
    network = build("basic")
    expected = network(Tensor(normalised(PIXELS, preprocess))).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    for name in ("a.onnx", "a.mindir"):
        export_model(network, tmp_path / name, batch_size=5, preprocess=preprocess, fold_bn=True)
        assert ms.get_context("mode") == ms.GRAPH_MODE
        result = ExportedModel(tmp_path / name)(normalised(PIXELS, preprocess))
        np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)


def test_the_network_is_left_as_it_was(tmp_path, preprocess):
    network = build("resnext").set_train(True)
    before = {p.name: p.asnumpy().copy() for p in network.get_parameters()}
    cells = [type(cell) for _, cell in network.cells_and_names()]
    export_model(network, tmp_path / "m.onnx", preprocess=preprocess, fold_bn=True, fp16_weights=True, uint8_input=True)
    assert network.training
    assert [type(cell) for _, cell in network.cells_and_names()] == cells
    assert {p.name for p in network.get_parameters()} == set(before)
    for parameter in network.get_parameters():
        np.testing.assert_array_equal(parameter.asnumpy(), before[parameter.name])


@pytest.mark.parametrize("enc_mode", ["AES-GCM", "AES-CBC", "SM4-CBC"])
def test_encryption(enc_mode, tmp_path, preprocess, monkeypatch):
    key = b"0123456789abcdef"
    network, path = build("basic"), tmp_path / "m.mindir"
    info = export_model(network, path, preprocess=preprocess, key=key, enc_mode=enc_mode)
    assert info.encryption == enc_mode
    images = normalised(PIXELS[:1], preprocess)
    expected = network(Tensor(images)).asnumpy()
    np.testing.assert_allclose(ExportedModel(path, key)(images), expected, atol=1e-4)
    with pytest.raises(ValueError, match="is encrypted"):
        ExportedModel(path)
    with pytest.raises(ValueError, match="the key is wrong"):
        ExportedModel(path, b"another key.....")
    (tmp_path / "key").write_bytes(key)
    monkeypatch.setenv("MINDCV_KEY_FILE", str(tmp_path / "key"))
    np.testing.assert_allclose(ExportedModel(path)(images), expected, atol=1e-4)


@pytest.mark.parametrize("fp16", [False, True])
def test_safetensors(fp16, tmp_path, preprocess):
    network = build("se_basic")
    path = tmp_path / "m.safetensors"
    info = export_model(network, path, preprocess=preprocess, fp16_weights=fp16)
    assert (info.format, info.verification["largest_difference"] == 0) == ("safetensors", not fp16)
    arrays = read_weights(path)
    for parameter in network.get_parameters():
        allowed = 2e-3 if fp16 and parameter.ndim > 1 else 0
        np.testing.assert_allclose(arrays[parameter.name], parameter.asnumpy(), atol=allowed)
    assert ("model_args.stem_pool_pad.both" in arrays) == (network.stem_pool_pad == "both")


def test_json(tmp_path, preprocess):
    network = build("basic")
    names = list("abcdefg")
    info = export_model(
        network, tmp_path / "m.onnx", batch_size=2, preprocess=preprocess, class_names=names, model_name="small"
    )
    entries = json.loads((tmp_path / "m.onnx.json").read_text())
    assert entries["model"] == "small"
    assert entries["input_shape"] == [2, 3, 32, 32]
    assert entries["class_names"] == names
    assert entries["preprocess"]["mean"] == list(preprocess.mean)
    assert set(entries["versions"]) == {"mindcv", "mindspore", "python", "onnx", "onnxruntime"}
    assert len(entries["weights_sha256"]) == len(entries["file_sha256"]) == 64
    assert read_info(tmp_path / "m.onnx") == info
    # the hash is of the weights, whatever they are stored in
    other = export_model(network, tmp_path / "m.mindir", preprocess=preprocess)
    assert other.weights_sha256 == info.weights_sha256
    parameter = next(iter(network.get_parameters()))
    parameter.set_data(parameter + 1)
    assert export_model(network, tmp_path / "n.mindir", preprocess=preprocess).weights_sha256 != info.weights_sha256


def test_names_that_mindspore_refuses(tmp_path, preprocess):
    path = tmp_path / "a folder+ä" / "my model (1).mindir"
    network = build("basic")
    export_model(network, path, preprocess=preprocess)
    assert sorted(os.listdir(path.parent)) == ["my model (1).mindir", "my model (1).mindir.json"]
    images = normalised(PIXELS[:1], preprocess)
    np.testing.assert_allclose(ExportedModel(path)(images), network(Tensor(images)).asnumpy(), atol=1e-4)


@pytest.mark.parametrize("file_format", ["mindir", "onnx", "safetensors"])
def test_a_difference_leaves_no_file(file_format, tmp_path, preprocess, monkeypatch):
    prepare = exporter_module.swap_layers

    def spoil(network: nn.Cell) -> int:
        head = network.get_classifier()
        head.bias.set_data(head.bias + 0.1)
        return prepare(network)

    if file_format == "safetensors":
        write = exporter_module.write_weights
        spoiled = {"classifier.bias": np.ones(7, np.float32)}
        monkeypatch.setattr(exporter_module, "write_weights", lambda path, arrays: write(path, {**arrays, **spoiled}))
    monkeypatch.setattr(exporter_module, "swap_layers", spoil)
    with pytest.raises(RunError, match="was not written: what was exported differs from the network by"):
        export_model(build("basic"), tmp_path / "m", file_format, "dynamic", preprocess=preprocess)
    assert os.listdir(tmp_path) == []


def test_a_failed_export_keeps_the_file_that_was_there(tmp_path, preprocess):
    path = tmp_path / "m.onnx"
    export_model(build("basic"), path, preprocess=preprocess)
    before = path.read_bytes()
    with pytest.raises(RunError):
        export_model(build("resnext"), path, preprocess=preprocess, tolerance=0.0)
    assert path.read_bytes() == before
    read_info(path)


def test_not_a_number_is_a_difference(tmp_path, preprocess):
    network = build("basic")
    network.classifier.bias.set_data(Tensor(np.full(7, np.nan, np.float32)))
    with pytest.raises(RunError, match="nan"):
        export_model(network, tmp_path / "m.onnx", preprocess=preprocess)


class Branching(nn.Cell):
    """A convolution whose output a BatchNorm gets, and the sum too: folding is wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, pad_mode="valid", has_bias=True)
        self.norm = nn.BatchNorm2d(4)
        self.norm.moving_mean.set_data(Tensor(np.arange(4, dtype=np.float32)))

    def construct(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return (self.norm(y) + y).mean((2, 3))


def test_a_wrong_fold_is_found(tmp_path, preprocess):
    export_model(Branching(), tmp_path / "m.onnx", preprocess=preprocess)
    with pytest.raises(RunError, match="export without options"):
        export_model(Branching(), tmp_path / "n.onnx", preprocess=preprocess, fold_bn=True)


class Hopeless(nn.Cell):
    """Has an operator without an ONNX converter."""

    def construct(self, x: Tensor) -> Tensor:
        return ms.ops.erf(x).mean((2, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"out": "m.air"}, "run the command on an Ascend host, or export 'mindir'"),
        ({"out": "m.onx"}, "the suffix 'onx' is no export format"),
        ({"out": "m", "file_format": "onx"}, "did you mean 'onnx'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"batch_size": "any"}, "batch_size is 'any'"),
        ({"key": b"0" * 16}, "only mindir can be encrypted"),
        ({"out": "m.mindir", "key": b"short"}, "16, 24 or 32 bytes, got 5"),
        ({"out": "m.mindir", "key": b"0" * 16, "enc_mode": "AES"}, "unknown enc_mode 'AES'"),
        ({"out": "m.safetensors", "softmax": True}, "safetensors holds weights and no graph"),
        ({"class_names": ["a"]}, "got 1 class names for a network of 7 classes"),
        ({"network": Hopeless}, "a layer cannot be written to ONNX .*Erf"),
        ({"preprocess": None, "network": Hopeless}, "does not say how its input is prepared"),
    ],
)
def test_errors_leave_nothing(arguments, message, tmp_path, preprocess):
    arguments = {"network": lambda: build("basic"), "out": "m.onnx", "preprocess": preprocess, **arguments}
    network, out = arguments.pop("network")(), tmp_path / arguments.pop("out")
    with pytest.raises(ValueError, match=message):
        export_model(network, out, **arguments)
    assert os.listdir(tmp_path) == []


def test_without_the_new_onnx_function(tmp_path, preprocess, monkeypatch):
    """As MindSpore 2.7.0 and 2.7.1 are."""
    import onnxruntime

    if hasattr(ms, "onnx"):
        monkeypatch.delattr(ms.onnx, "export")
    network = build("se_basic")
    path = tmp_path / "m.onnx"
    export_model(network, path, batch_size=2, preprocess=preprocess)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [value.name for value in (*session.get_inputs(), *session.get_outputs())] == ["image", "scores"]
    images = normalised(PIXELS, preprocess)
    np.testing.assert_allclose(ExportedModel(path)(images), network(Tensor(images)).asnumpy(), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="for a fixed batch size only"):
        export_model(network, tmp_path / "n.onnx", batch_size="dynamic", preprocess=preprocess)


def test_without_onnx_packages(tmp_path, preprocess, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install 'mindcv\[export\]'"):
        export_model(build("basic"), tmp_path / "m.onnx", preprocess=preprocess)


@pytest.mark.parametrize("file_format", ["mindir", "onnx"])
def test_damaged_files(file_format, tmp_path, preprocess):
    path = tmp_path / f"m.{file_format}"
    export_model(build("basic"), path, preprocess=preprocess)
    beside = info_path(path)
    text = beside.read_text()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="belongs to another file"):
        ExportedModel(path)
    beside.write_text(text.replace(json.loads(text)["file_sha256"], exporter_module.file_sha256(path)))
    with pytest.raises(ValueError, match=r"cannot load it|is no ONNX model, or it is damaged"):
        ExportedModel(path)
    beside.write_text("{}")
    with pytest.raises(ValueError, match="is not what `mindcv export` writes"):
        ExportedModel(path)
    beside.unlink()
    with pytest.raises(FileNotFoundError, match=r"\.json is missing"):
        ExportedModel(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="no such file"):
        ExportedModel(path)


def test_preprocessing_of_other_channels_is_refused(tmp_path):
    network = create_model("resnet18", in_channels=1, channels=(8, 8, 8, 8), layers=(1, 1, 1, 1), num_classes=3)
    message = "the network reads images of 1 channels, mean and std of the preprocessing have 3: give preprocess="
    with pytest.raises(ValueError, match=message):
        export_model(network, tmp_path / "m.onnx", preprocess=EvalPreprocess(32))
    preprocess = EvalPreprocess(32, mean=(127.5,), std=(127.5,))
    export_model(network, tmp_path / "m.onnx", preprocess=preprocess, batch_size=2)
    x = np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)
    exported = ExportedModel(tmp_path / "m.onnx")(x)
    np.testing.assert_allclose(exported, network.set_train(False)(Tensor(x)).asnumpy(), rtol=1e-4, atol=1e-5)
