"""ConvNeXt and ConvNeXt V2.

* A ConvNet for the 2020s, arXiv:2201.03545
* ConvNeXt V2: Co-designing and Scaling ConvNets with Masked Autoencoders, arXiv:2301.00808

Reference implementations: MindCV (parameter names; GELU by tanh and images of any size padded to whole patches, see
`act` and `pad`), timm and torchvision.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from mindspore import Tensor, nn

from mindcv.weights.naming import NameTable

from ._family import Family
from ._network import ImageClassifier
from .layers import (
    TRUNC_NORMAL,
    ConvNeXtBlock,
    LayerNorm2d,
    classifier_head,
    conv2d,
    drop_path_rates,
    layer_norm,
)
from .published.convnext import WEIGHTS

__all__ = [
    "ConvNeXt",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "convnext_xlarge",
    "convnextv2_atto",
    "convnextv2_base",
    "convnextv2_femto",
    "convnextv2_huge",
    "convnextv2_large",
    "convnextv2_nano",
    "convnextv2_pico",
    "convnextv2_tiny",
]

_conv2d = partial(conv2d, bias=True, weight_init=TRUNC_NORMAL)

# timm's and torchvision's names of a block's cells, and ours.
_TIMM_BLOCK = (
    ("gamma", "layer_scale.gamma"),
    ("conv_dw.*", "dwconv.*"),
    ("norm.*", "norm.*"),
    ("mlp.fc1.*", "pwconv1.*"),
    ("mlp.grn.*", "grn.*"),
    ("mlp.fc2.*", "pwconv2.*"),
)
_TORCHVISION_BLOCK = (
    ("layer_scale", "layer_scale.gamma"),
    ("block.0.*", "dwconv.*"),
    ("block.2.*", "norm.*"),
    ("block.3.*", "pwconv1.*"),
    ("block.5.*", "pwconv2.*"),
)
_TIMM = (
    ("stem.*.*", "feature.0.*.*"),
    *((f"stages.{index}.downsample.*.*", f"feature.{2 * index}.*.*") for index in (1, 2, 3)),
    *(
        (f"stages.{index}.blocks.*.{theirs}", f"feature.{2 * index + 1}.*.{ours}")
        for index in range(4)
        for theirs, ours in _TIMM_BLOCK
    ),
    ("head.norm.*", "norm.*"),
    ("head.fc.*", "classifier.*"),
)
_TORCHVISION = (
    *((f"features.*.*.{theirs}", f"feature.*.*.{ours}") for theirs, ours in _TORCHVISION_BLOCK),
    ("features.*.*.*", "feature.*.*.*"),
    ("classifier.0.*", "norm.*"),
    ("classifier.2.*", "classifier.*"),
)


class ConvNeXt(ImageClassifier):
    """ConvNeXt: (N, in_channels, H, W) to (N, num_classes), with H and W at least 32.

    Args:
        depths: Number of blocks in each of the four stages.
        dims: Channels of each stage.
        num_classes: Number of classes; 0 leaves the head out.
        in_channels: Channels of the image.
        drop_rate: Dropout before the classifier.
        drop_path_rate: Stochastic depth of the last block; the first has 0.
        layer_scale_init_value: What the scale of each channel of a block starts with; 0 for none.
        use_grn: Whether blocks have a global response normalisation (V2).
        act: Activation of the weights, "gelu_tanh" (MindCV) or "gelu" (timm, torchvision).
        pad: What the weights' stem and downsampling do with an odd rest of the image: "same" pads it to a whole patch
            (MindCV), "valid" leaves it out (timm, torchvision). The same where H and W are multiples of 32.

    Raises:
        ValueError: A rate, a number of classes or a list of stages that cannot be.
    """

    reads_image = ("feature.0.0",)
    torch_names = NameTable(*_TIMM, *_TORCHVISION)
    torch_arguments = {"act": "gelu", "pad": "valid"}
    mindcv_names = NameTable(("feature.*.*.gamma_", "feature.*.*.layer_scale.gamma"))
    file_arguments = ("act", "pad")

    def __init__(
        self,
        depths: Sequence[int],
        dims: Sequence[int],
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        layer_scale_init_value: float = 1e-6,
        use_grn: bool = False,
        act: str = "gelu_tanh",
        pad: str = "same",
    ) -> None:
        super().__init__()
        if len(depths) != 4 or len(dims) != 4:
            raise ValueError(f"ConvNeXt has four stages; got depths {list(depths)} and dims {list(dims)}")
        if pad not in ("same", "valid"):
            raise ValueError(f"pad is {pad!r}; give 'same' (MindCV's weights) or 'valid' (PyTorch's weights)")
        self.act, self.pad = act, pad
        padding: int | str = "same" if pad == "same" else 0
        cells: list[nn.Cell] = []
        for index, (dim, rates) in enumerate(zip(dims, drop_path_rates(drop_path_rate, depths), strict=True)):
            if index:
                shrink = [LayerNorm2d(dims[index - 1]), _conv2d(dims[index - 1], dim, 2, 2, padding)]
            else:
                shrink = [_conv2d(in_channels, dim, 4, 4, padding), LayerNorm2d(dim)]
            blocks = [ConvNeXtBlock(dim, rate, layer_scale_init_value, use_grn, act) for rate in rates]
            cells += [nn.SequentialCell(shrink), nn.SequentialCell(blocks)]
        self.feature = nn.SequentialCell(cells)
        self.norm = layer_norm(dims[-1])
        self.add_head(
            dims[-1], num_classes, drop_rate, pool="none", make=partial(classifier_head, weight_init=TRUNC_NORMAL)
        )
        in_order = [
            (self.feature[2 * index], block) if index and not position else block
            for index in range(4)
            for position, block in enumerate(self.feature[2 * index + 1])
        ]
        maps = [
            ((f"feature.{2 * index}", f"feature.{2 * index + 1}"), dim, 4 * 2**index) for index, dim in enumerate(dims)
        ]
        self.describe(in_order, maps, tail=("norm",))

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps of the four stages: sides of 1/4, 1/8, 1/16 and 1/32."""
        x1 = self.feature[1](self.feature[0](x))
        x2 = self.feature[3](self.feature[2](x1))
        x3 = self.feature[5](self.feature[4](x2))
        return x1, x2, x3, self.feature[7](self.feature[6](x3))

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the norm of the last map's mean: (N, in_channels, H, W) to (N, num_features)."""
        return self.norm(self.forward_stages(x)[-1].mean((2, 3)))

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns timm's or torchvision's arrays under our names, without axes of size 1 that ours do not have."""
        shapes = {path: parameter.shape for path, parameter in self.parameters_and_names()}
        return {name: _shaped(a, shapes.get(name, a.shape)) for name, a in super().from_torch(arrays).items()}

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays under timm's names; the smallest V2 have 1x1 convolutions where ours are dense layers."""
        has_convs = self.feature[0][0].out_channels < 96
        return {name: _timm_shaped(name, a, has_convs) for name, a in super().to_torch(arrays).items()}


def _shaped(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    def sides(of: tuple[int, ...]) -> list[int]:
        return [side for side in of if side != 1]

    return array.reshape(shape) if sides(array.shape) == sides(shape) else array


def _timm_shaped(name: str, array: np.ndarray, has_convs: bool) -> np.ndarray:
    if ".grn." in name:
        return array.reshape(-1)
    return array[:, :, None, None] if has_convs and ".mlp." in name and array.ndim == 2 else array


variant = Family(ConvNeXt, WEIGHTS).variant
# arXiv:2201.03545, section 3
convnext_tiny = variant("convnext_tiny", depths=(3, 3, 9, 3), dims=(96, 192, 384, 768))
convnext_small = variant("convnext_small", depths=(3, 3, 27, 3), dims=(96, 192, 384, 768))
convnext_base = variant("convnext_base", depths=(3, 3, 27, 3), dims=(128, 256, 512, 1024))
convnext_large = variant("convnext_large", depths=(3, 3, 27, 3), dims=(192, 384, 768, 1536))
convnext_xlarge = variant("convnext_xlarge", depths=(3, 3, 27, 3), dims=(256, 512, 1024, 2048))
# arXiv:2301.00808, appendix A.1
_v2 = partial(variant, use_grn=True, layer_scale_init_value=0.0)
convnextv2_atto = _v2("convnextv2_atto", depths=(2, 2, 6, 2), dims=(40, 80, 160, 320))
convnextv2_femto = _v2("convnextv2_femto", depths=(2, 2, 6, 2), dims=(48, 96, 192, 384))
convnextv2_pico = _v2("convnextv2_pico", depths=(2, 2, 6, 2), dims=(64, 128, 256, 512))
convnextv2_nano = _v2("convnextv2_nano", depths=(2, 2, 8, 2), dims=(80, 160, 320, 640))
convnextv2_tiny = _v2("convnextv2_tiny", depths=(3, 3, 9, 3), dims=(96, 192, 384, 768))
convnextv2_base = _v2("convnextv2_base", depths=(3, 3, 27, 3), dims=(128, 256, 512, 1024))
convnextv2_large = _v2("convnextv2_large", depths=(3, 3, 27, 3), dims=(192, 384, 768, 1536))
convnextv2_huge = _v2("convnextv2_huge", depths=(3, 3, 27, 3), dims=(352, 704, 1408, 2816))
