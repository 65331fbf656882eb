"""`mindcv export`, `mindcv infer` and `validate --model FILE`, from the command line on."""

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import pytest
from PIL import Image

from mindcv.cli import main
from mindcv.cli.infer import expand_inputs
from mindcv.config import read_config
from mindcv.data import EvalPreprocess, create_dataset
from mindcv.export import export_model, read_info
from mindcv.export.source import source_from_checkpoint
from mindcv.models import create_model
from mindcv.report.evaluation import read_evaluation
from mindcv.weights import write_weights

RECIPE = "resnet/resnet18_cpu.yaml"
PHOTOS = Path(__file__).parents[1] / "data" / "photos"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A checkpoint of digits, two exports of it, and digits as image files."""
    folder = tmp_path_factory.mktemp("exported")
    ms.set_seed(8)  # of whose network some answers are right
    network = create_model("resnet18", num_classes=10)
    write_weights(folder / "m.ckpt", {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()})
    for index, (image, label) in enumerate(digits()):
        if index < 30:
            (folder / "val" / str(label)).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / "val" / str(label) / f"{index}.png")
    return folder


def digits():
    dataset = create_dataset("digits", split="val", shuffle=False)
    yield from dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)


@pytest.fixture(scope="module")
def exported(folder) -> dict[str, str]:
    source = source_from_checkpoint(folder / "m.ckpt", RECIPE)
    paths = {}
    for name, batch_size in (("dynamic.onnx", "dynamic"), ("seven.mindir", 7)):
        paths[name] = str(folder / name)
        export_model(
            source.network,
            paths[name],
            None,
            batch_size,
            preprocess=source.preprocess,
            class_names=[f"digit {i}" for i in range(10)],
            model_name=source.name,
            dataset=source.dataset,
        )
    return paths


def run(capsys, *words: str) -> tuple[int, str, str]:
    code = main([*words, "--device_target", "CPU"])
    out, err = capsys.readouterr()
    return code, out, err


def test_export_command(folder, capsys):
    out = folder / "new" / "m.mindir"
    code, text, err = run(
        capsys, "export", "-c", RECIPE, "--checkpoint_file_path", str(folder / "m.ckpt"), "--file_format", "MINDIR",
        "--file_name", str(out.with_suffix("")), "--batch_size", "2", "--fold_bn", "--softmax",
    )  # fmt: skip
    assert code == 0
    assert re.search(r"verified on batches of 2, 2, 2: largest difference \S+ \(allowed \S+\)", text)
    for old, new in (("checkpoint_file_path", "ckpt_path"), ("file_format", "format"), ("file_name", "out")):
        assert f"--{old} is called --{new} here" in err
    info = read_info(out)
    assert (info.model, info.format, info.input_shape) == ("resnet18", "mindir", (2, 3, 32, 32))
    assert (info.class_names, info.dataset) == (tuple("0123456789"), "digits")
    assert info.batch_norm_folded


def test_a_trainings_checkpoint_brings_its_recipe(folder, capsys, tmp_path):
    checkpoint = tmp_path / "m.ckpt"
    shutil.copy(folder / "m.ckpt", checkpoint)
    words = ["export", str(checkpoint), "--out", str(tmp_path / "m.onnx")]
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "needs the recipe that it was trained with" in err
    (tmp_path / "config.yaml").write_text("model: resnet18\nnum_classes: 10\nimage_resize: 48\n")
    code, out, err = run(capsys, *words)
    assert code == 0, err
    assert f"{tmp_path / 'm.onnx'}: onnx, image 1x3x48x48 float32" in out
    assert run(capsys, *words, "--ckpt_path", "other.ckpt")[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "onnx"), "no weights; give ckpt_path, or pretrained"),
        (("--format", "onnx", "--ckpt_path", "no.ckpt"), "no.ckpt: there is no such weight file"),
        (("--ckpt_path", "no.ckpt"), "name the file with --out FILE, or the format with --format"),
        (("--format", "onx", "--ckpt_path", "no.ckpt"), "unknown export format 'onx'; did you mean 'onnx'?"),
        (("--format", "onnx", "--batch_size", "many"), "--batch_size: got 'many'; give a number from 1, or dynamic"),
        (("--format", "mindir", "--key_file", "no.key"), "no.key: there is no such key file"),
        (("--format", "onnx", "--class_names", "no.txt"), "no.txt: there is no such file of class names"),
        (("--format", "onnx", "--num_classes", "ten"), "num_classes: got 'ten'; allowed: an integer"),
    ],
)
def test_export_errors_in_one_line(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "export", "-c", RECIPE, *words)
    assert code == 2
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


def test_air_needs_ascend(folder, capsys, tmp_path):
    code, _, err = run(
        capsys, "export", "-c", RECIPE, "--ckpt_path", str(folder / "m.ckpt"), "--out", str(tmp_path / "m.air")
    )
    assert code == 2
    assert "run the command on an Ascend host" in err
    assert list(tmp_path.iterdir()) == []


LINE = re.compile(r"^Total data:(\d+), top1 accuracy:([\d.]+), top5 accuracy:([\d.]+)$", re.MULTILINE)


@pytest.mark.parametrize("data", ["digits", "folder"])
def test_validate_equals_the_checkpoint(data, folder, exported, capsys, tmp_path):
    where = ["--data_dir", str(folder), "--dataset", "imagenet"] if data == "folder" else []
    names = ["--class_names", str(folder / "names.txt")]
    (folder / "names.txt").write_text("".join(f"{index}\n" for index in range(10)))
    live = ["validate", "-c", RECIPE, "--ckpt_path", str(folder / "m.ckpt"), "--report", str(tmp_path / "live")]
    code, out, _ = run(capsys, *live, *where, *names)
    assert code == 0
    expected = ast.literal_eval(re.search(r"^\{.*\}$", out, re.MULTILINE)[0])
    assert 0 < expected["Top_1_Accuracy"] < expected["Top_5_Accuracy"] < 1
    # The exports have other words for the classes than the data.
    code, _, err = run(capsys, "validate", "--model", exported["dynamic.onnx"], *where)
    assert code == 2
    assert "has classes that the model does not know: " in err
    assert "give them in its order with --class_names FILE" in err
    for path in exported.values():
        report = tmp_path / Path(path).name
        code, out, _ = run(capsys, "validate", "--model", path, *where, *names, "--report", str(report))
        assert code == 0
        count, top1, top5 = LINE.search(out).groups()
        assert int(count) == (30 if where else 360)
        assert float(top1) == expected["Top_1_Accuracy"]
        assert float(top5) == expected["Top_5_Accuracy"]
        found, of_live = (read_evaluation(one) for one in (report, tmp_path / "live"))
        assert (found.top_1_accuracy, found.top_5_accuracy) == (float(top1), float(top5))
        assert found.confusion == of_live.confusion
        assert found.expected_calibration_error == pytest.approx(of_live.expected_calibration_error, abs=1e-5)
        assert [shown.path for shown in found.worst] == [shown.path for shown in of_live.worst]
        assert found.worst[0].image is not None
        assert found.facts.model == path


def test_validate_of_two_classes_has_no_top_5(capsys, tmp_path):
    """As `validate` of a checkpoint: each of fewer than five classes would be among the five best."""
    network = create_model("resnet18", num_classes=2, channels=(8, 8, 16, 16), layers=(1, 1, 1, 1))
    path = str(tmp_path / "two.onnx")
    preprocess = EvalPreprocess.from_config(read_config(["--image_resize", "32"]))
    export_model(network, path, None, 4, preprocess=preprocess, class_names=["a", "b"], model_name="resnet18")
    for index in range(6):
        (tmp_path / "val" / "ab"[index % 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (40 * index, 90, 10)).save(tmp_path / "val" / "ab"[index % 2] / f"{index}.png")
    code, out, _ = run(capsys, "validate", "--model", path, "--data_dir", str(tmp_path), "--dataset", "imagenet")
    assert code == 0
    assert re.search(r"^Total data:6, top1 accuracy:[\d.]+$", out, re.MULTILINE), out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--image_resize", "64"), r"image_resize: got 64, but .* was exported for \(32, 32\)"),
        (("--crop_pct", "0.5"), r"crop_pct: got 0.5"),
        (("--dataset", "imagenet", "--data_dir", "/nowhere"), "the data folder '/nowhere'"),
    ],
)
def test_validate_refuses_contradictions(words, message, exported, capsys):
    code, _, err = run(capsys, "validate", "--model", exported["dynamic.onnx"], *words)
    assert code == 2
    assert re.search(message, err)


def test_validate_of_a_missing_file(capsys):
    code, _, err = run(capsys, "validate", "--model", "/nowhere/m.onnx")
    assert code == 2
    assert "/nowhere/m.onnx: there is no such file" in err


def test_infer_table(folder, exported, capsys):
    code, out, err = run(capsys, "infer", exported["dynamic.onnx"], str(folder / "val"), "--top_k", "2")
    assert (code, err) == (0, "")
    rows = out.splitlines()
    assert len(rows) == 30
    assert all(re.search(r"\.png +digit \d 0\.\d{4}  digit \d 0\.\d{4}$", row) for row in rows)


def test_infer_agrees_for_all_kinds_of_models(folder, exported, capsys):
    models = [(path,) for path in exported.values()] + [(str(folder / "m.ckpt"), "-c", RECIPE)]
    answers = []
    for model, *recipe in models:
        code, out, _ = run(capsys, "infer", model, str(folder / "val"), *recipe, "--output-format", "jsonl")
        assert code == 0
        entries = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        answers.append([(entry["image"], entry["predictions"][0]["index"]) for entry in entries])
    assert answers[0] == answers[1] == answers[2]


def test_bad_files_give_exit_code_3(folder, exported, capsys, tmp_path):
    good = str(PHOTOS / "china.jpg")
    (tmp_path / "text.jpg").write_text("no image")
    listing = tmp_path / "list.txt"
    listing.write_text(f"{good}\n\n{tmp_path / 'text.jpg'}\n/nowhere.png\n")
    out = tmp_path / "out.csv"
    code, text, err = run(
        capsys, "infer", exported["seven.mindir"], str(listing), good, "--output_format", "csv", "--out", str(out)
    )
    assert (code, text) == (3, "")
    assert "/nowhere.png: there is no such file" in err
    assert "2 of 4 files could not be classified" in err
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert [(row["image"], row["rank"]) for row in rows[:5]] == [(good, str(rank)) for rank in range(1, 6)]
    errors = [row["error"] for row in rows if row["error"]]
    assert errors == ["this is no image file (it begins with b'no image')", "there is no such file"]
    assert sum(float(row["probability"]) for row in rows[:5]) < 1
    code, text, _ = run(capsys, "infer", exported["seven.mindir"], str(listing), "--output_format", "jsonl")
    assert [("error" in json.loads(line)) for line in text.splitlines()] == [False, True, True]


def test_names_from_a_file(exported, capsys, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(f"Ziffer {i}" for i in range(10)), encoding="utf-8")
    code, out, _ = run(
        capsys,
        "infer",
        exported["dynamic.onnx"],
        str(PHOTOS / "china.jpg"),
        "--class_names",
        str(tmp_path / "names.txt"),
    )
    assert code == 0
    assert "Ziffer" in out


# A line end, a formula, a quote, a terminal's command, a byte that is not UTF-8, a mark that turns text around.
ODD_NAMES = [
    "two\nlines.png",
    "carriage\rreturn.png",
    "=cmd|'x'!A1.png",
    "@SUM.png",
    "+1.png",
    "-2.png",
    "\ttab.png",
    '"quoted", comma.png',
    "\x1b[31mred\x1b[0m.png",
    "\x9b31m.png",
    "latin1_\udce4.png",
    "right_\u202eto_left.png",
    "line\u2028separator\x0c.png",
]


@pytest.fixture
def odd_images(tmp_path, monkeypatch):
    """The names of images in the working folder, sorted."""
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path / "images")
    for name in ODD_NAMES:
        shutil.copy(PHOTOS / "china.jpg", name)
    return sorted(ODD_NAMES)


def test_csv_keeps_odd_names_in_one_cell_and_makes_formulas_text(odd_images, exported, capsys, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"=class{i}\n" for i in range(10)), encoding="utf-8")
    model, out = exported["seven.mindir"], tmp_path / "out.csv"
    words = (*("--output_format", "csv", "--top_k", "1"), *("--class_names", str(names)))
    code = main(["infer", *words, "--device_target", "CPU", "--out", str(out), model, "--", *odd_images])
    err = capsys.readouterr().err
    assert (code, err) == (0, "")
    with out.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [f"'{name}" if name[0] in "=@+-\t\r" else name for name in odd_images]
    assert [row["image"] for row in rows] == expected
    assert [row["class"][:7] for row in rows] == ["'=class"] * len(rows)
    assert all(0 < float(row["probability"]) <= 1 for row in rows)


@pytest.mark.parametrize("output_format", ["table", "jsonl"])
def test_odd_names_reach_no_terminal_and_lose_no_image(output_format, odd_images, exported, capsys):
    (Path() / "bad\x1b[2J.png").write_text("no image")
    words = ("--output_format", output_format, "--top_k", "1", exported["seven.mindir"], "--")
    code = main(["infer", "--device_target", "CPU", *words, *odd_images, "bad\x1b[2J.png"])
    out, err = capsys.readouterr()
    assert code == 3
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202e]", out + err) is None
    assert "mindcv: bad\\x1b[2J.png: this is no image file" in err
    lines = out.split("\n")[:-1]
    if output_format == "jsonl":
        assert [json.loads(line)["image"] for line in lines] == [*odd_images, "bad\x1b[2J.png"]
    else:
        assert len(lines) == len(odd_images)
        assert any(line.startswith(r"\x1b[31mred\x1b[0m.png ") for line in lines)


def test_names_that_are_not_utf8_come_out_of_a_pipe_as_they_are(odd_images, exported):
    command = [sys.executable, "-m", "mindcv", "infer", exported["seven.mindir"], "-", "--output_format", "csv"]
    done = subprocess.run(
        [*command, "--top_k", "1", "--device_target", "CPU"],
        input=os.fsencode("\ufefflatin1_\udce4.png\r\nline\u2028separator\x0c.png\n"),
        capture_output=True,
        check=True,
    )
    rows = done.stdout.decode("utf-8", "surrogateescape").split("\n")
    assert [row.split(",")[0] for row in rows[1:3]] == ["latin1_\udce4.png", "line\u2028separator\x0c.png"]
    assert b"latin1_\xe4.png" in done.stdout


def test_list_is_cut_at_line_ends_only(odd_images, tmp_path):
    listing = tmp_path / "list.txt"
    listing.write_bytes(os.fsencode("\ufefflatin1_\udce4.png\r\nline\u2028separator\x0c.png\nmid\rdle.png\n\n"))
    expected = ["latin1_\udce4.png", "line\u2028separator\x0c.png", "mid\rdle.png"]
    assert expand_inputs([str(listing)], []) == expected
    assert expand_inputs(["-"], [listing.read_bytes().decode("utf-8", "surrogateescape")]) == expected


def test_inputs(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("a/2.JPG", "a/b/1.png", "a/notes.md", "3 [x].webp"):
        shutil.copy(PHOTOS / "china.jpg", tmp_path / name)
    root = str(tmp_path)
    assert expand_inputs([f"{root}/a"], []) == [f"{root}/a/2.JPG", f"{root}/a/b/1.png"]
    assert expand_inputs([f"{root}/**/*.png"], []) == [f"{root}/a/b/1.png"]
    assert expand_inputs([f"{root}/3 [x].webp", "no.jpg"], []) == [f"{root}/3 [x].webp", "no.jpg"]
    assert expand_inputs(["-", "z.png"], ["x.png\n", "\n", " y.png \n"]) == ["x.png", "y.png", "z.png"]
    assert expand_inputs(["s3://bucket/a.jpg"], []) == ["s3://bucket/a.jpg"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["{}/empty"], "no images there"),
        (["{}/*.jpg"], "no images there"),
        (["-"], "the inputs name none"),
        (["{}/no.txt"], "there is no such list"),
    ],
)
def test_inputs_without_images(inputs, message, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        expand_inputs([name.format(tmp_path) for name in inputs], [])


@pytest.mark.parametrize("words", [("--top_k", "0"), ("--workers", "0"), ("--batch_size", "0")])
def test_infer_refuses_numbers(words, exported, capsys):
    code, _, err = run(capsys, "infer", exported["dynamic.onnx"], str(PHOTOS / "china.jpg"), *words)
    assert code == 2
    assert "give a number from 1" in err
