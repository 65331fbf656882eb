"""Classes belong to the checkpoint: whatever the data folder looks like today, they are found by name, or refused."""

import io
import json
import re
import shutil
import tarfile

import numpy as np
import pytest
from mindspore import Tensor, mindrecord, nn
from PIL import Image

from mindcv.cli import main
from mindcv.config import Config, save_args
from mindcv.data import EvalPreprocess, create_dataset
from mindcv.data.dataset_factory import find_samples
from mindcv.data.packing import Packing, pack
from mindcv.export import Classifier, export_model, read_info
from mindcv.models import _registry, register_model
from mindcv.report.evaluation import read_evaluation
from mindcv.train import train
from mindcv.utils.log import set_logger
from mindcv.validate import validate
from mindcv.weights import ModelOutputs, read_outputs, read_weights, write_ckpt

SIDE = 8
COLOURS = {"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255), "d": (0, 0, 0)}
NAMES = tuple(COLOURS)
# What a test folder without b holds: the network is right about a and c, and takes d, green here, for b.
TEST_SET = {"a": COLOURS["a"], "c": COLOURS["c"], "d": COLOURS["b"]}
RIGHT = pytest.approx(2 / 3)
OPTIONS = {
    "model": "colour_net",
    "device_target": "CPU",
    "mode": 1,
    "image_resize": SIDE,
    "batch_size": 2,
    "num_parallel_workers": 1,
    "train_split": "train",
    "val_split": "test",
    "warmup_epochs": 0,
    "dataset_sink_mode": False,
}


class ColourNet(nn.Cell):
    """Takes an image for a, b or c where it is red, green or blue, and for d where it is black."""

    def __init__(self, num_classes: int = 4, in_channels: int = 3) -> None:
        super().__init__()
        weight, bias = np.zeros((num_classes, in_channels), np.float32), np.full(num_classes, -9, np.float32)
        weight[range(min(3, num_classes)), range(min(3, num_classes))] = 1
        bias[:4] = (0, 0, 0, 0.5)[:num_classes]
        self.classifier = nn.Dense(in_channels, num_classes, Tensor(weight), Tensor(bias))

    def construct(self, x):
        return self.classifier(x.mean((2, 3)))


def colour_net(pretrained: bool = False, num_classes: int = 4, in_channels: int = 3, **kwargs) -> ColourNet:
    """The network above."""
    return ColourNet(num_classes, in_channels)


@pytest.fixture(autouse=True)
def _colour_model():
    register_model(colour_net)
    set_logger("mindcv")  # before caplog looks for loggers that keep their lines to themselves
    yield
    del _registry._entrypoints._things["colour_net"], _registry._module_of["colour_net"]


def encoded(colour, size=SIDE) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (size, size), colour).save(buffer, "PNG")
    return buffer.getvalue()


def write_folder(root, split, classes, count=1) -> None:
    for name, colour in classes.items():
        (root / split / name).mkdir(parents=True)
        for index in range(count):
            (root / split / name / f"{index}.png").write_bytes(encoded(colour, SIDE + index))


def as_folder(root):
    write_folder(root, "test", TEST_SET)
    return "imagenet"


def as_folder_with_an_empty_class(root):
    write_folder(root, "test", TEST_SET)
    (root / "test" / "b").mkdir()
    return "imagenet"


def as_packed(root):
    write_folder(root / "raw", "test", TEST_SET)
    pack({"test": find_samples("imagenet", str(root / "raw"), "test")}, root, Packing(), 1)
    return "imagenet"


def as_list(root):
    lines = ["path,label"]
    for name, colour in TEST_SET.items():
        (root / f"{name}.png").write_bytes(encoded(colour))
        lines.append(f"{name}.png,{name}")
    (root / "test.csv").write_text("\n".join(lines))
    return "csv"


def as_tar(root):
    with tarfile.open(root / "test.tar", "w") as tar:
        for index, colour in enumerate(TEST_SET.values()):
            for name, data in ((f"{index}.png", encoded(colour)), (f"{index}.cls", str(index).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    (root / "class_names.txt").write_text("\n".join(TEST_SET))
    return "tar"


def as_mindrecord(root):
    writer = mindrecord.FileWriter(str(root / "test.mindrecord"), 1, overwrite=True)
    writer.add_schema({"data": {"type": "bytes"}, "label": {"type": "int64"}, "file_name": {"type": "string"}}, "")
    writer.add_index(["label", "file_name"])
    images = [encoded(colour) for colour in TEST_SET.values()]
    writer.write_raw_data([{"data": d, "label": n, "file_name": f"{n}.png"} for n, d in enumerate(images)])
    writer.commit()
    (root / "class_names.txt").write_text("\n".join(TEST_SET))
    return "mindrecord"


FORMATS = [as_folder, as_folder_with_an_empty_class, as_packed, as_list, as_tar, as_mindrecord]


@pytest.fixture
def checkpoint(tmp_path):
    """Weights of a network that learned a, b, c, d."""
    path = tmp_path / "net_best.ckpt"
    arrays = {parameter.name: parameter.asnumpy() for parameter in ColourNet().get_parameters()}
    write_ckpt(path, {**arrays, **ModelOutputs(4, NAMES).entry()})
    return path


def evaluated(root, dataset, **options) -> float:
    return validate(Config(**OPTIONS | {"data_dir": str(root), "dataset": dataset, **options}))["Top_1_Accuracy"]


@pytest.mark.parametrize("write", FORMATS)
def test_a_test_set_that_lacks_a_class_is_found_by_name(write, checkpoint, tmp_path, caplog):
    dataset = write(tmp_path)
    assert evaluated(tmp_path, dataset, ckpt_path=str(checkpoint)) == RIGHT
    assert evaluated(tmp_path, dataset, ckpt_path=str(checkpoint), num_classes=4) == RIGHT
    # A set with a folder of its own for the class does not lack it.
    line = "no images of 1 of 4 classes (b), which keep their numbers"
    assert (line in caplog.text) == (write is not as_folder_with_an_empty_class)


def exported(tmp_path, file_format="onnx", **options):
    path = tmp_path / f"net.{file_format}"
    # Three images for batches of two.
    arguments = {"preprocess": EvalPreprocess(SIDE), "class_names": NAMES, "dataset": "imagenet", **options}
    export_model(ColourNet(), path, None, 2, **arguments)
    return path


def exported_accuracy(capsys, path, root, dataset, *words):
    arguments = ["--data_dir", root, "--dataset", dataset, "--val_split", "test", "--device_target", "CPU", *words]
    code = main(["validate", "--model", str(path), *map(str, arguments)])
    out, err = capsys.readouterr()
    found = re.search(r"^Total data:(\d+), top1 accuracy:([\d.]+)", out, re.MULTILINE)
    return (code, int(found[1]), float(found[2])) if found else (code, err)


@pytest.mark.parametrize("write", FORMATS)
def test_exported_files_find_classes_by_name(write, tmp_path, capsys):
    path, dataset = exported(tmp_path), write(tmp_path)
    assert exported_accuracy(capsys, path, tmp_path, dataset) == (0, 3, RIGHT)


def test_exported_mindir_too(tmp_path, capsys):
    path, dataset = exported(tmp_path, "mindir"), as_folder(tmp_path)
    assert exported_accuracy(capsys, path, tmp_path, dataset) == (0, 3, RIGHT)


def test_a_class_that_the_model_does_not_know_is_refused_or_skipped(checkpoint, tmp_path, caplog, capsys):
    write_folder(tmp_path, "test", {**TEST_SET, "x": (9, 9, 9)})
    with pytest.raises(
        ValueError, match=r"classes that the model does not know: 1 of 4 classes \(x\); .* \(b\): renamed"
    ):
        evaluated(tmp_path, "imagenet", ckpt_path=str(checkpoint))
    assert evaluated(tmp_path, "imagenet", ckpt_path=str(checkpoint), unknown_classes="skip") == RIGHT
    assert "1 of 4 images are skipped, of classes that the model does not know: 1 of 4 classes (x)" in caplog.text
    path = exported(tmp_path)
    code, err = exported_accuracy(capsys, path, tmp_path, "imagenet")
    assert code == 2
    assert "classes that the model does not know: 1 of 4 classes (x)" in err
    words = ["--unknown-classes", "skip"]
    assert exported_accuracy(capsys, path, tmp_path, "imagenet", *words) == (0, 3, RIGHT)


def test_lists_of_numbers_are_the_models_numbers(checkpoint, tmp_path):
    for index, colour in enumerate(COLOURS.values()):
        (tmp_path / f"{index}.png").write_bytes(encoded(colour))
    (tmp_path / "test.csv").write_text("path,label\n0.png,0\n2.png,2\n1.png,3\n")
    assert evaluated(tmp_path, "csv", ckpt_path=str(checkpoint)) == RIGHT


def test_a_checkpoint_without_names_behaves_as_before_with_one_warning(checkpoint, tmp_path, caplog):
    write_ckpt(checkpoint, read_weights(checkpoint))
    as_folder(tmp_path)
    # Alone, the test folder numbers its classes: red is 0 and right, blue is 1 and taken for 2.
    options = {"ckpt_path": str(checkpoint), "num_classes": 4}
    assert evaluated(tmp_path, "imagenet", **options) == pytest.approx(1 / 3)
    assert caplog.text.count("does not name its classes, so it is the data that names and numbers them") == 1
    write_folder(tmp_path, "train", COLOURS)
    assert evaluated(tmp_path, "imagenet", **options) == RIGHT
    # And the way out for an old file.
    shutil.rmtree(tmp_path / "train")
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    caplog.clear()
    assert evaluated(tmp_path, "imagenet", **options, class_names=str(tmp_path / "names.txt")) == RIGHT
    assert "does not name its classes" not in caplog.text


def test_a_classifier_of_another_size_says_what_it_means(checkpoint, tmp_path):
    write_ckpt(checkpoint, read_weights(checkpoint))
    as_folder(tmp_path)
    with pytest.raises(ValueError, match=rf"{checkpoint}: the file has 4 classes, the data 3: .* --pretrained"):
        evaluated(tmp_path, "imagenet", ckpt_path=str(checkpoint))
    with pytest.raises(ValueError, match=r"the file has 4 classes, num_classes says 5: "):
        evaluated(tmp_path, "imagenet", ckpt_path=str(checkpoint), num_classes=5)
    write_ckpt(checkpoint, {**read_weights(checkpoint), **ModelOutputs(4, NAMES).entry()})
    with pytest.raises(ValueError, match=r"the file has 4 classes, num_classes says 3: "):
        evaluated(tmp_path, "imagenet", ckpt_path=str(checkpoint), num_classes=3)


def test_names_of_the_model_are_those_of_its_checkpoint(checkpoint, tmp_path, capsys):
    """Not those of the data folder of today: b was renamed there, and a is gone."""
    write_folder(tmp_path, "test", {"bee": COLOURS["b"], "c": COLOURS["c"], "d": COLOURS["d"], "e": COLOURS["a"]})
    recipe = tmp_path / "config.yaml"
    recipe.write_text("".join(f"{key}: {value}\n" for key, value in OPTIONS.items()) + f"data_dir: {tmp_path}\n")
    image = tmp_path / "green.png"
    image.write_bytes(encoded(COLOURS["b"]))
    assert Classifier(checkpoint).predict(image)[0].labels[0].name == "b"
    assert main(["infer", str(checkpoint), str(image), "--device_target", "CPU", "--output_format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["predictions"][0]["class"] == "b"
    words = ["export", "-c", str(recipe), "--ckpt_path", str(checkpoint), "--device_target", "CPU"]
    for name in ("net.onnx", "net.safetensors"):
        assert main([*words, "--out", str(tmp_path / name)]) == 0
        assert read_info(tmp_path / name).class_names == NAMES
    assert read_outputs(tmp_path / "net.safetensors") == ModelOutputs(4, NAMES)
    assert Classifier(tmp_path / "net.onnx").predict(image)[0].labels[0].name == "b"
    # Other words for them are taken, the same words in another order leave them where they are.
    for names, found in (("vier", "b2", "c", "d"), "b2"), (("d", "c", "b", "a"), "b"):
        assert Classifier(tmp_path / "net.onnx", class_names=names).predict(image)[0].labels[0].name == found
        assert Classifier(checkpoint, class_names=names).predict(image)[0].labels[0].name == found
    (tmp_path / "names.txt").write_text("c\nb\nx\nd\n")
    assert main([*words, "--out", str(tmp_path / "x.onnx"), "--class_names", str(tmp_path / "names.txt")]) == 2
    assert "names.txt: 'c' is class 0 there, but class 2 of the model" in capsys.readouterr().err
    assert Classifier(tmp_path / "net.safetensors", str(recipe)).predict(image)[0].labels[0].name == "b"


def test_an_order_of_ones_own(tmp_path, checkpoint):
    write_folder(tmp_path, "test", COLOURS)
    names = tmp_path / "names.txt"
    names.write_text("d\nc\nb\na\nz\n")
    dataset = create_dataset("", str(tmp_path), "test", shuffle=False, class_names=["d", "c", "b", "a", "z"])
    labels = [row[1].item() for row in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)]
    assert (labels, dataset.num_classes()) == ([3, 2, 1, 0], 5)
    # The same names in another order than the checkpoint's: the order is the model's.
    names.write_text("d\nc\nb\na\n")
    assert evaluated(tmp_path, "imagenet", ckpt_path=str(checkpoint), class_names=str(names)) == 1
    # Other words for the same classes.
    (tmp_path / "test" / "a").rename(tmp_path / "test" / "red")
    names.write_text("red\nb\nc\nd\n")
    assert evaluated(tmp_path, "imagenet", ckpt_path=str(checkpoint), class_names=str(names)) == 1
    names.write_text("b\nred\nc\nd\n")
    with pytest.raises(ValueError, match=r"names.txt: 'b' is class 0 there, but class 1 of the model"):
        evaluated(tmp_path, "imagenet", ckpt_path=str(checkpoint), class_names=str(names))
    names.write_text("red\nb\nred\nd\n")
    with pytest.raises(ValueError, match=r"has the class name 'red' more than once"):
        evaluated(tmp_path, "imagenet", ckpt_path=str(checkpoint), class_names=str(names))


def run_config(root, folder, **options) -> Config:
    options = {"data_dir": str(root), "epoch_size": 1, "decay_epochs": 4, "ckpt_save_dir": str(folder), **options}
    return Config(**OPTIONS | {"dataset": "imagenet", "lr": 1e-6, "min_lr": 0.0, **options})


def test_a_training_stores_its_classes_wherever_weights_go(tmp_path, capsys):
    write_folder(tmp_path, "train", COLOURS, 2)
    as_folder(tmp_path)
    names = tmp_path / "names.txt"
    names.write_text("a\nb\nc\nd\n", encoding="utf-8-sig")
    train(run_config(tmp_path, tmp_path / "run", val_while_train=True, class_names=str(names)))
    for name in ("colour_net-1_4.ckpt", "colour_net_best.ckpt", "optim_colour_net.ckpt"):
        assert read_outputs(tmp_path / "run" / name) == ModelOutputs(4, NAMES)
    for name in ("net.npz", "net.safetensors"):
        assert main(["convert", str(tmp_path / "run/colour_net_best.ckpt"), str(tmp_path / name)]) == 0
        assert read_outputs(tmp_path / name) == ModelOutputs(4, NAMES)
        assert set(read_weights(tmp_path / name)) == {"classifier.weight", "classifier.bias"}
    events = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert [event["Top_1_Accuracy"] for event in events if event["event"] == "epoch"] == [RIGHT]
    assert (tmp_path / "run/class_names.txt").read_text() == "a\nb\nc\nd\n"
    # A list of its own, whose names were numbered among themselves before.
    assert evaluated(tmp_path, "imagenet", ckpt_path=str(tmp_path / "run/colour_net_best.ckpt")) == RIGHT


def test_the_validation_list_of_a_training_has_its_numbers(tmp_path):
    lines = ["path,label"]
    for name, colour in COLOURS.items():
        (tmp_path / f"train_{name}.png").write_bytes(encoded(colour))
        lines.append(f"train_{name}.png,{name}")
    (tmp_path / "train.csv").write_text("\n".join(lines))
    as_list(tmp_path)
    state = train(run_config(tmp_path, tmp_path / "run", dataset="csv", val_while_train=True))
    assert state.best_metric == RIGHT


def test_resume_is_refused_after_a_class_was_renamed(tmp_path):
    write_folder(tmp_path, "train", COLOURS, 2)
    train(run_config(tmp_path, tmp_path / "run"))
    (tmp_path / "train/a").rename(tmp_path / "train/z")
    again = {"epoch_size": 2, "resume": "auto"}
    with pytest.raises(
        ValueError, match=r"does not know: 1 of 4 classes \(z\); it has no images of .* \(a\).*renamed\?"
    ):
        train(run_config(tmp_path, tmp_path / "run", **again))
    names = tmp_path / "names.txt"
    names.write_text("z\nb\nc\nd\n")
    with pytest.raises(ValueError, match=r"the training data is not what .*: class a renamed to z; "):
        train(run_config(tmp_path, tmp_path / "run", class_names=str(names), **again))
    state = train(run_config(tmp_path, tmp_path / "run", class_names=str(names), resume_force=True, **again))
    assert state.epoch == 2
    assert read_outputs(tmp_path / "run/colour_net-2_4.ckpt").class_names == ("z", "b", "c", "d")


def test_resume_says_what_differs_in_the_data(tmp_path, caplog):
    write_folder(tmp_path, "train", COLOURS, 2)
    train(run_config(tmp_path, tmp_path / "run"))
    (tmp_path / "train/a/0.png").unlink()
    (tmp_path / "train/b/9.png").write_bytes(encoded(COLOURS["b"], 20))
    again = {"epoch_size": 2, "resume": "auto"}
    with pytest.raises(ValueError, match=r"1 file added, 1 removed; the order .* --resume_force True"):
        train(run_config(tmp_path, tmp_path / "run", **again))
    assert train(run_config(tmp_path, tmp_path / "run", resume_force=True, **again)).epoch == 2
    assert "resume with other training data: 1 file added, 1 removed" in caplog.text
    # From then on it is the data of the run.
    caplog.clear()
    assert train(run_config(tmp_path, tmp_path / "run", epoch_size=3, resume="auto")).epoch == 3
    assert "training data" not in caplog.text


@pytest.mark.parametrize(
    ("scheduler", "jump"),
    [
        ({"scheduler": "polynomial_decay", "decay_rate": 1.0, "min_lr": 0.0}, "from 2.5e-07 to 6.25e-07"),
        ({"scheduler": "one_cycle", "min_lr": 0.0}, "from .* to .*"),
        ({"scheduler": "cosine_decay", "decay_epochs": 4}, None),
        ({"scheduler": "constant"}, None),
    ],
)
def test_a_rate_that_would_jump_is_refused(scheduler, jump, tmp_path, caplog):
    write_folder(tmp_path, "train", COLOURS, 2)
    train(run_config(tmp_path, tmp_path / "run", **scheduler))
    again = {"epoch_size": 2, "resume": "auto", **scheduler}
    if jump:
        reason = "since the schedule follows from epoch_size 1 -> 2"
        with pytest.raises(ValueError, match=f"the learning rate jumps {jump}, {reason}; .* --resume_force True"):
            train(run_config(tmp_path, tmp_path / "run", **again))
        assert train(run_config(tmp_path, tmp_path / "run", resume_force=True, **again)).epoch == 2
        assert f"resume: the learning rate jumps {jump.split(' to ')[0]}".split(".*")[0] in caplog.text
    else:
        assert train(run_config(tmp_path, tmp_path / "run", **again)).epoch == 2


def test_rates_that_are_over_are_told(tmp_path, caplog):
    write_folder(tmp_path, "train", COLOURS, 2)
    schedule = {"scheduler": "cosine_decay", "decay_epochs": 1}
    train(run_config(tmp_path, tmp_path / "run", **schedule))
    assert train(run_config(tmp_path, tmp_path / "run", epoch_size=3, resume="auto", **schedule)).epoch == 3
    assert "decay_epochs=1 end before num_epochs=3: the last 2 train at 0" in caplog.text


MIXED = {"ab": (255, 255, 0), "a": (255, 0, 0), "bc": (0, 255, 255), "c": (0, 0, 255), "": (0, 0, 0)}


def write_list(root, split, images) -> None:
    """A list of several labels an image; an image's name is its labels."""
    lines = ["path,labels"]
    for name, colour in images.items():
        (root / f"{split}_{name}.png").write_bytes(encoded(colour))
        lines.append(f"{split}_{name}.png,{';'.join(name)}")
    (root / f"{split}.csv").write_text("\n".join(lines))


def several(root, **options) -> Config:
    return run_config(root, root / "run", dataset="csv", **{"loss": "BCE", "lr": 0.0, **options})


def test_several_labels_from_training_to_the_exported_file(tmp_path, capsys, caplog):
    write_list(tmp_path, "train", MIXED)
    # The list for evaluation lacks b, and has one image that the network gets wrong: white, which is a, b and c to it.
    write_list(tmp_path, "test", {"a": MIXED["a"], "c": (255, 255, 255), "ac": (255, 0, 255), "": (0, 0, 0)})
    state = train(several(tmp_path, val_while_train=True, report=True))
    assert "<h2>Training</h2>" in (tmp_path / "run/report.html").read_text()
    # a: red and magenta are its samples, and white is as red as these: precision 2/3 at one threshold; c alike: 2/2.
    expected = {"mAP": (2 / 3 + 1) / 2, "Subset_Accuracy": 3 / 4}
    history = state.history[0]
    assert {name: history[name] for name in expected} == pytest.approx(expected)
    assert state.best_metric == history["mAP"]
    best = tmp_path / "run" / "colour_net_best.ckpt"
    assert read_outputs(best) == ModelOutputs(3, ("a", "b", "c"), "multiple")
    assert "mAP" in (tmp_path / "run" / "result.log").read_text().splitlines()[0]

    caplog.set_level("INFO")
    result = validate(several(tmp_path, ckpt_path=str(best), report=str(tmp_path / "live")))
    assert {name: result[name] for name in expected} == pytest.approx(expected)
    of_live = read_evaluation(tmp_path / "live")
    assert (of_live.mean_average_precision, of_live.subset_accuracy) == (result["mAP"], result["Subset_Accuracy"])
    assert [row.average_precision for row in of_live.classes] == [pytest.approx(2 / 3), None, 1.0]
    (worst,) = of_live.worst
    assert (worst.path, worst.labels, worst.predictions) == (f"{tmp_path}/test_c.png", [2], [0, 1, 2])
    assert "mAP" in (tmp_path / "live/report.html").read_text()
    by_class = "average precision: a 0.6667, c 1.0000; no image of b"
    assert by_class in caplog.text
    code = main(["infer", str(best), str(tmp_path / "train_ab.png"), "--output_format", "jsonl"])
    assert code == 0
    live = json.loads(capsys.readouterr().out.splitlines()[-1])["predictions"]
    shares = {entry["class"]: entry["probability"] for entry in live}
    assert shares["a"] > 0.85
    assert shares["b"] > 0.85
    assert shares["c"] < 0.15  # independent: a softmax's would be a third each, or sum to 1
    words = ["-c", str(tmp_path / "run/config.yaml"), "--ckpt_path", str(best), "--batch_size", "2"]
    for name, options in (("n.onnx", ["--softmax"]), ("n.mindir", ["--softmax"]), ("m.onnx", [])):
        assert main(["export", *words, "--out", str(tmp_path / name), *options]) == 0
        assert read_info(tmp_path / name).head == "multiple"
        (prediction,) = Classifier(tmp_path / name).predict(tmp_path / "train_ab.png")
        assert {label.name: label.probability for label in prediction.labels} == pytest.approx(shares, abs=1e-5)
        capsys.readouterr()
        where = ["--data_dir", str(tmp_path), "--dataset", "csv", "--val_split", "test"]
        report = ["--report", str(tmp_path / "evaluation")]
        assert main(["validate", "--model", str(tmp_path / name), *where, *report]) == 0
        found = read_evaluation(tmp_path / "evaluation")
        assert found.classes == of_live.classes
        assert found.subset_accuracy == of_live.subset_accuracy
        out, err = capsys.readouterr()
        figures = re.search(r"Total data:4, mAP:(\S+), subset accuracy:(\S+)", out).groups()
        assert [float(figure) for figure in figures] == pytest.approx(list(expected.values()))
        assert by_class in err


def written(tmp_path, network, name="several.ckpt"):
    """A checkpoint of a network of several labels, and the recipe beside it."""
    save_args(several(tmp_path), tmp_path / "config.yaml")
    arrays = {name: parameter.asnumpy() for name, parameter in network.parameters_dict().items()}
    write_ckpt(tmp_path / name, {**arrays, **ModelOutputs(4, NAMES, "multiple").entry()})
    return tmp_path / name


def test_a_threshold_says_which_labels_are_told(tmp_path, capsys):
    path = str(written(tmp_path, ColourNet()))
    write_list(tmp_path, "test", {"ab": MIXED["ab"], "": (0, 0, 0)})
    both, none = str(tmp_path / "test_ab.png"), str(tmp_path / "test_.png")
    live = Classifier(path).predict(both)[0].labels
    shares = {label.name: label.probability for label in live}
    assert sorted(shares, key=shares.get, reverse=True)[:2] in (["a", "b"], ["b", "a"])
    assert min(shares["a"], shares["b"]) > 0.7 > shares["d"] > 0.5 > shares["c"]
    for threshold, names in ((0.7, {"a", "b"}), (shares["d"], {"a", "b", "d"}), (0.0, set("abcd")), (1.0, set())):
        (found,) = Classifier(path, threshold=threshold).predict(both)
        assert {label.name for label in found.labels} == names
    assert main(["infer", path, both, none, "--threshold", "0.7", "--output_format", "csv"]) == 0
    rows = [line.split(",") for line in capsys.readouterr().out.splitlines() if line.startswith(str(tmp_path))]
    assert [(row[0], row[3]) for row in rows] == [(both, live[0].name), (both, live[1].name), (none, "")]

    words = ["-c", str(tmp_path / "config.yaml"), "--ckpt_path", path, "--threshold", "0.7"]
    assert main(["export", *words, "--out", str(tmp_path / "n.onnx")]) == 0
    assert read_info(tmp_path / "n.onnx").threshold == 0.7
    exported_file = Classifier(tmp_path / "n.onnx")
    assert [label.name for label in exported_file.predict(both)[0].labels] == [live[0].name, live[1].name]
    assert exported_file.predict(none)[0].labels == ()
    assert len(Classifier(tmp_path / "n.onnx", threshold=0.0).predict(none)[0].labels) == 4
    capsys.readouterr()
    for value, reason in (("1.5", "threshold is 1.5; give a probability"), ("nan", "threshold is nan")):
        assert main(["infer", path, both, "--threshold", value]) == 2
        assert reason in capsys.readouterr().err


def test_a_threshold_is_refused_for_one_label(tmp_path):
    network, preprocess = ColourNet(), EvalPreprocess(SIDE)
    with pytest.raises(ValueError, match="threshold is for models of several labels an image; this one gives"):
        Classifier(network, preprocess=preprocess, threshold=0.5)
    with pytest.raises(ValueError, match="threshold is for models of several labels"):
        export_model(network, tmp_path / "n.onnx", preprocess=preprocess, threshold=0.5)
    assert not list(tmp_path.iterdir())


def test_the_head_of_a_network_of_ones_own():
    green = np.full((SIDE, SIDE, 3), COLOURS["b"], np.uint8)
    for head, total in (("single", 1), ("multiple", None)):
        labels = Classifier(ColourNet(), preprocess=EvalPreprocess(SIDE), head=head).predict(green)[0].labels
        shares = {label.index: label.probability for label in labels}
        score = (255 - 0.456 * 255) / (0.224 * 255)
        if total:
            assert sum(shares.values()) == pytest.approx(total, abs=1e-5)
        else:
            assert shares[1] == pytest.approx(1 / (1 + np.exp(-score)), abs=1e-5)
            assert shares[3] == pytest.approx(1 / (1 + np.exp(-0.5)), abs=1e-5)
    with pytest.raises(ValueError, match=r"unknown head 'both'\. Allowed: multiple, single"):
        Classifier(ColourNet(), preprocess=EvalPreprocess(SIDE), head="both")


def test_the_asymmetric_loss_trains_on_several_labels(tmp_path):
    write_list(tmp_path, "train", MIXED)
    state = train(several(tmp_path, loss="asl_multi_label", batch_size=5, color_jitter=0.0, report=False))
    assert not (tmp_path / "run/report.html").exists()
    mean, std = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
    labels = np.array([[name in own for name in "abc"] for own in MIXED])
    p = 1 / (1 + np.exp(-(np.array(list(MIXED.values())) - mean) / std))
    q = np.minimum(1 - p + 0.05, 1)  # arXiv 2009.14119, equations 4 to 7, gamma 1 and 4
    losses = -np.where(labels, (1 - p) * np.log(p), (1 - q) ** 4 * np.log(q))
    assert state.history[0]["loss"] == pytest.approx(losses.sum(1).mean(), rel=1e-4)


def test_best_follows_the_average_precision(tmp_path, caplog):
    write_list(tmp_path, "train", MIXED)
    write_list(tmp_path, "test", {"a": MIXED["a"], "c": MIXED["c"]})
    state = train(several(tmp_path, val_while_train=True, epoch_size=2, ckpt_save_policy="top_k"))
    assert (state.best_metric, state.best_epoch) == (1.0, 1)
    assert "Best mAP: 100.00 % in epoch 1" in caplog.text
    manifest = json.loads((tmp_path / "run" / "checkpoints.json").read_text())
    assert manifest["checkpoints"][-1]["metric"] == 1.0


def test_a_teacher_is_refused_for_several_labels(tmp_path):
    """Whatever the teacher was trained on: its probabilities add up to 1."""
    write_list(tmp_path, "train", MIXED)
    write_list(tmp_path, "test", MIXED)
    cfg = several(tmp_path, teacher="resnet18", distill="soft")
    with pytest.raises(ValueError, match="teacher: these samples have several labels; distillation is for one"):
        train(cfg)


@pytest.mark.parametrize("loss", ["CE", "asl_single_label"])
def test_a_loss_of_one_label_is_refused_for_several(loss, tmp_path):
    write_list(tmp_path, "train", MIXED)
    write_list(tmp_path, "test", MIXED)
    cfg = several(tmp_path).model_copy(update={"loss": loss})
    reason = rf"loss '{loss}' is for one label a sample, but these samples have several; set loss: BCE"
    with pytest.raises(ValueError, match=reason):
        train(cfg)
    train(several(tmp_path))
    with pytest.raises(ValueError, match=reason):
        validate(cfg.model_copy(update={"ckpt_path": str(tmp_path / "run/colour_net-1_2.ckpt")}))


def test_data_of_another_kind_than_the_models_is_refused(tmp_path, checkpoint, capsys):
    write_list(tmp_path, "test", MIXED)
    options = {"ckpt_path": str(checkpoint), "loss": "BCE"}
    reason = "was trained on images of one label each, but those of the data have several"
    with pytest.raises(ValueError, match=f"{checkpoint} {reason}"):
        evaluated(tmp_path, "csv", **options)
    code, err = exported_accuracy(capsys, exported(tmp_path), tmp_path, "csv")
    assert code == 2
    assert reason in err
    path = exported(tmp_path, head="multiple")
    as_folder(tmp_path)
    code, err = exported_accuracy(capsys, path, tmp_path, "imagenet")
    assert code == 2
    assert "was trained on images of several labels each, but those of the data have one" in err
    write_ckpt(checkpoint, {**read_weights(checkpoint), **ModelOutputs(4, NAMES, "multiple").entry()})
    with pytest.raises(ValueError, match="several labels each, but those of the data have one"):
        evaluated(tmp_path, "imagenet", **options)


def test_labels_in_columns_and_unknown_ones(tmp_path, checkpoint, caplog):
    weights = read_weights(checkpoint)
    weights["classifier.bias"][3] = -9  # nothing is a d
    write_ckpt(checkpoint, {**weights, **ModelOutputs(4, NAMES, "multiple").entry()})
    for name in ("red", "blue"):
        (tmp_path / f"{name}.png").write_bytes(encoded(name))
    (tmp_path / "test.csv").write_text("path,c,x,a\nred.png,0,1,1\nblue.png,1,0,0\n")
    options = {"dataset": "csv", "ckpt_path": str(checkpoint), "loss": "BCE", "data_dir": str(tmp_path)}
    with pytest.raises(ValueError, match=r"the model does not know: 1 of 3 classes \(x\)"):
        validate(Config(**OPTIONS | options))
    result = validate(Config(**OPTIONS | options, unknown_classes="skip"))
    assert (result["mAP"], result["Subset_Accuracy"]) == (1.0, 1.0)
    assert "the labels 1 of 3 classes (x), which the model does not know, are left out" in caplog.text
    # Numbers are the model's, and a list that has fewer is filled up.
    (tmp_path / "test.csv").write_text("path,labels\nred.png,0\nblue.png,2\n")
    assert validate(Config(**OPTIONS | options))["Subset_Accuracy"] == 1.0


def test_a_name_of_two_classes_is_refused(tmp_path):
    """One of the two would get all their images."""
    with pytest.raises(ValueError, match=r"'val' of \S* ?has the class '3', whose name 2 of the model's classes have"):
        create_dataset("digits", split="val", class_names=["3", "7", "3"], unknown_classes="skip")
    (tmp_path / "test.csv").write_text("path,cat,dog,cat\nred.png,1,0,0\n")
    with pytest.raises(ValueError, match=r"test\.csv: the first line names the column 'cat' more than once"):
        find_samples("csv", str(tmp_path), "test")


@pytest.mark.parametrize("number", [10**12, 0, True, 3.0])
def test_a_number_of_classes_that_none_can_have_is_damage(number, tmp_path):
    entry = ModelOutputs(number, None).entry()
    write_ckpt(tmp_path / "a.ckpt", entry)
    with pytest.raises(ValueError, match=r"a\.ckpt: its entry model_outputs is damaged"):
        read_outputs(tmp_path / "a.ckpt")


def test_arrays_are_found_by_name_too():
    """digits and mnist: their names are the digits, here in the order of the model's."""
    backwards = [str(digit) for digit in range(9, -1, -1)]
    plain, turned = (
        [row[1].item() for row in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)]
        for dataset in (
            create_dataset("digits", split="val", shuffle=False),
            create_dataset("digits", split="val", shuffle=False, class_names=backwards),
        )
    )
    assert turned == [9 - label for label in plain]
    kept = create_dataset("digits", split="val", shuffle=False, class_names=["7", "3"], unknown_classes="skip")
    labels = [row[1].item() for row in kept.create_tuple_iterator(num_epochs=1, output_numpy=True)]
    assert labels == [{7: 0, 3: 1}[label] for label in plain if label in (3, 7)]
    with pytest.raises(ValueError, match=r"does not know: 8 of 10 classes \(0, 1, 2, 4, 5, 6, 8, 9\)"):
        create_dataset("digits", split="val", class_names=["7", "3"])
