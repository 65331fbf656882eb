"""What the device does to the host's uint8 batches before the network: normalising, layout, mixing.

A batch of pixels is a quarter of the size of one in float32, and the host saves the work.
"""

from collections.abc import Sequence

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

from .train_step import to_fp32

__all__ = ["LossWithMixing", "NormalizedNetwork"]


class NormalizedNetwork(nn.Cell):
    """A network that takes pixels: it subtracts the mean, divides by the deviation and puts channels first.

    Wrap it around what `auto_mixed_precision` returned, so that normalising is done in fp32 at every level.

    Args:
        network: Takes normalised float32 `(N, C, H, W)`.
        mean: One value a channel, on the 0 to 255 scale.
        std: One value a channel, on the 0 to 255 scale.

    Inputs: images `(N, H, W, C)`, 0 to 255, uint8 or float32. Output: what the network gives.
    """

    def __init__(self, network: nn.Cell, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.mean = Tensor(np.reshape(mean, (1, 1, 1, -1)), ms.float32)
        self.std = Tensor(np.reshape(std, (1, 1, 1, -1)), ms.float32)

    def construct(self, image: Tensor) -> Tensor:
        image = (ops.cast(image, ms.float32) - self.mean) / self.std
        return self.network(ops.transpose(image, (0, 3, 1, 2)))


class LossWithMixing(nn.Cell):
    """The network followed by the loss, with mixup or cutmix of the batch in front of them.

    Mixing is linear and so is normalising, hence it makes no difference that pixels are mixed before, not after.

    Args:
        network: Takes images `(N, H, W, C)`, as `NormalizedNetwork` does.
        loss: Called with logits and labels `(N, num_classes)`.
        num_classes: Number of classes.

    Inputs: images uint8 `(N, H, W, C)`, labels int `(N,)` or float32
    `(N, num_classes)`, and what `Mixup.draw` drew, float32 `(6,)`. Output: the loss.
    """

    def __init__(self, network: nn.Cell, loss: nn.Cell, num_classes: int) -> None:
        super().__init__(auto_prefix=False)
        self.network = network
        self.loss = loss
        self.num_classes = num_classes
        self.mirror = ops.ReverseV2(axis=[0])
        self.on, self.off = Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)

    def construct(self, image: Tensor, label: Tensor, mix: Tensor) -> Tensor:
        image, label = self.mix(image, label, mix)
        return self.loss(to_fp32(self.network(image)), label)

    def mix(self, image: Tensor, label: Tensor, mix: Tensor) -> tuple[Tensor, Tensor]:
        """Mixes each sample with the one at its mirrored position in the batch."""
        _, height, width, _ = image.shape
        image = ops.cast(image, ms.float32)
        rows = Tensor(np.arange(height).reshape(1, height, 1, 1), ms.float32)
        columns = Tensor(np.arange(width).reshape(1, 1, width, 1), ms.float32)
        is_row = ops.logical_and(rows >= mix[2], rows < mix[3])
        is_column = ops.logical_and(columns >= mix[4], columns < mix[5])
        is_outside = 1.0 - ops.cast(ops.logical_and(is_row, is_column), ms.float32)
        share = mix[0] * is_outside
        image = share * image + (1.0 - share) * self.mirror(image)
        if label.ndim == 1:
            label = ops.one_hot(label, self.num_classes, self.on, self.off)
        return image, mix[1] * label + (1.0 - mix[1]) * self.mirror(label)
