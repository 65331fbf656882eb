"""Every optimizer over 10 steps against a numpy formula in float64: changing rates, two weight decays, both modes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindcv.kernels.multi_tensor import has_kernels
from mindcv.optim import create_optimizer, list_optimizers

STEPS = 10
LRS = [0.01 * (1 + step % 4) for step in range(STEPS)]
DECAY = 0.05
EPS = 1e-6
LOSS_SCALE = 8.0
NAMES = ("conv.weight", "conv.bias")
SHAPES = ((3, 4), (4,))
# The parameters' first values and their gradients in every step, the same for all tests.
_RNG = np.random.default_rng(7)
FIRST = [_RNG.normal(size=shape).astype(np.float32) for shape in SHAPES]
GRADIENTS = [[_RNG.normal(size=shape).astype(np.float32) for shape in SHAPES] for _ in range(STEPS)]


class _L2:
    """An optimizer in float64 whose weight decay is part of the gradient."""

    def __init__(self, param):
        self.t = 0
        self.a = np.zeros_like(param)
        self.b = np.zeros_like(param)
        self.c = np.zeros_like(param)
        self.last = None

    def step(self, p, g, lr, decay):
        self.t += 1
        return self.update(p, g + decay * p, lr)


class _Decoupled(_L2):
    def step(self, p, g, lr, decay):
        self.t += 1
        return self.update(p - lr * decay * p, g, lr)


class _Momentum(_L2):
    nesterov = False

    def update(self, p, g, lr):
        self.a = 0.9 * self.a + g
        return p - lr * (g + 0.9 * self.a if self.nesterov else self.a)


class _Nesterov(_Momentum):
    nesterov = True


def _moments(state, g, beta1=0.9, beta2=0.999):
    state.a = beta1 * state.a + (1 - beta1) * g
    state.b = beta2 * state.b + (1 - beta2) * g**2


class _Adam(_L2):
    nesterov = False

    def update(self, p, g, lr):
        _moments(self, g)
        m = 0.9 * self.a + 0.1 * g if self.nesterov else self.a
        lr = lr * np.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        return p - lr * m / (np.sqrt(self.b) + EPS)


class _NesterovAdam(_Adam):
    nesterov = True


class _AdamW(_Decoupled):
    def update(self, p, g, lr):
        _moments(self, g)
        return p - lr * self.a / (1 - 0.9**self.t) / (np.sqrt(self.b / (1 - 0.999**self.t)) + EPS)


class _NAdam(_Decoupled):
    product = 1.0

    def update(self, p, g, lr):
        _moments(self, g)
        mu, next_mu = (0.9 * (1 - 0.5 * 0.96 ** (t * 0.004)) for t in (self.t, self.t + 1))
        self.product *= mu
        m = next_mu * self.a / (1 - self.product * next_mu) + (1 - mu) * g / (1 - self.product)
        return p - lr * m / (np.sqrt(self.b / (1 - 0.999**self.t)) + EPS)


class _Adan(_L2):
    def step(self, p, g, lr, decay):
        self.t += 1
        d = g - (g if self.last is None else self.last)
        self.last = g
        self.a = 0.98 * self.a + 0.02 * g
        self.b = 0.92 * self.b + 0.08 * d
        self.c = 0.99 * self.c + 0.01 * (g + 0.92 * d) ** 2
        m = self.a / (1 - 0.98**self.t) + 0.92 * self.b / (1 - 0.92**self.t)
        return (p - lr * m / (np.sqrt(self.c / (1 - 0.99**self.t)) + EPS)) / (1 + lr * decay)


class _Lion(_Decoupled):
    def update(self, p, g, lr):
        p = p - lr * np.sign(0.9 * self.a + 0.1 * g)
        self.a = 0.99 * self.a + 0.01 * g
        return p


class _RMSProp(_L2):
    def __init__(self, param):
        super().__init__(param)
        self.b = np.ones_like(param)

    def update(self, p, g, lr):
        self.b = 0.9 * self.b + 0.1 * g**2
        self.a = 0.9 * self.a + lr * g / np.sqrt(self.b + EPS)
        return p - self.a


class _Adagrad(_L2):
    def update(self, p, g, lr):
        self.a = self.a + g**2
        return p - lr * g / (np.sqrt(0.1 + self.a) + EPS)


class _Lamb(_L2):
    def step(self, p, g, lr, decay):
        self.t += 1
        _moments(self, g)
        r = self.a / (1 - 0.9**self.t) / (np.sqrt(self.b / (1 - 0.999**self.t)) + EPS) + decay * p
        ratio = np.linalg.norm(p) / np.linalg.norm(r) if np.linalg.norm(p) > 0 else 1.0
        return p - lr * ratio * r


# case -> (name, arguments, formula, slots)
CASES = {
    "sgd": ("sgd", {}, _Momentum, ["accum"]),
    "sgd-nesterov": ("sgd", {"nesterov": True}, _Nesterov, ["accum"]),
    "momentum": ("momentum", {}, _Momentum, ["moments"]),
    "nesterov": ("nesterov", {}, _Nesterov, ["moments"]),
    "adam": ("adam", {}, _Adam, ["moment1", "moment2"]),
    "adam-nesterov": ("adam", {"nesterov": True}, _NesterovAdam, ["moment1", "moment2"]),
    "adamw": ("adamw", {}, _AdamW, ["adam_m", "adam_v"]),
    "lion": ("lion", {}, _Lion, ["lion_m"]),
    "nadam": ("nadam", {}, _NAdam, ["nadam_m", "nadam_v"]),
    "adan": ("adan", {}, _Adan, ["moment1", "moment2", "moment3", "prev_gradient"]),
    "rmsprop": ("rmsprop", {}, _RMSProp, ["mean_square", "moment"]),
    "adagrad": ("adagrad", {}, _Adagrad, ["accum"]),
    "lamb": ("lamb", {}, _Lamb, ["lamb_m", "lamb_v"]),
}


class _Step(nn.Cell):
    """The update as the training step calls it: inside a cell, with a tuple of gradients."""

    def __init__(self, optimizer):
        super().__init__(auto_prefix=False)
        self.optimizer = optimizer

    def construct(self, *gradients):
        return self.optimizer(gradients)


def _require_kernels(is_at_once, monkeypatch):
    """Has optimizers that are made from here on update all parameters at once, or by MindSpore's operators."""
    monkeypatch.setenv("MINDCV_CPU_KERNELS", str(int(is_at_once)))
    if is_at_once and not has_kernels():
        pytest.skip("the kernels were not built")


def _params(first=FIRST):
    return [Parameter(Tensor(values), name=name) for name, values in zip(NAMES, first, strict=True)]


def _run(optimizer, scale=1.0):
    step = _Step(optimizer)
    for gradients in GRADIENTS:
        step(*(Tensor(gradient * np.float32(scale)) for gradient in gradients))
    return [param.asnumpy() for param in optimizer.parameters]


def _expected(formula, decays=(DECAY, 0.0), lr_scales=(1.0, 1.0), lrs=LRS, first=FIRST):
    results = []
    for index, values in enumerate(first):
        p = values.astype(np.float64)
        rule = formula(p)
        for lr, gradients in zip(lrs, GRADIENTS, strict=True):
            p = rule.step(p, gradients[index].astype(np.float64), lr * lr_scales[index], decays[index])
        results.append(p)
    return results


def _assert_equal(results, expected):
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, wanted, rtol=1e-6, atol=1e-6)


def test_every_name_is_tested():
    assert {name for name, *_ in CASES.values()} == set(list_optimizers())


@pytest.mark.parametrize("is_at_once", [True, False], ids=["kernel", "operators"])
@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
@pytest.mark.parametrize("case", CASES)
def test_ten_steps_equal_the_formula(case, mode, is_at_once, monkeypatch):
    _require_kernels(is_at_once, monkeypatch)
    ms.set_context(mode=mode)
    name, arguments, formula, slots = CASES[case]
    optimizer = create_optimizer(
        _params(),
        name.upper(),
        lr=LRS,
        weight_decay=DECAY,
        weight_decay_filter="norm_and_bias",
        loss_scale=LOSS_SCALE,
        eps=EPS,
        **arguments,
    )
    assert isinstance(optimizer, nn.Optimizer)
    assert optimizer.is_at_once == is_at_once
    names = [param.name for param in optimizer.get_parameters()]
    assert len(names) == len(set(names))
    assert {f"{slot}.{param}" for slot in slots for param in NAMES} <= set(names)
    assert {param.split(".")[0] for param in names if param.endswith(NAMES)} - {"conv"} == set(slots)

    _assert_equal(_run(optimizer, LOSS_SCALE), _expected(formula))
    assert optimizer.global_step.asnumpy() == [STEPS]


@pytest.mark.parametrize("is_at_once", [True, False], ids=["kernel", "operators"])
@pytest.mark.parametrize("case", ["momentum", "adamw", "lamb"])
def test_groups_with_own_rates(case, is_at_once, monkeypatch):
    """A rate list and a decay in each group; groups given out of order; a single rate for the rest."""
    _require_kernels(is_at_once, monkeypatch)
    name, arguments, formula, _ = CASES[case]
    weight, bias = _params()
    groups = [
        {"params": [bias], "lr": [2 * lr for lr in LRS]},
        {"params": [weight], "weight_decay": 0.2},
        {"order_params": [weight, bias]},
    ]
    optimizer = create_optimizer(groups, name, lr=LRS, weight_decay=DECAY, eps=EPS, **arguments)
    assert [param.name for param in optimizer.parameters] == list(NAMES)
    _assert_equal(_run(optimizer), _expected(formula, decays=(0.2, DECAY), lr_scales=(1.0, 2.0)))


@pytest.mark.parametrize("case", ["momentum", "adam", "lion", "lamb"])
def test_class_without_groups_and_fixed_rate(case):
    """Without groups nn.Optimizer decays all but `beta` and `gamma`; a fixed rate holds for all steps."""
    name, _, formula, _ = CASES[case]
    cls = type(create_optimizer(_params(), name))
    eps = {} if name in ("momentum", "lion") else {"eps": EPS}
    optimizer = cls(_params(), learning_rate=0.01, weight_decay=DECAY, **eps)
    _assert_equal(_run(optimizer), _expected(formula, decays=(DECAY, DECAY), lrs=[0.01] * STEPS))


def test_last_rate_stays():
    results = _run(create_optimizer(_params(), "momentum", lr=LRS[:3]))
    _assert_equal(results, _expected(_Momentum, decays=(0, 0), lrs=LRS[:3] + [LRS[2]] * (STEPS - 3)))


@pytest.mark.parametrize("is_at_once", [True, False], ids=["kernel", "operators"])
@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_clip_is_to_a_norm_of_five(name, is_at_once, monkeypatch):
    _require_kernels(is_at_once, monkeypatch)
    optimizer = create_optimizer(_params(), name, lr=0.1, clip=True)
    gradients = [np.full(shape, 100.0, np.float32) for shape in SHAPES]
    optimizer(tuple(Tensor(gradient) for gradient in gradients))
    norm = np.sqrt(sum(float((gradient.astype(np.float64) ** 2).sum()) for gradient in gradients))
    slot = optimizer.moments1[0].asnumpy()
    np.testing.assert_allclose(slot, (0.1 if name == "adamw" else 0.01) * 100.0 * 5 / norm, rtol=1e-5)


def test_lamb_moves_parameters_that_are_zero():
    zeros = [np.zeros(shape, np.float32) for shape in SHAPES]
    results = _run(create_optimizer(_params(zeros), "lamb", lr=LRS, eps=EPS))
    _assert_equal(results, _expected(_Lamb, decays=(0, 0), first=zeros))


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def test_lamb_of_devices_without_the_operator(mode, monkeypatch):
    """Ascend and GPU have no operator that gives Adam's step; the CPU has one as long as MindSpore does."""
    _require_kernels(False, monkeypatch)
    ms.set_context(mode=mode)
    optimizer = create_optimizer(_params(), "lamb", lr=LRS, weight_decay=DECAY, eps=EPS)
    assert optimizer.adam_direction is not None
    optimizer.adam_direction = None
    _assert_equal(_run(optimizer), _expected(_Lamb, decays=(DECAY, DECAY)))


def test_zero_gradients_leave_parameters_alone():
    for name in list_optimizers():
        params = _params()
        optimizer = create_optimizer(params, name, lr=0.1)
        optimizer(tuple(Tensor(np.zeros(shape, np.float32)) for shape in SHAPES))
        for param, first in zip(params, FIRST, strict=True):
            np.testing.assert_array_equal(param.asnumpy(), first, err_msg=name)
