"""Channel counts that hardware likes."""


def make_divisible(v: float, divisor: int, min_value: int | None = None) -> int:
    """Rounds `v` to a multiple of `divisor`, at least `min_value` (None: `divisor`), never more than 10 % down.

    The rule of MobileNet's authors, on which many networks' published widths rest.
    """
    rounded = max(min_value or divisor, int(v + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * v else rounded
