"""Exports in int8: they answer like the float network, or there is no file; which layers are in it is a rule."""

import json
import os
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image
from small_networks import build

from mindcv import create_loss, create_model, create_optimizer
from mindcv.cli import main
from mindcv.data import EvalPreprocess, create_dataset
from mindcv.engine import LossWithNetwork, TrainStep
from mindcv.export import Classifier, ExportedModel, export_model, read_info
from mindcv.export.calibration import calibration_images
from mindcv.export.images import ImageReader
from mindcv.export.quantize import layers_to_quantize
from mindcv.export.verify import agreement, normalised
from mindcv.utils.errors import RunError
from mindcv.weights import ModelOutputs, write_weights

onnx = pytest.importorskip("onnx")

PREPROCESS = EvalPreprocess(32, crop_pct=1.0)
NETWORKS = {
    "resnet18": ({"channels": (16, 32, 32, 64), "layers": (1, 1, 1, 1)}, 4),
    "vit_b_16_224": ({"image_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2}, 4),
}


def digits(split: str) -> tuple[list[np.ndarray], np.ndarray]:
    dataset = create_dataset("digits", split=split, shuffle=False)
    rows = list(dataset.create_tuple_iterator(num_epochs=1, output_numpy=True))
    return [image for image, _ in rows], np.array([int(label) for _, label in rows], np.int32)


def inputs_of(images: list[np.ndarray]) -> np.ndarray:
    reader = ImageReader(PREPROCESS, normalise=False)
    return normalised(np.stack([reader(image) for image in images]), PREPROCESS.mean, PREPROCESS.std)


def trained(name: str):
    """A network that knows the digits, after some seconds of training."""
    arguments, epochs = NETWORKS[name]
    ms.set_context(mode=ms.GRAPH_MODE)
    ms.set_seed(1)
    network = create_model(name, num_classes=10, **arguments)
    optimizer = create_optimizer(network, opt="adamw", lr=4e-3, weight_decay=0.0)
    step = TrainStep(LossWithNetwork(network, create_loss("CE")), optimizer).set_train(True)
    images, labels = digits("train")
    inputs, random = inputs_of(images), np.random.RandomState(0)
    for _ in range(epochs):
        order = random.permutation(len(inputs))
        for begin in range(0, len(order) - 63, 64):
            batch = order[begin : begin + 64]
            step(Tensor(inputs[batch]), Tensor(labels[batch]))
    return network.set_train(False)


@pytest.mark.parametrize("name", NETWORKS)
def test_digits_in_int8(name, tmp_path):
    network = trained(name)
    calibration, held_back = digits("train")[0], digits("val")[0]
    path = tmp_path / "m.onnx"
    info = export_model(
        network, path, batch_size="dynamic", preprocess=PREPROCESS, quantize="int8", calibration=calibration,
        held_back=held_back, class_names=[f"digit {i}" for i in range(10)],
    )  # fmt: skip
    checked = info.verification
    assert checked["agreement"] >= 0.98
    assert (checked["calibration_images"], checked["held_back_images"], checked["min_agreement"]) == (256, 360, 0.98)
    assert info.weights_dtype == "int8"
    assert read_info(path).class_names[3] == "digit 3"

    # The same by hand: the file's answers, run from outside, are those that the export counted.
    images = inputs_of(held_back)
    live = np.concatenate([network(Tensor(images[i : i + 40])).asnumpy() for i in range(0, 360, 40)])
    scores = ExportedModel(path, runtime="onnxruntime")(images)
    assert np.mean(scores.argmax(1) == live.argmax(1)) == pytest.approx(checked["agreement"], abs=1 / 300)
    assert 0 < np.abs(scores - live).max() < 0.3 * np.abs(live).max()

    # Layers are in integers, by output channel, and so the weights take less than half of their bytes in float.
    model = onnx.load(path)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    kernels = [tensor for tensor in weights.values() if tensor.name.endswith("_quantized") and len(tensor.dims) > 1]
    assert len(kernels) == checked["int8_layers"] >= 10
    assert {tensor.data_type for tensor in kernels} == {onnx.TensorProto.INT8}
    scales = [weights[f"{tensor.name.removesuffix('_quantized')}_scale"] for tensor in kernels]
    assert all(scale.dims[0] in tensor.dims for tensor, scale in zip(kernels, scales, strict=True))
    size = sum(parameter.size for parameter in network.get_parameters())
    assert sum(tensor.ByteSize() for tensor in weights.values()) < 0.5 * 4 * size

    predictions = Classifier(path, runtime="onnxruntime").predict(held_back[:4], 1)
    assert [prediction.labels[0].index for prediction in predictions] == scores[:4].argmax(1).tolist()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A checkpoint of an untrained network for digits, and 40 digits as files, one of them twice."""
    folder = tmp_path_factory.mktemp("int8")
    ms.set_seed(8)
    network = create_model("resnet18", num_classes=10)
    arrays = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    write_weights(folder / "m.ckpt", {**arrays, **ModelOutputs(10).entry()})
    (folder / "images").mkdir()
    for index, image in enumerate(digits("val")[0][:39]):
        Image.fromarray(image).save(folder / "images" / f"{index:02}.png")
    (folder / "images" / "again.png").write_bytes((folder / "images" / "00.png").read_bytes())
    return folder


def run(capsys, folder: Path, *words: str) -> tuple[int, str, str]:
    recipe = ("-c", "resnet/resnet18_cpu.yaml", "--ckpt_path", str(folder / "m.ckpt"), "--device_target", "CPU")
    code = main(["export", *recipe, *words])
    return code, *capsys.readouterr()


def test_command_calibrates_on_named_images(folder, tmp_path, capsys):
    out = tmp_path / "m.onnx"
    words = ("--out", str(out), "--batch_size", "3", "--softmax", "--uint8_input", "--quantize", "int8")
    code, text, _ = run(capsys, folder, *words, "--calibration", str(folder / "images"), "--min-agreement", "0.5")
    assert code == 0
    info = read_info(out)
    checked = info.verification
    assert (checked["calibration_images"], checked["held_back_images"]) == (19, 20)
    assert f"int8: agrees with the float network on {checked['agreement']:.4f} of 20 held-back images" in text
    assert f"{checked['int8_layers']} layers in int8, 0 in float, ranges of 19 images" in text
    assert (info.output_name, info.input_dtype, info.input_shape) == ("probabilities", "uint8", (3, 3, 32, 32))
    code = main(["validate", "--model", str(out), "--runtime", "onnxruntime"])
    out, err = capsys.readouterr()
    assert code == 0
    assert "Total data:360, top1 accuracy:" in out
    assert "mindcv: runtime: onnxruntime " in err


def test_too_little_agreement_leaves_no_file(folder, tmp_path, capsys):
    words = ("--out", str(tmp_path / "m.onnx"), "--quantize", "int8", "--calibration", str(folder / "images" / "*.png"))
    # One held-back image of 20 that differs is too much for it.
    network = build("basic")
    images = [np.random.RandomState(i).randint(0, 256, (32, 32, 3)).astype(np.uint8) for i in range(10)]
    with pytest.raises(RunError, match=r"was not written: in int8 the network agrees .* on 0\.\d+ of 400 held-back"):
        export_model(
            network, tmp_path / "m.onnx", preprocess=PREPROCESS, quantize="int8",
            calibration=[0 * images[0], images[1]],
            held_back=[np.random.RandomState(i).randint(0, 256, (32, 32, 3)).astype(np.uint8) for i in range(2, 402)],
            min_agreement=1.0,
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    code, _, err = run(capsys, folder, *words, "--min_agreement", "1.5")
    assert code == 2
    assert "min_agreement is 1.5; give a number from 0 to 1" in err.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "onnx", "--quantize", "int8", "--dataset", "imagenet", "--data_dir", "/nowhere"),
         "int8 takes its ranges from images: name some with --calibration FOLDER|FILES (the data folder '/nowhere'"),
        (("--format", "onnx", "--quantize", "int8", "--calibration", "{}/images/00.png"), "give at least 10 different"),
        (("--format", "onnx", "--quantize", "int8", "--calibration", "{}/no.png"), "no.png: there is no such file"),
        (("--format", "onnx", "--quantize", "int8", "--calibration", "{}/m.ckpt"), "m.ckpt: this is no image file"),
        (("--format", "onnx", "--calibration", "{}/images"), "are for --quantize int8; add it, or leave them out"),
        (("--format", "mindir", "--quantize", "int8"), "int8 is for onnx, not for mindir"),
        (("--format", "onnx", "--quantize", "int8", "--fp16_weights"), "leave out quantize or fp16_weights"),
    ],
)  # fmt: skip
def test_errors_in_one_line(words, message, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, folder, *[word.format(folder) for word in words])
    assert code == 2
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_no_image_is_on_both_sides():
    random = np.random.RandomState(0)
    images = [random.randint(0, 256, (32, 32, 3)).astype(np.uint8) for _ in range(30)]
    reader = ImageReader(PREPROCESS, normalise=False)
    for found in (
        calibration_images([*images, *images[:7]], None, reader),
        calibration_images(images[:15], [*images[10:], *images], reader),
    ):
        sides = [{image.tobytes() for image in side} for side in (found.images, found.held_back)]
        assert [len(side) for side in sides] == [15, 15]
        assert not sides[0] & sides[1]


def test_agreement():
    expected = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], np.float32)
    result = np.array([[0.2, 0.8], [0.1, 0.9], [np.nan, 0.9], [0.6, 0.1]], np.float32)
    assert agreement(expected, result, "single", gives_probabilities=True) == 0.5
    # labels found by either: rows 0, 1 (two), 2, 3; by both: rows 0 and 3
    assert agreement(expected, result, "multiple", gives_probabilities=True) == 0.4
    assert agreement(expected - 0.5, expected - 0.5, "multiple", gives_probabilities=False) == 1.0


def test_which_layers_are_in_int8():
    """Gates and attention's products stay in float, and so do sums that LayerNorm or nothing in int8 reads."""
    helper = onnx.helper

    def node(kind: str, inputs: str, output: str, **attributes):
        return helper.make_node(kind, inputs.split(), [output], name=output, **attributes)

    weights = [helper.make_tensor(name, 1, [1], [0.0]) for name in ("w", "half")]
    graph = helper.make_graph(
        [
            node("Conv", "x w", "stem"), node("Relu", "stem", "relu"), node("MaxPool", "relu", "pool"),
            node("Conv", "pool w", "branch"), node("Add", "branch pool", "sum"), node("Relu", "sum", "relu2"),
            node("Conv", "relu2 w", "trunk"),
            node("ReduceMean", "trunk", "squeezed"), node("Conv", "squeezed w", "gate"), node("Relu", "gate", "gate2"),
            node("Conv", "gate2 w", "gate3"), node("Sigmoid", "gate3", "sigmoid"),
            node("Mul", "trunk sigmoid", "gated"), node("Conv", "gated w", "tokens"),
            node("Add", "tokens half", "placed"), node("Add", "placed tokens", "last"),
            node("MatMul", "last w", "query"), node("MatMul", "query last", "product"),
            node("Softmax", "product", "soft"),
            node("ReduceMean", "soft", "mean"), node("Gemm", "mean w", "head"),
        ],
        "g", [helper.make_tensor_value_info("x", 1, None)], [helper.make_tensor_value_info("head", 1, None)], weights,
    )  # fmt: skip
    expected = ["stem", "relu", "pool", "branch", "sum", "relu2", "trunk", "tokens", "query", "head"]
    assert layers_to_quantize(graph) == expected


def test_json_names_int8(folder, tmp_path):
    path = tmp_path / "m.onnx"
    images = [np.asarray(Image.open(file)) for file in sorted((folder / "images").iterdir())]
    export_model(
        build("se_resnext"), path, batch_size="dynamic", preprocess=PREPROCESS, quantize="int8", calibration=images,
        min_agreement=0.0,
    )  # fmt: skip
    entries = json.loads(Path(f"{path}.json").read_text())
    assert entries["weights_dtype"] == "int8"
    assert entries["verification"]["float_layers"] == 8  # two of each gate
    assert os.path.getsize(path) > 0
