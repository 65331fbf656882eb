"""MAE: Vision Transformers that were pretrained as masked autoencoders.

Masked Autoencoders Are Scalable Vision Learners, arXiv:2111.06377

Reference implementation: MindCV. The networks are ViT's with the mean of the patches in front of the head.
"""

from functools import partial

from ._family import Family
from .published.mae import WEIGHTS
from .vit import VisionTransformer

__all__ = [
    "mae_b_16_224_finetune",
    "mae_h_14_224_finetune",
    "mae_l_16_224_finetune",
]

variant = partial(Family(VisionTransformer, WEIGHTS, __name__).variant, global_pool="avg", norm_eps=1e-6)
# table 3; the names say patch and side
mae_b_16_224_finetune = variant("mae_b_16_224_finetune")
mae_l_16_224_finetune = variant("mae_l_16_224_finetune", embed_dim=1024, depth=24, num_heads=16)
mae_h_14_224_finetune = variant("mae_h_14_224_finetune", patch_size=14, embed_dim=1280, depth=32, num_heads=16)
