"""MindCV's import path of tuples of one value."""

from .upstream import to_1tuple, to_2tuple, to_3tuple, to_4tuple, to_ntuple

_ntuple = to_ntuple  # see mindcv.models.helpers

__all__ = ["to_1tuple", "to_2tuple", "to_3tuple", "to_4tuple", "to_ntuple"]
