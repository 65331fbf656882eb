"""Images that an int8 export needs: those whose values give the ranges, and others on which it is tried."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from ..config import Config
from ..data import create_dataset, divide
from ..data.loader import pipeline_errors
from .images import ImageReader, name_of

__all__ = ["Calibration", "calibration_images", "images_of_data"]

_logger = logging.getLogger(__name__)

# More change neither ranges nor agreement by much, and each is run twice.
_MOST_FOR_RANGES = 256
_MOST_HELD_BACK = 1000
_FEWEST = 10


class Calibration:
    """Images as pixels, no two alike.

    Attributes:
        images: Those whose values give the ranges, uint8 (N, C, H, W).
        held_back: Those on which the outcome is tried, uint8 (M, C, H, W).
    """

    def __init__(self, images: np.ndarray, held_back: np.ndarray) -> None:
        self.images = images
        self.held_back = held_back


def calibration_images(images: Iterable[Any], held_back: Iterable[Any] | None, reader: ImageReader) -> Calibration:
    """Reads images, and holds back those on which the outcome is tried.

    An image that comes twice, under whatever name, is taken once, so that none is on both sides.

    Args:
        images: Images of all kinds that `ImageReader` takes. The first 256 count; where nothing else is held back, at
            most half of them, drawn at random.
        held_back: Other images, of which the first 1000 count. None: what `images` has left.
        reader: Makes pixels of them.

    Raises:
        ValueError: An image cannot be read, or they are too few.
    """
    seen: set[bytes] = set()
    if held_back is not None:
        kept = _distinct(images, reader, seen, _MOST_FOR_RANGES)
        others = _distinct(held_back, reader, seen, _MOST_HELD_BACK)
    else:
        every = _distinct(images, reader, seen, _MOST_FOR_RANGES + _MOST_HELD_BACK)
        order = np.random.default_rng(0).permutation(len(every))
        count = min(_MOST_FOR_RANGES, len(every) // 2)
        kept, others = [every[i] for i in order[:count]], [every[i] for i in order[count:]]
    if len(kept) + len(others) < _FEWEST or not kept or not others:
        raise ValueError(
            f"int8 takes ranges from {len(kept)} images and would be tried on {len(others)} others; give at least "
            f"{_FEWEST} different images, better some hundreds, like those that the network is for"
        )
    return Calibration(np.stack(kept), np.stack(others))


def _distinct(images: Iterable[Any], reader: ImageReader, seen: set[bytes], count: int) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for index, image in enumerate(images):
        if len(found) == count:
            break
        try:
            pixels = reader(image)
        except FileNotFoundError as error:
            raise ValueError(f"{name_of(image, index)}: there is no such file") from error
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).splitlines()[0]
            raise ValueError(f"{name_of(image, index)}: {reason}") from error
        digest = hashlib.sha256(pixels.tobytes()).digest()
        if digest not in seen:
            seen.add(digest)
            found.append(pixels)
    return found


def images_of_data(cfg: Config) -> tuple[Iterable[Any], Iterable[Any] | None]:
    """Returns images of a recipe's data at random: of its training split, and of its validation split.

    Returns:
        Images for the ranges, and to be held back; None where there is no validation split, which the log says.

    Raises:
        ValueError: The data is not there.
    """
    (split, part), (held_split, held_part) = divide(cfg.train_split, cfg.val_split, cfg.folds, cfg.fold, cfg.seed)
    try:
        count = _MOST_FOR_RANGES + _MOST_HELD_BACK
        images = _rows(cfg, split, part, count)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(
            f"int8 takes its ranges from images: name some with --calibration FOLDER|FILES ({error})"
        ) from error
    try:
        return images, _rows(cfg, held_split, held_part, _MOST_HELD_BACK)
    except (ValueError, FileNotFoundError) as error:
        _logger.info("no validation split (%s); images of the training split are held back", error)
        return images, None


def _rows(cfg: Config, split: str, part: Any, count: int) -> Iterator[Any]:
    dataset = create_dataset(
        cfg.dataset,
        root=cfg.data_dir,
        split=split,
        shuffle=True,
        num_samples=count,
        num_parallel_workers=cfg.num_parallel_workers,
        download=cfg.dataset_download,
        seed=cfg.seed,
        part=part,
    )

    def rows() -> Iterator[Any]:
        with pipeline_errors():
            for image, *_ in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True):
                yield image.tobytes() if image.ndim == 1 else image

    return rows()
