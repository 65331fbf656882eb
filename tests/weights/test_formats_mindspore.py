"""MindSpore reads our checkpoints, and we read MindSpore's."""

from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

from mindcv.weights import read_ckpt, read_weights, write_ckpt, write_weights

ARRAYS = {
    "conv1.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "scalar": np.array(2.5, np.float32),
    "half": np.array([1, 0.5], np.float16),
    "double": np.array([1e-300, 2]),
    "counts": np.array([[-1, 2**40]], np.int64),
    "count": np.array(7, np.int32),
    "small": np.array([255, 0], np.uint8),
    "flags": np.array([True, False]),
}


@pytest.mark.parametrize("crc", [False, True])
def test_we_read_what_mindspore_writes(tmp_path: Path, crc: bool) -> None:
    entries = [{"name": name, "data": Parameter(Tensor(array), name=name)} for name, array in ARRAYS.items()]
    entries.append({"name": "brain", "data": Tensor(np.array([1, -2.5]), ms.bfloat16)})
    extra = {"epoch_num": 3, "rate": 0.5, "done": True, "note": "naïve ✓"}
    ms.save_checkpoint(entries, str(tmp_path / "a.ckpt"), append_dict=extra, crc_check=crc)
    got = read_ckpt(tmp_path / "a.ckpt")
    assert list(got) == [*ARRAYS, "brain", *extra]
    for name, array in ARRAYS.items():
        assert (got[name].dtype, got[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(got[name], array)
    assert got["brain"].tolist() == [1, -2.5]
    assert {name: got[name].item() for name in extra} == extra


def test_mindspore_reads_what_we_write(tmp_path: Path) -> None:
    write_ckpt(tmp_path / "a.ckpt", {**ARRAYS, "note": np.array("naïve ✓")})
    got = ms.load_checkpoint(str(tmp_path / "a.ckpt"), crc_check=True)
    assert got.pop("note") == "naïve ✓"
    assert list(got) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert got[name].shape == array.shape
        np.testing.assert_array_equal(got[name].asnumpy(), array)
        assert got[name].asnumpy().dtype == array.dtype


def test_safetensors_both_ways(tmp_path: Path) -> None:
    entries = [{"name": name, "data": Parameter(Tensor(array), name=name)} for name, array in ARRAYS.items()]
    ms.save_checkpoint(entries, str(tmp_path / "a.safetensors"), format="safetensors")
    got = read_weights(tmp_path / "a.safetensors")
    assert sorted(got) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(got[name], array)
    write_weights(tmp_path / "b.safetensors", ARRAYS)
    back = ms.load_checkpoint(str(tmp_path / "b.safetensors"), format="safetensors")
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back[name].asnumpy(), array)


def test_sliced_tensors_reach_mindspore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindcv.weights._ckpt._SLICE_BYTES", 16)
    write_ckpt(tmp_path / "a.ckpt", ARRAYS)
    got = ms.load_checkpoint(str(tmp_path / "a.ckpt"))
    np.testing.assert_array_equal(got["conv1.weight"].asnumpy(), ARRAYS["conv1.weight"])


def test_sliced_tensors_of_mindspore_are_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mindspore.train.serialization.SLICE_SIZE", 1)  # KiB
    big = np.arange(1000, dtype=np.float32).reshape(10, 100)
    ms.save_checkpoint([{"name": "big", "data": Tensor(big)}], str(tmp_path / "a.ckpt"))
    assert (tmp_path / "a.ckpt").read_bytes().count(b"big") > 1
    np.testing.assert_array_equal(read_ckpt(tmp_path / "a.ckpt")["big"], big)
