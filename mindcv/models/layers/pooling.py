"""Pooling in forms that train on every device and export to ONNX."""

from mindspore import Tensor, nn, ops


class GlobalAvgPooling(nn.Cell):
    """The mean over height and width: (N, C, H, W) to (N, C).

    Args:
        keep_dims: Whether the result is (N, C, 1, 1).
    """

    def __init__(self, keep_dims: bool = False) -> None:
        super().__init__()
        self.keep_dims = keep_dims

    def construct(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), self.keep_dims)


class TokenPooling(nn.Cell):
    """One vector of tokens: (N, L, D) to (N, D).

    Args:
        kind: "token" takes the first token, "tokens" the mean of all.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.takes_first = kind == "token"

    def construct(self, x: Tensor) -> Tensor:
        return x[:, 0] if self.takes_first else x.mean(1)


def head_pooling(kind: str) -> nn.Cell:
    """Makes the pooling in front of a classifier: "avg" of maps, "token" or "tokens" of tokens, "none".

    Raises:
        ValueError: Another kind.
    """
    if kind in ("token", "tokens"):
        return TokenPooling(kind)
    if kind not in ("avg", "none"):
        raise ValueError(f"pool is {kind!r}; give 'avg', 'token', 'tokens' or 'none'")
    return GlobalAvgPooling() if kind == "avg" else nn.Identity()


class StemMaxPool(nn.Cell):
    """3x3 max pooling with stride 2 behind a ReLU, padded as the weights at hand were trained.

    MindCV pads "same": for an even side one row at the bottom and one column at the right, so that the window of output
    `i` is centred at `2 i + 1`. PyTorch's `padding=1` pads all sides: centred at `2 i`. The same weights give other
    features under the other padding, so it is a property of the weights and not a matter of taste.

    timm's `legacy_se*` do not pad but round the size up, which is "same" where H and W are even, as they are for images
    of a multiple of 4; where they are odd, theirs have one row less.

    "both" pads zeros in place of PyTorch's minus infinity, which is the same for inputs that are not negative, and that
    has an ONNX converter where MindSpore's own padded pooling has none.

    Args:
        pad: "same" (MindCV) or "both" (PyTorch).

    Raises:
        ValueError: Another `pad`.
    """

    def __init__(self, pad: str = "same") -> None:
        super().__init__()
        if pad not in ("same", "both"):
            raise ValueError(f"stem_pool_pad is {pad!r}; give 'same' (MindCV's weights) or 'both' (PyTorch's weights)")
        self.pad_both = pad == "both"
        self.pad_zeros = ops.Pad(((0, 0), (0, 0), (1, 1), (1, 1)))
        self.max_pool = nn.MaxPool2d(kernel_size=3, stride=2, pad_mode="valid" if self.pad_both else "same")

    def construct(self, x: Tensor) -> Tensor:
        if self.pad_both:
            x = self.pad_zeros(x)
        return self.max_pool(x)


def mean_pool3x3(stride: int, pad: str) -> nn.AvgPool2d:
    """Makes 3x3 mean pooling, padded as the weights at hand were trained.

    Args:
        stride: Stride.
        pad: "same" (MindCV), which leaves the border that it adds out of the mean, or "both" (PyTorch), which counts it
            as zeros.
    """
    if pad == "same":
        return nn.AvgPool2d(3, stride, pad_mode="same")
    return nn.AvgPool2d(3, stride, pad_mode="pad", padding=1, count_include_pad=True)
