"""Two ranks against one process: synchronised BatchNorm, averaged statistics, equal starts, exact sums."""

import re
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn
from ranks_job import Net, batch, fill, results, several_labels, train
from time_limits import LIMIT_S

from mindcv.engine import Scores, average_batch_norm, synchronize_batch_norm
from mindcv.engine.distributed import gather_over_ranks, sum_integers
from mindcv.engine.sync_batch_norm import SyncBatchNorm
from mindcv.kernels import onednn

MODES = (ms.GRAPH_MODE, ms.PYNATIVE_MODE)


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two ranks computed."""
    folder = tmp_path_factory.mktemp("ranks")
    job = [str(Path(__file__).with_name("ranks_job.py")), str(folder)]
    command = [sys.executable, "-m", "mindcv", "launch", "--nproc", "2", "--log_dir", str(folder), *job]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return [dict(np.load(folder / f"rank{rank}.npz")) for rank in (0, 1)]


@pytest.fixture(scope="module")
def whole():
    """What one process computes of the whole batch with MindSpore's own BatchNorm, by mode."""
    arrays = {}
    for mode in MODES:
        ms.set_context(mode=mode)
        arrays[mode] = results(fill(Net()), *batch())
    return arrays


@pytest.mark.parametrize("mode", MODES)
def test_synchronised_batch_norm_is_that_of_the_whole_batch(ranks, whole, mode):
    expected = whole[mode]
    for name, value in expected.items():
        parts = [arrays[f"{mode}/{name}"] for arrays in ranks]
        if name in ("trained", "evaluated"):
            got = np.concatenate(parts)
        elif name == "image":  # of the sum of the ranks' losses, whose mean the whole batch has
            got = np.concatenate(parts) / 2
        elif name.startswith("statistics"):
            np.testing.assert_array_equal(*parts)
            got = parts[0]
        else:
            got = sum(parts) / 2
        size = max(1.0, np.abs(value).max())
        np.testing.assert_allclose(got / size, value / size, rtol=0, atol=1e-5, err_msg=name)
    assert [arrays[f"{mode}/swapped"] for arrays in ranks] == [3, 3]


@pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)
@pytest.mark.parametrize("mode", MODES)
def test_ranks_train_by_the_cpu_kernels_as_one_process_without_them(ranks, mode, monkeypatch):
    assert [int(arrays[f"{mode}/kernels"]) for arrays in ranks] == [4, 4]  # two convolutions, two dense layers
    monkeypatch.setenv("MINDCV_CPU_KERNELS", "0")
    monkeypatch.setattr(onednn, "start", lambda: onednn.Status(None, "off"))
    ms.set_context(mode=mode)
    expected, cells = train(*batch())
    assert cells == 0
    start = {name: parameter.asnumpy() for name, parameter in fill(Net()).parameters_dict().items()}
    for name, value in expected.items():
        got = [arrays[f"{mode}/steps/{name}"] for arrays in ranks]
        np.testing.assert_array_equal(*got, err_msg=name)
        way = np.abs(value - start.get(name.removeprefix("ema."), 0)).max()
        # A last digit in each step as well, of weights that hardly move, and what is left of gradients that are 0: a
        # BatchNorm takes what the shifts before it add.
        rounding = 3 * np.finfo(np.float32).eps * np.abs(value).max() + (5e-6 if name.startswith("moments.") else 0)
        atol = 1e-4 * way + rounding
        np.testing.assert_allclose(got[0], value, rtol=0, atol=atol, err_msg=name)


@pytest.mark.parametrize("is_synchronized", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_an_overflow_of_one_rank_leaves_no_trace_on_any(ranks, mode, is_synchronized):
    for arrays in ranks:
        results = {name: arrays[f"{mode}/{is_synchronized}/{name}"] for name in ("changed", "dropped", "mean")}
        assert results["changed"].tolist() == []
        assert results["dropped"] == 1
        assert np.isfinite(results["mean"]).all()


@pytest.mark.parametrize("mode", MODES)
def test_without_it_the_ranks_statistics_are_averaged(ranks, mode):
    names = [name.removeprefix(f"{mode}/own/") for name in ranks[0] if name.startswith(f"{mode}/own/")]
    for name in names:
        own = [arrays[f"{mode}/own/{name}"] for arrays in ranks]
        means = [arrays[f"{mode}/mean/{name}"] for arrays in ranks]
        np.testing.assert_array_equal(means[0], means[1])
        np.testing.assert_allclose(means[0], (own[0] + own[1]) / 2, rtol=1e-6, err_msg=name)
        if name == "bn.moving_mean":
            assert np.abs(own[0] - own[1]).max() > 0.1
    np.testing.assert_array_equal(*(arrays[f"{mode}/averaged"] for arrays in ranks))


@pytest.mark.parametrize("mode", MODES)
def test_all_ranks_start_from_the_weights_of_rank_0(ranks, mode):
    for arrays in ranks:  # parameter_broadcast: False
        words = r"the checksum of the weights must be the same on all ranks, but is \[\d+, \d+\]; set parameter_"
        assert re.match(words, str(arrays[f"{mode}/unlike"]))
    expected = fill(Net())
    for name, parameter in expected.parameters_dict().items():
        if "moving" not in name:
            for arrays in ranks:
                np.testing.assert_array_equal(arrays[f"{mode}/weights/{name}"], parameter.asnumpy(), err_msg=name)
    np.testing.assert_array_equal(*(arrays[f"{mode}/broadcast"] for arrays in ranks))
    assert np.isfinite(ranks[0][f"{mode}/broadcast"]).all()


@pytest.mark.parametrize(("level", "tolerance"), [("O2", 0.02), ("O3", 0.05)])
def test_mixed_precision(ranks, level, tolerance):
    expected = fill(Net()).set_train()(ms.Tensor(batch()[0])).asnumpy()
    got = np.concatenate([arrays[f"{level}/trained"] for arrays in ranks])
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * np.abs(expected).max())
    np.testing.assert_array_equal(*(arrays[f"{level}/statistics"] for arrays in ranks))


def test_sums_over_ranks_are_exact(ranks):
    for arrays in ranks:
        assert [int(text) for text in arrays["integers"]] == [1, 2 * 3**230 + 1, -2 * 3**230, -14]
        np.testing.assert_array_equal(arrays["gathered"], [[0.1, 1 / 3], [1.1, 1 / 3]])
    assert sum_integers([3, -(2**300)]) == [3, -(2**300)]
    np.testing.assert_array_equal(gather_over_ranks([0.1, 2.0]), [[0.1, 2.0]])


def test_average_precision_of_two_ranks_is_that_of_one_process(ranks):
    scores = Scores(4, is_multi_label=True)
    scores.add(*several_labels())
    expected = scores.metric_values(30, scores.hits)
    assert 0.4 < expected["mAP"] < 1
    for arrays in ranks:
        assert {name: arrays[name].item() for name in expected} == expected


def test_ranks_that_differ_all_say_so(ranks):
    for arrays in ranks:
        assert arrays["differs"] == "the number of steps must be the same on all ranks, but is [0, 1]; look at data_dir"


def test_a_signal_of_one_rank_is_known_to_all_after_the_same_call(ranks):
    for arrays in ranks:
        assert arrays["agreed"].tolist() == [0, 15, 15]


def test_one_rank_has_nothing_to_synchronise():
    network = Net()
    before = [parameter.asnumpy().copy() for parameter in network.get_parameters()]
    assert synchronize_batch_norm(network) == 0
    assert type(network.bn) is nn.BatchNorm2d
    average_batch_norm(network)
    for parameter, value in zip(network.get_parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.asnumpy(), value)


def test_synchronised_cells_keep_what_the_others_were(monkeypatch):
    monkeypatch.setattr("mindcv.engine.sync_batch_norm.world_size", lambda: 2)
    network = Net()
    frozen = nn.BatchNorm2d(6, use_batch_statistics=False)
    network.frozen = frozen
    parameters = {name: id(parameter) for name, parameter in network.parameters_dict().items()}
    assert synchronize_batch_norm(network) == 3
    assert {name: id(parameter) for name, parameter in network.parameters_dict().items()} == parameters
    assert network.frozen is frozen
    cell = network.blocks[1]
    assert isinstance(cell, SyncBatchNorm)
    assert (cell.eps, round(cell.momentum, 6), cell.num_features) == (1e-3, 0.3, 6)
