"""ONNX files by onnxruntime and OpenVINO: the same numbers, the choice of `auto`, and files that are not ours."""

import dataclasses
import importlib.util
import json
import os
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from small_networks import build

from mindcv import create_model
from mindcv.cli import main
from mindcv.data import EvalPreprocess
from mindcv.export import (
    Classifier,
    ExportedModel,
    choose_runtime,
    export_model,
    info_path,
    onnx_runtimes,
    read_info,
    swaps,
)
from mindcv.export.int8_check import check_int8
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

    def choice(installed: str, of=whole, *words: str, has_vnni: bool | None = True) -> str:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in installed.split() else None)
        monkeypatch.setattr(onnx_runtimes, "multiplies_int8", lambda: has_vnni)
        return choose_runtime(exported, of, *words).name

    assert choice("onnxruntime openvino") == "onnxruntime"
    assert choice("onnxruntime openvino", quantized) == "openvino"
    assert choice("onnxruntime", quantized) == "onnxruntime"
    assert choice("openvino") == "openvino"
    assert choice("onnxruntime openvino", whole, "auto", "bf16") == "openvino"
    # OpenVINO's int8 sums overflow without VNNI; where it cannot be told (None) only the check at load says so.
    assert choice("onnxruntime openvino", quantized, has_vnni=False) == "onnxruntime"
    assert choice("onnxruntime openvino", quantized, has_vnni=None) == "openvino"
    assert choice("onnxruntime openvino", whole, "openvino", has_vnni=False) == "openvino"
    for installed, words in (("onnxruntime openvino", ["openvino"]), ("openvino", [])):
        with pytest.raises(ValueError, match="OpenVINO's int8 sums overflow here, as this processor has no VNNI"):
            choice(installed, quantized, *words, has_vnni=False)
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
        raise onnx_runtimes.UnloadableError("OpenVINO cannot load it", "OpenVINO cannot load the file")

    monkeypatch.setattr("mindcv.export.runtime.choose_runtime", choose)
    monkeypatch.setattr(onnx_runtimes, "_load_in_openvino", refuse)
    model = ExportedModel(exported)
    assert (model.runtime.name, model.runtime.reason) == ("onnxruntime", "auto: OpenVINO cannot load the file")
    assert model(IMAGES).shape == (5, 7)
    with pytest.raises(ValueError, match="OpenVINO cannot load it"):
        ExportedModel(exported, runtime="openvino")


def perturbed(fault: str, run):
    """What a runtime that computes wrongly gives: other scores in all rows, in a later one, or no numbers."""

    def wrong(images: np.ndarray) -> np.ndarray:
        scores = run(images).copy()
        if fault == "all":
            scores += 0.2 * np.abs(scores).max() * np.random.RandomState(0).choice([-1, 1], scores.shape[1])
        elif fault == "row":  # less than int8 rounds by, but it is no rounding
            scores[-1] += 0.01 * np.abs(scores).max()
        elif fault == "nan":
            scores[0, 0] = np.nan
        else:
            scores += 0.02 * np.abs(scores).max()
        return scores

    return wrong


@pytest.fixture(scope="module")
def of_three(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runtimes") / "m.onnx"
    export_model(build("resnext"), path, batch_size=3, preprocess=EvalPreprocess(32))
    return path


@pytest.mark.parametrize("file", ["exported", "of_three"])
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("all", r"its scores are 0\.2 of the largest off onnxruntime's \(mean\), 0\.04 is allowed; use runtime onnx"),
        ("row", "the same image has other scores in another row of a batch; use runtime onnxruntime"),
        ("nan", "use runtime onnxruntime"),
        ("rounding", ""),
    ],
)
def test_an_int8_file_that_openvino_computes_wrongly_is_not_run_by_it(fault, message, file, request, monkeypatch):
    path = request.getfixturevalue(file)
    info = dataclasses.replace(read_info(path), weights_dtype="int8")
    right = onnx_runtimes.load_onnx(path, info, onnx_runtimes.OnnxRuntime("onnxruntime"))
    monkeypatch.setattr("mindcv.export.runtime.read_info", lambda path: info)
    monkeypatch.setattr(onnx_runtimes, "multiplies_int8", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(onnx_runtimes, "_load_in_openvino", lambda *_: perturbed(fault, right))
    model = ExportedModel(path)
    if not message:
        assert (model.runtime.name, model.runtime.reason) == ("openvino", "auto: the file is int8")
        return
    assert (model.runtime.name, model.runtime.reason) == ("onnxruntime", "auto: OpenVINO computes it wrongly")
    assert np.array_equal(model(IMAGES[:3]), right(IMAGES[:3]))
    with pytest.raises(ValueError, match=message) as caught:
        ExportedModel(path, runtime="openvino")
    assert "\n" not in str(caught.value)


def test_a_float_file_is_not_compared(exported, monkeypatch):
    info = read_info(exported)
    right = onnx_runtimes.load_onnx(exported, info, onnx_runtimes.OnnxRuntime("onnxruntime"))
    calls = []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(onnx_runtimes, "_load_in_openvino", lambda *_: lambda images: calls.append(1) or right(images))
    model = ExportedModel(exported, runtime="openvino")
    assert calls == []
    assert np.array_equal(model(IMAGES), right(IMAGES))


def test_int8_without_onnxruntime_is_told(exported, monkeypatch, caplog):
    info = dataclasses.replace(read_info(exported), weights_dtype="int8")
    right = onnx_runtimes.load_onnx(exported, info, onnx_runtimes.OnnxRuntime("onnxruntime"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name == "openvino" else None)
    check_int8(exported, info, right)
    assert "scores are not compared, as onnxruntime is not installed" in caplog.text
    with pytest.raises(ValueError, match="other scores in another row of a batch"):
        check_int8(exported, info, perturbed("row", right))


@needs_openvino
@pytest.mark.slow
def test_int8_of_a_group_norm_by_means_of_means(tmp_path, monkeypatch):
    """As mindcv wrote PoolFormer before: OpenVINO 2026.4.1 reads past its constants from a batch's second row on."""

    def group_mean(self, x: Tensor) -> Tensor:
        means = x.mean((2, 3)).reshape((-1, self.groups, self.channels // self.groups))
        means = means * 0.0 + means.mean(-1, keep_dims=True)
        return means.reshape((-1, self.channels, 1, 1))

    monkeypatch.setattr(swaps._GroupNorm, "_group_mean", group_mean)
    network = create_model("poolformer_s12", depths=(1, 2, 1, 1), dims=(16, 24, 32, 48), num_classes=10)
    random = np.random.RandomState(0)
    for parameter in network.get_parameters():  # LayerScale starts near nothing
        if np.abs(parameter.asnumpy()).max() < 1e-3:
            parameter.set_data(Tensor(random.uniform(0.2, 0.5, parameter.shape).astype(np.float32)))
    path, pixels = tmp_path / "m.onnx", random.randint(0, 256, (24, 64, 64, 3), np.uint8)
    export_model(
        network.set_train(False), path, batch_size="dynamic", preprocess=EvalPreprocess(64, crop_pct=1.0),
        quantize="int8", calibration=pixels, min_agreement=0.0,
    )  # fmt: skip
    images = random.standard_normal((24, 3, 64, 64)).astype(np.float32)
    expected = ExportedModel(path, runtime="onnxruntime")(images)
    model = ExportedModel(path)
    assert np.abs(model(images) - expected).max() <= 0.05 * np.abs(expected).max()
    if metadata.version("openvino").startswith("2026.4.1") and onnx_runtimes.multiplies_int8():
        assert str(model.runtime).endswith("(auto: OpenVINO computes it wrongly)")
        with pytest.raises(ValueError, match="the same image has other scores in another row of a batch"):
            ExportedModel(path, runtime="openvino")


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
