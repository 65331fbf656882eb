"""Weight files of every format: what is written is read, and bad files say what they are."""

import os
import re
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mindcv.weights import _ckpt, read_ckpt, read_weights, write_ckpt, write_weights

pytestmark = pytest.mark.no_mindspore

DATA = Path(__file__).parents[1] / "data" / "weights"
ARRAYS = {
    "conv1.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "scalar": np.array(2.5, np.float32),
    "half": np.array([1, 0.5, -65504], np.float16),
    "double": np.array([1e-300, 2]),
    "counts": np.array([[-1, 2**40]], np.int64),
    "small": np.array([255, 0], np.uint8),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
    "transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "big_endian": np.arange(3, dtype=">f4"),
    "größe": np.ones(1, np.int32),
}


def assert_same(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray], half: type = np.float16) -> None:
    assert set(got) == set(wanted)
    for name, array in wanted.items():
        dtype = half if array.dtype == np.float16 else array.dtype.newbyteorder("=")
        assert (got[name].dtype, got[name].shape) == (dtype, array.shape), name
        np.testing.assert_array_equal(got[name], array, err_msg=name)
        assert got[name].flags.c_contiguous
        assert got[name].flags.writeable


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors", ".npz"])
def test_written_is_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new folder" / f"weights{suffix}"
    write_weights(path, ARRAYS)
    assert_same(read_weights(path), ARRAYS, half=np.float32)
    assert os.listdir(path.parent) == [path.name]
    wrong_name = path.with_suffix(".bin")
    path.rename(wrong_name)
    assert_same(read_weights(wrong_name), ARRAYS, half=np.float32)


def test_checkpoint_keeps_everything(tmp_path: Path) -> None:
    arrays = {**ARRAYS, "moments.conv1.weight": np.ones((2, 3, 2, 2), np.float32), "note": np.array("naïve ✓")}
    write_ckpt(tmp_path / "a.ckpt", arrays)
    assert_same(read_ckpt(tmp_path / "a.ckpt"), arrays)
    assert list(read_ckpt(tmp_path / "a.ckpt")) == list(arrays)


def test_large_tensors_are_cut_and_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ckpt, "_SLICE_BYTES", 16)
    write_ckpt(tmp_path / "a.ckpt", ARRAYS)
    assert (tmp_path / "a.ckpt").read_bytes().count(b"conv1.weight") == 6
    assert_same(read_ckpt(tmp_path / "a.ckpt"), ARRAYS)


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    words = np.array([0x3F80, 0xC020, 0x7F80, 0x0001], "<u2").tobytes()
    path = tmp_path / "a.safetensors"
    header = b'{"x":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + words)
    np.testing.assert_array_equal(read_weights(path)["x"], np.array([[1, -2.5], [np.inf, 2.0**-133]], np.float32))


def test_text_cannot_go_into_safetensors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"note: safetensors cannot hold an array of type <U2"):
        write_weights(tmp_path / "a.safetensors", {"note": np.array("hi")})
    assert not os.listdir(tmp_path)


def test_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot write the suffix '.pth'; choose one of .ckpt, .safetensors, .npz"):
        write_weights(tmp_path / "a.pth", ARRAYS)


def test_only_local_files_are_written() -> None:
    with pytest.raises(ValueError, match=r"s3://bucket/a\.ckpt: weights are written to local files only"):
        write_weights("s3://bucket/a.ckpt", ARRAYS)


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    write_ckpt(path, {"x": np.ones(2)})
    with pytest.raises(ValueError, match="complex128"):
        write_ckpt(path, {"x": np.zeros(2), "y": np.zeros(2, complex)})
    assert os.listdir(tmp_path) == ["a.ckpt"]
    assert read_ckpt(path)["x"].tolist() == [1, 1]


def object_npz(path: Path) -> None:
    np.savez(path, x=np.array([{"a": 1}], object))


def bomb_npz(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w") as entry:
        np.lib.format.write_array_header_1_0(entry, {"descr": "<f4", "fortran_order": False, "shape": (2**40,)})
        entry.write(bytes(10_000))


def lying_zip(path: Path) -> None:
    """The archive's list says that a small entry unpacks to 4 GB."""
    np.savez_compressed(path, x=np.zeros(10_000))
    data = bytearray(path.read_bytes())
    offset = data.rindex(b"PK\x01\x02")
    data[offset + 24 : offset + 28] = struct.pack("<I", 2**32 - 2)
    path.write_bytes(bytes(data))


def safetensors_with(header: bytes, content: bytes = bytes(8)):
    return lambda path: path.write_bytes(len(header).to_bytes(8, "little") + header + content)


def written(suffix: str, change):
    def make(path: Path) -> None:
        temporary = path.with_suffix(suffix)
        write_weights(temporary, {"conv1.weight": np.ones((3, 4), np.float32), "fc": np.ones(2, np.float32)})
        data = change(temporary.read_bytes())
        temporary.unlink()
        path.write_bytes(data)

    return make


def ckpt_entry(dims: bytes, type_name: bytes, content: bytes):
    tensor = dims + b"\x12" + bytes([len(type_name)]) + type_name + b"\x1a" + bytes([len(content)]) + content
    value = b"\x0a\x01x\x12" + bytes([len(tensor)]) + tensor
    return lambda path: path.write_bytes(b"\x0a" + bytes([len(value)]) + value)


def flip(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


BAD_FILES = {
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "folder": (lambda path: path.mkdir(), "is a folder, not a weight file"),
    "text": (lambda path: path.write_text("hello\n"), "is not a weight file.*readable are a MindSpore checkpoint"),
    "blank line first": (lambda path: path.write_text("\n\nhello\n"), "is not a weight file"),
    "one byte": (lambda path: path.write_bytes(b"\x0a"), "is not a weight file"),
    "zeros": (lambda path: path.write_bytes(bytes(100)), "is not a weight file"),
    "ONNX": (lambda path: path.write_bytes(b"\x08\x0a\x12\x06mindcv"), "looks like an ONNX file.*validate --model"),
    "web page": (lambda path: path.write_text("\n<!DOCTYPE html><p>404"), "looks like a web page"),
    "git lfs": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "Git LFS pointer"),
    "npy": (lambda path: np.save(path.open("wb"), np.ones(2)), "single numpy array"),
    "gzip": (lambda path: path.write_bytes(b"\x1f\x8b" + bytes(50)), "gzip"),
    "plain pickle": (lambda path: path.write_bytes(b"\x80\x04}."), "is a pickle, but not one of torch.save"),
    "ckpt cut": (written(".ckpt", lambda data: data[:-30]), "truncated"),
    "ckpt cut in a header": (written(".ckpt", lambda data: data[:12]), "truncated"),
    "ckpt flipped bit": (written(".ckpt", lambda data: flip(data, 45)), "damaged: .* CRC"),
    "ckpt wrong size": (ckpt_entry(b"\x08\x03", b"Float32", bytes(8)), "has 8 bytes, not 12"),
    "ckpt huge size": (ckpt_entry(b"\x08" + b"\xff" * 8 + b"\x7f", b"Float32", bytes(8)), "has 8 bytes, not"),
    "ckpt negative size": (ckpt_entry(b"\x08" + b"\xff" * 9 + b"\x01", b"Float32", bytes(8)), "damaged"),
    "ckpt unknown type": (ckpt_entry(b"\x08\x02", b"Int4", bytes(8)), "has the type 'Int4'"),
    "ckpt twice": (
        written(".ckpt", lambda data: data[:-17] * 2),
        "'conv1.weight' is there twice",
    ),
    "safetensors cut": (written(".safetensors", lambda data: data[:-4]), "truncated"),
    "safetensors header cut": (written(".safetensors", lambda data: data[:50]), "truncated: its header"),
    "safetensors longer": (written(".safetensors", lambda data: data + bytes(8)), "describes .* bytes, but the file"),
    "safetensors no json": (safetensors_with(b"{nonsense"), "its header is no JSON"),
    "safetensors deep json": (safetensors_with(b'{"a":' * 100_000), "its header is no JSON"),
    "safetensors name twice": (
        safetensors_with(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{}}'),
        "names an entry twice",
    ),
    "safetensors overlap": (
        safetensors_with(
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}'
        ),
        "gap or overlap",
    ),
    "safetensors wrong size": (
        safetensors_with(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,8]}}'),
        "has 8 bytes, not 4000000000000",
    ),
    "safetensors negative": (
        safetensors_with(b'{"a":{"dtype":"F32","shape":[-2],"data_offsets":[8,0]}}'),
        "has the shape .-2.",
    ),
    "safetensors unknown type": (
        safetensors_with(b'{"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}'),
        "has the type 'F8_E4M3'",
    ),
    "safetensors list as type": (
        safetensors_with(b'{"a":{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}}'),
        r"the tensor 'a' has the type \['F32'\]; readable are",
    ),
    "safetensors table as type": (
        safetensors_with(b'{"a":{"dtype":{"F32":1},"shape":[2],"data_offsets":[0,8]}}'),
        "has the type {'F32': 1}",
    ),
    "safetensors without type": (safetensors_with(b'{"a":{"shape":[2],"data_offsets":[0,8]}}'), "has the type None"),
    "safetensors table as shape": (
        safetensors_with(b'{"a":{"dtype":"F32","shape":{"0":2},"data_offsets":[0,8]}}'),
        "has the shape {'0': 2}",
    ),
    "safetensors fraction as size": (
        safetensors_with(b'{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}'),
        r"has the shape \[2.0\]",
    ),
    "safetensors truth as offset": (
        safetensors_with(b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[false,8]}}'),
        "the offsets .False, 8.",
    ),
    "safetensors empty and huge": (
        safetensors_with(b'{"a":{"dtype":"F32","shape":[0,%d],"data_offsets":[0,0]}}' % 10**30, b""),
        "has the shape .0, 10000",
    ),
    "safetensors many dimensions": (
        safetensors_with(b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,4]}}' % b",".join([b"1"] * 100), b"1234"),
        "has the shape .1, 1",
    ),
    "safetensors size of 4000 digits": (
        safetensors_with(b'{"a":{"dtype":"F32","shape":[%s,2],"data_offsets":[0,8]}}' % (b"9" * 4000)),
        "has the shape .9999",
    ),
    "safetensors size of 5000 digits": (
        safetensors_with(b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,8]}}' % (b"9" * 5000)),
        "its header is no JSON",
    ),
    "safetensors product of 600 digits": (
        safetensors_with(
            b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,8]}}' % b",".join([b"%d" % (2**62)] * 32)
        ),
        "has 8 bytes, not 7",
    ),
    "safetensors entry that is a list": (safetensors_with(b'{"a":[1,2]}'), "the header's entry 'a' is no table"),
    "safetensors long name": (safetensors_with(b'{"%s":1}' % (b"n" * 5000)), r"entry 'n{199}\.\.\. is no table"),
    "safetensors without weights": (safetensors_with(b'{"__metadata__":{"a":"b"}}', b""), "holds no weights"),
    "npz cut": (written(".npz", lambda data: data[:-40]), "truncated or damaged archive"),
    "npz flipped bit": (written(".npz", lambda data: flip(data, 230)), "truncated or damaged archive.*CRC"),
    "npz of objects": (object_npz, "x.npy holds Python objects"),
    "npz bomb": (bomb_npz, r"has \d+ bytes, not"),
    "npz lying list": (lying_zip, "unpack to 4294967294"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_say_what_they_are(tmp_path: Path, case: str) -> None:
    make, message = BAD_FILES[case]
    path = tmp_path / "weights.bin"
    make(path if "npz" not in case else path.with_suffix(".npz"))
    path = path if path.exists() else path.with_suffix(".npz")
    with pytest.raises(ValueError, match=message) as error:
        read_weights(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 2000


@pytest.mark.parametrize("read", [read_weights, read_ckpt])
def test_missing_file(tmp_path: Path, read) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.ckpt: there is no such weight file"):
        read(tmp_path / "nowhere.ckpt")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", ["a.ckpt", "a.safetensors", "a.npz", "small_zip.pth", "small_legacy.pth"])
def test_changed_bytes_are_read_or_refused(tmp_path: Path, name: str) -> None:
    """Whatever a few bytes are changed to: the file is read, or refused in one line, and nothing else happens."""
    if name.startswith("a."):
        write_weights(tmp_path / name, {"conv1.weight": np.ones((3, 4), np.float32), "count": np.array(3)})
    data = ((tmp_path if name.startswith("a.") else DATA) / name).read_bytes()
    random = np.random.RandomState(0)
    path = tmp_path / "changed.bin"
    read, messages = 0, []
    for _ in range(200):
        changed = bytearray(data)
        for offset in random.randint(0, len(data), random.randint(1, 4)):
            changed[offset] = random.randint(256)
        path.write_bytes(changed)
        try:
            read_weights(path)
            read += 1
        except ValueError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all(re.fullmatch(rf"{path}: [^\n]+", message) for message in messages)
    assert read + len(messages) == 200


def test_every_cut_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    write_ckpt(tmp_path / "a.ckpt", {"x": np.ones(3, np.float32), "y.weight": np.ones((2, 2), np.float32)})
    data = (tmp_path / "a.ckpt").read_bytes()
    first_entry = 2 + data[1]
    message_end = len(data) - 17
    for length in range(len(data)):
        (tmp_path / "a.ckpt").write_bytes(data[:length])
        if length in (first_entry, message_end):  # a whole message without a CRC: nothing tells that it is cut
            continue
        with pytest.raises(ValueError, match=r"a\.ckpt: "):
            read_ckpt(tmp_path / "a.ckpt")


def test_read_ckpt_wants_a_checkpoint(tmp_path: Path) -> None:
    write_weights(tmp_path / "a.safetensors", ARRAYS)
    with pytest.raises(ValueError, match="not a MindSpore checkpoint"):
        read_ckpt(tmp_path / "a.safetensors")


def test_remote_file_is_read() -> None:
    import fsspec

    with fsspec.open("memory://bucket/a.npz", "wb") as file:
        np.savez(file, x=np.arange(3))
    assert read_weights("memory://bucket/a.npz")["x"].tolist() == [0, 1, 2]
    with pytest.raises(FileNotFoundError, match=r"memory://bucket/b\.npz: there is no such weight file"):
        read_weights("memory://bucket/b.npz")
