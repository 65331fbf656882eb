"""MindCV's import path of what file names tell."""

from .archive import ALIASES, ARCHIVES, OPENERS, detect_file_type

__all__ = ["ARCHIVE_TYPE_SUFFIX", "COMPRESS_TYPE_SUFFIX", "FILE_TYPE_ALIASES", "detect_file_type"]

FILE_TYPE_ALIASES = ALIASES
ARCHIVE_TYPE_SUFFIX = list(ARCHIVES)
COMPRESS_TYPE_SUFFIX = list(OPENERS)
