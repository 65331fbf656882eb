"""Published weights of MLP-Mixer; docs/weights.md says where the figures are from.

MindCV publishes none. The first of a model is its default.
"""

from functools import partial

from .._pretrained import timm_hub

_HALF = (127.5, 127.5, 127.5)
_timm = partial(timm_hub, model_args={"act": "gelu", "norm_eps": 1e-6, "stem_bias": True})

WEIGHTS = {
    "mlp_mixer_b_p16.miil_in21k_ft_in1k": _timm(
        "mixer_b16_224.miil_in21k_ft_in1k",
        top1=82.306,
        top5=95.72,
        interpolation="bilinear",
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
    ),
    "mlp_mixer_b_p16.goog_in21k_ft_in1k": _timm(
        "mixer_b16_224.goog_in21k_ft_in1k", top1=76.602, top5=92.224, mean=_HALF, std=_HALF
    ),
    "mlp_mixer_l_p16.goog_in21k_ft_in1k": _timm(
        "mixer_l16_224.goog_in21k_ft_in1k", top1=72.054, top5=87.674, mean=_HALF, std=_HALF
    ),
}
