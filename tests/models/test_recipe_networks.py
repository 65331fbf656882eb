"""What a recipe says of its network holds: all of them build, and the `_cpu` ones make a step of training."""

from pathlib import Path

import numpy as np
import pytest
from mindspore import nn

from mindcv import build, engine
from mindcv.config import load_recipe
from mindcv.models.layers import DropPath

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.zoo
@pytest.mark.usefixtures("undrawn_weights")
@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in CONFIGS.glob("*/*_*.yaml")}), ids=lambda path: path.name
)
def test_networks_build(folder):
    """With the classes, dropout, drop path and image size of the recipe."""
    for path in sorted(folder.glob("*_ascend.yaml")):
        cfg = load_recipe(str(path))
        network = build.build_network(cfg, cfg.num_classes)
        assert network.num_classes == cfg.num_classes, path
        paths = [cell for _, cell in network.cells_and_names() if isinstance(cell, DropPath)]
        inside = {id(cell.dropout) for cell in paths}
        drops = [
            cell.p for _, cell in network.cells_and_names() if isinstance(cell, nn.Dropout) and id(cell) not in inside
        ]
        for rate, rates in ((cfg.drop_rate, drops), (cfg.drop_path_rate, [cell.drop_prob for cell in paths])):
            assert not rate or max(rates) == pytest.approx(rate), (path, rate, rates)


@pytest.mark.zoo
@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*/*_cpu.yaml")), ids=lambda path: path.stem)
def test_a_step(path):
    """At the recipe's image size and rate, eagerly, with a smaller batch."""
    cfg = load_recipe(str(path)).model_copy(update={"mode": 1, "batch_size": 4, "num_samples": 8})
    engine.setup_run(cfg.device_target, cfg.mode, cfg.jit_level, cfg.distribute, cfg.seed)
    loader, num_classes = build.build_train_loader(cfg)
    network = build.build_network(cfg, num_classes)
    step = build.build_step(cfg, network, num_classes, [cfg.lr])
    step.set_train(True)
    feed = build.build_feed(cfg, step, loader, "CPU", 0)
    feed.begin_epoch(0, 0)
    parameters = network.trainable_params()
    before = [parameter.asnumpy().copy() for parameter in parameters]
    loss = feed.run_step().asnumpy()
    assert loss.shape == ()
    assert 0.5 < loss < 20  # ten classes: 2.3 where nothing is known
    after = [parameter.asnumpy() for parameter in parameters]
    assert all(np.isfinite(array).all() for array in after)
    changed = [np.any(old != new) for old, new in zip(before, after, strict=True)]
    assert np.mean(changed) > 0.9
