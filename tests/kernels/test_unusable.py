"""Where the kernels of convolutions cannot run, one line says why and MindSpore's convolution computes."""

import logging
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from mindcv import kernels
from mindcv.kernels import onednn
from mindcv.kernels.cells import KernelCells
from mindcv.utils.runtime import has_avx512

HEADER = Path(kernels.__file__).parent / "_onednn.h"
is_built = pytest.mark.skipif(kernels.built_library("convolution") is None, reason="the kernels were not built")


def start() -> onednn.Status:
    """What starting them says, not what it said before."""
    return onednn._start.__wrapped__()


@pytest.fixture
def without_kernels(monkeypatch, caplog):
    """Says so and has no cell changed, once `start` is what is found; a run's log says it too."""

    def check(text: str) -> None:
        status = start()
        assert (status.path, status.text, status.has_bf16) == (None, text, False)
        monkeypatch.setattr(onednn, "start", lambda: status)
        from mindspore import nn

        convolution = nn.Conv2d(3, 4, 1)
        with caplog.at_level(logging.INFO, logger="mindcv"), KernelCells(nn.SequentialCell(convolution)):
            assert type(convolution) is nn.Conv2d
        assert caplog.messages == [f"CPU kernels: {text}; MindSpore's operators compute"]

    return check


def test_no_compiler_when_installed(without_kernels, monkeypatch):
    monkeypatch.setattr(onednn, "built_library", lambda name: None)
    without_kernels("not built (no C++ compiler when mindcv was installed)")


@is_built
def test_a_processor_without_avx2(without_kernels, monkeypatch, tmp_path):
    library = tmp_path / "libdnnl.so.3"
    library.touch()  # MindSpore 2.7 and 2.8 have none
    monkeypatch.setattr(onednn, "onednn_library", lambda: library)
    sse41 = SimpleNamespace(mindcv_start=lambda *_: 0, mindcv_isa=lambda: 0x1)
    monkeypatch.setattr(onednn, "loaded", lambda path: sse41)
    without_kernels("off (this processor has no AVX2)")


@is_built
def test_a_wheel_without_the_library(without_kernels, monkeypatch):
    monkeypatch.setattr(onednn, "onednn_library", lambda: None)
    without_kernels("off (this MindSpore has no oneDNN 3: 2.9 and later have it)")


# A fresh process: where the kernels have been started they stay so.
_START = """
import contextlib, sys
from pathlib import Path
from mindcv.kernels import onednn
other = Path(sys.argv[1])
onednn.onednn_library = lambda: other
onednn._own_copy = contextlib.nullcontext
print(onednn.start().text)
"""


@is_built
@pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc to make another library with")
@pytest.mark.parametrize(
    ("lacks", "version", "text"),
    [
        ("", "2, 7, 1", "off (oneDNN 2.7.1: its version is not known here)"),
        ("dnnl_post_ops_create", "3, 5, 0", "off (oneDNN 0.0.0: it has no function dnnl_post_ops_create)"),
    ],
)
def test_a_wheel_with_another_library(lacks, version, text, tmp_path):
    names = {f"dnnl_{name}" for name in re.findall(r"^ *F\((\w+),", HEADER.read_text(), re.MULTILINE)} - {lacks}
    assert len(names) > 30
    lines = [f"int {name}(void) {{ return 0; }}" for name in sorted(names - {"dnnl_version"})]
    lines += [f"static const int version[8] = {{{version}}};", "const void *dnnl_version(void) { return version; }"]
    (tmp_path / "other.c").write_text("\n".join(lines))
    library = tmp_path / "libdnnl.so.3"
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, tmp_path / "other.c"], check=True)
    done = subprocess.run([sys.executable, "-c", _START, library], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == text


_START_WITHOUT_PROGRAMS = """
import os, sys, tempfile
from types import SimpleNamespace
from mindcv.kernels import onednn
os.statvfs = lambda path: SimpleNamespace(f_flag=os.ST_NOEXEC)
if sys.argv[1] == "nothing":
    def refuse(name):
        raise OSError(38, "Function not implemented")
    os.memfd_create = refuse
print(onednn.start().text)
print(os.listdir(tempfile.gettempdir()))
"""


@is_built
@pytest.mark.skipif(not has_avx512(), reason="there is no second oneDNN on this processor")
@pytest.mark.skipif(onednn.onednn_library() is None, reason="this MindSpore has no oneDNN 3")
@pytest.mark.parametrize("there_is", ["memory", "nothing"])
def test_a_folder_for_temporary_files_that_programs_may_not_be_run_from(there_is, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    command = [sys.executable, "-c", _START_WITHOUT_PROGRAMS, there_is]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    text, left = done.stdout.splitlines()[-2:]
    assert text.startswith("on (oneDNN 3.")
    assert ("AVX-512" in text) == (there_is == "memory")
    assert ("no second oneDNN ([Errno 38] Function not implemented)" in done.stderr) == (there_is == "nothing")
    assert left == "[]"
