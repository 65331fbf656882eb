"""MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications, arXiv:1704.04861.

Reference implementations: MindCV (parameter names) and timm, whose activation is ReLU6 (`act`).
"""

from functools import partial

from mindspore import nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._mobile import MobileNetwork
from .layers import DepthwiseSeparable, activation, batch_norm2d, classifier_head, conv2d
from .layers.weight_init import TruncatedNormal, XavierUniform
from .published.mobilenetv1 import WEIGHTS

__all__ = ["MobileNetV1", "mobilenet_v1_025", "mobilenet_v1_050", "mobilenet_v1_075", "mobilenet_v1_100"]

# Table 1, a line a stage: channels out, blocks, stride of the first.
_STAGES = ((64, 1, 1), (128, 2, 2), (256, 2, 2), (512, 6, 2), (1024, 2, 2))


class MobileNetV1(MobileNetwork):
    """(N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        alpha: Width: all numbers of channels are multiplied with it.
        in_channels: Channels of the image.
        num_classes: Number of classes; 0 leaves the classifier out.
        drop_rate: Dropout before the classifier.
        act: Activation: "relu" (MindCV's weights) or "relu6" (timm's).

    Raises:
        ValueError: An activation, a rate or a number of classes that cannot be.
    """

    reads_image = ("features.0",)
    mindcv_names = NameTable(("features.*.*.*", "features.*.layers.*.*"))
    torch_names = NameTable(*MobileNetwork.timm_names)
    torch_arguments = {"act": "relu6"}
    file_arguments = ("act",)

    def __init__(
        self,
        alpha: float = 1.0,
        in_channels: int = 3,
        num_classes: int = 1000,
        *,
        drop_rate: float = 0.0,
        act: str = "relu",
    ) -> None:
        super().__init__()
        self.act = act
        init = XavierUniform()
        channels = int(32 * alpha)
        stem = [conv2d(in_channels, channels, 3, 2, 1, weight_init=init), batch_norm2d(channels), activation(act)]
        stages: list[list[nn.Cell]] = []
        for width, depth, first_stride in _STAGES:
            stages.append([])
            for index in range(depth):
                stride = 1 if index else first_stride
                stages[-1].append(DepthwiseSeparable(channels, int(width * alpha), stride, act, batch_norm2d, init))
                channels = int(width * alpha)
        described = self.add_features(stem, stages, [])
        make = partial(classifier_head, weight_init=TruncatedNormal(sigma=0.01))
        self.add_head(channels, num_classes, drop_rate, make=make)
        self.describe(*described)


variant = Family(MobileNetV1, WEIGHTS).variant  # table 1; the width is in the name
mobilenet_v1_025 = variant("mobilenet_v1_025", alpha=0.25)
mobilenet_v1_050 = variant("mobilenet_v1_050", alpha=0.5)
mobilenet_v1_075 = variant("mobilenet_v1_075", alpha=0.75)
mobilenet_v1_100 = variant("mobilenet_v1_100", alpha=1.0)
