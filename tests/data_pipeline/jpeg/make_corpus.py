"""Writes the JPEG files that the C programs here are tried with: `make_corpus.py FOLDER`; FOLDER/jpeg for fuzzing."""

import io
import random
import sys
from pathlib import Path

from PIL import Image

DATA = Path(__file__).parents[2] / "data"
# Of the kinds that the C code decodes, and of those that it leaves to others.
DECODED = (
    {"subsampling": 0},
    {"subsampling": 1},
    {"subsampling": 2},
    {"mode": "L"},
    {"quality": 3},
    {"quality": 100, "subsampling": 0},
    {"optimize": True, "quality": 30},
    {"restart_marker_blocks": 1, "subsampling": 0},
    {"restart_marker_blocks": 3},
    {"restart_marker_rows": 1, "subsampling": 1},
)
OTHERS = ({"progressive": True}, {"mode": "CMYK"})
SIZES = ((1, 5), (7, 7), (9, 16), (17, 33), (66, 101))
DAMAGED = 200


def encoded(size: tuple[int, int], mode: str = "RGB", **options) -> bytes:
    """A piece of a photo of `size` (height, width) as a JPEG file."""
    height, width = size
    file = io.BytesIO()
    with Image.open(DATA / "photos" / "china.jpg") as photo:
        photo.convert(mode).crop((40, 30, 40 + width, 30 + height)).save(file, "JPEG", **options)
    return file.getvalue()


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The file with some bytes changed."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        changed[rng.randrange(min(len(data), rng.choice((700, len(data)))))] = rng.choice((0, 0xFF, rng.randrange(256)))
    return bytes(changed)


def main(folder: Path) -> None:
    """Writes whole and damaged files, the same each time, and seeds."""
    seeds = folder / "jpeg"
    seeds.mkdir(parents=True, exist_ok=True)
    rng = random.Random(16)
    whole = [encoded(size, **variant) for variant in DECODED + OTHERS for size in SIZES]
    whole += [path.read_bytes() for path in sorted((DATA / "jpeg").glob("*.jpg"))]
    files = whole + [damaged(rng.choice(whole), rng) for _ in range(DAMAGED)]
    for index, data in enumerate(files):
        (folder / f"{index:03d}.jpg").write_bytes(data)
    for index, data in enumerate(whole):
        (seeds / f"{index:03d}").write_bytes(bytes((index % 16, index)) + data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
