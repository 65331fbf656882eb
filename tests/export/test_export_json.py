"""The JSON beside an exported file: checked by kind and range, and by the digest that the file itself keeps."""

import json
import math

import numpy as np
import pytest
from small_networks import build

from mindcv.data import EvalPreprocess
from mindcv.export import Classifier, ExportedModel, export_model, info_path, read_info
from mindcv.export._mark import read_mark, write_mark
from mindcv.export.info import json_digest
from mindcv.utils.fs import file_sha256


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An ONNX and a MINDIR file of a small network."""
    folder = tmp_path_factory.mktemp("exported")
    for suffix in ("onnx", "mindir"):
        names = list("abcdefg")
        export_model(build("basic"), folder / f"m.{suffix}", preprocess=EvalPreprocess(32), class_names=names)
    return folder


@pytest.fixture(params=["onnx", "mindir"])
def path(request, exported, tmp_path):
    """A copy of an exported file with its JSON."""
    target = tmp_path / f"m.{request.param}"
    target.write_bytes((exported / target.name).read_bytes())
    info_path(target).write_bytes(info_path(exported / target.name).read_bytes())
    return target


def change(path, **values):
    """Sets entries of the JSON; `preprocess__mean` is one inside `preprocess`."""
    entries = json.loads(info_path(path).read_text())
    for name, value in values.items():
        *outer, last = name.split("__")
        table = entries[outer[0]] if outer else entries
        if value is None and last not in ("class_names", "encryption"):
            del table[last]
        else:
            table[last] = value
    info_path(path).write_text(json.dumps(entries))


def without_mark(path):
    """Takes the digest out of a file, as files of earlier versions are, and makes its JSON fit again."""
    mark = read_mark(path)
    data = path.read_bytes()
    start = data.rindex(b"mindcv_json_sha256") - 4
    assert data[start:].endswith(mark.encode())
    path.write_bytes(data[:start])
    change(path, file_sha256=file_sha256(path))


def test_file_keeps_the_digest_of_its_json(path):
    entries = json.loads(info_path(path).read_text())
    assert read_mark(path) == json_digest(entries)
    assert read_info(path).file_sha256 == file_sha256(path)
    assert ExportedModel(path)(np.zeros((1, 3, 32, 32), np.float32)).shape == (1, 7)


@pytest.mark.parametrize(
    "values",
    [
        {"preprocess__mean": [0.0, 0.0, 0.0]},
        {"preprocess__crop_pct": 0.5},
        {"class_names": list("gfedcba")},
        {"output_name": "probabilities"},
        {"class_names": None},
        {"versions": {}},
    ],
)
def test_json_that_was_changed_is_refused(path, values):
    change(path, **values)
    with pytest.raises(ValueError, match=r"was changed since m.* was exported, which keeps its sha256; export again"):
        Classifier(path)


def test_json_of_another_export_is_refused(path, tmp_path):
    other = tmp_path / f"other{path.suffix}"
    export_model(build("basic"), other, preprocess=EvalPreprocess(32, crop_pct=1.0))
    info_path(path).write_text(info_path(other).read_text())
    with pytest.raises(ValueError, match="belongs to another file"):
        read_info(path)
    change(path, file_sha256=file_sha256(path))
    with pytest.raises(ValueError, match="was changed since"):
        read_info(path)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"preprocess__mean": [math.nan, 0.0, 0.0]}, "preprocess.mean.0: Input should be a finite number"),
        ({"preprocess__std": [math.inf, 1.0, 1.0]}, "preprocess.std.0: Input should be a finite number"),
        ({"preprocess__std": [0.0, 1.0, 1.0]}, "preprocess.std.0: Input should be greater than 0"),
        ({"preprocess__std": ["1", 1.0, 1.0]}, "preprocess.std.0: Input should be a valid number"),
        ({"preprocess__image_size": [10**6, 10**6]}, "preprocess.image_size.0: Input should be less than or equal to"),
        ({"preprocess__image_size": [32, 64]}, "input_shape .* is not what preprocess gives"),
        ({"preprocess__crop_pct": 1e-9}, "image_resize .* resizes images to 31999999999"),
        ({"preprocess__interpolation": "cubist"}, "cubist"),
        ({"preprocess__mean": [0.0]}, "is not what preprocess gives"),
        ({"preprocess": [1]}, "preprocess: Input should be"),
        ({"preprocess__mean": None}, "preprocess.mean: Field required"),
        ({"input_shape": [1, 3, 10**6, 10**6]}, "input_shape.2: Input should be less than or equal to"),
        ({"input_shape": [0, 3, 32, 32]}, "input_shape.0"),
        ({"input_shape": [1, 3, 32]}, "input_shape"),
        ({"output_name": "logits"}, "output_name: Input should be 'scores' or 'probabilities'"),
        ({"output_name": 5}, "output_name: Input should be"),
        ({"input_dtype": "uint8"}, "input_dtype uint8 with normalisation outside"),
        ({"num_classes": -1}, "num_classes: Input should be greater than or equal to 1"),
        ({"num_classes": True}, "num_classes: Input should be a valid integer"),
        ({"class_names": ["a"]}, "1 class_names for 7 classes"),
        ({"class_names": [1] * 7}, "class_names.0: Input should be a valid string"),
        ({"format": "pth"}, "format: Input should be 'mindir'"),
        ({"file_sha256": "0"}, "file_sha256: String should match"),
        ({"more": 1}, "more: Extra inputs are not permitted"),
        ({"verification": None}, "verification: Field required"),
    ],
)
@pytest.mark.parametrize("has_mark", [True, False])
def test_hostile_entry_is_refused_before_anything_is_run(path, values, reason, has_mark):
    if not has_mark:
        without_mark(path)
    change(path, **values)
    with pytest.raises(
        ValueError, match=rf"is not what `mindcv export` writes \(.*{reason}.*\); export again"
    ) as error:
        ExportedModel(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[]", "5", '"x"', "{", "[" * 100_000, "\x00", ""])
def test_what_is_no_table_is_refused(path, text):
    info_path(path).write_text(text)
    with pytest.raises(ValueError, match="is not what `mindcv export` writes"):
        read_info(path)


def test_large_json_is_not_read(path):
    with info_path(path).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="has more than 64 MiB"):
        read_info(path)


def test_file_without_a_digest_is_taken_with_a_warning(path, caplog):
    without_mark(path)
    assert read_info(path).num_classes == 7
    assert "holds no sha256 of its JSON" in caplog.text


@pytest.mark.parametrize("path", ["onnx"], indirect=True)
def test_output_that_the_file_does_not_have_is_refused(path):
    """Scores that are called probabilities would be printed as, for example, 4.25."""
    without_mark(path)
    change(path, output_name="probabilities")
    with pytest.raises(ValueError, match="has the output scores, but its JSON says probabilities; export again"):
        Classifier(path)


@pytest.mark.parametrize("path", ["onnx"], indirect=True)
def test_input_that_the_file_does_not_have_is_refused(path):
    without_mark(path)
    change(path, input_name="pixels")
    with pytest.raises(ValueError, match="has the input image, but its JSON says pixels"):
        Classifier(path)


@pytest.mark.parametrize("data", [b"", b"\x72", b"\xff" * 40, b"\x72\xff\xff\xff\x7f", b"\x0b\x0c", b"r\x02\x0a\x7f"])
def test_no_mark_is_found_in_what_is_no_protocol_buffer(data, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    assert read_mark(path) is None


def test_mark_is_read_as_written(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x96\x01\x12\x03abc\x72\x02\x0a\x00")
    write_mark(path, "0" * 64)
    assert read_mark(path) == "0" * 64
