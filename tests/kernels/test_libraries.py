"""A library that was built from other sources is never called."""

import _ctypes
import logging
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv import kernels
from mindcv.kernels import onednn
from mindcv.kernels.cells import KernelCells
from mindcv.kernels.multi_tensor import has_kernels

pytestmark = pytest.mark.skipif(
    any(kernels.built_library(name) is None for name in kernels.KERNELS), reason="the kernels were not built"
)
REBUILD = "built from other sources; rebuild it by `pip install -e .` or `python setup.py build_ext --inplace`"


@pytest.fixture
def start(monkeypatch):
    """What starting the kernels says, each time anew."""
    monkeypatch.setattr(onednn, "start", onednn._start.__wrapped__)
    return lambda: onednn.start()


def make_stale(monkeypatch, tmp_path, how):
    """Puts a library of another number, without one, of no text or of garbage in the place of ours."""
    if how == "number":
        monkeypatch.setattr(kernels, "_INTERFACES", {name: value + 1 for name, value in kernels._INTERFACES.items()})
        return
    path = Path(_ctypes.__file__) if how == "no number" else tmp_path / "other.so"
    if how != "no number":
        path.write_bytes({"empty": b"", "garbage": b"no library"}[how])
    monkeypatch.setattr(kernels, "built_library", lambda name: path)
    monkeypatch.setattr(onednn, "built_library", lambda name: path)


@pytest.mark.parametrize("how", ["number", "no number", "empty", "garbage"])
def test_a_library_of_other_sources_is_not_used(how, start, monkeypatch, tmp_path, caplog):
    assert has_kernels()
    assert kernels.is_current("convolution")
    make_stale(monkeypatch, tmp_path, how)
    assert not has_kernels()
    assert kernels.library("convolution") is None
    assert kernels.describe_kernels().count(REBUILD) == 2
    with caplog.at_level(logging.WARNING):
        status = start()
    assert status.path is None
    assert status.text == f"off ({REBUILD}; MindSpore's convolution is used)"
    assert [record.getMessage() for record in caplog.records] == [
        f"CPU kernels of convolutions: {REBUILD}; MindSpore's convolution is used"
    ]


def test_mindspores_convolution_computes_then(start, monkeypatch, tmp_path):
    convolution = nn.Conv2d(3, 4, 1, weight_init="ones")
    make_stale(monkeypatch, tmp_path, "no number")
    with KernelCells(nn.SequentialCell(convolution)):
        assert type(convolution) is nn.Conv2d
        assert np.array_equal(
            convolution(Tensor(np.ones((1, 3, 2, 2)), ms.float32)).asnumpy(), np.full((1, 4, 2, 2), 3)
        )
