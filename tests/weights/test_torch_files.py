"""Files of torch.save: read without torch and without ever running the pickle in them."""

import builtins
import io
import os
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from mindcv.weights import read_weights, write_weights
from mindcv.weights._torch import LEGACY_START

pytestmark = pytest.mark.no_mindspore

DATA = Path(__file__).parents[1] / "data" / "weights"
SHAPES = {
    "conv1.weight": ((4, 3, 3, 3), 0),
    "bn1.weight": ((4,), 1),
    "bn1.bias": ((8,), 2),
    "bn1.running_mean": ((4,), 3),
    "bn1.running_var": ((4,), 4),
    "fc.weight": ((4, 5), 5),
    "fc.bias": ((5,), 6),
}


def expected() -> dict[str, np.ndarray]:
    arrays = {
        name: (np.arange(start, start + np.prod(shape), dtype=np.float32) / 8).reshape(shape)
        for name, (shape, start) in SHAPES.items()
    }
    arrays["bn1.bias"] = arrays["bn1.bias"][4:]
    arrays["fc.weight"] = arrays["fc.weight"].T
    return {
        **arrays,
        "bn1.num_batches_tracked": np.array(7),
        "mask": np.array([True, False]),
        "empty": np.zeros((0, 3)),
    }


@pytest.mark.parametrize("name", ["small_zip.pth", "small_legacy.pth", "small.safetensors"])
def test_files_made_by_torch(name: str) -> None:
    got, wanted = read_weights(DATA / name), expected()
    assert set(got) == set(wanted)
    for key, array in wanted.items():
        assert got[key].shape == array.shape
        assert got[key].flags.c_contiguous
        np.testing.assert_array_equal(got[key], array)
    assert got["bn1.running_mean"].dtype == np.float32
    assert got["bn1.running_var"].dtype == np.float32


@pytest.mark.parametrize("name", ["small_zip.pth", "small_legacy.pth"])
def test_averaged_weights_of_a_training_file(name: str) -> None:
    averaged = read_weights(DATA / name, ema=True)
    assert set(averaged) == set(expected())
    assert not any(array.any() for array in averaged.values())


# Making hostile files: real pickles, with classes that only have the names of torch's.


class Fake:
    """Pickles as a call of `module.name` with `arguments`."""

    def __init__(self, name: str, *arguments: object) -> None:
        self.name, self.arguments = name, arguments


class Label:
    """Pickles as the bare `module.name`."""

    def __init__(self, name: str) -> None:
        self.name = name


class Reference:
    def __init__(self, *identity: object) -> None:
        self.identity = identity


def storage(count: int = 4, kind: str = "torch.FloatStorage", key: str = "0") -> Reference:
    return Reference("storage", Label(kind), key, "cpu", count)


def tensor(count: int = 4, offset: object = 0, shape: object = (4,), strides: object = (1,), key: str = "0") -> Fake:
    return Fake(
        "torch._utils._rebuild_tensor_v2", storage(count, key=key), offset, shape, strides, False, OrderedDict()
    )


class Pickler(pickle._Pickler):
    """Python's pickler in Python, so that it can write the names of what does not exist here."""

    def persistent_id(self, value: object) -> object:
        return value.identity if isinstance(value, Reference) else None

    def save(self, value: object, save_persistent_id: bool = True) -> None:
        if isinstance(value, Label):
            module, _, name = value.name.rpartition(".")
            self.write(f"c{module}\n{name}\n".encode())
        elif isinstance(value, Fake):
            self.save(Label(value.name))
            self.save(value.arguments)
            self.write(b"R")
        else:
            super().save(value, save_persistent_id)


def dumps(value: object, protocol: int = 2) -> bytes:
    stream = io.BytesIO()
    Pickler(stream, protocol).dump(value)
    return stream.getvalue()


def write_zip(path: Path, content: bytes, storages: dict[str, bytes] | None = None, **options: object) -> None:
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr("archive/data.pkl", content)
        archive.writestr("archive/byteorder", "little")
        for key, data in ({"0": bytes(16)} if storages is None else storages).items():
            archive.writestr(f"archive/data/{key}", data)


def write_legacy(path: Path, content: bytes) -> None:
    path.write_bytes(LEGACY_START + dumps(1001) + dumps({"little_endian": True}) + content + dumps([]))


class Command:
    """Python's own way to make a pickle that runs a command."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> object:
        return self.call


def hostile(tmp_path: Path) -> dict[str, tuple[bytes, str]]:
    mark = str(tmp_path / "was-run")
    touch = f"touch {mark}"
    opened = f"open({mark!r}, 'w')"
    return {
        "os.system": (pickle.dumps(Command(os.system, touch), 2), "posix.system"),
        "os.system, protocol 4": (pickle.dumps(Command(os.system, touch), 4), "posix.system"),
        "os.system, protocol 0": (pickle.dumps(Command(os.system, touch), 0), "posix.system"),
        "eval": (pickle.dumps(Command(eval, opened), 2), "__builtin__.eval"),
        "exec": (pickle.dumps(Command(exec, opened), 4), "builtins.exec"),
        "getattr": (
            pickle.dumps(Command(getattr, "a", "b"), 4),
            "getattr",
        ),
        "nested": (pickle.dumps({"state_dict": OrderedDict(x=[(Command(os.system, touch),)])}, 2), "posix.system"),
        "as a key's value": (
            dumps({"a": Fake("torch._utils._rebuild_parameter", Fake("os.system", touch), True, {})}),
            "os.system",
        ),
        "through a rebuild": (
            dumps(
                {
                    "a": Fake(
                        "torch._tensor._rebuild_from_type_v2", Label("os.system"), Label("torch.Tensor"), (touch,), {}
                    )
                }
            ),
            "os.system",
        ),
        "calling a type": (dumps({"a": Fake("torch.Tensor", touch)}), "calls a type"),
        "instance": (b"(S'" + touch.encode() + b"'\nios\nsystem\n.", "instruction INST"),
        "object": (b"(cos\nsystem\nS'" + touch.encode() + b"'\no.", "os.system"),
        "extension code": (b"\x80\x02\x82\x01.", "instruction EXT1"),
        "state of a container": (
            b"\x80\x02ccollections\nOrderedDict\n)R}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsb.",
            "os.system",
        ),
        "state of a name": (b"\x80\x02ccollections\nOrderedDict\n}b.", "malformed"),
        "whole module": (dumps(Fake("torchvision.models.resnet.ResNet")), "torchvision.models.resnet.ResNet"),
        "dotted name": (b"\x80\x04\x8c\x05torch\x8c\x0a_utils.sys\x93.", "torch._utils.sys"),
    }


HOSTILE = list(hostile(Path("/nowhere")))


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_pickles_are_refused_and_nothing_runs(tmp_path: Path, case: str, write, monkeypatch) -> None:
    content, message = hostile(tmp_path)[case]
    path = tmp_path / "weights.pth"
    write(path, content)
    real_import = builtins.__import__
    imported = []

    def watched_import(name: str, *args: object, **kwargs: object) -> object:
        imported.append(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", watched_import)
    with pytest.raises(ValueError, match=message) as error:
        read_weights(path)
    monkeypatch.undo()
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert os.listdir(tmp_path) == ["weights.pth"]
    assert not {"posix", "torch", "torchvision"} & {name.partition(".")[0] for name in imported}


def deep(depth: int) -> bytes:
    return b"\x80\x02" + b"}X\x01\x00\x00\x00m" * depth + b"}" + b"s" * depth + b"."


BROKEN = {
    "past the storage": (dumps({"a": tensor(shape=(5,))}), "does not fit into its storage"),
    "offset past the storage": (dumps({"a": tensor(offset=1)}), "does not fit into its storage"),
    "strides past the storage": (dumps({"a": tensor(shape=(2, 2), strides=(3, 1))}), "does not fit into its storage"),
    "stretched": (dumps({"a": tensor(shape=(8,), strides=(0,))}), "does not fit into its storage"),
    "stretched to terabytes": (dumps({"a": tensor(shape=(2**40,), strides=(0,))}), "times as many"),
    "negative stride": (dumps({"a": tensor(offset=3, strides=(-1,))}), "has the shape"),
    "negative offset": (dumps({"a": tensor(offset=-1)}), "has the shape"),
    "negative side": (dumps({"a": tensor(shape=(-1,))}), "has the shape"),
    "strides of another rank": (dumps({"a": tensor(shape=(2, 2))}), "has the shape"),
    "text as offset": (dumps({"a": tensor(offset="0")}), "has the shape"),
    "larger storage than stored": (dumps({"a": tensor(count=2**40, shape=(2**40,))}), "8796093022208|times as many"),
    "storage is not there": (dumps({"a": tensor(key="1")}), "'1' is not in the archive"),
    "storage elsewhere": (dumps({"a": tensor(key="../../../etc/passwd")}), "is not in the archive"),
    "unknown storage type": (
        dumps({"a": Fake("torch._utils._rebuild_tensor_v2", storage(kind="torch.QInt8Storage"), 0, (4,), (1,))}),
        "torch.QInt8Storage",
    ),
    "reference to a module": (dumps({"a": Reference("module", "x", "y", "z")}), "no storage"),
    "cut pickle": (dumps({"a": tensor()})[:-20], "truncated or damaged"),
    "no pickle": (b"nonsense", "truncated or damaged"),
    "nothing": (b"", "truncated or damaged"),
    "empty stack": (b"\x80\x02.", "malformed"),
    "huge text": (b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "malformed"),
    "deep": (deep(100_000), "nested too deep"),
    "contains itself": (b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.", "wrapped more than"),
    "list": (dumps([1, 2]), "holds a list"),
    "single tensor": (dumps(tensor()), "single tensor"),
    "no weights": (dumps({"epoch": 3, "optimizer": {}}), "holds no weights; its entries are: epoch, optimizer"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_archives_are_refused(tmp_path: Path, case: str) -> None:
    content, message = BROKEN[case]
    write_zip(tmp_path / "weights.pth", content)
    with pytest.raises(ValueError, match=message) as error:
        read_weights(tmp_path / "weights.pth")
    assert "\n" not in str(error.value)


def test_key_that_would_overflow_the_stack_is_refused(tmp_path: Path) -> None:
    write_zip(tmp_path / "weights.pth", b"\x80\x02})" + b"\x85" * 1_000_00 + b"Ns.")
    with pytest.raises(ValueError, match="a tuple as a key"):
        read_weights(tmp_path / "weights.pth")


def test_storage_that_is_used_too_often_is_refused(tmp_path: Path) -> None:
    content = dumps({str(i): tensor(10_000, shape=(10_000,)) for i in range(100)})
    write_zip(tmp_path / "weights.pth", content, {"0": bytes(40_000)})
    with pytest.raises(ValueError, match="times as many"):
        read_weights(tmp_path / "weights.pth")


def test_compressed_archive_is_refused(tmp_path: Path) -> None:
    write_zip(tmp_path / "weights.pth", dumps({"a": tensor()}), {"0": bytes(16)}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="compressed or encrypted"):
        read_weights(tmp_path / "weights.pth")


def test_script_archive_is_named(tmp_path: Path) -> None:
    write_zip(tmp_path / "weights.pth", dumps({"a": tensor()}))
    with zipfile.ZipFile(tmp_path / "weights.pth", "a") as archive:
        archive.writestr("archive/constants.pkl", b"")
    with pytest.raises(ValueError, match="a TorchScript program"):
        read_weights(tmp_path / "weights.pth")


def test_harmless_extras_are_passed_over(tmp_path: Path) -> None:
    values = np.arange(4, dtype=np.float32)
    content = {
        "model": {"module.a": tensor(), "module.b": tensor(offset=1, shape=(3,))},
        "args": Fake("argparse.Namespace"),
        "lr_scheduler": {"milestones": Fake("collections.Counter", {30: 1}), 0: None},
        "tags": Fake("__builtin__.set", ["a"]),
    }
    for protocol in (2, 4):
        write_zip(tmp_path / "weights.pth", dumps(content, protocol), {"0": values.tobytes()})
        got = read_weights(tmp_path / "weights.pth")
        assert {name: array.tolist() for name, array in got.items()} == {"a": [0, 1, 2, 3], "b": [1, 2, 3]}


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95, 0.999])
@pytest.mark.parametrize("name", ["small_zip.pth", "small_legacy.pth"])
def test_cut_files_are_refused(tmp_path: Path, name: str, cut: float) -> None:
    data = (DATA / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(cut * len(data))])
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_weights(tmp_path / name)


@pytest.mark.torch
@pytest.mark.parametrize("new", [True, False])
def test_torch_files_of_all_types(tmp_path: Path, new: bool) -> None:
    torch = pytest.importorskip("torch")
    kinds = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool"]
    tensors = {kind: (torch.arange(12) % 5).to(getattr(torch, kind)).reshape(3, 4).t() for kind in kinds}
    torch.save({"state_dict": tensors}, tmp_path / "a.pth", _use_new_zipfile_serialization=new)
    got = read_weights(tmp_path / "a.pth")
    for kind, value in tensors.items():
        np.testing.assert_array_equal(got[kind], value.float().numpy())


@pytest.mark.torch
def test_torch_reads_our_safetensors(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    load_file = pytest.importorskip("safetensors.torch").load_file
    arrays = {name: array.astype(np.float32) for name, array in expected().items()}
    write_weights(tmp_path / "a.safetensors", arrays)
    got = load_file(tmp_path / "a.safetensors")
    assert {name: value.tolist() for name, value in got.items()} == {name: a.tolist() for name, a in arrays.items()}
