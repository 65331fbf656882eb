"""ONNX files by onnxruntime and OpenVINO: the same numbers, the choice of `auto`, and files that are not ours."""

import dataclasses
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
from small_networks import build

from mindcv.cli import main
from mindcv.data import EvalPreprocess
from mindcv.export import Classifier, ExportedModel, choose_runtime, export_model, info_path, onnx_runtimes
from mindcv.utils import runtime as cpu_runtime
from mindcv.utils.fs import file_sha256

onnx = pytest.importorskip("onnx")
IMAGES = np.random.RandomState(1).standard_normal((5, 3, 32, 32)).astype(np.float32)
HAS_OPENVINO = importlib.util.find_spec("openvino") is not None
needs_openvino = pytest.mark.skipif(not HAS_OPENVINO, reason="openvino is not installed")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runtimes") / "m.onnx"
    export_model(build("resnext"), path, batch_size="dynamic", preprocess=EvalPreprocess(32))
    return path


def with_json(path: Path, source: Path) -> Path:
    """Gives a file the JSON of another one, with its own sha256, as one does who wants it to be run."""
    entries = json.loads(info_path(source).read_text())
    entries["file_sha256"] = file_sha256(path)
    info_path(path).write_text(json.dumps(entries))
    return path


@needs_openvino
def test_openvino_gives_the_same_numbers(exported):
    expected = ExportedModel(exported, runtime="onnxruntime")(IMAGES)
    for count in (5, 1):
        result = ExportedModel(exported, runtime="openvino")(IMAGES[:count])
        assert 0 <= np.abs(result - expected[:count]).max() <= 1e-4 * np.abs(expected).max()


@needs_openvino
def test_bf16_where_the_processor_has_it(exported, monkeypatch):
    import openvino

    # What mindcv sets for MindSpore must not keep OpenVINO from it.
    limit = os.environ.get(cpu_runtime.ONEDNN_ISA_VARIABLE)
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(ValueError, match="this processor does not compute in bf16"):
            ExportedModel(exported, precision="bf16")
        return
    expected = ExportedModel(exported, runtime="openvino")(IMAGES)
    model = ExportedModel(exported, precision="bf16")
    assert str(model.runtime).endswith("bf16 (auto: bf16)")
    difference = np.abs(model(IMAGES) - expected).max() / np.abs(expected).max()
    assert 1e-5 < difference < 0.05  # bf16 has 8 bits: it is on, and it is right
    assert os.environ.get(cpu_runtime.ONEDNN_ISA_VARIABLE) == limit


def test_choice(exported, monkeypatch):
    info = ExportedModel(exported).info
    whole, quantized = info, dataclasses.replace(info, weights_dtype="int8")

    def choice(installed: str, of=whole, *words: str) -> str:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in installed.split() else None)
        return choose_runtime(exported, of, *words).name

    assert choice("onnxruntime openvino") == "onnxruntime"
    assert choice("onnxruntime openvino", quantized) == "openvino"
    assert choice("onnxruntime", quantized) == "onnxruntime"
    assert choice("openvino") == "openvino"
    assert choice("onnxruntime openvino", whole, "auto", "bf16") == "openvino"
    with pytest.raises(ImportError, match=r"openvino is not installed; pip install 'mindcv\[openvino\]'"):
        choice("onnxruntime", whole, "openvino")
    with pytest.raises(ImportError, match=r"openvino is not installed; pip install 'mindcv\[openvino\]'"):
        choice("onnxruntime", whole, "auto", "bf16")
    with pytest.raises(ImportError, match=r"onnxruntime is not installed; pip install 'mindcv\[export\]'"):
        choice("", whole)
    with pytest.raises(ValueError, match="onnxruntime does not compute in bf16"):
        choice("onnxruntime", whole, "onnxruntime", "bf16")
    with pytest.raises(ValueError, match="unknown runtime 'tensorrt'"):
        choice("onnxruntime", whole, "tensorrt")
    with pytest.raises(ValueError, match="runtime and precision are for ONNX files"):
        choice("openvino", dataclasses.replace(info, format="mindir"), "openvino")
    with pytest.raises(ValueError, match="runtime and precision are for ONNX files"):
        Classifier(build("basic"), preprocess=EvalPreprocess(32), runtime="openvino")


def test_what_openvino_refuses_runs_in_onnxruntime_where_nobody_asked(exported, monkeypatch):
    def choose(path, info, runtime, precision):
        return onnx_runtimes.OnnxRuntime("openvino", precision, onnx_runtimes._INT8 if runtime == "auto" else "")

    def refuse(path, info, precision):
        raise onnx_runtimes.UnloadableError("OpenVINO cannot load it")

    monkeypatch.setattr("mindcv.export.runtime.choose_runtime", choose)
    monkeypatch.setattr(onnx_runtimes, "_load_in_openvino", refuse)
    model = ExportedModel(exported)
    assert (model.runtime.name, model.runtime.reason) == ("onnxruntime", "auto: OpenVINO cannot load the file")
    assert model(IMAGES).shape == (5, 7)
    with pytest.raises(ValueError, match="OpenVINO cannot load it"):
        ExportedModel(exported, runtime="openvino")


@pytest.mark.parametrize("command", ["infer", "validate"])
def test_commands_say_what_runs(command, exported, capsys):
    photo = Path(__file__).parents[1] / "data" / "photos" / "china.jpg"
    words = ["infer", str(exported), str(photo)] if command == "infer" else ["validate", "--model", str(exported)]
    code = main([*words, "--runtime", "auto", *(["--dataset", "digits"] if command == "validate" else [])])
    _, err = capsys.readouterr()
    # seven classes are too few for the digits, which is told after the runtime
    assert code == (0 if command == "infer" else 2)
    assert "mindcv: runtime: onnxruntime " in err


def test_a_checkpoint_has_no_runtime(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["validate", "-c", "resnet/resnet18_cpu.yaml", "--random_weights", "True", "--runtime", "openvino"])
    assert ended.value.code == 2
    assert "runtime: openvino has no effect without an exported model" in capsys.readouterr().err


RUNTIMES = ["onnxruntime", pytest.param("openvino", marks=needs_openvino)]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("fault", ["text", "empty", "cut", "external", "other"])
def test_files_that_are_not_ours(fault, runtime, exported, tmp_path):
    path = tmp_path / "m.onnx"
    data = exported.read_bytes()
    if fault in ("text", "empty", "cut"):
        path.write_bytes({"text": b"no model", "empty": b"", "cut": data[: len(data) // 2]}[fault])
        message = "is no ONNX model, or it is damaged"
    elif fault == "external":
        secret = tmp_path.parent / "secret"
        secret.write_bytes(bytes(1 << 16))
        model = onnx.load(exported)
        tensor = model.graph.initializer[0]
        onnx.external_data_helper.set_external_data(tensor, "../secret", 0, len(tensor.raw_data))
        tensor.ClearField("raw_data")
        path.write_bytes(model.SerializeToString())
        message = "keeps weights in other files"
    else:
        value = onnx.helper.make_tensor_value_info("x", 1, [1, 3, 32, 32])
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value],
            [onnx.helper.make_tensor_value_info("y", 1, [1, 3, 32, 32])],
        )  # fmt: skip
        opset = onnx.helper.make_opsetid("", 13)
        onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
        message = "has the input x, but its JSON says image"
    with pytest.raises(ValueError, match=message) as caught:
        ExportedModel(with_json(path, exported), runtime=runtime)
    assert "\n" not in str(caught.value)


def test_without_its_json(tmp_path, exported, capsys):
    (tmp_path / "m.onnx").write_bytes(exported.read_bytes())
    assert main(["infer", str(tmp_path / "m.onnx"), str(exported)]) == 2
    assert "m.onnx.json is missing" in capsys.readouterr().err
