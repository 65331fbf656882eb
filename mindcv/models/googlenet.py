"""GoogLeNet: Going Deeper with Convolutions, arXiv:1409.4842.

Reference implementation: MindCV. Its network has no norms, as the paper's; torchvision's has BatchNorm behind each
convolution and is another network.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
from mindspore import Tensor, nn

from ._family import Family
from ._network import ImageClassifier
from .layers import FAN_IN_UNIFORM, BasicConv2d, Branches, classifier_head, conv_branch, dense, dropout
from .layers.weight_init import HeNormal
from .published.googlenet import WEIGHTS

__all__ = ["GoogLeNet", "googlenet"]

_conv = partial(BasicConv2d, weight_init=HeNormal(mode="fan_in", nonlinearity="relu"))


def inception(
    in_channels: int, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int, pool_proj: int
) -> Branches:
    """Makes four branches side by side (figure 2b): (N, in_channels, H, W) to (N, sum of the branches' channels, H, W).

    Args:
        in_channels: Channels of the input.
        ch1x1: Channels of the first branch, a 1x1 convolution.
        ch3x3red: Channels of the 1x1 convolution in front of the 3x3 one.
        ch3x3: Channels of the second branch.
        ch5x5red: Channels of the 1x1 convolution in front of the 5x5 one.
        ch5x5: Channels of the third branch.
        pool_proj: Channels of the fourth branch, a 1x1 convolution behind a max pool.
    """
    branch = partial(conv_branch, _conv, in_channels)
    return Branches(
        {
            "b1": _conv(in_channels, ch1x1, 1),
            "b2": branch((ch3x3red, 1), (ch3x3, 3)),
            "b3": branch((ch5x5red, 1), (ch5x5, 5)),
            "b4": branch((pool_proj, 1), first=_max_pool(3, 1)),
        }
    )


class InceptionAux(nn.Cell):
    """An auxiliary classifier (section 5): (N, in_channels, 14, 14), of an image of 224 x 224, to (N, num_classes)."""

    def __init__(self, in_channels: int, num_classes: int, drop_rate: float) -> None:
        super().__init__()
        self.avg_pool = nn.AvgPool2d(kernel_size=5, stride=3, pad_mode="valid")
        self.conv = _conv(in_channels, 128, 1)
        self.fc1 = dense(2048, 1024, weight_init=FAN_IN_UNIFORM)
        self.fc2 = dense(1024, num_classes, weight_init=FAN_IN_UNIFORM)
        self.flatten = nn.Flatten()
        self.relu = nn.ReLU()
        self.dropout = dropout("drop_rate_aux", drop_rate)

    def construct(self, x: Tensor) -> Tensor:
        x = self.flatten(self.conv(self.avg_pool(x)))
        return self.fc2(self.dropout(self.relu(self.fc1(x))))


class GoogLeNet(ImageClassifier):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    With `aux_logits` it returns, while training, the logits, those behind 4d and those behind 4a; images are then of
    224 x 224. In evaluation it returns the logits alone.

    Args:
        num_classes: Number of classes; 0 leaves all heads out.
        aux_logits: Whether it has the auxiliary classifiers.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        drop_rate_aux: Dropout in the auxiliary classifiers.

    Raises:
        ValueError: A rate or a number of classes that cannot be.
    """

    reads_image, gives_logits = ("conv1.conv",), ("classifier", "aux2.fc2", "aux1.fc2")
    auxiliary = ("aux1.*", "aux2.*")

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = False,
        in_channels: int = 3,
        drop_rate: float = 0.2,
        drop_rate_aux: float = 0.7,
    ) -> None:
        super().__init__()
        self.aux_logits = aux_logits and num_classes != 0
        self.conv1, self.maxpool1 = _conv(in_channels, 64, 7, 2), _max_pool(3, 2)
        self.conv2, self.conv3, self.maxpool2 = _conv(64, 64, 1), _conv(64, 192, 3), _max_pool(3, 2)
        # table 1
        self.inception3a = inception(192, 64, 96, 128, 16, 32, 32)
        self.inception3b = inception(256, 128, 128, 192, 32, 96, 64)
        self.maxpool3 = _max_pool(3, 2)
        self.inception4a = inception(480, 192, 96, 208, 16, 48, 64)
        self.inception4b = inception(512, 160, 112, 224, 24, 64, 64)
        self.inception4c = inception(512, 128, 128, 256, 24, 64, 64)
        self.inception4d = inception(512, 112, 144, 288, 32, 64, 64)
        self.inception4e = inception(528, 256, 160, 320, 32, 128, 128)
        self.maxpool4 = _max_pool(2, 2)
        self.inception5a = inception(832, 256, 160, 320, 32, 128, 128)
        self.inception5b = inception(832, 384, 192, 384, 48, 128, 128)
        if self.aux_logits:
            self.aux1 = InceptionAux(512, num_classes, drop_rate_aux)
            self.aux2 = InceptionAux(528, num_classes, drop_rate_aux)
        self.add_head(1024, num_classes, drop_rate, make=partial(classifier_head, weight_init=FAN_IN_UNIFORM))
        names = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
        blocks = [getattr(self, f"inception{name}") for name in names]
        fourth = ("maxpool3", *(f"inception4{letter}" for letter in "abcde"))
        self.describe(
            [(self.conv2, self.conv3), *blocks],
            [
                ("conv1", 64, 2),
                (("maxpool1", "conv2", "conv3"), 192, 4),
                (("maxpool2", "inception3a", "inception3b"), 480, 8),
                (fourth, 832, 16),
                (("maxpool4", "inception5a", "inception5b"), 1024, 32),
            ],
            tail=("aux1", "aux2") if self.aux_logits else (),
        )

    def _maps(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps, and between the third and the fourth what the auxiliary classifiers get."""
        x0 = self.conv1(x)
        x1 = self.conv3(self.conv2(self.maxpool1(x0)))
        x2 = self.inception3b(self.inception3a(self.maxpool2(x1)))
        x4a = self.inception4a(self.maxpool3(x2))
        x4d = self.inception4d(self.inception4c(self.inception4b(x4a)))
        x3 = self.inception4e(x4d)
        return x0, x1, x2, x4a, x4d, x3, self.inception5b(self.inception5a(self.maxpool4(x3)))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of sides of 1/2, 1/4, 1/8, 1/16 and 1/32."""
        x0, x1, x2, _, _, x3, x4 = self._maps(x)
        return x0, x1, x2, x3, x4

    def construct(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        if self.aux_logits and self.training:
            maps = self._maps(x)
            return self.forward_head(maps[-1]), self.aux2(maps[4]), self.aux1(maps[3])
        return self.forward_head(self.forward_features(x))

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Refuses torchvision's files.

        Raises:
            ValueError: Always.
        """
        raise ValueError("weights of torchvision's googlenet, which has BatchNorm and is another network")

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Refuses: neither timm nor torchvision has the network.

        Raises:
            ValueError: Always.
        """
        raise ValueError("neither timm nor torchvision has a GoogLeNet without BatchNorm")


def _max_pool(kernel_size: int, stride: int) -> nn.MaxPool2d:
    return nn.MaxPool2d(kernel_size, stride, pad_mode="same")


variant = Family(GoogLeNet, WEIGHTS).variant
googlenet = variant("googlenet")
