"""`mindcv doctor`: what counts as wrong, and that a run says what is there."""

import argparse
import os
import sys
from pathlib import Path

import mindspore as ms
import pytest

from mindcv.cli import doctor
from mindcv.utils import runtime


def parse(*args: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    doctor.add_arguments(parser)
    return parser.parse_args(args)


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without the faults that this machine may have."""
    versions = {"numpy": "1.26.4", "protobuf": "7.36.2"}
    monkeypatch.setattr(doctor, "package_version", lambda name: versions.get(name, "2.10.0"))
    monkeypatch.setattr(doctor, "_required_protobuf", lambda: "7.34.1")
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(Path(sys.executable).parent / name))
    return monkeypatch


@pytest.mark.parametrize(
    ("versions", "needed", "expected"),
    [
        ({"numpy": "1.26.4", "protobuf": "7.36.2"}, "7.34.1", []),
        ({"numpy": "2.4.6", "protobuf": "7.36.2"}, "7.34.1", ["pip install 'numpy>=1.26,<2'"]),
        ({"numpy": "1.26.4", "protobuf": "4.25.3"}, "7.34.1", ["pip install 'protobuf>=7.34.1'"]),
        ({"numpy": "2.0.0", "protobuf": "3.20.1"}, "3.13", ["pip install 'numpy>=1.26,<2'"]),
        ({"numpy": None, "protobuf": None}, None, []),
    ],
)
def test_packages(monkeypatch, versions, needed, expected):
    monkeypatch.setattr(doctor, "package_version", versions.get)
    monkeypatch.setattr(doctor, "_required_protobuf", lambda: needed)
    assert [problem.remedy for problem in doctor.check_packages()] == expected


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ({}, "msrun is not on PATH"),
        ({"msrun": "/opt/bin/msrun"}, "msrun would start no python at all"),
        ({"msrun": "/opt/bin/msrun", "python": "/opt/bin/python"}, "msrun would start /opt/bin/python"),
    ],
)
def test_launcher(monkeypatch, found, what):
    monkeypatch.setattr(doctor.shutil, "which", found.get)
    (problem,) = doctor.check_launcher()
    assert problem.what.startswith(what)
    assert str(Path(sys.executable).parent) in problem.remedy


SLOW = {"conv 3x3": 0.4, "grouped 3x3": 9.0}
UNSET = {"enabled": True, "avx512": True, runtime.ONEDNN_ISA_VARIABLE: None, "set_by_mindcv": []}
SET = {**UNSET, runtime.ONEDNN_ISA_VARIABLE: "AVX2", "set_by_mindcv": ["ONEDNN_MAX_CPU_ISA=AVX2"]}


@pytest.mark.parametrize(
    ("speeds", "device", "state", "remedies", "count"),
    [
        ({"conv 3x3": 40.0, "grouped 3x3": 9.0}, "CPU", UNSET, [], 0),
        (SLOW, "Ascend", UNSET, [], 0),
        (SLOW, "CPU", UNSET, ["export ONEDNN_MAX_CPU_ISA=AVX2"], 0),
        (SLOW, "CPU", {**UNSET, "enabled": False}, ["unset MINDCV_CPU_RUNTIME"], 0),
        (SLOW, "CPU", {**UNSET, runtime.ONEDNN_ISA_VARIABLE: "AVX512_CORE"}, ["export ONEDNN_MAX_CPU_ISA=AVX2"], 0),
        (SLOW, "CPU", SET, [], 1),  # what is set already is not advised
        (SLOW, "CPU", {**UNSET, "avx512": False}, [], 1),
    ],
)
def test_speeds(speeds, device, state, remedies, count):
    problems, notes = doctor.check_speeds(speeds, device, state)
    assert [problem.remedy for problem in problems] == remedies
    assert len(notes) == count


@pytest.mark.parametrize(("load", "words"), [(9.5, "The machine is busy: a load of 9.5 on"), (0.1, "measure again")])
def test_busy_machine_is_not_wrong(healthy, capsys, load, words):
    healthy.setattr(doctor, "measure_convolutions", lambda seconds: SLOW)
    healthy.setattr(doctor, "cpu_runtime_state", lambda: SET)
    healthy.setattr(doctor.os, "getloadavg", lambda: (load, load, load))
    healthy.setattr(doctor, "check_image_extensions", list)
    assert doctor.run(parse()) == 0
    out = capsys.readouterr().out
    assert "note: conv 3x3 0.4 GFLOP/s: slow, though the CPU runtime is set as it should be. " in out
    assert words in out
    assert "WRONG" not in out
    assert "export" not in out


def test_measured_speeds_are_finite_and_the_mode_is_kept():
    speeds = doctor.measure_convolutions(0.02)
    assert sorted(speeds) == ["conv 3x3", "grouped 3x3"]
    assert all(0 < gflops < 1e6 for gflops in speeds.values())
    assert ms.get_context("mode") == ms.PYNATIVE_MODE


def test_healthy_machine(healthy, capsys):
    assert doctor.run(parse("--seconds", "0")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Nothing wrong found."
    names = [line.split()[0] for line in lines if line and not line.startswith("Nothing")]
    assert names == [
        "mindcv",
        "python",
        "mindspore",
        "numpy",
        "protobuf",
        "platform",
        "cores",
        "memory",
        "device",
        "cpu",
        "cpu",
        "convolution",
        "compile",
    ]


def test_problem_gives_exit_code_1(healthy, capsys):
    healthy.setattr(doctor.shutil, "which", lambda name: None)
    assert doctor.run(parse("--seconds", "0")) == 1
    assert "WRONG: msrun is not on PATH" in capsys.readouterr().out


def test_mindspore_that_cannot_be_imported(healthy, capsys):
    healthy.setitem(sys.modules, "mindspore", None)
    assert doctor.run(parse()) == 1
    out = capsys.readouterr().out
    assert "WRONG: mindspore cannot be imported: ModuleNotFoundError" in out
    assert "remedy: pip install 'mindspore>=2.7,<2.11'" in out


@pytest.mark.parametrize("seconds", ["-1", "nan"])
def test_bad_length(seconds):
    with pytest.raises(ValueError, match="--seconds: got"):
        doctor.run(parse(f"--seconds={seconds}"))


def test_a_cache_folder_that_cannot_be_written(monkeypatch, tmp_path):
    monkeypatch.setenv("MINDCV_COMPILE_CACHE", str(tmp_path / "home" / "graphs"))
    assert doctor.describe_compile_cache() == f"{tmp_path}/home/graphs: 0 graphs, 0.0 of at most 256 MiB"
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: (path, mode) != (tmp_path, os.W_OK))
    assert doctor.describe_compile_cache() == (
        f"off: {tmp_path} cannot be written; MINDCV_COMPILE_CACHE names another folder"
    )
    assert list(tmp_path.iterdir()) == []
