"""MindCV's import path of position embeddings."""

from .upstream import RelativePositionBiasWithCLS, resample_abs_pos_embed

__all__ = ["RelativePositionBiasWithCLS", "resample_abs_pos_embed"]
