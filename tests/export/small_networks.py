"""Small networks with every kind of block, and weights that are not at rest."""

import zlib
from collections.abc import Callable

import numpy as np
from mindspore import Tensor, nn

from mindcv.models.repvgg import RepVGG
from mindcv.models.resnet import BasicBlock, Bottleneck, ResNet
from mindcv.models.senet import SEBottleneck, SENet, SEResNetBlock, SEResNetBottleneck, SEResNeXtBottleneck

CHANNELS = (8, 16, 16, 32)
DEPTHS = (1, 1, 1, 1)

NETWORKS: dict[str, Callable[[], nn.Cell]] = {
    "repvgg": lambda: RepVGG(
        (2, 1, 1, 1), 7, width_multiplier=(0.25, 0.125, 0.0625, 0.0625), override_group_map={2: 2}
    ),
    "basic": lambda: ResNet(BasicBlock, DEPTHS, 7, channels=CHANNELS),
    "bottleneck": lambda: ResNet(Bottleneck, DEPTHS, 7, channels=CHANNELS, stem_pool_pad="both"),
    "resnext": lambda: ResNet(Bottleneck, DEPTHS, 7, groups=4, base_width=16, channels=CHANNELS, drop_rate=0.1),
    "se_basic": lambda: SENet(SEResNetBlock, DEPTHS, 1, 16, num_classes=7, inplanes=8, channels=CHANNELS),
    "se_bottleneck": lambda: SENet(SEResNetBottleneck, DEPTHS, 1, 16, num_classes=7, inplanes=8, channels=CHANNELS),
    "se_resnext": lambda: SENet(
        SEResNeXtBottleneck, DEPTHS, 8, 16, num_classes=7, inplanes=8, channels=(16, 16, 16, 32), drop_path_rate=0.1
    ),
    "senet154": lambda: SENet(
        SEBottleneck,
        DEPTHS,
        4,
        16,
        num_classes=7,
        inplanes=8,
        input3x3=True,
        downsample_kernel_size=3,
        downsample_padding=1,
        channels=CHANNELS,
        stem_pool_pad="both",
    ),
}


def build(name: str) -> nn.Cell:
    """Returns a network whose normalisations do something: fresh ones would hide a wrong fold."""
    network = NETWORKS[name]()
    for parameter in network.get_parameters():
        random = np.random.RandomState(zlib.crc32(parameter.name.encode()))
        normal = random.standard_normal(parameter.shape)
        if parameter.name.endswith("variance"):
            value = 0.5 + np.abs(normal)
        elif normal.ndim == 1:
            value = 0.2 * normal + parameter.name.endswith("gamma")
        else:
            value = normal * np.sqrt(2 / np.prod(normal.shape[1:]))
        parameter.set_data(Tensor(value.astype(np.float32)))
    return network.set_train(False)
