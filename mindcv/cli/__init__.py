"""The command line: `mindcv <command>`. Each is a module here with HELP, add_arguments(parser) and run(args)."""

import argparse
import importlib
import io
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from .. import __version__
from ..utils.errors import EXIT_USAGE, run_command, say_error
from ..utils.imports import import_modules
from ..utils.log import set_logger
from ..utils.registry import suggest

# `train` and `validate` hand all their arguments to mindcv.config, as train.py and validate.py do.
_SCRIPTS = {
    "train": "train a model from a recipe",
    "validate": "evaluate a checkpoint",
}
# `validate --model FILE` with a file of `mindcv export` goes to mindcv.cli._exported.
_EXPORTED_SUFFIXES = (".mindir", ".onnx")
_COMMANDS = (
    "models",
    "doctor",
    "data",
    "prepare",
    "convert",
    "weights",
    "export",
    "push",
    "infer",
    "explain",
    "serve",
    "report",
    "launch",
    "schedule",
    "find-lr",
    "average",
    "config",
    "cache",
    "benchmark",
)

__all__ = ["main", "run_script"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; the entry point of the console script."""
    _write_any_name()
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in _SCRIPTS:
        return run_script(arguments[0], arguments[1:], prog=f"mindcv {arguments[0]}")
    if arguments and arguments[0] in _COMMANDS:
        command = _command(arguments[0])
        parser = _Parser(prog=f"mindcv {arguments[0]}", description=_sentence(command.HELP))
        command.add_arguments(parser)
        options, options.keys = parser.parse_known_args(arguments[1:])
        if options.keys and not getattr(options, "takes_keys", False):
            parser.error(f"unrecognized arguments: {' '.join(options.keys)}")

        def run() -> int:
            import_modules(getattr(options, "imports", ()))
            return command.run(options)

        return run_command(run)
    if arguments in (["-V"], ["--version"]):
        print(f"mindcv {__version__}")
        return 0
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    names = (*_SCRIPTS, *_COMMANDS)
    hint = suggest(arguments[0], names) or "."
    say_error(f"unknown command {arguments[0]!r}{hint} Commands: {', '.join(names)}")
    return EXIT_USAGE


def run_script(name: str, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Runs `train` or `validate` and returns its exit code. The arguments are checked before MindSpore is imported.

    Args:
        name: `train` or `validate`.
        argv: The words after the script's name; None takes them from `sys.argv`.
        prog: The command as it was typed, for `--help`; None takes the script's name.
    """
    # Here, since the schema takes long to import and most commands do without it.
    from ..config import parse_args

    _write_any_name()
    set_logger("mindcv")
    cfg = parse_args(argv, prog=prog, command=name)
    is_exported = name == "validate" and cfg.model.lower().endswith(_EXPORTED_SUFFIXES)
    module = "mindcv.cli._exported" if is_exported else f"mindcv.{name}"
    return run_command(lambda: importlib.import_module(module).main(cfg))


def _write_any_name() -> None:
    """Lets a name that is not UTF-8 be printed, with its bytes written out, in place of ending the command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


class _Parser(argparse.ArgumentParser):
    """Begins its errors as all commands do, describes sub-commands by their help, and wraps nothing at odd places."""

    def error(self, message: str) -> NoReturn:
        """Ends the process."""
        say_error(f"{message}; {self.prog} --help says what there is")
        sys.exit(EXIT_USAGE)

    def add_subparsers(self, **options: Any) -> Any:
        """Returns what adds sub-commands; the description of each is its help."""
        commands = super().add_subparsers(**options)
        add_parser = commands.add_parser
        commands.add_parser = lambda name, **more: add_parser(name, description=_sentence(more["help"]), **more)
        return commands


def _command(name: str) -> Any:
    """Returns the module of a command; `find-lr` is `find_lr`."""
    return importlib.import_module(f"mindcv.cli.{name.replace('-', '_')}")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _usage() -> str:
    helps = {**_SCRIPTS, **{name: _command(name).HELP for name in _COMMANDS}}
    lines = [f"  {name:<10} {text}" for name, text in helps.items()]
    return "\n".join(
        ["usage: mindcv COMMAND [options]", "", "commands:", *lines, "", "mindcv COMMAND --help says more."]
    )
