"""Configuration: one typed schema for recipes and command line. No MindSpore import."""

from .parse import (
    Arguments,
    ConfigError,
    create_parser,
    find_recipe,
    load_recipe,
    parse_args,
    read_config,
    recipe_folders,
    recipes_of_models,
)
from .render import dataset_text, save_args, split_text, summary, to_yaml
from .schema import Config
from .values import format_value

__all__ = [
    "Arguments",
    "Config",
    "ConfigError",
    "create_parser",
    "dataset_text",
    "find_recipe",
    "format_value",
    "load_recipe",
    "parse_args",
    "read_config",
    "recipe_folders",
    "recipes_of_models",
    "save_args",
    "split_text",
    "summary",
    "to_yaml",
]
