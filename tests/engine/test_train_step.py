"""The step against numpy: each feature, each pair of features, in graph mode and in PyNative."""

import dataclasses
import itertools

import mindspore as ms
import numpy as np
import pytest
from feature_cases import CALLS, CASES, FEATURES_OF_A_STEP, TOLERANCE, settings_of, settings_of_case
from mindspore import nn
from reference import BATCH, BN_EPS, BN_MOMENTUM, Reference, Settings, batches, initial_weights
from stepping import Net, arrays, assert_close, assert_state, run, state_of, step_of

from mindcv.engine import GradientAccumulation, LossScale, LossWithNetwork, TrainStep, auto_mixed_precision
from mindcv.engine.ema import EMA_WARMUPS, ema_decays
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer

GRAPH, PYNATIVE = ms.GRAPH_MODE, ms.PYNATIVE_MODE
# One feature at a time, so that a failure above can be told.
SINGLE = [
    {feature: value} for feature, values in FEATURES_OF_A_STEP.items() for value in values[1:] if feature != "scale"
] + [{"scale": "fixed"}, {"scale": "drop"}, {"scale": "dynamic"}, {"amp_level": "O1"}, {"amp_level": "auto"}]


def check(settings, optimizer_scale=1.0):
    step, reference = step_of(settings, optimizer_scale), Reference(settings)
    data = list(batches(CALLS, settings))
    losses = run(step, data)
    for x, y in data:
        reference.call(x, y)
    assert_state(state_of(step), losses, reference, TOLERANCE[settings.amp_level])
    if settings.accumulation > 1:
        assert all(not buffer.asnumpy().any() for buffer in step.accumulated)


def test_the_cases_have_every_pair():
    pairs = itertools.combinations(FEATURES_OF_A_STEP.items(), 2)
    wanted = {((f, a), (g, b)) for (f, fs), (g, gs) in pairs for a in fs for b in gs}
    covered = {pair for case in CASES for pair in itertools.combinations(zip(FEATURES_OF_A_STEP, case, strict=True), 2)}
    assert covered == wanted


@pytest.mark.parametrize("values", SINGLE, ids=str)
def test_each_feature(values):
    check(settings_of(values))


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_pair_of_features(case, mode):
    ms.set_context(mode=mode)
    check(settings_of_case(case))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_pair_of_features_without_kernels(case, monkeypatch):
    """As on other devices, where each parameter is updated by operators of its own."""
    monkeypatch.setenv("MINDCV_CPU_KERNELS", "0")
    ms.set_context(mode=GRAPH)
    check(settings_of_case(case))


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_batch_norm_statistics_and_their_average(accumulation, mode):
    """Every batch moves the statistics, every update their moving average."""
    ms.set_context(mode=mode)
    check(Settings(batch_norm=True, ema=True, accumulation=accumulation, clip_value=0.3))


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("scale", [{"drop_overflow": True}, {"dynamic": True, "loss_scale": 8.0}], ids=str)
def test_a_dropped_update_leaves_the_statistics_and_their_average_as_they_were(scale, accumulation, mode):
    """The batch with an infinite pixel, and with accumulation the one beside it, move nothing but the counters."""
    ms.set_context(mode=mode)
    check(Settings(batch_norm=True, ema=True, accumulation=accumulation, overflow_at=(3,), **scale))


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
@pytest.mark.parametrize(
    ("warmup", "interval", "before", "extra"),
    [
        ("timm", 1, 0, {}),
        ("none", 1, 0, {}),
        ("none", 3, 1501, {"dynamic": True, "overflow_at": (2,)}),
        ("timm", 2, 1, {"accumulation": 2}),
    ],
)
def test_how_the_average_moves(warmup, interval, before, extra, mode):
    ms.set_context(mode=mode)
    step = {"ema_warmup": warmup, "ema_interval": interval, "ema_updates_before": before}
    check(Settings(ema=True, ema_decay=0.6, **step, **extra))


def test_decays_of_a_run():
    """The first moves are timm's: 0 and 1 - 2 ** (-2 / 3); and the step's."""
    np.testing.assert_allclose(ema_decays(4, 0.5, "timm"), [0, 0.37003947, 0.5, 0.5], rtol=1e-7)
    np.testing.assert_allclose(ema_decays(5, 0.9, "none", 2), [1, 0, 1, 0.9, 1])
    np.testing.assert_allclose(ema_decays(2001, 0.9)[[0, 1999]], [0.9 * 0.000499875, 0.9 * 0.63212056], rtol=1e-6)
    for warmup in EMA_WARMUPS:
        step = step_of(Settings(ema=True, ema_warmup=warmup))
        shares = [float(step._average_share(ms.Tensor(n, ms.float32)).asnumpy()) for n in (1, 2, 9, 5000)]
        np.testing.assert_allclose(1 - np.array(shares), ema_decays(5000, 0.99, warmup)[[0, 1, 8, 4999]], atol=1e-7)


class Hidden(nn.Cell):
    """ReLU turns what is not finite into 0, so that loss and gradients behind it stay finite; and a dropout."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(5, BN_EPS, BN_MOMENTUM)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(p=0.5)
        self.dense = nn.Dense(5, 4)

    def construct(self, x):
        return self.dense(self.dropout(self.relu(self.norm(x))))


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
@pytest.mark.parametrize(("accumulation", "kernels"), [(1, "1"), (2, "1"), (1, "0"), (2, "0")])
def test_an_overflow_that_the_gradients_do_not_show_leaves_no_trace(accumulation, kernels, mode, monkeypatch):
    monkeypatch.setenv("MINDCV_CPU_KERNELS", kernels)
    ms.set_context(mode=mode)
    settings = Settings(drop_overflow=True, ema=True, accumulation=accumulation)
    step = step_of(settings, network=Hidden())
    data = list(batches(3 * accumulation, settings))
    run(step, data[:accumulation])
    before = state_of(step)
    assert before["dropout_step"] == accumulation
    data[accumulation][0][1, 2] = np.inf
    losses = run(step, data[accumulation : 2 * accumulation])
    assert np.isfinite(losses).all()
    after = state_of(step)
    assert after.pop("skipped_updates") == before.pop("skipped_updates") + 1 == step.dropped_updates
    before = {name: value for name, value in before.items() if not name.startswith("kept_statistics")}
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, err_msg=name)
    run(step, data[2 * accumulation :])
    moved = state_of(step)
    assert all(np.isfinite(value).all() for value in moved.values())
    assert np.abs(moved["norm.moving_variance"] - before["norm.moving_variance"]).max() > 1e-3


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
@pytest.mark.parametrize(("wild", "kernels"), [(0, "1"), (1, "1"), (2, "1"), (1, "0")])
def test_statistics_are_finite_between_the_batches_of_an_update_that_will_be_dropped(wild, kernels, mode, monkeypatch):
    """A checkpoint or an evaluation there is one without a trace of the batch that has overflowed."""
    monkeypatch.setenv("MINDCV_CPU_KERNELS", kernels)
    ms.set_context(mode=mode)
    settings = Settings(drop_overflow=True, ema=True, accumulation=3)
    step = step_of(settings, network=Hidden())
    data = list(batches(9, settings))
    run(step, data[:3])
    before = state_of(step)
    data[3 + wild][0][1, 2] = np.inf
    for index in range(3, 6):
        run(step, data[index : index + 1])
        assert np.isfinite(step.network.network.norm.moving_variance.asnumpy()).all()
    after = state_of(step)
    assert after.pop("skipped_updates") == before.pop("skipped_updates") + 1 == step.dropped_updates
    for name, value in before.items():
        if not name.startswith("kept_statistics"):
            np.testing.assert_array_equal(after[name], value, err_msg=name)
    run(step, data[6:])
    moved = state_of(step)
    assert all(np.isfinite(value).all() for value in moved.values())
    assert step.dropped_updates == 1
    assert np.abs(moved["dense.weight"] - before["dense.weight"]).max() > 1e-4


def test_the_statistics_to_go_back_to_are_those_before_the_update_whoever_set_them():
    """Weights that are loaded after the step was made, and the means over ranks, are not undone by a drop."""
    settings = Settings(drop_overflow=True, batch_norm=True, overflow_at=(1,))
    step = step_of(settings)
    first, second = batches(2, settings)
    run(step, [first])
    ms.ops.assign(step.network.network.norm.moving_mean, ms.ops.ones_like(step.network.network.norm.moving_mean) * 7)
    run(step, [second])
    np.testing.assert_array_equal(step.network.network.norm.moving_mean.asnumpy(), 7)
    assert not any(name.startswith("kept_statistics") for name in step.parameters_dict())


def test_a_dynamic_scale_does_not_grow_to_infinity():
    """Half of infinity is infinity: all updates would be dropped from there on."""
    settings = Settings(dynamic=True, loss_scale=2.0**125, window=1)
    step = step_of(settings)
    for _ in range(3):
        step._adjust_loss_scale(ms.Tensor(True))
    assert float(step.loss_scale.asnumpy()) == 2.0**126


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
@pytest.mark.parametrize(("opt", "count"), [("momentum", 2), ("lamb", 4)])
def test_accumulating_batches_equals_one_large_batch(opt, count, mode):
    ms.set_context(mode=mode)
    small = Settings(opt=opt, accumulation=count, clip_value=0.3, ema=True, smoothing=0.1, mixup=True)
    large = Settings(opt=opt, clip_value=0.3, ema=True, smoothing=0.1, mixup=True)
    data = list(batches(2, large, BATCH * count))
    parts = [(x[i : i + BATCH], y[i : i + BATCH]) for x, y in data for i in range(0, BATCH * count, BATCH)]
    step_of_parts, step_of_wholes = step_of(small), step_of(large)
    losses = np.array(run(step_of_parts, parts)).reshape(2, count)
    np.testing.assert_allclose(losses.mean(1), run(step_of_wholes, data), rtol=1e-6)
    assert_close(arrays(step_of_parts), arrays(step_of_wholes), 1e-5)
    assert_close(arrays(step_of_parts, "ema."), arrays(step_of_wholes, "ema."), 1e-5)


@pytest.mark.parametrize("loss_scale", [1.0, 64.0])
def test_an_optimizer_with_a_loss_scale_divides_no_second_time(loss_scale):
    """Upstream's scripts give the scale to both; clipping must see the true gradients all the same."""
    check(Settings(loss_scale=loss_scale, clip_value=0.3), optimizer_scale=64.0)


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
def test_a_scale_that_is_too_large_for_fp16_is_halved_until_it_fits(mode):
    """2^22 times a gradient is beyond fp16's 65504; the first updates are skipped, and schedule and EMA wait."""
    ms.set_context(mode=mode)
    settings = Settings(amp_level="O2", loss_scale=2.0**22, dynamic=True, window=100, ema=True)
    step, reference = step_of(settings), Reference(settings)
    for x, y in batches(CALLS, settings):
        skipped = int(step.skipped_updates.asnumpy())
        before = arrays(step)
        run(step, [(x, y)])
        if int(step.skipped_updates.asnumpy()) > skipped:
            assert all(np.array_equal(value, before[name]) for name, value in arrays(step).items())
        else:
            reference.call(x, y)
    skipped = int(step.skipped_updates.asnumpy())
    assert 3 <= skipped <= 7
    assert float(step.loss_scale.asnumpy()) == 2.0 ** (22 - skipped)
    assert int(step.optimizer.global_step.asnumpy()[0]) == CALLS - skipped
    assert int(step.ema_updates.asnumpy()) == settings.ema_updates_before + CALLS - skipped
    assert_close(arrays(step), reference.weights, TOLERANCE["O2"])
    assert_close(arrays(step, "ema."), reference.ema, TOLERANCE["O2"])


@pytest.mark.parametrize("bad", [0, 1])
def test_one_gradient_that_is_not_finite_is_enough(bad):
    class Products(nn.Cell):
        def __init__(self):
            super().__init__()
            self.weights = ms.ParameterTuple([ms.Parameter(ms.Tensor(1.0, ms.float32), name=name) for name in "ab"])

        def construct(self, x):
            return self.weights[0] * x[0] + self.weights[1] * x[1]

    network = Products()
    step = TrainStep(network, create_optimizer(network, "sgd", 0.1, momentum=0.0), LossScale(drop_overflow=True))
    x = np.ones(2, np.float32)
    x[bad] = np.inf
    step.set_train(True)(ms.Tensor(x))
    assert [float(weight.asnumpy()) for weight in network.weights] == [1.0, 1.0]


def test_a_dynamic_scale_is_never_below_one():
    settings = Settings(loss_scale=2.0, dynamic=True, overflow_at=(0, 1, 2, 3))
    step = step_of(settings)
    run(step, batches(4, settings))
    assert float(step.loss_scale.asnumpy()) == 1.0
    assert int(step.skipped_updates.asnumpy()) == 4


def test_without_a_check_an_overflow_reaches_the_weights():
    """What `drop_overflow` is for; the default is upstream's."""
    settings = Settings(overflow_at=(0,))
    step = step_of(settings)
    run(step, batches(1, settings))
    assert np.isnan(step.network.network.first.weight.asnumpy()).any()


def test_all_logits_of_a_tuple_reach_the_loss_in_fp32():
    class Two(Net):
        def construct(self, x):
            hidden = self.tanh(self.first(x))
            return self.second(hidden), self.second(hidden) * 2

    class Types(nn.Cell):
        def construct(self, logits, label):
            seen.extend(entry.dtype for entry in logits)
            return logits[0].sum() + logits[1].sum()

    seen = []
    network = auto_mixed_precision(Two(), "O3")
    x, y = next(batches(1, Settings()))
    LossWithNetwork(network, Types())(ms.Tensor(x), ms.Tensor(y))
    assert seen == [ms.float32, ms.float32]


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
def test_gradient_accumulation_of_upstream(mode):
    """The optimizer sees the mean of three calls' gradients, once, through the reducer."""
    ms.set_context(mode=mode)
    network = Net()
    optimizer = create_optimizer(network, "sgd", [0.5, 0.1], momentum=0.0)

    class Doubling(nn.Cell):
        def construct(self, gradients):
            return ms.ops.HyperMap()(ms.ops.partial(ms.ops.mul, 2.0), gradients)

    accumulate = GradientAccumulation(3, optimizer, Doubling())
    start = initial_weights()
    for call in range(6):
        gradients = tuple(ms.ops.ones_like(weight) * (call + 1) for weight in optimizer.parameters)
        assert float(accumulate(ms.Tensor(0.25 * call, ms.float32), gradients).asnumpy()) == 0.25 * call
        # means 2 and 5, doubled, times the rates
        way = 0.0 if call < 2 else 2.0 if call < 5 else 3.0
        weight = network.first.weight.asnumpy()
        np.testing.assert_allclose(weight, start["first.weight"] - way, atol=1e-6)


@pytest.mark.parametrize(
    ("scale_sense", "expected"),
    [
        (8, LossScale(8.0)),
        (ms.Tensor(8.0, ms.float32), LossScale(8.0)),
        (LossScale(4.0, window=7), LossScale(4.0, window=7)),
        (nn.FixedLossScaleUpdateCell(1024), LossScale(1024.0, drop_overflow=True)),
        (nn.DynamicLossScaleUpdateCell(512, 4, 30), LossScale(512.0, True, True, 4.0, 30)),
    ],
)
def test_scale_sense_as_upstream_takes_it(scale_sense, expected):
    assert LossScale.of(scale_sense) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("fixed", 8.0), LossScale(8.0)),
        (("fixed", 8.0, True), LossScale(8.0, drop_overflow=True)),
        (("dynamic", 8.0), LossScale(8.0, True, True)),
        (("auto", 8.0, False, "O0"), LossScale()),
        (("auto", 8.0, True, "O3"), LossScale(drop_overflow=True)),
        (("auto", 8.0, False, "O2"), LossScale(2.0**24, True, True)),
    ],
)
def test_scale_by_config_keys(arguments, expected):
    assert LossScale.of_type(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale_sense": 0.5}, "loss_scale is 0.5; it must be at least 1"),
        ({"scale_sense": float("nan")}, "loss_scale is nan; it must be at least 1"),
        ({"scale_sense": "big"}, "scale_sense is a str; allowed: a number"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps is 0; it must be at least 1"),
        ({"clip_grad": True, "clip_value": 0.0}, "clip_value is 0.0; it must be greater than 0"),
        ({"ema": True, "ema_decay": 1.5}, "ema_decay is 1.5; it must lie between 0 and 1"),
        ({"ema": True, "ema_warmup": "tim"}, "unknown ema_warmup 'tim'; did you mean 'timm'"),
        ({"ema": True, "ema_interval": 0}, "ema_interval is 0; it must be at least 1"),
    ],
)
def test_what_is_refused(arguments, message):
    network = Net()
    with pytest.raises(ValueError, match=message):
        TrainStep(LossWithNetwork(network, create_loss("CE")), create_optimizer(network, "momentum", 0.1), **arguments)


def test_unknown_scale_type_is_refused():
    with pytest.raises(ValueError, match="unknown loss_scale_type 'dynamik'; did you mean 'dynamic'"):
        LossScale.of_type("dynamik")


@pytest.mark.parametrize("mode", [PYNATIVE, GRAPH], ids=["pynative", "graph"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_gradients_are_clipped_adaptively(accumulation, mode):
    """All but the last layer's, row by row, behind the accumulation."""
    ms.set_context(mode=mode)
    settings = Settings(clip_value=0.05, accumulation=accumulation, weight_decay=0.0)

    class Adaptive(Reference):
        def _update(self, gradients):
            gradients = dict(gradients)
            for name in ("first.weight", "first.bias"):
                axis = 1 if gradients[name].ndim > 1 else None
                norm, own = (np.sqrt((x**2).sum(axis, keepdims=True)) for x in (gradients[name], self.weights[name]))
                longest = 0.05 * np.maximum(own, 1e-3)
                self.clipped += int((norm > longest).sum())
                gradients[name] = gradients[name] * np.minimum(1, longest / norm)
            self.settings = dataclasses.replace(settings, clip_value=None)
            super()._update(gradients)

    reference = Adaptive(settings)
    reference.clipped = 0
    step = step_of(settings, clip_mode="agc", not_clipped=("second.weight", "second.bias"))
    data = list(batches(CALLS, settings))
    losses = run(step, data)
    for x, y in data:
        reference.call(x, y)
    assert_state(state_of(step), losses, reference, TOLERANCE["O0"])
    assert reference.clipped > 5
