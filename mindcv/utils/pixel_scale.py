"""Mean and deviation of the channels are on the scale of pixels, 0 to 255."""

from collections.abc import Iterable, Sequence

__all__ = ["unit_scale_problem"]


def unit_scale_problem(mean: Sequence[float], std: Sequence[float]) -> str | None:
    """What is wrong with figures on the scale 0 to 1, as most other libraries have them; None when nothing is.

    A mean of 0 with a deviation of 1 leaves pixels as they are, which may be meant.
    """
    values = [*mean, *std]
    if not values or min(values) < 0 or max(values) > 1 or ({*mean} == {0} and {*std} == {1}):
        return None
    there = f"mean {_text(mean)} and std {_text(std)}"
    wanted = f"mean {_text(255 * value for value in mean)} and std {_text(255 * value for value in std)}"
    return f"{there} are on the scale 0 to 1; give {wanted}, on that of pixels, 0 to 255"


def _text(values: Iterable[float]) -> str:
    return ",".join(f"{value:.7g}" for value in values)
