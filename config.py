"""For scripts that say `from config import parse_args`, as with earlier versions of MindCV."""

from mindcv.config import Config, ConfigError, create_parser, parse_args, save_args

__all__ = ["Config", "ConfigError", "create_parser", "parse_args", "save_args"]
