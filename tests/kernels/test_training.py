"""Training by the kernels ends where MindSpore's own cells end, with each feature of a step, and goes on to the bit."""

import copy

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.config import Config
from mindcv.engine import (
    CheckpointSaver,
    LossWithNetwork,
    TrainState,
    TrainStep,
    auto_mixed_precision,
    freeze,
    recompute_blocks,
)
from mindcv.engine.checkpoint import cell_arrays
from mindcv.engine.resume import resume_run
from mindcv.kernels import onednn
from mindcv.kernels.cells import missed
from mindcv.models.resnet import Bottleneck, ResNet
from mindcv.models.vit import VisionTransformer
from mindcv.optim import create_optimizer

pytestmark = pytest.mark.skipif(onednn.start().path is None, reason=onednn.start().text)
needs_bf16 = pytest.mark.skipif(not onednn.start().has_bf16, reason=f"no bfloat16: {onednn.start().text}")

CLASSES, STEPS, SEED = 5, 3, 3
MODES = [pytest.param(ms.GRAPH_MODE, id="graph"), pytest.param(ms.PYNATIVE_MODE, id="pynative")]
FEATURES = {
    "plain": {},
    "ema": {"ema": True, "ema_decay": 0.5, "ema_warmup": "none"},
    "accumulation": {"gradient_accumulation_steps": 2},
}


def resnet():
    """Every other channel is open and the others are closed by the ReLU behind their norm, but for some values.

    With shifts of 0 so many values are near 0 that in most runs of three steps a last digit opens or closes one of the
    2 x 2 of the last stage, also without kernels, and weights end 1e-2 to 1 of their way elsewhere.
    """
    network = ResNet(Bottleneck, (1, 1, 1, 1), CLASSES, groups=2, base_width=32, channels=(8, 16, 24, 40))
    for parameter in network.get_parameters():
        if parameter.name.endswith(".beta"):
            parameter.set_data(Tensor(np.resize([3.0, -3.0], parameter.shape).astype(np.float32)))
    return network


def vit():
    return VisionTransformer(32, 8, embed_dim=32, depth=2, num_heads=2, num_classes=CLASSES)


NETWORKS = {"resnet": resnet, "vit": vit}
# Cells that the kernels have: 17 convolutions with a BatchNorm each, four blocks, the network itself, pool and head;
# of the transformer's two blocks two norms, attention with two layers, two layers and GELU, and ends.
KERNELS_OF = {"resnet": 17 * 2 + 4 + 3, "vit": 2 * 8 + 3}


def switch(monkeypatch, is_on):
    monkeypatch.setenv("MINDCV_CPU_KERNELS", str(int(is_on)))
    if not is_on:
        monkeypatch.setattr(onednn, "start", lambda: onednn.Status(None, "off"))


def step_of(name, frozen="", is_recomputed=False, amp_level="O0", **options):
    ms.set_seed(SEED)
    np.random.seed(SEED)
    network = NETWORKS[name]()
    if frozen:
        freeze(network, frozen)
    optimizer = create_optimizer(network, "momentum", 0.002, weight_decay=1e-4)
    network = auto_mixed_precision(network, amp_level, amp_dtype="bfloat16")
    if is_recomputed:
        assert recompute_blocks(network) == {"resnet": 4, "vit": 2}[name]
    return TrainStep(LossWithNetwork(network, nn.CrossEntropyLoss()), optimizer, **options).set_train(True)


def run(step, name, calls):
    """The losses of these calls; each has a batch of its own."""
    losses, side = [], {"resnet": 64, "vit": 32}[name]
    for call in calls:
        random = np.random.RandomState(call)
        x, y = random.standard_normal((8, 3, side, side)).astype(np.float32), random.randint(0, CLASSES, 8)
        losses.append(float(step(Tensor(x), Tensor(y.astype(np.int32))).asnumpy()))
    return losses


def arrays_of(step):
    return {name: array.copy() for name, array in cell_arrays(step).items()}


def train(monkeypatch, is_on, name, **options):
    """What a step's parameters were, are after some calls, and the losses; with kernels or without them.

    Without them in PyNative mode, which compiles nothing.
    """
    mode = ms.get_context("mode")
    with monkeypatch.context() as patch:
        ms.set_context(mode=mode if is_on else ms.PYNATIVE_MODE)
        switch(patch, is_on)
        missed.clear()
        step = step_of(name, **options)
        start = arrays_of(step)
        losses = run(step, name, range(STEPS * options.get("gradient_accumulation_steps", 1)))
        assert step.is_at_once == is_on
        assert len(step.kernel_cells._cells) == (KERNELS_OF[name] if is_on else 0)
        assert not missed
    ms.set_context(mode=mode)
    return start, arrays_of(step), losses


def errors(start, got, wanted):
    """The largest error of each parameter that moved, as a part of the longest way that a value of it went.

    Less what storing a value rounds away in each step, which is much of a short way.
    """
    assert list(got) == list(wanted)
    found = {}
    for name, value in wanted.items():
        way = np.abs(value - start[name]).max()
        if way:
            rounding = STEPS * np.finfo(np.float32).eps * np.abs(value).max()
            found[name] = max(np.abs(got[name] - value).max() - rounding, 0) / way
        else:
            np.testing.assert_array_equal(got[name], value, err_msg=name)
    return found


def assert_small(found):
    """Momentum of shifts is a sum of gradients that nearly cancel: it has a bound of its own."""
    for name, error in found.items():
        assert error < (4e-4 if name.startswith("moments.") else 1e-4), (name, error)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("name", NETWORKS)
def test_weights_averages_and_states_are_those_without_kernels(name, feature, mode, monkeypatch):
    ms.set_context(mode=mode)
    options = FEATURES[feature]
    start, wanted, losses = train(monkeypatch, False, name, **options)
    again, got, own_losses = train(monkeypatch, True, name, **options)
    assert list(start) == list(again)
    for parameter, value in start.items():
        np.testing.assert_array_equal(again[parameter], value, err_msg=parameter)
    found = errors(start, got, wanted)
    assert_small(found)
    assert int(got["global_step"][0]) == STEPS
    np.testing.assert_allclose(own_losses, losses, rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_frozen_stays_as_it_is_to_the_bit(mode, monkeypatch):
    ms.set_context(mode=mode)
    options = {"frozen": "conv1,bn1,layer1"}
    start, wanted, _ = train(monkeypatch, False, "resnet", **options)
    _, got, _ = train(monkeypatch, True, "resnet", **options)
    frozen = [name for name in got if name.startswith(("conv1.", "bn1.", "layer1."))]
    assert sum("moving" in name for name in frozen) == 2 * 5
    for name in frozen:
        np.testing.assert_array_equal(got[name], start[name], err_msg=name)
    found = errors(start, got, wanted)
    assert_small(found)
    # All else moves, statistics too.
    weights = {name for name in got if name.startswith(("layer", "classifier"))} - set(frozen)
    assert weights <= found.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_recomputed_blocks_give_the_same_to_the_bit(name, monkeypatch):
    ms.set_context(mode=ms.GRAPH_MODE)
    _, wanted, losses = train(monkeypatch, True, name)
    _, got, own_losses = train(monkeypatch, True, name, is_recomputed=True)
    assert own_losses == losses
    assert list(got) == list(wanted)
    for parameter, value in wanted.items():
        np.testing.assert_array_equal(got[parameter], value, err_msg=parameter)


@needs_bf16
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETWORKS)
def test_bfloat16_goes_the_way_of_fp32(name, mode, monkeypatch):
    """Factors are rounded to 8 bits; all that a checkpoint has stays fp32."""
    ms.set_context(mode=mode)
    start, wanted, losses = train(monkeypatch, False, name)
    _, got, own_losses = train(monkeypatch, True, name, amp_level="O2")
    np.testing.assert_allclose(own_losses, losses, rtol=2e-2)
    assert own_losses != losses
    ways = [
        np.concatenate([(end[p] - start[p]).ravel() for p in start if not p.startswith("moments.")])
        for end in (wanted, got)
    ]
    distance = np.linalg.norm(ways[1] - ways[0]) / np.linalg.norm(ways[0])
    assert 1e-4 < distance < 0.1
    assert {p: value.dtype for p, value in got.items()} == {p: value.dtype for p, value in wanted.items()}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_run_that_goes_on_ends_as_one_in_one_go_to_the_bit(name, mode, tmp_path, monkeypatch):
    ms.set_context(mode=mode)
    switch(monkeypatch, True)
    # The checkpoint is in the middle of an update.
    options = {"ema": True, "ema_decay": 0.5, "gradient_accumulation_steps": 2}
    config = Config().model_dump()
    whole = step_of(name, **options)
    run(whole, name, range(3))
    info = {"config": copy.deepcopy(config), "world_size": 1, "steps_per_epoch": 6}
    CheckpointSaver(tmp_path, "net", "none", 5, info).save(whole, TrainState(step=3, global_step=3))
    losses = run(whole, name, range(3, 6))

    second = step_of(name, **options)
    assert resume_run(second, tmp_path, config, Config.free_keys(), 6).global_step == 3
    assert second.waiting_batches == 1
    assert run(second, name, range(3, 6)) == losses
    assert len(second.kernel_cells._cells) == KERNELS_OF[name]
    got, wanted = arrays_of(second), arrays_of(whole)
    assert list(got) == list(wanted)
    for parameter, value in wanted.items():
        np.testing.assert_array_equal(got[parameter], value, err_msg=parameter)
