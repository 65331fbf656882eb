"""Options of other scripts under their old names."""

import argparse
import sys
from typing import Any

__all__ = ["Renamed", "Without"]


class Renamed(argparse.Action):
    """An option that other scripts spell otherwise; the old spelling works and one line names the new one."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        new = self.option_strings[0]
        if option != new:
            print(f"{option} is called {new} here", file=sys.stderr)
        setattr(namespace, self.dest, values)


class Without(argparse.Action):
    """An option of another script that has no counterpart; one line, its help, says what to do instead."""

    def __init__(self, option_strings: list[str], dest: str, help: str, **options: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, help=argparse.SUPPRESS, **options)
        self.instead = help

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        print(f"{option} has no effect: {self.instead}", file=sys.stderr)
