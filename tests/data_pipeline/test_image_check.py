from pathlib import Path

import numpy as np
import pytest

from mindcv.data.image_check import refuse_broken_jpeg

pytestmark = pytest.mark.no_mindspore

PHOTO = np.fromfile(Path(__file__).parent.parent / "data" / "photos" / "china.jpg", np.uint8)
PICTURE = PHOTO.tobytes().find(b"\xff\xda")


@pytest.mark.parametrize("size", [2, 3, 20, PICTURE - 1, PICTURE])
def test_a_jpeg_that_ends_before_its_picture_is_refused(size):
    with pytest.raises(ValueError, match=f"JPEG of {size} bytes ends"):
        refuse_broken_jpeg(PHOTO[:size])


def test_a_segment_that_is_damaged_is_refused():
    damaged = PHOTO.copy()
    damaged[4] = 0xFF
    with pytest.raises(ValueError, match="damaged, before its picture begins"):
        refuse_broken_jpeg(damaged)


@pytest.mark.parametrize(
    "data",
    [
        PHOTO,
        PHOTO[: PICTURE + 1000],
        np.concatenate([PHOTO[:2], np.array([0xFF, 0xFF, 0xD0], np.uint8), PHOTO[2:]]),
        np.frombuffer(b"\x89PNG and so on", np.uint8),
        PHOTO[:0],
        PHOTO[:1],
    ],
    ids=["whole", "cut later", "filled", "png", "empty", "one byte"],
)
def test_all_else_passes(data):
    assert refuse_broken_jpeg(data) is data
