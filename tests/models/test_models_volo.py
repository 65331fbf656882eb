"""Outlook attention against numpy, and the patches' own logits that timm's weights use."""

import numpy as np
from mindspore import Tensor

from mindcv.models import create_model
from mindcv.models.volo import OutlookAttention

SMALL = {"embed_dims": (8, 16), "layers": (1, 1, 1, 1), "num_heads": (2, 2), "stem_hidden_dim": 8, "image_size": 32}


def test_outlook_attention_equals_loops():
    """Each window's 3x3 pixels are mixed by weights that the mean of 2x2 pixels in it tells, and all windows summed."""
    generator = np.random.RandomState(0)
    heads, dim, height, width = 2, 8, 4, 6
    attention = OutlookAttention(dim, heads, 0.0)
    for parameter in attention.get_parameters():
        parameter.set_data(Tensor((generator.standard_normal(parameter.shape) * 0.3).astype(np.float32)))
    x = generator.standard_normal((2, height, width, dim)).astype(np.float32)
    arrays = {parameter.name: parameter.asnumpy() for parameter in attention.get_parameters()}
    value = np.pad(x @ arrays["v.weight"].T, ((0, 0), (1, 1), (1, 1), (0, 0)))
    total = np.zeros_like(value)
    for row in range(height // 2):
        for column in range(width // 2):
            rows, columns = slice(2 * row, 2 * row + 3), slice(2 * column, 2 * column + 3)
            mean = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean((1, 2))
            scores = (mean @ arrays["attn.weight"].T + arrays["attn.bias"]).reshape(2, heads, 9, 9) * (
                dim // heads
            ) ** -0.5
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            window = value[:, rows, columns].reshape(2, 9, heads, -1).transpose(0, 2, 1, 3)
            total[:, rows, columns] += (weights @ window).transpose(0, 2, 1, 3).reshape(2, 3, 3, dim)
    expected = total[:, 1:-1, 1:-1] @ arrays["proj.weight"].T + arrays["proj.bias"]
    np.testing.assert_allclose(attention(Tensor(x)).asnumpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_largest_of_the_patches_logits_may_count():
    image = Tensor(np.random.RandomState(0).standard_normal((2, 3, 32, 32)).astype(np.float32))
    model = create_model("volo_d1", **SMALL, num_classes=5, aux_weight=0.5).set_train(False)
    features = model.forward_features(image)
    main, patches = model.head(features[:, 0]).asnumpy(), model.aux_head(features[:, 1:]).asnumpy()
    np.testing.assert_allclose(model(image).asnumpy(), main + 0.5 * patches.max(1), rtol=1e-4, atol=1e-5)
    model.aux_weight = 0.0
    np.testing.assert_allclose(model(image).asnumpy(), main, rtol=1e-4, atol=1e-5)
    model.reset_classifier(3)
    assert model.head.weight.shape == model.aux_head.weight.shape == (3, 16)
