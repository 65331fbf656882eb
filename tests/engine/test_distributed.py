"""Two ranks with half of each batch train as one process with all of it: one msrun job on the CPU, real processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from reference import Settings, batches
from step_job import CASES, GLOBAL_BATCH, train
from stepping import Net

from mindcv.engine.distributed import broadcast_parameters, init_distributed, sum_over_ranks

MODES = [pytest.param(ms.GRAPH_MODE, id="graph"), pytest.param(ms.PYNATIVE_MODE, id="pynative")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("msrun")


@pytest.fixture(scope="module")
def ranks(folder):
    """The results of both ranks."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = Path(__file__).parent
    # msrun starts the `python` that is first on PATH.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    root = here.parents[1]
    command = ["msrun", "--worker_num=2", "--local_worker_num=2", f"--master_port={port}", f"--log_dir={folder}/log"]
    done = subprocess.run(
        [*command, "--join=True", str(here / "step_job.py"), str(folder)],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(root)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in range(2)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_give_the_weights_of_one_process(ranks, case, mode):
    ms.set_context(mode=mode)
    expected = train(case, slice(0, GLOBAL_BATCH))
    losses = expected.pop("losses")
    for name, value in expected.items():
        first, second = (results[f"{mode}/{case}/{name}"] for results in ranks)
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first, value, rtol=0, atol=1e-5)
    finite = [i for i in range(len(losses)) if i not in CASES[case].overflow_at]
    both = np.mean([results[f"{mode}/{case}/losses"] for results in ranks], 0)
    np.testing.assert_allclose(both[finite], losses[finite], rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_all_reduce_sum(ranks, mode):
    for results in ranks:
        assert results["size"] == 2
        np.testing.assert_array_equal(results[f"{mode}/sum/int32"], [[140_000_002, -6], [1, 10]])
        np.testing.assert_array_equal(results[f"{mode}/sum/float32"], np.float32([[140_000_000, -6], [1, 10]]))


def test_sum_over_ranks_is_exact_in_float64(ranks):
    for results in ranks:
        np.testing.assert_array_equal(results["sum_over_ranks"], [0.1 + 1.1, 2e16, 2.0 / 3])


def test_a_script_of_upstreams(ranks, folder, tmp_path):
    """Equal starts, accuracy over uneven parts, averaged BatchNorm statistics, files from rank 0 only."""
    weights = {name.removeprefix("upstream/") for name in ranks[0] if name.startswith("upstream/")} - {"accuracy"}
    for name in weights:
        np.testing.assert_array_equal(*(results[f"upstream/{name}"] for results in ranks))
    network = Net(batch_norm=True)
    for name in weights:
        network.parameters_dict()[name].set_data(ms.Tensor(ranks[0][f"upstream/{name}"]))
    x, y = next(batches(1, Settings(), GLOBAL_BATCH))
    hits = network.set_train(False)(ms.Tensor(x)).asnumpy().argmax(1) == y
    assert [float(results["upstream/accuracy"]) for results in ranks] == [hits.mean()] * 2
    left = {rank: sorted(path.name for path in (folder / f"run{rank}").iterdir()) for rank in (0, 1)}
    assert left[0] == ["log.jsonl", "net-1_4.ckpt", "net_best.ckpt", "optim_net.ckpt", "result.log"]
    assert left[1] == []


def test_one_process_needs_no_ranks():
    np.testing.assert_array_equal(sum_over_ranks([0.1, 2.0]), [0.1, 2.0])
    broadcast_parameters([ms.Parameter(1.0, name="left alone")])


def test_distribute_without_a_launcher_is_refused(monkeypatch):
    for name in ("MS_ROLE", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="was not started by a launcher; start it with `mindcv launch --nproc N"):
        init_distributed()
