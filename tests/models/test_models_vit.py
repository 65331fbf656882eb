"""What ViT is the first to try: image sizes, tokens in front, maps of tokens."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from resize_cases import resize_cases

from mindcv.build import build_step
from mindcv.config import Config
from mindcv.models import checkpoint_marks, create_model
from mindcv.optim.param_groups import create_param_groups
from mindcv.weights import write_ckpt, write_weights
from mindcv.weights.resize import resize_planes

SMALL = {"embed_dim": 8, "depth": 3, "num_heads": 2, "num_classes": 3}
CASES = [case for case in resize_cases() if case.old == (7, 7) and case.prefix == 1]


def image(height: int, width: int) -> Tensor:
    return Tensor(np.random.RandomState(0).standard_normal((2, 3, height, width)).astype(np.float32))


@pytest.mark.parametrize("argument", ["checkpoint_path", "pretrained"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_of_224_is_fitted_to_another_size(case, argument, tmp_path):
    """Position embeddings become what timm makes of them; everything else stays."""
    path = str(tmp_path / "w.ckpt")
    arrays = {p.name: p.asnumpy() for p in create_model("vit_b_32_224", **SMALL).get_parameters()}
    write_weights(path, {**arrays, "pos_embed": case.entry})
    size = (32 * case.new[0], 32 * case.new[1])
    model = create_model("vit_b_32_224", **SMALL, image_size=size, **{argument: path}).set_train(False)
    for parameter in model.get_parameters():
        if parameter.name == "pos_embed":
            np.testing.assert_allclose(parameter.asnumpy(), case.expected, rtol=0, atol=1e-4)
        else:
            np.testing.assert_array_equal(parameter.asnumpy(), arrays[parameter.name])
    assert model.default_cfg.input_size == (3, *size)
    assert model(image(*size)).shape == (2, 3)


def planes(network) -> np.ndarray:
    """The positions of a network's patches: (D, rows, columns)."""
    rows, columns = network.patch_embed.grid_size
    return network.pos_embed.asnumpy()[0, 1:].T.reshape(-1, rows, columns)


@pytest.mark.parametrize(
    ("old", "new"), [((64, 96), (96, 64)), ((64, 256), (128, 128)), ((128, 128), (64, 256)), ((64, 96), (128, 96))]
)
def test_a_file_tells_its_grid(old, new, tmp_path):
    """As many positions in rows of another length are other positions."""
    path = tmp_path / "w.ckpt"
    network = create_model("vit_b_32_224", **SMALL, image_size=old)
    write_weights(path, {p.name: p.asnumpy() for p in network.get_parameters()} | checkpoint_marks(network))
    fitted = create_model("vit_b_32_224", **SMALL, image_size=new, checkpoint_path=str(path))
    expected = resize_planes(planes(network), fitted.patch_embed.grid_size)
    np.testing.assert_allclose(planes(fitted), expected, rtol=0, atol=1e-6)
    same = create_model("vit_b_32_224", **SMALL, image_size=old, checkpoint_path=str(path))
    np.testing.assert_array_equal(same.pos_embed.asnumpy(), network.pos_embed.asnumpy())


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
def test_an_image_of_another_size_is_refused(mode):
    ms.set_context(mode=mode)
    model = create_model("vit_b_32_224", **SMALL, image_size=(64, 96))
    with pytest.raises(ValueError, match=r"images of 96x64 for a network of 64x96; resize them, or create the network"):
        model(image(96, 64))


@pytest.mark.parametrize("size", [100, (64, 100), 16])
def test_an_image_of_parts_of_patches_is_refused(size):
    with pytest.raises(ValueError, match=r"image_size is \d+x\d+; give multiples of the patch's side, 32"):
        create_model("vit_b_32_224", image_size=size)


@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
@pytest.mark.parametrize("out_indices", [(0,), (2, 0), (-1, 1, -1)])
def test_maps_are_the_patches_behind_each_block(out_indices, mode):
    ms.set_context(mode=mode)
    arguments = {**SMALL, "image_size": (64, 96)}
    whole = create_model("vit_b_32_224", **arguments).set_train(False)
    some = create_model("vit_b_32_224", **arguments, features_only=True, out_indices=out_indices).set_train(False)
    weights = {parameter.name: parameter for parameter in whole.get_parameters()}
    for parameter in some.get_parameters():
        parameter.set_data(weights[parameter.name].value())
    ms.set_context(mode=ms.PYNATIVE_MODE)
    tokens = [output.asnumpy() for output in whole.forward_stages(image(64, 96))]
    ms.set_context(mode=mode)
    maps = some(image(64, 96))
    assert len(maps) == len(out_indices)
    for got, index in zip(maps, out_indices, strict=True):
        expected = tokens[index][:, 1:].transpose(0, 2, 1).reshape(2, 8, 2, 3)
        np.testing.assert_allclose(got.asnumpy(), expected, rtol=1e-4, atol=1e-5)
    blocks = {name.split(".")[1] for name in (p.name for p in some.get_parameters()) if name.startswith("blocks.")}
    assert len(blocks) == max(index % 3 for index in out_indices) + 1


def test_tokens_have_the_stems_rate_and_no_decay():
    model = create_model("vit_b_32_224", **SMALL, image_size=64)
    groups = create_param_groups(model, 1.0, 0.1, layer_decay=0.5)
    rates = {p.name: (group["lr"], group["weight_decay"]) for group in groups[:-1] for p in group["params"]}
    assert rates["cls_token"] == rates["pos_embed"] == (0.5**4, 0.0)
    assert rates["patch_embed.proj.weight"] == (0.5**4, 0.1)
    assert rates["blocks.0.attn.qkv.weight"] == (0.5**3, 0.1)
    assert rates["blocks.2.mlp.fc2.weight"] == (0.5, 0.1)
    assert rates["norm.gamma"] == (0.5, 0.0)
    assert rates["head.weight"] == (1.0, 0.1)


def test_the_mean_of_the_patches_may_be_read():
    """`global_pool="avg"`: the norm is that of the mean without the class token."""
    model = create_model("vit_b_32_224", **SMALL, image_size=64, global_pool="avg").set_train(False)
    tokens = model.forward_stages(image(64, 64))[-1].asnumpy()[:, 1:].mean(1)
    centred = tokens - tokens.mean(1, keepdims=True)
    expected = centred / np.sqrt(centred.var(1, keepdims=True) + 1e-7)
    np.testing.assert_allclose(model.forward_features(image(64, 64)).asnumpy(), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="global_pool is 'map'; give 'token' or 'avg'"):
        create_model("vit_b_32_224", global_pool="map")


def deit(**arguments):
    sizes = {"image_size": 32, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5}
    return create_model("deit_tiny_distilled_patch16_224", **{**sizes, **arguments})


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE], ids=["graph", "pynative"])
def test_deit_gives_the_mean_of_its_two_heads_and_both_to_a_teacher(mode):
    ms.set_context(mode=mode)
    network = deit().set_train(False)
    images = ms.Tensor(np.random.RandomState(0).standard_normal((2, 3, 32, 32)).astype(np.float32))
    tokens = network.forward_features(images).asnumpy()
    assert tokens.shape == (2, 2 + 4, 24)
    heads = [
        tokens[:, index] @ cell.weight.asnumpy().T + cell.bias.asnumpy()
        for index, cell in enumerate((network.head, network.head_dist))
    ]
    np.testing.assert_allclose(network(images).asnumpy(), (heads[0] + heads[1]) / 2, rtol=1e-4, atol=1e-5)
    assert np.abs(heads[0] - heads[1]).max() > 0.01
    network.set_train(True)
    np.testing.assert_allclose(network(images).asnumpy(), (heads[0] + heads[1]) / 2, rtol=1e-4, atol=1e-5)
    network.is_distilling = True
    network.compile_cache.clear()
    for got, expected in zip(network(images), heads, strict=True):
        np.testing.assert_allclose(got.asnumpy(), expected, rtol=1e-4, atol=1e-5)


def test_deit_has_timms_names_and_is_fitted_to_other_sizes(tmp_path):
    network = deit()
    theirs = network.to_torch({path: parameter.asnumpy() for path, parameter in network.parameters_and_names()})
    assert {"cls_token", "dist_token", "pos_embed", "head.weight", "head_dist.weight", "head_dist.bias"} < set(theirs)
    assert theirs["pos_embed"].shape == (1, 2 + 4, 24)
    path = tmp_path / "deit.ckpt"
    write_ckpt(path, {name: parameter.asnumpy() for name, parameter in network.parameters_dict().items()})
    larger = deit(image_size=64, checkpoint_path=str(path))
    np.testing.assert_array_equal(larger.pos_embed.asnumpy()[:, :2], network.pos_embed.asnumpy()[:, :2])
    assert larger.pos_embed.shape == (1, 2 + 16, 24)
    assert network.no_weight_decay() == {"cls_token", "dist_token", "pos_embed"}
    network.reset_classifier(7)
    assert network.head.weight.shape == network.head_dist.weight.shape == (7, 24)
    with pytest.raises(ValueError, match="a distilled network reads its tokens: give 'token'"):
        deit(global_pool="avg")


def test_the_head_of_deits_token_learns_from_the_teacher_alone():
    """With alpha 1 the labels teach nothing: the class token's head stays. With next to 0 it is the other way round."""
    images = ms.Tensor(np.random.RandomState(0).standard_normal((4, 3, 32, 32)).astype(np.float32))
    labels = ms.Tensor(np.arange(4), ms.int32)
    for alpha, still, moved in ((1.0, "head.weight", "head_dist.weight"), (1e-12, "head_dist.weight", "head.weight")):
        ms.set_seed(1)
        network, teacher = deit(), deit()
        keys = {"teacher": "resnet18", "distill": "hard", "distill_alpha": alpha, "opt": "sgd", "momentum": 0.0}
        step = build_step(Config(**keys, weight_decay=0.0), network, 5, [0.1], teacher=teacher).set_train(True)
        before = {name: step.parameters_dict()[name].asnumpy().copy() for name in (still, moved)}
        step(images, labels)
        np.testing.assert_array_equal(step.parameters_dict()[still].asnumpy(), before[still])
        assert np.abs(step.parameters_dict()[moved].asnumpy() - before[moved]).max() > 1e-5
        assert network.set_train(False)(images).shape == (4, 5)
