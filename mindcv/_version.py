"""The version, in one place (read by pyproject.toml too)."""

__version__ = "0.6.0.dev0"
