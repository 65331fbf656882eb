"""Mixed precision by level: which cells compute in fp16, and that weights and results stay fp32."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindcv.engine import amp, auto_mixed_precision

OUTPUT_TYPES = {}


class SpyingConv2d(nn.Conv2d):
    def construct(self, x):
        x = super().construct(x)
        OUTPUT_TYPES["conv"] = x.dtype
        return x


class SpyingBatchNorm2d(nn.BatchNorm2d):
    def construct(self, x):
        x = super().construct(x)
        OUTPUT_TYPES["bn"] = x.dtype
        return x


class SpyingDense(nn.Dense):
    def construct(self, x):
        x = super().construct(x)
        OUTPUT_TYPES["dense"] = x.dtype
        return x


class Net(nn.Cell):
    def __init__(self, conv=nn.Conv2d, norm=nn.BatchNorm2d, dense=nn.Dense):
        super().__init__()
        self.blocks = nn.SequentialCell(conv(3, 4, 3, weight_init="normal"), norm(4))
        self.relu = nn.ReLU()
        self.dense = dense(4, 5)

    def construct(self, x):
        return self.dense(self.relu(self.blocks(x)).mean((2, 3)))


def image():
    return ms.Tensor(np.random.RandomState(0).standard_normal((2, 3, 8, 8)).astype(np.float32))


@pytest.mark.parametrize(
    ("level", "names", "half"),
    [
        ("O0", None, ""),
        ("O1", None, "conv dense"),
        ("O1", "[nn.Dense]", "dense"),
        ("O1", "Conv2d", "conv"),
        ("O1", ["nn.Dense", "Conv2d"], "conv dense"),
        ("O2", None, "conv dense"),
        ("O2", " nn.Dense , nn.LayerNorm", "conv bn"),
        ("O3", None, "conv bn dense"),
    ],
)
def test_which_cells_compute_in_fp16(level, names, half):
    network = Net(SpyingConv2d, SpyingBatchNorm2d, SpyingDense)
    parameters = list(network.parameters_dict())
    mixed = auto_mixed_precision(network, level, names)
    output = mixed(image())
    assert {name for name, dtype in OUTPUT_TYPES.items() if dtype == ms.float16} == set(half.split())
    assert output.dtype == ms.float32
    assert list(mixed.parameters_dict()) == parameters
    assert {parameter.dtype for parameter in mixed.get_parameters()} == {ms.float32}


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
@pytest.mark.parametrize("level", ["O1", "O2", "O3", "auto"])
def test_results_are_those_of_fp32_within_fp16s_precision(level, mode):
    """Three layers of products that each round by 5e-4."""
    ms.set_context(mode=mode)
    plain, mixed = Net().set_train(False), Net()
    ms.load_param_into_net(mixed, plain.parameters_dict())
    expected = plain(image()).asnumpy()
    got = auto_mixed_precision(mixed, level).set_train(False)(image()).asnumpy().astype(np.float32)
    assert np.abs(got - expected).max() <= 5e-3 * np.abs(expected).max()
    assert not np.array_equal(got, expected)


def test_o1_of_a_single_cell():
    cell = nn.Dense(3, 2)
    assert auto_mixed_precision(cell, "O1")(ms.Tensor(np.ones((1, 3), np.float32))).dtype == ms.float32


@pytest.mark.parametrize(
    ("level", "names", "message"),
    [
        ("O4", None, "unknown amp_level 'O4'"),
        ("o2", None, "unknown amp_level 'o2'; did you mean 'O2'"),
        ("O1", "[nn.Dens]", "mindspore.nn has no cell 'Dens'; did you mean 'Dense'"),
        ("O0", "[nn.Dense]", "amp_level O0 has no list; use O1 or O2"),
    ],
)
def test_what_is_refused(level, names, message):
    with pytest.raises(ValueError, match=message):
        auto_mixed_precision(Net(), level, names)


class SpyingHead(nn.Dense):
    """Tells what it computes in; the CPU can add in bfloat16, but not multiply."""

    def construct(self, x):
        x = x + x
        OUTPUT_TYPES["head"] = x.dtype
        return x


@pytest.mark.parametrize(
    ("level", "names"), [("O1", None), ("O1", "[nn.Dense]"), ("O2", None), ("O2", "nn.Conv2d"), ("O3", None)]
)
def test_half_precision_may_be_bfloat16(level, names, monkeypatch):
    monkeypatch.setattr(amp, "_require_bfloat16", lambda: None)
    monkeypatch.setattr(amp.onednn, "start", lambda: amp.onednn.Status(None, "off"))
    network = nn.SequentialCell(SpyingHead(4, 4))
    mixed = auto_mixed_precision(network, level, names, amp_dtype="bfloat16")
    output = mixed(ms.Tensor(np.ones((2, 4), np.float32)))
    assert OUTPUT_TYPES["head"] == ms.bfloat16
    assert output.dtype == ms.float32
    assert {parameter.dtype for parameter in network.get_parameters()} == {ms.float32}


def test_bfloat16_is_refused_where_it_does_not_work(monkeypatch):
    monkeypatch.setattr(amp.onednn, "start", lambda: amp.onednn.Status(None, "off"))
    message = r"^amp_dtype 'bfloat16' is not available on this CPU \(.+\); use amp_level: O0: float16 is slower .* CPU$"
    for status in (amp.onednn.Status(None, "off"), amp.onednn.Status("convolution.so", "on", has_bf16=False)):
        monkeypatch.setattr(amp.onednn, "start", lambda status=status: status)
        with pytest.raises(ValueError, match=message):
            auto_mixed_precision(Net(), "O2", amp_dtype="bfloat16")
    monkeypatch.setattr(amp.onednn, "start", lambda: amp.onednn.Status("convolution.so", "on", has_bf16=True))
    with pytest.raises(ValueError, match=r"CPU \(the CPU kernels have it at amp_level O1 and O2\); use amp_level: O2$"):
        auto_mixed_precision(Net(), "O3", amp_dtype="bfloat16")
    assert auto_mixed_precision(Net(), "O0", amp_dtype="bfloat16")(image()).dtype == ms.float32
    with pytest.raises(ValueError, match="unknown amp_dtype 'bf16'"):
        auto_mixed_precision(Net(), "O2", amp_dtype="bf16")
    # Elsewhere it is tried, which on this device shows what a device without it says.
    monkeypatch.setattr(amp.ms, "get_context", lambda name: "Ascend")
    with pytest.raises(ValueError, match=r"Ascend \([^\n]+\); .*; use amp_dtype: float16$") as refused:
        auto_mixed_precision(Net(), "O1", amp_dtype="bfloat16")
    assert "\n" not in str(refused.value)
    sixteen = ms.Tensor(np.full((1, 16, 4, 4), 16), ms.float32)
    monkeypatch.setattr(amp.ops, "conv2d", lambda images, weight, pad_mode: sixteen)
    auto_mixed_precision(Net(), "O1", amp_dtype="bfloat16")
