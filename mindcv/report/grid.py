"""Pictures side by side with words below them, as one picture."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Cell", "Line", "draw_grid", "drawable"]

_FONT_SIZE, _LINE, _GAP, _MARGIN = 13, 18, 4, 10
# Pixels of the longer side of a picture that is drawn, at least; and of the whole grid, at most.
_LEAST_SIDE, _MOST_PIXELS = 128, 100_000_000
_INK, _PALE, _BAR = (20, 20, 20), (110, 110, 110), (190, 214, 240)
# Blue and orange: told apart by those who see no red or green.
_MARKS = {"right": (31, 90, 180), "wrong": (214, 96, 0)}


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of text in a cell.

    Attributes:
        text: The text; it is cut where it is too long.
        share: From 0 to 1: length of a bar behind the text. None: no bar.
        mark: `right` or `wrong` colours the text; `pale` makes it grey.
    """

    text: str
    share: float | None = None
    mark: str = ""


@dataclasses.dataclass(frozen=True)
class Cell:
    """Pictures side by side, each uint8 (H, W, 3), and lines of text below them."""

    pictures: Sequence[np.ndarray]
    lines: Sequence[Line]


def drawable(images: np.ndarray, mean: Sequence[float], std: Sequence[float]) -> np.ndarray:
    """Takes normalisation back: float (N, C, H, W) with 1 or 3 channels to uint8 (N, H, W, 3)."""
    pixels = images.transpose(0, 2, 3, 1) * np.array(std) + np.array(mean)
    pixels = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:3], 3))


def draw_grid(cells: Sequence[Cell], font: str | None = None) -> Image.Image:
    """Draws cells in rows, as many as make the whole about square. Small pictures are enlarged by whole numbers.

    Args:
        cells: The cells, at least one; those of other sizes are drawn in the room of the largest.
        font: Path of a font file. None: Pillow's own, which has Latin letters only.

    Raises:
        FileNotFoundError, ValueError: The font cannot be read, or the picture would be too large.
    """
    letters = _Letters(font)
    enlarged = [[_enlarged(picture) for picture in cell.pictures] for cell in cells]
    widths = [sum(picture.shape[1] + _GAP for picture in pictures) - _GAP for pictures in enlarged]
    heights = [max(picture.shape[0] for picture in pictures) for pictures in enlarged]
    width = max(widths) + _MARGIN
    height = max(heights) + _LINE * max(len(cell.lines) for cell in cells) + _MARGIN
    columns = min(len(cells), max(1, round((len(cells) * height / width) ** 0.5)))
    rows = -(-len(cells) // columns)
    size = (columns * width + _MARGIN, rows * height + _MARGIN)
    if size[0] * size[1] > _MOST_PIXELS:
        most = max(1, _MOST_PIXELS // (width * height))
        raise ValueError(f"{len(cells)} pictures would make one of {size[0]} x {size[1]} pixels; draw at most {most}")
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for cell_index, (cell, pictures) in enumerate(zip(cells, enlarged, strict=True)):
        left, top = (
            _MARGIN + count * side
            for count, side in zip((cell_index % columns, cell_index // columns), (width, height), strict=True)
        )
        x = left
        for picture in pictures:
            sheet.paste(Image.fromarray(picture), (x, top))
            x += picture.shape[1] + _GAP
        for index, line in enumerate(cell.lines):
            letters.write(draw, line, left, top + heights[cell_index] + index * _LINE, widths[cell_index])
    return sheet


def _enlarged(picture: np.ndarray) -> np.ndarray:
    by = max(1, -(-_LEAST_SIDE // max(picture.shape[:2])))
    return picture if by == 1 else picture.repeat(by, axis=0).repeat(by, axis=1)


class _Letters:
    """Writes lines in one font."""

    def __init__(self, path: str | None) -> None:
        self.is_latin = path is None
        self.font: Any
        if path is None:
            try:
                self.font = ImageFont.load_default(_FONT_SIZE)
            except TypeError:  # Pillow before 10.1 has one size
                self.font = ImageFont.load_default()
            return
        try:
            self.font = ImageFont.truetype(path, _FONT_SIZE)
        except OSError as error:
            raise ValueError(f"{path}: is no font file that can be read (.ttf, .otf or .ttc)") from error

    def write(self, draw: ImageDraw.ImageDraw, line: Line, left: int, top: int, width: int) -> None:
        """Writes a line of at most that many pixels."""
        if line.share is not None:
            end = left + max(1, round(line.share * (width - 1)))
            draw.rectangle((left, top + 2, end, top + _LINE - 2), fill=_BAR)
        ink = _MARKS.get(line.mark, _PALE if line.mark == "pale" else _INK)
        draw.text((left + 2, top + 1), self._fitting(draw, line.text, width - 4), ink, font=self.font)

    def _fitting(self, draw: ImageDraw.ImageDraw, text: str, width: int) -> str:
        if self.is_latin:
            text = text.encode("latin-1", "replace").decode("latin-1")
        if draw.textlength(text, font=self.font) <= width:
            return text
        # The end is kept too: it is what tells file names and figures apart.
        for kept in range(len(text) - 1, 1, -1):
            shorter = f"{text[: kept - kept // 2]}...{text[len(text) - kept // 2 :]}"
            if draw.textlength(shorter, font=self.font) <= width:
                return shorter
        return ""
