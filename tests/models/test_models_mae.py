"""MAE's pretraining: what is hidden stays hidden, the loss is that of the hidden patches, and it falls."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindcv.config import parse_args
from mindcv.export import export_model
from mindcv.models import build_network, create_model, list_models, load_model_checkpoint, model_entrypoint
from mindcv.models.layers import sincos_positions
from mindcv.weights import write_weights

SIDE, PATCH, PATCHES, VISIBLE = 32, 8, 16, 4


def make(**kwargs) -> nn.Cell:
    arguments = {
        "image_size": SIDE,
        "patch_size": PATCH,
        "embed_dim": 24,
        "depth": 2,
        "num_heads": 2,
        "decoder_embed_dim": 16,
        "decoder_depth": 1,
        "decoder_num_heads": 2,
    }
    return create_model("mae_b_16_224_pretrain", **{**arguments, **kwargs}).set_train(False)


def images(batch: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((batch, 3, SIDE, SIDE)).astype(np.float32)


def patches(x: np.ndarray) -> np.ndarray:
    """(N, patches, pixels), a loop over rows and columns."""
    cut = [
        x[:, :, row : row + PATCH, column : column + PATCH].transpose(0, 2, 3, 1).reshape(len(x), -1)
        for row in range(0, x.shape[2], PATCH)
        for column in range(0, x.shape[3], PATCH)
    ]
    return np.stack(cut, 1)


def paint(model: nn.Cell, x: np.ndarray, mask: Tensor) -> np.ndarray:
    visible, positions = model.order(mask)
    return model.decode(model.encode(Tensor(x), visible), positions).asnumpy()


def test_masks_hide_the_share_that_is_asked_for():
    model = make()
    masks = model.draw_mask(50, np.random.default_rng(1)).asnumpy()
    assert masks.shape == (50, PATCHES)
    assert set(np.unique(masks)) == {0, 1}
    assert (masks.sum(1) == PATCHES - VISIBLE).all()
    assert 0.5 < masks.mean(0).min() <= masks.mean(0).max() <= 1  # each patch is hidden at times and seen at times
    assert len(np.unique(masks, axis=0)) > 40
    assert make(mask_ratio=0.5).draw_mask(1, np.random.default_rng(1)).asnumpy().sum() == 8


def test_patches_go_back_where_they_came_from():
    model = make()
    mask = model.draw_mask(3, np.random.default_rng(2))
    visible, positions = model.order(mask)
    hidden = mask.asnumpy().astype(bool)
    for row, seen in enumerate(visible.asnumpy()):
        assert sorted(seen) == sorted(np.flatnonzero(~hidden[row]))
    tokens = np.random.default_rng(3).standard_normal((3, PATCHES, 5)).astype(np.float32)
    taken = model.take(Tensor(tokens), visible).asnumpy()
    blanks = np.full((3, PATCHES - VISIBLE, 5), 7, np.float32)
    back = model.take(Tensor(np.concatenate([taken, blanks], 1)), positions).asnumpy()
    np.testing.assert_array_equal(back, np.where(hidden[..., None], 7, tokens))


def test_hidden_patches_are_not_seen():
    model = make()
    x = images()
    mask = model.draw_mask(3, np.random.default_rng(4))
    hidden = mask.asnumpy().reshape(3, 1, 4, 4).repeat(PATCH, 2).repeat(PATCH, 3).astype(bool)
    painted = paint(model, x, mask)
    np.testing.assert_array_equal(paint(model, np.where(hidden, 9, x).astype(np.float32), mask), painted)
    other = paint(model, np.where(hidden, x, 9).astype(np.float32), mask)
    assert np.abs(other - painted).max() > 1e-2


@pytest.mark.parametrize("norm_pix_loss", [False, True])
def test_loss_is_that_of_the_hidden_patches(norm_pix_loss: bool):
    model = make(norm_pix_loss=norm_pix_loss)
    x = images()
    mask = model.draw_mask(3, np.random.default_rng(5))
    target = patches(x)
    if norm_pix_loss:
        target = (target - target.mean(-1, keepdims=True)) / np.sqrt(target.var(-1, keepdims=True) + 1e-6)
    error = ((paint(model, x, mask) - target) ** 2).mean(-1)
    expected = error[mask.asnumpy().astype(bool)].mean()
    np.testing.assert_allclose(float(model(Tensor(x), mask)), expected, rtol=1e-5)
    np.testing.assert_allclose(float(model(Tensor(x), mask.reshape((3, 4, 4)))), expected, rtol=1e-5)


def test_plain_patches_have_a_finite_loss():
    model = make()
    white = Tensor(np.ones((2, 3, SIDE, SIDE), np.float32))
    assert np.isfinite(float(model(*model.inputs_of(white))))


def test_patches_of_images_that_are_no_square():
    model = make(image_size=(16, 32))
    x = images()[:, :, :16]
    np.testing.assert_array_equal(model.patchify(Tensor(x)).asnumpy(), patches(x))
    np.testing.assert_array_equal(model.unpatchify(Tensor(patches(x))).asnumpy(), x)
    assert model.pos_embed.shape == (1, 9, 24)
    assert float(model(*model.inputs_of(Tensor(x)))) > 0


def test_positions():
    """First the column's sines and cosines, then the row's; the class token has no position."""
    table = sincos_positions(8, (2, 3), prefix=1)[0]
    assert table.shape == (7, 8)
    np.testing.assert_array_equal(table[0], 0)
    row, column = 1, 2
    expected = [wave(position * f) for position in (column, row) for wave in (np.sin, np.cos) for f in (1, 0.01)]
    np.testing.assert_allclose(table[1 + 3 * row + column], expected, rtol=1e-6)
    with pytest.raises(ValueError, match="the size of a token is 6; give a multiple of 4"):
        sincos_positions(6, (2, 2))


def test_the_loss_falls():
    """The network learns to continue gradients: its loss falls far below that of a guess, 1; in graph mode as well."""
    ms.set_seed(0)
    model = make()
    x = Tensor(images(16))
    eager = float(model(*model.inputs_of(x)))
    ms.set_context(mode=ms.GRAPH_MODE)
    model.set_train()
    step = nn.TrainOneStepCell(model, nn.Adam(model.trainable_params(), learning_rate=5e-3)).set_train()
    np.testing.assert_allclose(float(step(*model.inputs_of(x))), eager, rtol=1e-5)
    generator = np.random.default_rng(0)
    ramp = np.linspace(-1, 1, SIDE, dtype=np.float32)
    losses = []
    for _ in range(200):
        slopes = generator.standard_normal((16, 3, 2)).astype(np.float32)
        x = slopes[..., :1, None] * ramp[:, None] + slopes[..., 1:, None] * ramp
        losses.append(float(step(Tensor(x), model.draw_mask(16, generator))))
    assert np.mean(losses[:5]) > 0.9
    assert np.mean(losses[-10:]) < 0.5
    np.testing.assert_array_equal(model.pos_embed.asnumpy(), sincos_positions(24, (4, 4), prefix=1))


def test_fine_tuning_goes_on_from_the_encoder(tmp_path):
    model = make()
    write_weights(tmp_path / "w.ckpt", {p.name: p.asnumpy() for p in model.get_parameters()})
    tuned = create_model(
        "mae_b_16_224_finetune", image_size=SIDE, patch_size=PATCH, embed_dim=24, depth=2, num_heads=2, num_classes=3
    )
    report = load_model_checkpoint(tuned, str(tmp_path / "w.ckpt"), strict=False)
    assert set(report.missing) == {"fc_norm.gamma", "fc_norm.beta", "head.weight", "head.bias"}
    ours = {p.name: p.asnumpy() for p in model.get_parameters()}
    for name in report.loaded:
        np.testing.assert_array_equal({p.name: p for p in tuned.get_parameters()}[name].asnumpy(), ours[name])


def test_what_is_no_classifier_says_so(tmp_path):
    """The registry knows the kind by its class, which names no cell that gives logits."""
    others = [name for name in list_models() if not model_entrypoint(name).network.gives_logits]
    assert others == ["mae_b_16_224_pretrain", "mae_h_16_224_pretrain", "mae_l_16_224_pretrain"]
    model = make()
    message = "MaskedAutoencoder is no classifier: a MaskedAutoencoder has no classes to train, evaluate or export"
    for use in (
        model.get_classifier,
        lambda: model.reset_classifier(3),
        lambda: export_model(model, tmp_path / "m.onnx"),
    ):
        with pytest.raises(ValueError, match=message):
            use()
    assert not list(tmp_path.iterdir())
    cfg = parse_args(["--model", "mae_b_16_224_pretrain"])
    with pytest.raises(ValueError, match="mae_b_16_224_pretrain is no classifier: a MaskedAutoencoder has"):
        build_network(cfg, num_classes=10)
    with pytest.raises(ValueError, match="num_classes: mae_b_16_224_pretrain has no classes; leave it out"):
        make(num_classes=10)
    assert model.default_cfg.classifier == ""


@pytest.mark.parametrize("ratio", [0.0, 0.99])
def test_a_mask_hides_some_and_leaves_some(ratio: float):
    with pytest.raises(ValueError, match=rf"mask_ratio is {ratio}, which leaves (16|0) of 16 patches"):
        make(mask_ratio=ratio)
