"""Published weights of MAE.

MindCV's file of `mae_b_16_224_finetune` states no accuracy, so it is left out; timm has pretrained encoders without a
head only.
"""

from .._pretrained import PretrainedCfg

WEIGHTS: dict[str, PretrainedCfg] = {}
