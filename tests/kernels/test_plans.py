"""Plans that are made before they are needed, and kernels that are started by a thread."""

import subprocess
import sys

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.kernels import onednn, plans
from mindcv.kernels.cells import KernelCells

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)
KEY_BYTES = 24 * 8

_MAKE = """
import sys
from mindcv.kernels import plans
assert plans.plans_made() == b""
plans.usable_cores = lambda: 2
plans.make_plans(open(sys.argv[1], "rb").read()).join()
sys.stdout.buffer.write(plans.plans_made())
"""

_FORK = """
import os
from mindcv.kernels import onednn
onednn.begin()
child = os.fork()
text = onednn.start().text
if child == 0:
    os._exit(0 if text.startswith("on (oneDNN 3.") else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print(text)
"""


def run(code, *arguments):
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, check=True, timeout=120
    ).stdout


@pytest.fixture(scope="module")
def made():
    """The keys of a network's forward and backward pass."""
    import mindspore as ms

    network = nn.SequentialCell(
        nn.Conv2d(3, 16, 3, pad_mode="pad", padding=1), nn.Conv2d(16, 8, 1), nn.Flatten(), nn.Dense(8 * 16 * 16, 4)
    )
    x = np.random.RandomState(0).standard_normal((2, 3, 16, 16)).astype(np.float32)
    with KernelCells(network):
        ms.value_and_grad(network, None, network.trainable_params())(Tensor(x))
    return plans.plans_made()


def test_another_process_makes_the_same(made, tmp_path):
    assert len(made) >= 8 * KEY_BYTES
    (tmp_path / "plans").write_bytes(made)
    assert run(_MAKE, str(tmp_path / "plans")) == made


def test_what_is_no_plan_is_left_out(made, tmp_path):
    """Whatever stands in the file: the process goes on, and what can be made is made."""
    numbers = np.frombuffer(made, np.int64).reshape(-1, 24)
    random = np.random.RandomState(0)
    wrong = [np.zeros((1, 24), np.int64), np.full((1, 24), -1, np.int64), random.randint(-9, 1 << 40, (20, 24))]
    for place in range(24):
        for value in (-5, 0, 1 << 62):
            broken = numbers[:3].copy()
            broken[:, place] = value
            wrong.append(broken)
    (tmp_path / "plans").write_bytes(np.concatenate([*wrong, numbers]).tobytes() + b"cut")
    found = run(_MAKE, str(tmp_path / "plans"))
    keys = {found[place : place + KEY_BYTES] for place in range(0, len(found), KEY_BYTES)}
    assert keys >= {made[place : place + KEY_BYTES] for place in range(0, len(made), KEY_BYTES)}
    assert wrong[2][0].tobytes() not in keys


def test_nothing_is_made_on_one_core_or_of_nothing(made, monkeypatch):
    monkeypatch.setattr(plans, "usable_cores", lambda: 2)
    assert plans.make_plans(b"") is None
    monkeypatch.setattr(plans, "usable_cores", lambda: 1)
    assert plans.make_plans(made) is None


@pytest.mark.skipif(sys.platform != "linux", reason="no fork")
def test_a_process_that_forks_while_a_thread_starts_the_kernels():
    assert run(_FORK).decode().strip() == onednn.start().text
