"""ResNetV2: Identity Mappings in Deep Residual Networks, arXiv:1603.05027.

Reference implementation: MindCV, whose stem has a norm and whose last block is followed by none. timm's `resnetv2_50`
has a norm there and none in the stem; its files are refused.
"""

from collections.abc import Mapping

import numpy as np
from mindspore import Tensor, nn

from ._family import Family
from .layers import DropPath, batch_norm2d, conv2d
from .published.resnetv2 import WEIGHTS
from .resnet import MakeNorm, ResNet, shortcut

__all__ = ["ResNetV2", "resnetv2_50", "resnetv2_101"]


class PreActBottleneck(nn.Cell):
    """A bottleneck with norm and ReLU before each convolution (figure 4e); the arguments are `resnet.Bottleneck`'s."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1, groups: int = 1, base_width: int = 64,
                 norm: MakeNorm | None = None, down_sample: nn.Cell | None = None, *,
                 drop_path_rate: float = 0.0) -> None:  # fmt: skip
        super().__init__()
        norm = norm or batch_norm2d
        width, out_channels = channels * base_width // 64 * groups, channels * self.expansion
        self.bn1, self.conv1 = norm(in_channels), conv2d(in_channels, width, 1)
        self.bn2, self.conv2 = norm(width), conv2d(width, width, 3, stride, 1, groups)
        self.bn3, self.conv3 = norm(width), conv2d(width, out_channels, 1)
        self.relu = nn.ReLU()
        self.down_sample = down_sample or shortcut(in_channels, out_channels, stride, norm)
        self.keeps_input = isinstance(self.down_sample, nn.Identity)
        self.drop_path = DropPath(drop_path_rate)

    def construct(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(x))
        identity = x if self.keeps_input else self.down_sample(out)
        out = self.conv1(out)
        out = self.conv2(self.relu(self.bn2(out)))
        out = self.conv3(self.relu(self.bn3(out)))
        return self.drop_path(out) + identity


class ResNetV2(ResNet):
    """ResNet of blocks with norm and ReLU in front: (N, in_channels, H, W) to (N, num_classes), H and W at least 32.

    Arguments are those of `ResNet`.
    """

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Refuses the file.

        Raises:
            ValueError: Always; timm's resnetv2_* are other networks.
        """
        raise ValueError("weights of timm's resnetv2_*, which has a norm behind its last block, not in its stem")

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Refuses the network.

        Raises:
            ValueError: Always; timm has no such network.
        """
        raise ValueError("timm has no ResNetV2 with a norm in its stem; convert with --to mindcv")


variant = Family(ResNetV2, WEIGHTS).variant
# arXiv:1603.05027, section 5; the depths of ResNet
resnetv2_50 = variant("resnetv2_50", block=PreActBottleneck, layers=(3, 4, 6, 3))
resnetv2_101 = variant("resnetv2_101", block=PreActBottleneck, layers=(3, 4, 23, 3))
