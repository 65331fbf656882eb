"""benchmarks/data.py: pipelines in processes of their own, and what is said of their figures."""

import importlib
import sys

import pytest
from script_runner import ROOT

_CASE = """
import sys
sys.path.insert(0, {folder!r})
from data_process import serve

def build():
    {first}
    held = bytearray(b"x") * (64 << 20)
    print("[not an answer")
    return lambda: iter([4, 3, 2] if held else [])

sys.exit(serve(build))
"""


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield lambda name: importlib.import_module(name)
    for name in ("data", "data_process"):
        sys.modules.pop(name, None)


def _command(first):
    return [sys.executable, "-c", _CASE.format(folder=str(ROOT / "benchmarks"), first=first)]


def test_a_process_measures_when_it_is_asked(benchmark):
    measured = benchmark("data_process").Measured(_command("pass"))
    rows = [measured.measure() for _ in range(2)]
    measured.close()
    assert all(speed > 0 and cpu >= 0 for speed, cpu, _ in rows)
    # 64 MiB and an interpreter; not what this process, with MindSpore, holds.
    assert all(64 < peak < 128 for *_, peak in rows)


def test_what_is_not_installed_is_left_out_and_what_fails_is_not(benchmark):
    process = benchmark("data_process")
    with pytest.raises(ImportError, match="No module named 'no_such_peer'"):
        process.Measured(_command("import no_such_peer"))
    with pytest.raises(RuntimeError, match="ended with code 1"):
        process.Measured(_command("raise ValueError"))


def test_another_checkout_must_be_one_and_be_built(benchmark, tmp_path):
    data = benchmark("data")
    with pytest.raises(FileNotFoundError, match="no checkout of this repository"):
        data.of_checkout(tmp_path, "b", tmp_path, 1)
    (tmp_path / "mindcv").mkdir()
    (tmp_path / "mindcv" / "__init__.py").touch()
    with pytest.raises(FileNotFoundError, match="is not built"):
        data.of_checkout(tmp_path, "b", tmp_path, 1)


def test_ratios_and_missed_goals(benchmark):
    medians = {
        "b": [1000.0, 1.0, 210.0],
        "before:b": [1000.0, 1.0, 200.0],
        "c": [2000.0, 1.0, 200.0],
        "before:c": [2100.0, 1.0, 200.0],
        "tf.data": [500.0, 1.0, 600.0],
    }
    ratios, missed = benchmark("data").compare(medians)
    assert ratios == pytest.approx(
        {
            "b / tf.data": 2.0,
            "b / before:b": 1.0,
            "c / before:c": 2000 / 2100,
            "memory: b / before:b": 1.05,
            "memory: c / before:c": 1.0,
        }
    )
    # c is slower than before, and b holds more.
    assert missed == 2
