"""MindCV's import path of the feature extraction."""

from ._features import FeatureExtractWrapper

__all__ = ["FeatureExtractWrapper"]
