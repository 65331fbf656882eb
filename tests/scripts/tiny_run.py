"""Runs `train.py` with a network small enough to be killed twenty times: python tiny_run.py [arguments of train.py]."""

import sys

from mindspore import nn

from mindcv.cli import run_script
from mindcv.models import register_model
from mindcv.models.layers import DropPath


class TinyNet(nn.Cell):
    """Two convolutions with BatchNorm, the second one beside a shortcut, and a classifier."""

    def __init__(
        self, num_classes: int = 10, in_channels: int = 3, drop_rate: float = 0.0, drop_path_rate: float = 0.0
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 8, 3, stride=2, pad_mode="pad", padding=1, has_bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(8, 8, 3, pad_mode="pad", padding=1, has_bias=False)
        self.drop_path = DropPath(drop_path_rate)
        self.dropout = nn.Dropout(p=drop_rate)
        self.classifier = nn.Dense(8, num_classes)

    def construct(self, x):
        x = self.relu(self.bn(self.conv(x)))
        x = x + self.drop_path(self.conv2(x))
        return self.classifier(self.dropout(x.mean((2, 3))))


def tiny_net(pretrained: bool = False, num_classes: int = 10, in_channels: int = 3, **kwargs) -> TinyNet:
    """The network above."""
    return TinyNet(num_classes, in_channels, **kwargs)


if __name__ == "__main__":
    register_model(tiny_net)
    sys.exit(run_script("train", ["--report", "False", *sys.argv[1:]]))
