"""Names of PyTorch and MindSpore."""

import numpy as np
import pytest

from mindcv.weights.naming import NameTable, from_torch, is_mindspore, is_torch, join_rows, split_rows, to_torch

pytestmark = pytest.mark.no_mindspore


def arrays(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    return {name.replace("__", "."): np.ones(shape, np.float32) for name, shape in shapes.items()}


BATCH_NORM = arrays(
    bn__weight=(4,), bn__bias=(4,), bn__running_mean=(4,), bn__running_var=(4,), bn__num_batches_tracked=()
)
CONV = arrays(conv__weight=(4, 3, 1, 1), conv__bias=(4,))


@pytest.mark.parametrize(
    ("torch_arrays", "model_names", "names"),
    [
        (BATCH_NORM, None, ["bn.gamma", "bn.beta", "bn.moving_mean", "bn.moving_variance"]),
        (BATCH_NORM, [], ["bn.gamma", "bn.beta", "bn.moving_mean", "bn.moving_variance"]),
        (CONV, None, ["conv.weight", "conv.bias"]),
        (arrays(norm__weight=(4,), norm__bias=(4,)), None, ["norm.gamma", "norm.beta"]),
        (arrays(norm__weight=(4,), norm__bias=(4,)), ["norm.gamma", "norm.beta"], ["norm.gamma", "norm.beta"]),
        (arrays(odd__weight=(4,), odd__bias=(4,)), ["odd.weight", "odd.bias"], ["odd.weight", "odd.bias"]),
        (arrays(prelu__weight=(4,)), None, ["prelu.weight"]),
        (arrays(scale__gamma=(4,)), None, ["scale.gamma"]),
        (arrays(words__weight=(4, 2)), ["words.embedding_table"], ["words.embedding_table"]),
        (arrays(cls_token=(1, 1, 4), weight=(4,)), None, ["cls_token", "weight"]),
        (arrays(bn__gamma=(4,), bn__beta=(4,), bn__moving_mean=(4,)), None, ["bn.gamma", "bn.beta", "bn.moving_mean"]),
    ],
)
def test_from_torch(torch_arrays: dict, model_names: list[str] | None, names: list[str]) -> None:
    renamed = from_torch(torch_arrays, model_names)
    assert list(renamed) == names
    assert from_torch(renamed, model_names) == renamed


def test_to_torch_and_back() -> None:
    ours = {
        "conv.weight": np.ones((4, 3, 1, 1)),
        "bn.moving_mean": np.full(4, 1.0),
        "bn.moving_variance": np.full(4, 2.0),
        "bn.gamma": np.full(4, 3.0),
        "bn.beta": np.full(4, 4.0),
        "norm.gamma": np.full(4, 5.0),
        "norm.beta": np.full(4, 6.0),
        "scale.gamma": np.full(4, 7.0),
        "cls_token": np.ones((1, 1, 4)),
    }
    theirs = to_torch(ours)
    assert {name: array.flat[0] for name, array in theirs.items()} == {
        "conv.weight": 1,
        "bn.weight": 3,
        "bn.bias": 4,
        "bn.running_mean": 1,
        "bn.running_var": 2,
        "bn.num_batches_tracked": 0,
        "norm.weight": 5,
        "norm.bias": 6,
        "scale.gamma": 7,
        "cls_token": 1,
    }
    assert list(theirs)[1:6] == list(BATCH_NORM)
    assert theirs["bn.num_batches_tracked"].dtype == np.int64
    back = from_torch(theirs)
    assert set(back) == set(ours)
    assert all(np.array_equal(back[name], ours[name]) for name in ours)
    assert list(to_torch({"words.embedding_table": np.ones((2, 2))})) == ["words.weight"]


TABLE = NameTable(
    ("fc.*", "classifier.*"),
    ("layer0.conv1.*", "layer0.0.*"),
    ("**.downsample.**", "**.down_sample.**"),
    ("layer*.*.se.fc1.*", "layer*.*.se_module.conv_reduce.*"),
)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("fc.weight", "classifier.weight"),
        ("layer0.conv1.weight", "layer0.0.weight"),
        ("layer1.0.downsample.1.gamma", "layer1.0.down_sample.1.gamma"),
        ("layer3.15.se.fc1.bias", "layer3.15.se_module.conv_reduce.bias"),
        ("conv1.weight", "conv1.weight"),
        ("head.fc.weight", "head.fc.weight"),
    ],
)
def test_name_table_both_ways(theirs: str, ours: str) -> None:
    assert TABLE.to_ours({theirs: 1}) == {ours: 1}
    assert TABLE.to_theirs({ours: 1}) == {theirs: 1}


def test_name_table_never_loses_an_entry() -> None:
    with pytest.raises(
        ValueError, match=r"two entries would be called 'classifier.weight', one of them 'classifier.weight'"
    ):
        TABLE.to_ours({"fc.weight": 1, "classifier.weight": 2})
    with pytest.raises(ValueError, match="have different stars"):
        NameTable(("a.*", "b.**"))


@pytest.mark.parametrize(
    ("shapes", "is_mindspores", "is_torchs"),
    [
        ({"norm__gamma": (4,), "norm__beta": (4,), "fc__weight": (2, 4)}, True, False),
        ({"norm__weight": (4,), "norm__bias": (4,), "fc__weight": (2, 4)}, False, True),
        # a scale that both frameworks call gamma (ConvNeXt, LayerScale)
        ({"block__gamma": (4,), "norm__weight": (4,), "norm__bias": (4,)}, False, True),
        ({"block__gamma": (4,), "norm__gamma": (4,), "norm__beta": (4,)}, True, False),
        ({"fc__weight": (2, 4)}, False, False),
    ],
)
def test_which_framework_named_the_entries(shapes, is_mindspores: bool, is_torchs: bool) -> None:
    entries = arrays(**shapes)
    assert (is_mindspore(entries), is_torch(entries)) == (is_mindspores, is_torchs)


def test_joint_layers_are_cut_and_joined():
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)
    joint = {"a.attn.qkv.weight": rows, "a.attn.qkv.bias": rows[:, 0], "a.proj.weight": rows, "qkv": rows}
    cut = split_rows(joint, "qkv", ("q", "k", "v"))
    assert list(cut)[:3] == ["a.attn.q.weight", "a.attn.k.weight", "a.attn.v.weight"]
    assert cut["a.attn.k.weight"].tolist() == [[4, 5], [6, 7]]
    assert cut["a.attn.v.bias"].tolist() == [8, 10]
    assert {name: array.tolist() for name, array in join_rows(cut, "qkv", ("q", "k", "v")).items()} == {
        name: array.tolist() for name, array in joint.items()
    }
    lone = {"a.attn.q.weight": rows}
    assert join_rows(lone, "qkv", ("q", "k", "v")) == lone
