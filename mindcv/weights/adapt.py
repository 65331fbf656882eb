"""Fitting published weights to a model with another image or another head."""

import logging
import math
from collections.abc import Mapping

import numpy as np

_logger = logging.getLogger(__name__)


def adapt_first_conv(arrays: Mapping[str, np.ndarray], first_conv: str, in_channels: int) -> dict[str, np.ndarray]:
    """Fits the convolution that reads the image to another number of channels, as timm does, and logs it.

    One channel gets the sum over the file's, so that a grey image gives what it gives as equal channels. Other numbers
    repeat the file's channels in turn, scaled by their number over the new one.

    Args:
        arrays: Arrays by name.
        first_conv: Name of the convolution; its weight is (out_channels, channels, height, width).
        in_channels: Wanted number of channels.

    Raises:
        ValueError: There is no such convolution.
    """
    name = f"{first_conv}.weight"
    if name not in arrays:
        raise ValueError(f"the weights have no first convolution {name!r} to fit to in_channels {in_channels}")
    weight = arrays[name]
    given = weight.shape[1]
    if given == in_channels:
        return dict(arrays)
    if in_channels == 1:
        adapted = weight.sum(axis=1, keepdims=True)
        _logger.info("%s: summed its %d input channels for in_channels 1", name, given)
    else:
        repeated = np.tile(weight, (1, math.ceil(in_channels / given), 1, 1))[:, :in_channels]
        adapted = repeated * (given / in_channels)
        _logger.info("%s: repeated its %d input channels, times %d/%d", name, given, given, in_channels)
    return {**arrays, name: adapted.astype(weight.dtype)}


def adapt_classifier(
    arrays: Mapping[str, np.ndarray],
    classifier: str,
    num_classes: int,
    label_offset: int = 0,
    unused_classes: int = 0,
    has_other_names: bool = False,
) -> tuple[dict[str, np.ndarray], set[str]]:
    """Leaves out the classifier when it is for other classes, and logs it; nothing else is touched.

    A file may be without one.

    Args:
        arrays: Arrays by name.
        classifier: Name of the cell that gives the logits.
        num_classes: Classes of the model.
        label_offset: Classes in front that the file has and the data does not (1 for TensorFlow's "background"); they
            are cut off where the rest are the model's classes.
        unused_classes: Classes at the end that the file has and the data does not; they are cut off likewise.
        has_other_names: Whether the file's classes, however many, have other names, or another order, than the model's.

    Returns:
        The arrays, and the names that are not in them, so that the model's classifier stays fresh.
    """
    wanted = {f"{classifier}.weight", f"{classifier}.bias"}
    names = wanted & set(arrays)
    given = {len(arrays[name]) for name in names}
    if not names:
        _logger.info("%s: the file has none, so it starts fresh", classifier)
        return dict(arrays), wanted
    if has_other_names and given == {num_classes}:
        _logger.info(
            "%s: left out, as the file's %d classes have other names or another order", classifier, num_classes
        )
        return {name: array for name, array in arrays.items() if name not in names}, names
    if given == {num_classes}:
        return dict(arrays), set()
    ends = (("first", label_offset, slice(label_offset, None)), ("last", unused_classes, slice(num_classes)))
    for end, count, kept in ends:
        if count and given == {num_classes + count}:
            _logger.info("%s: its %s %d classes, which are none of the data, are cut off", classifier, end, count)
            return {name: array[kept] if name in names else array for name, array in arrays.items()}, set()
    classes = " and ".join(map(str, sorted(given)))
    _logger.info("%s: left out, since it is for %s classes, not %d", classifier, classes, num_classes)
    return {name: array for name, array in arrays.items() if name not in names}, names
