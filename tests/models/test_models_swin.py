"""Windows, what is left of a map beside them, and files of another image size: equal to timm's networks."""

import re

import numpy as np
import pytest
from golden_weights import golden_array
from mindspore import Tensor

from mindcv.models import checkpoint_marks, create_model
from mindcv.models.layers import ShiftedWindows, relative_index
from mindcv.weights import write_weights

SMALL = {"embed_dim": 12, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 3, 4), "window_size": 6, "num_classes": 8}
# The first logits of timm 1.0.31's networks with these arguments, of a file for 64 pixels that timm fits to the size.
# 60x92: 15x23 pixels in windows of 6x6 with a rest, and odd maps to merge; 4x6 pixels in one window of that size.
CASES = {
    ("swin_tiny", (64, 64)): [-1.53125, -1.21716, -0.49626, 0.35641, -0.5785, 1.74845, 0.26659, -0.58299],
    ("swin_tiny", (60, 92)): [-0.67891, -0.70074, -1.15268, 0.06085, -1.05824, 1.60822, 0.34038, -1.26424],
    ("swin_tiny", (40, 40)): [-0.19389, -1.39215, -1.18123, -0.55633, -1.23647, 1.5819, -0.35082, 0.19988],
    ("swin_tiny", (112, 112)): [-0.2734, -1.21175, -1.01268, 0.30473, -1.06382, 1.32985, 0.62405, -0.21311],
    ("swinv2_tiny_window8", (64, 64)): [-0.22241, 0.63852, -0.49735, 0.47157, -0.29054, 1.50448, -0.63568, 0.08678],
    ("swinv2_tiny_window8", (60, 92)): [0.84896, 1.69054, -0.15344, 0.41482, -0.28945, 0.98288, -1.48114, -0.49448],
    ("swinv2_tiny_window8", (112, 112)): [0.78601, 0.23247, -0.47334, 0.24429, -0.10942, 1.34104, -0.58537, 0.19436],
}


@pytest.mark.parametrize(("name", "size"), CASES, ids=lambda value: str(value).replace(", ", "x"))
def test_a_file_is_fitted_to_the_image_as_timm_does(name, size, tmp_path):
    small = create_model(name, image_size=64, **SMALL)
    learnt = {path: p.asnumpy() for path, p in small.parameters_and_names() if p.requires_grad}
    arrays = {name: golden_array(name, list(array.shape)) for name, array in small.to_torch(learnt).items()}
    path = str(tmp_path / "w.safetensors")
    write_weights(path, arrays)
    model = create_model(name, image_size=size, **SMALL, checkpoint_path=path).set_train(False)
    image = np.random.RandomState(0).standard_normal((2, 3, *size)).astype(np.float32)
    np.testing.assert_allclose(model(Tensor(image)).asnumpy()[0], CASES[name, size], rtol=0, atol=1e-4)


def test_a_file_tells_the_window_of_its_first_training(tmp_path):
    name, sizes = "swinv2_tiny_window8", (12, 12, 12, 6)
    model = create_model(name, image_size=64, **SMALL, pretrained_window_sizes=sizes).set_train(False)
    arrays = {parameter.name: parameter.asnumpy() for parameter in model.get_parameters()}
    write_weights(tmp_path / "w.ckpt", {**arrays, **checkpoint_marks(model)})
    other = create_model(name, image_size=64, **SMALL, checkpoint_path=str(tmp_path / "w.ckpt")).set_train(False)
    assert other.pretrained_window_sizes == sizes
    image = Tensor(np.random.RandomState(0).standard_normal((1, 3, 64, 64)).astype(np.float32))
    np.testing.assert_array_equal(other(image).asnumpy(), model(image).asnumpy())
    plain = create_model(name, image_size=64, **SMALL)
    assert "model_args.pretrained_window_sizes.12x12x12x6" in checkpoint_marks(model)
    assert not checkpoint_marks(plain)


@pytest.mark.parametrize("name", ["swin_tiny", "swinv2_tiny_window8"])
def test_microsofts_files_are_timms_with_the_mergings_a_stage_earlier(name, tmp_path):
    small = create_model(name, image_size=64, **SMALL)
    learnt = {path: p.asnumpy() for path, p in small.parameters_and_names() if p.requires_grad}
    theirs = {
        re.sub(r"(?<=layers\.)\d(?=\.downsample)", lambda match: str(int(match[0]) - 1), name).replace(
            "head.fc", "head"
        ): array
        for name, array in small.to_torch(learnt).items()
    }
    assert "layers.0.downsample.reduction.weight" in theirs
    theirs["layers.0.blocks.0.attn.relative_position_index"] = np.zeros((36, 36), np.int64)
    path = str(tmp_path / "w.safetensors")
    write_weights(path, theirs)
    model = create_model(name, image_size=64, **SMALL, checkpoint_path=path)
    for path, parameter in model.parameters_and_names():
        if parameter.requires_grad:
            np.testing.assert_array_equal(parameter.asnumpy(), learnt[path])


@pytest.mark.parametrize(
    ("size", "window_size", "is_shifted"),
    [((8, 8), (4, 4), False), ((8, 12), (4, 3), True), ((5, 7), (2, 3), True), ((3, 9), (4, 4), True)],
)
def test_windows_come_back_in_their_places(size, window_size, is_shifted):
    windows = ShiftedWindows(size, window_size, is_shifted)
    x = np.arange(2 * size[0] * size[1] * 3, dtype=np.float32).reshape(2, *size, 3)
    split = windows.split(Tensor(x))
    rows, columns = windows.window_size
    down, right = (
        length // 2 * (is_shifted and length < side) for side, length in zip(size, (rows, columns), strict=True)
    )
    expected = np.roll(x, (-down, -right), (1, 2))[:, :rows, :columns]
    np.testing.assert_array_equal(split.asnumpy()[0], expected[0].reshape(rows * columns, 3))
    np.testing.assert_array_equal(windows.join(split).asnumpy(), x)


def test_mask_parts_what_only_the_shift_made_neighbours():
    """Of 4x4 pixels in windows of 2x2, shifted by 1: the last window has the four corners of the map."""
    mask = ShiftedWindows((4, 4), (2, 2), is_shifted=True).mask()
    assert mask.shape == (4, 4, 4)
    assert not mask[0].any()
    np.testing.assert_array_equal(mask[3], -100 * (1 - np.eye(4)))
    assert ShiftedWindows((4, 4), (4, 4), is_shifted=True).mask() is None


def test_relative_index_numbers_distances():
    np.testing.assert_array_equal(relative_index((1, 3)), [[2, 1, 0], [3, 2, 1], [4, 3, 2]])
    np.testing.assert_array_equal(relative_index((2, 2))[0], [4, 3, 1, 0])


def test_stages_and_windows_that_cannot_be():
    with pytest.raises(ValueError, match=r"Swin has four stages; got depths \[2\]"):
        create_model("swin_tiny", depths=(2,))
    with pytest.raises(ValueError, match="window_size is 0; give 1 or more pixels"):
        create_model("swin_tiny", window_size=0)
    with pytest.raises(ValueError, match="image_size is 30x30; give multiples of the patch's side, 4"):
        create_model("swin_tiny", image_size=30)
