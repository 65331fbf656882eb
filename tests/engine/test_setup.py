"""Device, mode and jit level: what is accepted and what is refused, and how."""

import os
import random
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest

from mindcv.engine import setup
from mindcv.engine.setup import choose_device, set_execution_mode, set_seed


@pytest.mark.parametrize("wanted", ["CPU", "auto"])
def test_a_device_that_is_in_use_already_is_accepted(wanted):
    assert float((ms.Tensor([1.0]) + 1).asnumpy()[0]) == 2.0
    assert choose_device(wanted) == "CPU"


@pytest.mark.parametrize(
    ("there", "has_driver", "chosen", "asked"),
    [
        ({"Ascend", "GPU", "CPU"}, True, "Ascend", ["Ascend"]),
        ({"GPU", "CPU"}, True, "GPU", ["Ascend", "GPU"]),
        ({"CPU"}, True, "CPU", ["Ascend", "GPU", "CPU"]),
        ({"CPU"}, False, "CPU", ["Ascend", "CPU"]),
    ],
)
def test_auto_takes_the_first_there_is(there, has_driver, chosen, asked, monkeypatch, tmp_path):
    calls = []

    def set_device(device):
        calls.append(device)
        if device not in there:
            raise RuntimeError(f"Unsupported device target {device}.")

    monkeypatch.setattr(ms, "set_device", set_device)
    monkeypatch.setattr(setup, "_NVIDIA_DRIVER", tmp_path if has_driver else tmp_path / "none")
    assert choose_device("auto") == chosen
    assert calls == asked


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("Ascend", r"device_target 'Ascend' is not available here \(.+\); pass --device_target CPU, or auto"),
        ("NPU", r"unknown device_target 'NPU'.* Allowed: Ascend, CPU, GPU, auto"),
    ],
)
def test_a_device_that_is_not_there(wanted, message):
    with pytest.raises(ValueError, match=message):
        choose_device(wanted)


@pytest.mark.parametrize(
    ("mode", "jit_level", "device", "message"),
    [
        (2, None, "CPU", r"mode is 2; allowed: 0 \(graph mode\), 1 \(PyNative\)"),
        (0, "O3", "CPU", r"unknown jit_level 'O3'.* Allowed: O0, O1, O2"),
        (0, "O2", "CPU", r"jit_level 'O2' compiles with GE, which only Ascend has; on CPU use O0 or O1"),
    ],
)
def test_what_is_refused(mode, jit_level, device, message):
    with pytest.raises(ValueError, match=message):
        set_execution_mode(mode, jit_level, device)


def test_what_is_set():
    set_execution_mode(0, "O0", "CPU")
    assert ms.get_context("mode") == ms.GRAPH_MODE
    set_execution_mode(1, "O1", "CPU")
    assert ms.get_context("mode") == ms.PYNATIVE_MODE


def test_what_ascend_is_asked_for(monkeypatch):
    calls = []
    monkeypatch.setattr(ms, "set_context", lambda **values: calls.append(values))
    set_execution_mode(0, "O2", "Ascend")
    assert calls == [{"mode": 0}, {"jit_level": "O2"}]


def test_ranks_get_seeds_of_their_own():
    numbers = {}
    for rank in (0, 1, 0):
        set_seed(5, rank)
        numbers.setdefault(rank, []).append((random.random(), np.random.rand(), ms.get_seed()))
    assert numbers[0][0] == numbers[0][1]
    assert numbers[0][0] != numbers[1][0]


SEARCH = """
import logging, sys
from mindcv.engine.setup import choose_device
print(choose_device("auto"))
logging.getLogger("mindcv").warning("heard")
"""


@pytest.mark.parametrize(("level", "is_quiet"), [(None, True), ("2", False)])
def test_the_search_for_a_device_is_quiet_unless_a_level_is_set(level, is_quiet):
    environment = {name: value for name, value in os.environ.items() if name != "GLOG_v"}
    environment |= {"GLOG_v": level} if level else {}
    done = subprocess.run([sys.executable, "-c", SEARCH], env=environment, capture_output=True, text=True, check=True)
    if done.stdout.strip() != "CPU":
        pytest.skip("there is another device here")
    assert ("Ascend" not in done.stdout + done.stderr) == is_quiet
    assert "heard" in done.stderr


def test_the_largest_seed_goes_on_with_the_ranks():
    set_seed(2**32 - 1, 1)
    assert ms.get_seed() == 0
    set_seed(2**32 - 1, 0)
    assert ms.get_seed() == 2**32 - 1
