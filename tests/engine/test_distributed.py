"""Two ranks with half of each batch train as one process with all of it: one msrun job on the CPU, real processes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import seeds_job
from feature_cases import CALLS, CASES, TOLERANCE, settings_of_case
from reference import Reference, Settings, batches
from step_job import GLOBAL_BATCH, train
from stepping import Net, assert_state
from time_limits import LIMIT_S

from mindcv.engine.distributed import broadcast_parameters, init_distributed, sum_over_ranks

# First, so that the two processes that run the suite do not share this module and start its job twice.
pytestmark = pytest.mark.slow

# How far weights may be from those of one process with the whole batch. In fp16 the gradient of a weight is a sum over
# samples that is rounded to 11 bits, once for the whole batch or once for each half of it.
LIKE_ONE_PROCESS = {"O0": 1e-5, "O2": 5e-4, "O3": 5e-4}
# From float64 as a part of the way. With these batches one gradient passes so near zero that adamw, on one worker too,
# makes 4e-5 of its rounding.
LIKE_NUMPY = {**TOLERANCE, "O0": 4e-4}
MODES = [pytest.param(ms.GRAPH_MODE, id="graph"), pytest.param(ms.PYNATIVE_MODE, id="pynative")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("msrun")
    seeds_job.make_copies(path / "copies")
    return path


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
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in range(2)]


@pytest.fixture(scope="module")
def one_process():
    """What one process with whole batches comes to, in PyNative mode."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    return {case: train(case, slice(0, GLOBAL_BATCH)) for case in CASES}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_two_ranks_give_the_weights_of_one_process_for_each_pair_of_features(ranks, one_process, case, mode):
    """Also where only rank 0's gradients are not finite: both skip the update, and schedule and EMA wait."""
    settings, start = settings_of_case(case), f"{mode}/{case}/"
    states = [{key.removeprefix(start): v for key, v in r.items() if key.startswith(start)} for r in ranks]
    losses = [state.pop("losses") for state in states]
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value, err_msg=name)

    reference = Reference(settings)
    for x, y in batches(CALLS, settings, GLOBAL_BATCH):
        reference.call(x, y)
    assert_state(states[0], np.mean(losses, 0), reference, LIKE_NUMPY[settings.amp_level])
    for name in [*reference.weights, *(f"ema.{name}" for name in reference.weights if settings.ema)]:
        distance = np.abs(states[0][name] - one_process[case][name]).max()
        assert distance <= LIKE_ONE_PROCESS[settings.amp_level], name


def test_ranks_shuffle_alike(ranks):
    """Step k of an epoch has the samples of one process's step k, half of them on each rank; epochs differ."""
    whole = [seeds_job.order(epoch, 2 * seeds_job.BATCH) for epoch in (0, 1)]
    for epoch, expected in enumerate(whole):
        parts = [results[f"order/{epoch}"] for results in ranks]
        np.testing.assert_array_equal(np.sort(np.concatenate(parts, 1), 1), np.sort(expected, 1))
    assert (np.sort(whole[0], 1) != np.sort(whole[1], 1)).any(1).all()


@pytest.mark.parametrize("name", seeds_job.AUGMENTATIONS)
def test_ranks_augment_differently(ranks, name):
    """Of one and the same picture no two ranks make the same images, and mixup draws other shares."""
    first, second = (results[f"augmented/{name}"] for results in ranks)
    assert len(first) == len(second) == 8
    if name == "randaug":
        # It leaves a quarter of the images as they are, and inverts others: some are equal by chance.
        assert np.mean(first == second) <= 0.25
    else:
        assert not set(first) & set(second) - {1.0}
        assert set(first) - {1.0}


@pytest.mark.parametrize("mode", MODES)
def test_all_reduce_sum(ranks, mode):
    for results in ranks:
        assert results["size"] == 2
        np.testing.assert_array_equal(results[f"{mode}/sum/int32"], [[140_000_002, -6], [1, 10]])
        np.testing.assert_array_equal(results[f"{mode}/sum/float32"], np.float32([[140_000_000, -6], [1, 10]]))


def test_sum_over_ranks_is_exact_in_float64(ranks):
    for results in ranks:
        np.testing.assert_array_equal(results["sum_over_ranks"], [0.1 + 1.1, 2e16, 2.0 / 3])


def test_what_is_not_finite_stays_in_its_place(ranks):
    for results in ranks:
        np.testing.assert_array_equal(results["not_finite"], [[np.nan, 1e30, 1.0], [np.inf, 1e30, 1.0]])
        np.testing.assert_array_equal(results["mean_over_ranks"], [(0.1 + 1.1) / 2, 1.0])


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
