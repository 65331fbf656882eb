"""Refuses image files that the decoder would not survive."""

import numpy as np

__all__ = ["refuse_broken_jpeg"]

_START_OF_SCAN = 0xDA


def refuse_broken_jpeg(data: np.ndarray) -> np.ndarray:
    """Lets an image file pass unless it is a JPEG that ends before its picture begins.

    MindSpore's decoder divides by zero on such a file, which kills the process (SIGFPE, seen with 2.10). What is
    otherwise wrong with a file, the decoder says itself.

    Args:
        data: The bytes of an image file, uint8 (size,).

    Returns:
        The same bytes.

    Raises:
        ValueError: The file is such a JPEG.
    """
    if data.size < 2 or data[0] != 0xFF or data[1] != 0xD8:
        return data
    place = 2
    # Segments: 0xFF, a marker and, but for bare markers, a length that counts itself.
    while place + 4 <= data.size and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _START_OF_SCAN:
            return data
        if marker == 0xFF:
            place += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:
            place += 2
        else:
            place += 2 + (int(data[place + 2]) << 8 | int(data[place + 3]))
    raise ValueError(f"this JPEG of {data.size} bytes ends, or is damaged, before its picture begins")
