"""A row for each family: how its networks are made small, and which references prove them.

Without a row a family has no tests, and `test_models_registry.py` says so.
"""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Row:
    """What the tests must know of a family; everything else they read from its class.

    Attributes:
        small: Arguments that make its networks small without leaving out a kind of layer.
        kinds: One model for each kind of network in it; the first stands for the family in the fast set.
        timm: Goldens of timm: its name to ours, and the arguments that its files give our network.
        torchvision: Those of torchvision, where its files have other names or make another network.
        zeros: Entries that MindCV's golden was computed with zeros for: it makes them in float16, and only entries of
            float32 were filled (`test_models_pvt.py` proves what they do).
        side: Side of the images for a small network.
        idle: Parameters that MindCV's network has and does not use.
        fuses: Whether blocks have a `fused` form.
        lost_pixels: What a map may lack of the image's side over its reduction, rounded up (unpadded convolutions).
        folded: Trainable values of timm's network that others take in here (biases in front of a BatchNorm).
        more: Further arguments that make a network small, by kind.
    """

    small: dict[str, Any]
    kinds: tuple[str, ...]
    timm: dict[str, tuple[str, dict[str, Any]]] = dataclasses.field(default_factory=dict)
    torchvision: dict[str, tuple[str, dict[str, Any]]] = dataclasses.field(default_factory=dict)
    zeros: tuple[str, ...] = ()
    side: int = 64
    idle: tuple[str, ...] = ()
    fuses: bool = False
    lost_pixels: int = 0
    folded: int = 0
    more: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)


_RESIDUAL = {"channels": (32, 32, 64, 64), "layers": (1, 2, 1, 1)}
_GELU = {"act": "gelu", "norm_eps": 1e-6}
_SWINV2 = {"act": "gelu", "norm_eps": 1e-5}
_HRNET = {
    "stage1": {"block": "BOTTLENECK", "num_modules": 1, "num_branches": 1, "num_blocks": [1], "num_channels": [16]},
    **{
        f"stage{count}": {
            "block": "BASIC",
            "num_modules": 1,
            "num_branches": count,
            "num_blocks": [1] * count,
            "num_channels": [8, 16, 24, 32][:count],
        }
        for count in (2, 3, 4)
    },
}
_BOTH, _SAME = {"stem_pool_pad": "both"}, {"stem_pool_pad": "same"}

FAMILIES = {
    "bit": Row(
        small=_RESIDUAL,
        kinds=("BiT_resnet50",),
        timm={"resnetv2_50x1_bit": ("BiT_resnet50", {"std_eps": 1e-8})},
        fuses=True,
    ),
    "cait": Row(
        small={"image_size": 64, "embed_dim": 48, "depth": 2, "num_heads": 3, "depth_token_only": 1},
        kinds=("cait_xxs24_224",),
        timm={"cait_xxs24_224": ("cait_xxs24_224", {"act": "gelu", "attn_bias": True})},
    ),
    "cmt": Row(
        small={
            "embed_dims": (8, 16, 16, 24),
            "depths": (1, 2, 1, 1),
            "stem_channel": 8,
            "mlp_ratio": 2.0,
            "fc_dim": 32,
            "num_heads": (1, 2, 2, 4),
        },
        kinds=("cmt_tiny",),
    ),
    "coat": Row(
        small={"embed_dims": (16, 24, 24, 24), "serial_depths": (1, 1, 1, 2), "mlp_ratios": (2, 2, 2, 2)},
        kinds=("coat_lite_tiny", "coat_tiny"),
        more={"coat_tiny": {"parallel_depth": 1}},
        timm={
            "coat_lite_tiny": ("coat_lite_tiny", {"cpe_shortcut": True}),
            "coat_tiny": ("coat_tiny", {"cpe_shortcut": True, "align_corners": False}),
        },
    ),
    "convit": Row(
        small={"image_size": 64, "embed_dim": 48, "depth": 3, "num_heads": 4, "local_up_to_layer": 2},
        kinds=("convit_tiny",),
        timm={"convit_tiny": ("convit_tiny", _GELU)},
    ),
    "convnext": Row(
        small={"dims": (24, 32, 48, 64), "depths": (1, 2, 1, 1)},
        kinds=("convnext_tiny", "convnextv2_atto"),
        timm={name: (name, {"act": "gelu", "pad": "valid"}) for name in ("convnext_tiny", "convnextv2_atto")},
        torchvision={"convnext_tiny": ("convnext_tiny", {"act": "gelu", "pad": "valid"})},
    ),
    "crossvit": Row(
        small={
            "image_size": 120,
            "embed_dims": (24, 48),
            "depths": ((1, 2), (1, 1), (1, 1)),
            "num_heads": (2, 3),
        },
        kinds=("crossvit_9",),
        timm={"crossvit_9_240": ("crossvit_9", {**_GELU, "resample": "bicubic"})},
        side=120,
    ),
    "densenet": Row(
        small={"block_config": (2, 3, 2, 2), "growth_rate": 16, "num_init_features": 32},
        kinds=("densenet121",),
        timm={"densenet121": ("densenet121", {})},
    ),
    "dpn": Row(
        small={"k_sec": (1, 2, 1, 1), "k_r": 32, "g": 8, "num_init_channel": 32, "inc_sec": (16, 16, 16, 16)},
        kinds=("dpn92",),
        timm={"dpn92": ("dpn92", {"stem_pool_pad": "both"})},
    ),
    "edgenext": Row(
        small={"depths": (1, 2, 2, 2), "dims": (8, 16, 20, 32), "num_heads": 4},
        kinds=("edgenext_xx_small",),
        timm={"edgenext_xx_small": ("edgenext_xx_small", {"pad": "valid"})},
    ),
    "efficientnet": Row(
        small={"width_mult": 0.25, "depth_mult": 0.5},
        kinds=("efficientnet_lite0", "efficientnet_b0", "efficientnet_v2_s"),
        timm={
            "efficientnet_b0": ("efficientnet_b0", {"conv_pad": "both", "norm_eps": 1e-5}),
            "efficientnetv2_s": ("efficientnet_v2_s", {"conv_pad": "both", "norm_eps": 1e-5}),
            "tf_efficientnet_lite0": ("efficientnet_lite0", {"conv_pad": "same", "norm_eps": 1e-3}),
        },
        torchvision={
            "efficientnet_b0": ("efficientnet_b0", {"conv_pad": "both", "norm_eps": 1e-5}),
            "efficientnet_v2_s": ("efficientnet_v2_s", {"conv_pad": "both", "norm_eps": 1e-3}),
        },
    ),
    "ghostnet": Row(
        small={
            "width": 0.5,
            "blocks": (
                ((3, 16, 16, False, 1),),
                ((5, 48, 24, True, 2), (3, 72, 24, False, 1)),
                ((3, 72, 40, False, 2),),
            ),
        },
        kinds=("ghostnet_050",),
        timm={"ghostnet_100": ("ghostnet_100", {})},
    ),
    "googlenet": Row(small={}, kinds=("googlenet",)),
    "halonet": Row(
        small={
            "block_types": ("b", "ba", "ba", "ba"),
            "channels": (32, 32, 64, 64),
            "num_heads": (0, 2, 2, 2),
            "block_size": 2,
            "halo_size": 1,
        },
        kinds=("halonet_50t",),
        timm={"halonet50ts": ("halonet_50t", {})},
    ),
    "hrnet": Row(
        small={"stage_cfg": _HRNET},
        kinds=("hrnet_w32",),
        timm={"hrnet_w32": ("hrnet_w32", {"upsample_dtype": "float32"})},
        folded=3840,
    ),
    "inceptionv3": Row(
        small={"aux_logits": False, "width": 0.125},
        kinds=("inception_v3",),
        timm={"inception_v3": ("inception_v3", {"pool_pad": "both"})},
        side=79,
        lost_pixels=4,
    ),
    "inceptionv4": Row(
        small={"depths": (1, 1, 1), "width": 0.125},
        kinds=("inception_v4",),
        timm={"inception_v4": ("inception_v4", {})},
        side=79,
        lost_pixels=4,
    ),
    "mae": Row(
        small={"image_size": 64, "patch_size": 16, "embed_dim": 48, "depth": 3, "num_heads": 3},
        kinds=("mae_b_16_224_finetune", "mae_b_16_224_pretrain"),
        more={"mae_b_16_224_pretrain": {"decoder_embed_dim": 32, "decoder_depth": 1, "decoder_num_heads": 2}},
    ),
    "mixnet": Row(
        small={"depth_multiplier": 0.35, "feature_size": 64},
        kinds=("mixnet_s", "mixnet_m"),
        timm={"mixnet_s": ("mixnet_s", {"se_act": "silu", "conv_pad": "both", "norm_eps": 1e-5})},
    ),
    "mlpmixer": Row(
        small={
            "image_size": 64,
            "patch_size": 16,
            "embed_dim": 48,
            "depth": 3,
            "token_dim": 24,
            "channel_dim": 96,
        },
        kinds=("mlp_mixer_s_p32",),
        timm={"mixer_s32_224": ("mlp_mixer_s_p32", {**_GELU, "stem_bias": True})},
    ),
    "mnasnet": Row(
        small={"alpha": 0.25},
        kinds=("mnasnet_050",),
        timm={"mnasnet_100": ("mnasnet_100", {"norm_eps": 1e-5})},
        torchvision={"mnasnet0_5": ("mnasnet_050", {"norm_eps": 1e-5})},
    ),
    "mobilenetv1": Row(
        small={},
        kinds=("mobilenet_v1_025",),
        timm={"mobilenetv1_100": ("mobilenet_v1_100", {"act": "relu6"})},
    ),
    "mobilenetv2": Row(
        small={"alpha": 0.25},
        kinds=("mobilenet_v2_035_96",),
        timm={"mobilenetv2_100": ("mobilenet_v2_100", {})},
        torchvision={"mobilenet_v2": ("mobilenet_v2_100", {})},
    ),
    "mobilenetv3": Row(
        small={"alpha": 0.25},
        kinds=("mobilenet_v3_small_100", "mobilenet_v3_large_100"),
        timm={"mobilenetv3_large_100": ("mobilenet_v3_large_100", {"norm_eps": 1e-5, "conv_pad": "both"})},
        torchvision={"mobilenet_v3_small": ("mobilenet_v3_small_100", {"norm_eps": 1e-3, "conv_pad": "both"})},
    ),
    "mobilevit": Row(
        small={"channels": (8, 8, 8, 12, 16, 16), "dims": (16, 16, 24), "expand_ratio": 2, "num_heads": 2},
        kinds=("mobilevit_xx_small",),
        timm={
            "mobilevit_xxs": (
                "mobilevit_xx_small",
                {"embed_norm": False, "norm_eps": 1e-5, "align_corners": False},
            )
        },
        side=96,
    ),
    "nasnet": Row(small={"penultimate_filters": 192, "num_cells": 1}, kinds=("nasnet_a_4x1056",), lost_pixels=1),
    "pit": Row(
        small={
            "image_size": 64,
            "patch_size": 8,
            "base_dims": (8, 8, 8),
            "depths": (1, 2, 1),
        },
        kinds=("pit_ti",),
        timm={"pit_ti_224": ("pit_ti", {"act": "gelu"})},
    ),
    "pnasnet": Row(small={"filters": 8, "num_cells": 1}, kinds=("pnasnet",), lost_pixels=1),
    "poolformer": Row(
        small={"depths": (1, 2, 1, 1), "dims": (16, 24, 32, 48)},
        kinds=("poolformer_s12",),
        timm={"poolformer_s12": ("poolformer_s12", {"head_norm": "mean"})},
    ),
    "pvt": Row(
        small={"image_size": 64, "embed_dims": (8, 16, 20, 32), "depths": (1, 2, 1, 1), "mlp_ratios": (2, 2, 2, 2)},
        kinds=("pvt_tiny",),
        zeros=("pos_embed1", "pos_embed2", "pos_embed3", "pos_embed4"),
    ),
    "pvtv2": Row(
        small={"embed_dims": (8, 16, 20, 32), "depths": (1, 2, 1, 1), "mlp_ratios": (2, 2, 2, 2)},
        kinds=("pvt_v2_b0",),
        timm={"pvt_v2_b0": ("pvt_v2_b0", {"act": "gelu", "pad": "both", "norm_eps": 1e-5})},
    ),
    "regnet": Row(
        small={"w_a": 32.0, "w_0": 32, "w_m": 2.0, "d": 7, "group_w": 16},
        kinds=("regnet_y_200mf", "regnet_x_200mf"),
        timm={"regnetx_008": ("regnet_x_800mf", {}), "regnety_008": ("regnet_y_800mf", {})},
        torchvision={"regnet_x_400mf": ("regnet_x_400mf", {"rounding": "divisible"})},
    ),
    "repmlp": Row(
        small={
            "image_size": 64,
            "channels": (8, 16, 24, 32),
            "num_blocks": (1, 2, 1, 1),
            "sharesets_nums": (1, 4, 8, 16),
        },
        kinds=("repmlp_t224",),
        fuses=True,
    ),
    "repvgg": Row(
        small={"num_blocks": (1, 2, 3, 1), "width_multiplier": (0.25, 0.125, 0.125, 0.125)},
        kinds=("repvgg_a0", "repvgg_b1g4"),
        timm={"repvgg_a0": ("repvgg_a0", {})},
        fuses=True,
    ),
    "res2net": Row(
        small=_RESIDUAL,
        kinds=("res2net50", "res2net50_v1b"),
        timm={"res2net50_26w_4s": ("res2net50", {}), "res2net50d": ("res2net50_v1b", {})},
    ),
    "resnest": Row(
        small={**_RESIDUAL, "stem_width": 16},
        kinds=("resnest50",),
        timm={"resnest14d": ("resnest14", {"pool_pad": "both"})},
    ),
    "resnet": Row(
        small=_RESIDUAL,
        kinds=("resnet18", "resnet50", "resnext50_32x4d"),
        timm={
            name: (name, _BOTH) for name in ("resnet18", "resnet50", "resnet101", "resnext50_32x4d", "resnext101_32x4d")
        },
    ),
    "resnetv2": Row(small=_RESIDUAL, kinds=("resnetv2_50",)),
    "rexnet": Row(
        small={"width_mult": 0.5, "depth_mult": 0.3},
        kinds=("rexnet_09",),
        timm={"rexnet_100": ("rexnet_10", {})},
    ),
    "senet": Row(
        small=_RESIDUAL,
        kinds=("seresnet18", "seresnet50", "seresnext26_32x4d", "senet154"),
        timm={
            **{name: (name, _BOTH) for name in ("senet154", "seresnet50", "seresnext50_32x4d")},
            "legacy_senet154": ("senet154", _SAME),
            "legacy_seresnext50_32x4d": ("seresnext50_32x4d", _SAME),
        },
    ),
    "shufflenetv1": Row(small={"depths": (1, 2, 2)}, kinds=("shufflenet_v1_g3_05",)),
    "shufflenetv2": Row(
        small={"depths": (1, 3, 1)},
        kinds=("shufflenet_v2_x0_5",),
        torchvision={
            "shufflenet_v2_x0_5": (
                "shufflenet_v2_x0_5",
                {"layout": "torchvision", "head_bias": True, "stem_pool_pad": "both"},
            )
        },
    ),
    "sknet": Row(
        small=_RESIDUAL,
        kinds=("skresnet18", "skresnext50_32x4d", "skresnet50"),
        timm={
            "skresnet18": ("skresnet18", {**_BOTH, "conv1_act": True}),
            "skresnext50_32x4d": (
                "skresnext50_32x4d",
                {**_BOTH, "conv1_act": True, "groups": 32, "base_width": 4},
            ),
        },
    ),
    "squeezenet": Row(small={}, kinds=("squeezenet1_1", "squeezenet1_0"), side=65, lost_pixels=3),
    "swintransformer": Row(
        small={
            "image_size": 64,
            "embed_dim": 12,
            "depths": (2, 1, 2, 1),
            "num_heads": (1, 2, 3, 4),
            "window_size": 6,
        },
        kinds=("swin_tiny",),
        timm={"swin_tiny_patch4_window7_224": ("swin_tiny", {"act": "gelu", "merge_norm_eps": 1e-5})},
        torchvision={"swin_t": ("swin_tiny", {"act": "gelu", "merge_norm_eps": 1e-5})},
    ),
    "swintransformerv2": Row(
        small={
            "image_size": 64,
            "embed_dim": 12,
            "depths": (2, 1, 2, 1),
            "num_heads": (1, 2, 3, 4),
            "window_size": 6,
        },
        kinds=("swinv2_tiny_window8",),
        timm={"swinv2_tiny_window8_256": ("swinv2_tiny_window8", _SWINV2)},
        torchvision={"swin_v2_t": ("swinv2_tiny_window8", _SWINV2)},
    ),
    "vgg": Row(
        small={"layers": (1, 1, 1, 1, 1), "channels": (16, 16, 32, 32, 32), "hidden_channels": 64, "image_size": 64},
        kinds=("vgg11",),
        timm={"vgg16": ("vgg16", {"conv_bias": True})},
    ),
    "visformer": Row(
        small={
            "image_size": 64,
            "init_channels": 8,
            "embed_dim": 48,
            "depths": (1, 2, 1, 1),
            "num_heads": (3, 3, 3, 3),
        },
        kinds=("visformer_tiny",),
        timm={"visformer_tiny": ("visformer_tiny", {"act": "gelu"})},
    ),
    "vit": Row(
        small={"image_size": 64, "patch_size": 16, "embed_dim": 48, "depth": 3, "num_heads": 3},
        kinds=("vit_b_32_224",),
        timm={"vit_base_patch16_224": ("vit_b_16_224", _GELU)},
        torchvision={"vit_b_32": ("vit_b_32_224", _GELU)},
    ),
    "volo": Row(
        small={
            "image_size": 64,
            "embed_dims": (12, 24),
            "layers": (1, 2, 1, 1),
            "num_heads": (2, 3),
            "stem_hidden_dim": 8,
        },
        kinds=("volo_d1",),
        timm={"volo_d1_224": ("volo_d1", {"act": "gelu", "norm_eps": 1e-5, "aux_weight": 0.5})},
        idle=("aux_head.*",),
    ),
    "xception": Row(
        small={},
        kinds=("xception",),
        timm={"legacy_xception": ("xception", {"pool_pad": "both"})},
        side=79,
        lost_pixels=3,
    ),
    "xcit": Row(
        small={"embed_dim": 32, "depth": 2, "cls_attn_layers": 1},
        kinds=("xcit_tiny_12_p16_224",),
        timm={"xcit_tiny_12_p16_224": ("xcit_tiny_12_p16_224", {"act": "gelu", "qk_norm": True})},
    ),
}
# Families of which all that needs no graph is in the fast set; of the others shapes and depth, and the rest in the set
# `zoo`.
EAGER = (
    "convnext",
    "efficientnet",
    "mae",
    "mobilenetv3",
    "pvtv2",
    "repvgg",
    "resnet",
    "senet",
    "swintransformer",
    "vit",
)
# Families whose graphs are compiled in the fast set too.
COMPILED = ("resnet", "senet", "vit", "mobilenetv3")
