"""What CrossViT is the first to try: images that the network resizes itself, and two heads whose mean counts."""

import numpy as np
import pytest
from mindspore import Tensor, ops

from mindcv.build import build_network
from mindcv.config import Config
from mindcv.models import create_model
from mindcv.models.layers import resize_bicubic, resize_bilinear
from mindcv.weights import write_weights

SMALL = {"embed_dims": (8, 16), "depths": ((1, 1), (1, 1)), "num_heads": (2, 2), "num_classes": 3}
# torch 2.14.1, torch.nn.functional.interpolate of [1, -2, 4, 0] with mode="bicubic"
ROWS = {
    3: [0.46528, 1.09375, 0.67824],
    7: [1.29765, -0.39122, -2.1055, 1.09375, 4.04829, 1.73196, -0.39687],
}


@pytest.mark.parametrize("side", ROWS)
def test_bicubic_resizing_equals_torchs(side):
    row = np.array([1, -2, 4, 0], np.float32)
    image = Tensor(np.stack([row[None] * np.ones((4, 1)), row[:, None] * np.ones((1, 4))])[None].astype(np.float32))
    across, down = resize_bicubic(image, (side, side)).asnumpy()[0]
    np.testing.assert_allclose(across, np.tile(ROWS[side], (side, 1)), rtol=0, atol=1e-4)
    np.testing.assert_allclose(down, across.T, rtol=0, atol=1e-6)


def test_images_of_any_size_are_brought_to_the_networks():
    model = create_model("crossvit_9", image_size=60, **SMALL).set_train(False)
    assert model.branch_sizes == ((60, 60), (64, 64))
    image = Tensor(np.random.RandomState(0).standard_normal((2, 3, 60, 60)).astype(np.float32))
    larger = resize_bilinear(image, (119, 119), align_corners=True)  # whose own corners give the image back
    np.testing.assert_allclose(model(larger).asnumpy(), model(image).asnumpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("side", "sizes"),
    [(224, ((240, 240), (224, 224))), (384, ((384, 384), (352, 352))), (256, ((252, 252), (240, 240)))],
)
def test_a_runs_size_of_images(side, sizes):
    """MindCV trains crossvit_15 with 224 pixels, and its network works with 240 and 224; others are the network's."""
    assert build_network(Config(model="crossvit_15", image_resize=side), 2).branch_sizes == sizes


def test_tables_of_both_branches_are_fitted(tmp_path):
    small = create_model("crossvit_9", image_size=60, **SMALL)
    write_weights(tmp_path / "w.ckpt", {p.name: p.asnumpy() for p in small.get_parameters()})
    large = create_model("crossvit_9", image_size=120, **SMALL, checkpoint_path=str(tmp_path / "w.ckpt"))
    assert large.pos_embed_0.shape == (1, 101, 8)
    assert large.pos_embed_1.shape == (1, 50, 16)
    np.testing.assert_array_equal(large.pos_embed_1.asnumpy()[:, :1], small.pos_embed_1.asnumpy()[:, :1])


def test_the_mean_of_both_heads_counts():
    model = create_model("crossvit_9", image_size=60, **{**SMALL, "num_classes": 0}).set_train(False)
    image = Tensor(np.random.RandomState(0).standard_normal((2, 3, 60, 60)).astype(np.float32))
    features = model(image)
    model.reset_classifier(5)
    heads = [
        ops.matmul(part, head.weight.T)
        for part, head in zip((features[:, :8], features[:, 8:]), model.head, strict=True)
    ]
    np.testing.assert_allclose(model(image).asnumpy(), ((heads[0] + heads[1]) / 2).asnumpy(), rtol=1e-4, atol=1e-5)
