"""What ViT is the first to try: image sizes, tokens in front, maps of tokens."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from resize_cases import resize_cases

from mindcv.models import checkpoint_marks, create_model
from mindcv.optim.param_groups import create_param_groups
from mindcv.weights import write_weights
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
