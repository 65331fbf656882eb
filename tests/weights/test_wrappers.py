"""Which arrays of a training's file are the model's."""

from pathlib import Path

import numpy as np
import pytest

from mindcv.weights import read_weights, write_ckpt
from mindcv.weights._arrays import BadWeightFile, LazyArray
from mindcv.weights.wrappers import select_weights

pytestmark = pytest.mark.no_mindspore


def array(value: float) -> LazyArray:
    return LazyArray((), lambda: np.array(value))


def values(tree: dict, ema: bool = False) -> dict[str, float]:
    return {name: found.load().item() for name, found in select_weights(tree, ema=ema).items()}


@pytest.mark.parametrize(
    ("tree", "raw", "ema"),
    [
        ({"a": 1, "b.c": 2}, {"a": 1, "b.c": 2}, None),
        ({"module.a": 1, "module.b": 2}, {"a": 1, "b": 2}, None),
        ({"module._orig_mod.a": 1}, {"a": 1}, None),
        ({"module.a": 1, "b": 2}, {"module.a": 1, "b": 2}, None),
        ({"model": {"a": 1}, "optimizer": {"state": {}}, "epoch": 3}, {"a": 1}, None),
        ({"state_dict": {"a": 1}, "state_dict_ema": {"a": 2}}, {"a": 1}, {"a": 2}),
        ({"model": {"a": 1}, "model_ema": {"module.a": 2, "n_averaged": 9}}, {"a": 1}, {"a": 2}),
        ({"model": {"state_dict": {"a": 1}, "state_dict_ema": {"a": 2}}}, {"a": 1}, {"a": 2}),
        ({"state_dict_ema": {"a": 2}}, None, {"a": 2}),
        # MindSpore's flat files
        ({"a.weight": 1, "moments.a.weight": 5, "learning_rate": 6, "global_step": 7}, {"a.weight": 1}, None),
        (
            {"a.gamma": 1, "a.moving_mean": 2, "ema.a.gamma": 3, "accum.a.gamma": 4, "stat.a.gamma": 5, "momentum": 6},
            {"a.gamma": 1, "a.moving_mean": 2},
            {"a.gamma": 3, "a.moving_mean": 2},
        ),
        ({"ema.a": 3}, None, {"a": 3}),
        # A model may have parts of such names.
        ({"moments.a": 1, "stat.b": 2, "fc.weight": 3}, {"moments.a": 1, "stat.b": 2, "fc.weight": 3}, None),
    ],
)
def test_selection(tree: dict, raw: dict | None, ema: dict | None) -> None:
    def make(value):
        return {key: make(item) for key, item in value.items()} if isinstance(value, dict) else array(value)

    for wanted, is_ema in ((raw, False), (ema, True)):
        if wanted is None:
            with pytest.raises(BadWeightFile, match="averaged"):
                select_weights(make(tree), ema=is_ema)
        else:
            assert values(make(tree), is_ema) == wanted


def test_training_checkpoint(tmp_path: Path) -> None:
    write_ckpt(
        tmp_path / "a.ckpt",
        {
            "fc.weight": np.ones(2, np.float32),
            "ema.fc.weight": np.zeros(2, np.float32),
            "moment1.fc.weight": np.ones(2, np.float32),
            "moment1.ema.fc.weight": np.ones(2, np.float32),
            "note": np.array("text"),
            "epoch_num": np.array(3),
        },
    )
    assert {name: value.sum() for name, value in read_weights(tmp_path / "a.ckpt").items()} == {"fc.weight": 2}
    assert {name: value.sum() for name, value in read_weights(tmp_path / "a.ckpt", ema=True).items()} == {
        "fc.weight": 0
    }
