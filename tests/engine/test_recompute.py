"""Gradient checkpointing: the compiled step computes the blocks twice, and all results stay the same."""

import re

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindcv.engine import LossWithNetwork, TrainStep, auto_mixed_precision, recompute_blocks
from mindcv.engine.checkpoint import cell_arrays
from mindcv.engine.sync_batch_norm import SyncBatchNorm
from mindcv.kernels import onednn
from mindcv.models import create_model
from mindcv.models.resnet import BasicBlock
from mindcv.optim import create_optimizer
from mindcv.utils.cells import replace_cells


class Net(nn.Cell):
    """A stem, a block with drop path, and dropout."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, weight_init="normal")
        self.layer1 = nn.SequentialCell(BasicBlock(4, 4, drop_path_rate=0.5), nn.Dropout(p=0.2))
        self.classifier = nn.Dense(4, 3)

    def construct(self, x):
        return self.classifier(self.layer1(self.conv1(x)).mean((2, 3)))

    def group_matcher(self):
        return {"blocks": r"^layer1\.(0)\."}


def run(is_recomputed, amp_level, prepare, folder=None):
    """Arrays after two steps; with a folder the compiled step is written into it."""
    ms.set_seed(2)
    network = Net()
    prepare(network)
    optimizer = create_optimizer(network, "momentum", 0.1)
    mixed = auto_mixed_precision(network, amp_level)
    if is_recomputed:
        assert recompute_blocks(network) == 1
    step = TrainStep(LossWithNetwork(mixed, nn.CrossEntropyLoss()), optimizer).set_train(True)
    random = np.random.RandomState(0)
    x = ms.Tensor(random.standard_normal((4, 3, 8, 8)), ms.float32)
    if folder:
        ms.set_context(save_graphs=1, save_graphs_path=str(folder))
    losses = [float(step(x, ms.Tensor([0, 1, 2, 1], ms.int32)).asnumpy()) for _ in range(2)]
    if folder:
        ms.set_context(save_graphs=0)
    return {**cell_arrays(step), "losses": np.array(losses)}


def count(folder, operator):
    (graph,) = folder.rglob("*_validate_*.ir")
    return len(re.findall(rf"= (?:PrimFunc_)?{operator}\(", graph.read_text()))


def synchronize(network):
    """SyncBatchNorm without other ranks."""

    class OneRank(nn.Cell):
        def construct(self, x):
            return x * 1.0

        def recompute(self, mode):
            assert mode is False

    def replace(cell):
        if type(cell) is not nn.BatchNorm2d:
            return None
        new = SyncBatchNorm(cell)
        new.sum_over_ranks = OneRank()
        return new

    replace_cells(network, replace)


@pytest.mark.parametrize(
    ("amp_level", "prepare", "tolerance"),
    # Operators of the second are fused otherwise; the third is by the CPU kernels, where they are built.
    [("O2", lambda network: None, 0), ("O0", synchronize, 2e-5), ("O0", lambda network: None, 2e-5)],
)
def test_blocks_are_computed_twice_and_nothing_else_changes(tmp_path, amp_level, prepare, tolerance, monkeypatch):
    ms.set_context(mode=ms.GRAPH_MODE)
    if not tolerance:  # whose graph is read, for MindSpore's operators
        monkeypatch.setattr(onednn, "start", lambda: onednn.Status(None, "off"))
    kept = run(False, amp_level, prepare)
    recomputed = run(True, amp_level, prepare, None if tolerance else tmp_path)
    for name, array in kept.items():
        np.testing.assert_allclose(recomputed[name], array, rtol=0, atol=tolerance, err_msg=name)
    if not tolerance:
        assert count(tmp_path, "Conv2D") > 1 + 2
        assert count(tmp_path, "BatchNorm") == 2, "one that is computed twice moves its statistics twice"


@pytest.mark.parametrize(("name", "blocks"), [("resnet18", 8), ("resnext50_32x4d", 16), ("seresnet50", 16)])
def test_the_blocks_of_the_networks_are_found(name, blocks, caplog):
    caplog.set_level("INFO")
    assert recompute_blocks(create_model(name, num_classes=2)) == blocks
    assert f"recompute: {blocks} blocks" in caplog.text


def test_a_network_must_say_what_its_blocks_are():
    with pytest.raises(ValueError, match=r"recompute: Dense does not say what its blocks are; give it a group_matcher"):
        recompute_blocks(nn.Dense(2, 2))
