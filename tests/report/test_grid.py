"""Grids of pictures: where each stands, what is drawn below it, and what is refused."""

import numpy as np
import pytest

from mindcv.report.grid import Cell, Line, draw_grid, drawable

pytestmark = pytest.mark.no_mindspore


def picture(value: int, height: int = 150, width: int = 130) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_pictures_stand_in_rows():
    cells = [Cell([picture(40 * index), picture(40 * index + 20)], [Line("a")]) for index in range(5)]
    sheet = np.asarray(draw_grid(cells))
    # 2 pictures and 4 pixels between them, a line of 18 pixels, and 10 pixels around: two columns make it square.
    width, height = 264 + 10, 150 + 18 + 10
    assert sheet.shape == (3 * height + 10, 2 * width + 10, 3)
    for index in range(5):
        top, left = 10 + index // 2 * height, 10 + index % 2 * width
        assert (sheet[top : top + 150, left : left + 130] == 40 * index).all()
        assert (sheet[top : top + 150, left + 134 : left + 264] == 40 * index + 20).all()
    assert (sheet[2 * height + 10 :, width + 10 :] == 255).all()


def test_small_pictures_are_enlarged_by_whole_numbers():
    small = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)
    sheet = np.asarray(draw_grid([Cell([small], [Line("")])]))
    np.testing.assert_array_equal(sheet[10:138, 10:106], small.repeat(16, 0).repeat(16, 1))


def test_bars_are_as_long_as_shares():
    cell = Cell([picture(0, 130, 201)], [Line("", 0.0), Line("", 0.25), Line("", 1.0)])
    sheet = np.asarray(draw_grid([cell]))
    lengths = [(sheet[140 + 18 * index + 9] == (190, 214, 240)).all(-1).sum() for index in range(3)]
    assert lengths == [2, 51, 201]


def test_long_text_is_cut_in_the_middle_and_marks_have_colours():
    def ink(line: Line) -> np.ndarray:
        return np.asarray(draw_grid([Cell([picture(255, 130, 130)], [line])]))[140:158]

    long = ink(Line("folder/" * 30 + "name.jpg"))
    assert (long[:, 140:] == 255).all()
    assert (long[:, 100:140] < 255).any()
    blue, orange = (ink(Line("####", mark=mark)).reshape(-1, 3).astype(int) for mark in ("right", "wrong"))
    assert (blue[:, 2] - blue[:, 0]).max() > 100
    assert (orange[:, 0] - orange[:, 2]).max() > 100


def test_normalisation_is_taken_back():
    mean, std = (120.0, 110.0, 100.0), (60.0, 50.0, 40.0)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    images = ((pixels - np.array(mean)) / std).transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_array_equal(drawable(images, mean, std), pixels)
    grey = drawable(images[:, :1], mean[:1], std[:1])
    np.testing.assert_array_equal(grey, pixels[..., :1].repeat(3, -1))


def test_what_is_refused(tmp_path):
    cells = [Cell([np.broadcast_to(np.uint8(0), (3000, 3000, 3))], [Line("a")])] * 12
    with pytest.raises(ValueError, match=r"12 pictures would make one of 9040 x 12122 pixels; draw at most 10"):
        draw_grid(cells)
    with pytest.raises(ValueError, match=r"nosuch\.ttf: is no font file that can be read"):
        draw_grid([Cell([picture(0)], [Line("a")])], str(tmp_path / "nosuch.ttf"))
