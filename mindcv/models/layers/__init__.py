"""Cells that the model families share, one noun per file."""

from typing import Any

from mindcv.utils.imports import submodule

from .activation import Swish, activation
from .attention import (
    Attention,
    ClassAttention,
    CrossCovarianceAttention,
    ReducedAttention,
    SplitAttention,
    head_size,
    merge_heads,
    split_heads,
    unit_length,
)
from .conv import HE_NORMAL, conv2d, conv_norm, deep_stem
from .conv_norm_act import Conv2dNormActivation
from .convnext_block import ConvNeXtBlock
from .dense import FAN_IN_UNIFORM, HE_UNIFORM, TRUNC_NORMAL, check_num_classes, classifier_head, dense
from .drop import DropPath, check_rate, drop_path_rates, dropout
from .feed_forward import ConvMlp, Mlp
from .inception import BasicConv2d, Branches, InceptionBlocks, conv_branch
from .inverted_residual import DepthwiseSeparable, FusedInvertedResidual, InvertedResidual, conv_padding
from .norm import LayerNorm2d, batch_norm2d, group_norm, layer_norm
from .pooling import GlobalAvgPooling, StemMaxPool, TokenPooling, head_pooling, mean_pool3x3
from .positions import FourierPositions, sincos_positions
from .reparameterise import fold, merge_branches
from .resize import resize_bicubic, resize_bilinear, resize_nearest
from .scale import GlobalResponseNorm, LayerScale
from .selective_kernel import SelectiveKernel, SelectiveKernelAttn
from .shuffle import channel_shuffle
from .squeeze_excite import SqueezeExcite, SqueezeExciteV2
from .stages import Blocks, MakeBlock, MapSequence, residual_stages
from .tokens import (
    PatchConv,
    PatchEmbed,
    as_pair,
    patch_weight_init,
    planes,
    prepend_token,
    repeat_token,
    require_image_size,
    tokens,
    tokens_as_map,
)
from .transformer_block import PreNormBlock, TransformerBlock
from .width import make_divisible
from .windows import ShiftedWindows, WindowAttention, relative_index

__all__ = [
    "FAN_IN_UNIFORM",
    "HE_NORMAL",
    "HE_UNIFORM",
    "TRUNC_NORMAL",
    "Attention",
    "BasicConv2d",
    "Blocks",
    "Branches",
    "ClassAttention",
    "Conv2dNormActivation",
    "ConvMlp",
    "ConvNeXtBlock",
    "CrossCovarianceAttention",
    "DepthwiseSeparable",
    "DropPath",
    "FourierPositions",
    "FusedInvertedResidual",
    "GlobalAvgPooling",
    "GlobalResponseNorm",
    "InceptionBlocks",
    "InvertedResidual",
    "LayerNorm2d",
    "LayerScale",
    "MakeBlock",
    "MapSequence",
    "Mlp",
    "PatchConv",
    "PatchEmbed",
    "PreNormBlock",
    "ReducedAttention",
    "SelectiveKernel",
    "SelectiveKernelAttn",
    "ShiftedWindows",
    "SplitAttention",
    "SqueezeExcite",
    "SqueezeExciteV2",
    "StemMaxPool",
    "Swish",
    "TokenPooling",
    "TransformerBlock",
    "WindowAttention",
    "activation",
    "as_pair",
    "batch_norm2d",
    "channel_shuffle",
    "check_num_classes",
    "check_rate",
    "classifier_head",
    "conv2d",
    "conv_branch",
    "conv_norm",
    "conv_padding",
    "deep_stem",
    "dense",
    "drop_path_rates",
    "dropout",
    "fold",
    "group_norm",
    "head_pooling",
    "head_size",
    "layer_norm",
    "make_divisible",
    "mean_pool3x3",
    "merge_branches",
    "merge_heads",
    "patch_weight_init",
    "planes",
    "prepend_token",
    "relative_index",
    "repeat_token",
    "require_image_size",
    "residual_stages",
    "resize_bicubic",
    "resize_bilinear",
    "resize_nearest",
    "sincos_positions",
    "split_heads",
    "tokens",
    "tokens_as_map",
    "unit_length",
]


# MindCV's modules whose names its `layers` has too; nothing here imports them.
_MINDCVS = ("compatibility", "format", "identity", "patch_dropout", "pos_embed")


def __getattr__(name: str) -> Any:
    try:
        return submodule(__name__, name)
    except AttributeError:
        modules = [] if name.startswith("_") else [submodule(__name__, path) for path in _MINDCVS]
        owner = next((module for module in modules if name in module.__all__), None)
        if owner is None:
            raise
        return getattr(owner, name)
