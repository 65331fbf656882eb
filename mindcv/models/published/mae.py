"""Published weights of MAE.

MindCV states no accuracy of its file; timm has pretrained encoders without a head only.
"""

from .._pretrained import MINDCV, PretrainedCfg

WEIGHTS: dict[str, PretrainedCfg] = {
    "mae_b_16_224_finetune.mindcv_in1k": PretrainedCfg(
        url=f"{MINDCV}/mae/mae_b_16_224_finetune-cc05b899.ckpt",
        sha256="cc05b899",
        interpolation="bicubic",
        licence="Apache-2.0",
        source="MindCV",
    ),
}
