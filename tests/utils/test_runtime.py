import json
import os
import subprocess
import sys

import pytest

from mindcv.utils import runtime
from mindcv.utils.runtime import peak_memory_mb

pytestmark = pytest.mark.no_mindspore

# The test machine's processor and its MindSpore's oneDNN are replaced, so that the tests say the same everywhere.
_REPORT = """
import json, logging, pathlib, sys, tempfile
cpuinfo = pathlib.Path(tempfile.mkdtemp()) / "cpuinfo"
cpuinfo.write_text(sys.argv[1])
real = pathlib.Path.read_text
pathlib.Path.read_text = lambda self, *a, **k: real(cpuinfo if str(self) == "/proc/cpuinfo" else self, *a, **k)
is_file = pathlib.Path.is_file
pathlib.Path.is_file = lambda self: sys.argv[3] == "3" if self.name == "libdnnl.so.3" else is_file(self)
import mindcv
light = "mindspore" not in sys.modules
if sys.argv[2] == "run":
    logging.basicConfig(level=logging.INFO, format="LOG %(message)s", stream=sys.stdout)
    from mindcv.utils.runtime import prepare_cpu_runtime
    prepare_cpu_runtime()
    prepare_cpu_runtime()
from mindcv.utils.runtime import cpu_runtime_state
print(json.dumps({"light": light, **cpu_runtime_state()}))
"""


def report(flags: str, do: str = "import", onednn: str = "3", **variables: str):
    ours = ("ONEDNN_MAX_CPU_ISA", "MINDCV_CPU_RUNTIME", "MINDCV_ONEDNN_LIMIT")
    environment = {k: v for k, v in os.environ.items() if k not in ours}
    environment.update(variables)
    done = subprocess.run(
        [sys.executable, "-c", _REPORT, flags, do, onednn], env=environment, capture_output=True, text=True, check=True
    )
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]), [line for line in lines if line.startswith("LOG CPU runtime")]


@pytest.mark.parametrize(
    ("flags", "variables", "isa"),
    [
        ("avx2 avx512f", {}, "AVX2"),
        ("avx2", {}, None),
        ("avx2 avx512f", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, "AVX512_CORE"),
        ("avx2 avx512f", {"MINDCV_CPU_RUNTIME": "0"}, None),
    ],
)
def test_import_sets_the_variable_once_and_never_over_the_users(flags, variables, isa):
    state, _ = report(flags, **variables)
    assert state["ONEDNN_MAX_CPU_ISA"] == isa
    assert state["light"], "import mindcv must not import mindspore"
    assert bool(state["set_by_mindcv"]) is (isa == "AVX2")


def test_the_onednn_of_mindspore_2_8_is_not_held():
    """It has no fault on AVX-512, and computes the gradients of convolutions in 16 groups in half the time with it."""
    state, _ = report("avx2 avx512f", onednn="2")
    assert (state["ONEDNN_MAX_CPU_ISA"], state["set_by_mindcv"]) == (None, [])


@pytest.mark.parametrize(
    ("variables", "is_ours"),
    [
        ({"ONEDNN_MAX_CPU_ISA": "AVX2", "MINDCV_ONEDNN_LIMIT": "AVX2"}, True),  # of a process that imported mindcv
        ({"ONEDNN_MAX_CPU_ISA": "AVX2"}, False),
        ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MINDCV_ONEDNN_LIMIT": "AVX2"}, False),
    ],
)
def test_an_inherited_limit_is_known_as_ours(variables, is_ours):
    """Else OpenVINO's int8 and bf16, and the kernels, would be held to AVX2 in each worker of `mindcv launch`."""
    state, _ = report("avx2 avx512f", **variables)
    assert state["ONEDNN_MAX_CPU_ISA"] == variables["ONEDNN_MAX_CPU_ISA"]
    assert bool(state["set_by_mindcv"]) is is_ours


def test_a_run_says_in_one_line_what_was_set():
    state, lines = report("avx512f", "run")
    assert state["set_by_mindcv"] == ["ONEDNN_MAX_CPU_ISA=AVX2", "launch_blocking"]
    assert len(lines) == 1
    assert "ONEDNN_MAX_CPU_ISA=AVX2, launch_blocking" in lines[0]


def test_a_run_leaves_everything_alone_when_told_to():
    state, lines = report("avx512f", "run", MINDCV_CPU_RUNTIME="0")
    assert state["set_by_mindcv"] == []
    assert lines == []


_PEAK = """
import sys
from mindcv.utils import runtime
from mindcv.utils.runtime import peak_memory_mb
before = peak_memory_mb()
block = b"x" * (200 * 2**20)
del block
print(sorted(before), before["host_peak_mb"], peak_memory_mb()["host_peak_mb"], "mindspore" in sys.modules)
"""


def test_peak_memory_is_this_process_s_own_and_stays():
    of_the_parent = bytearray(300 * 2**20)
    of_the_parent[:: 2**12] = b"x" * len(of_the_parent[:: 2**12])
    done = subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True)
    names, before, after, has_mindspore = done.stdout.rsplit(maxsplit=3)
    assert names == "['host_peak_mb']"
    assert float(before) < 200
    assert float(after) - float(before) == pytest.approx(200, abs=10)
    assert has_mindspore == "False"


def test_peak_memory_of_a_device(monkeypatch):
    import mindspore as ms

    monkeypatch.setattr(ms, "get_context", lambda name: "Ascend")
    monkeypatch.setattr(ms.runtime, "max_memory_allocated", lambda: 3 * 2**20)
    assert peak_memory_mb()["device_peak_mb"] == 3
    monkeypatch.setattr(ms, "get_context", lambda name: "CPU")
    assert list(peak_memory_mb()) == ["host_peak_mb"]


@pytest.mark.parametrize(
    ("cpuinfo", "variables", "expected"),
    [
        ("flags : fpu avx2 avx_vnni", {}, True),
        ("flags : fpu avx2 avx512f avx512_vnni", {}, True),
        ("flags : fpu avx2", {}, False),
        ("flags : fpu avx2 avx512f", {}, False),
        ("flags : fpu avx512_vnni", {"ONEDNN_MAX_CPU_ISA": "avx2"}, False),  # the user's
        ("flags : fpu avx512_vnni", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI"}, True),
        ("flags : fpu avx512_vnni", {"ONEDNN_MAX_CPU_ISA": "AVX2", "MINDCV_ONEDNN_LIMIT": "AVX2"}, True),  # mindcv's
        ("Features : fp asimd", {}, None),
        (None, {}, None),
    ],
)
def test_which_processors_multiply_int8(cpuinfo, variables, expected, tmp_path, monkeypatch):
    for name in ("ONEDNN_MAX_CPU_ISA", "MINDCV_ONEDNN_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{cpuinfo}\n")
    monkeypatch.setattr(runtime, "_CPUINFO", tmp_path / "cpuinfo")
    assert runtime.multiplies_int8() is expected
