"""MindCV's import path of the order of axes."""

from .upstream import Format, FormatT, nchw_to, nhwc_to

__all__ = ["Format", "FormatT", "nchw_to", "nhwc_to"]
