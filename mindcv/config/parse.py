"""Reads recipe and command line into a checked `Config`: default < recipe < command line."""

import argparse
import difflib
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..utils.fs import is_remote, local_path, open_file
from ..utils.registry import suggest
from .compat import NEW_KEYS, SWITCHES, Setting, translate
from .render import format_value, to_yaml
from .schema import KEYS, SECTIONS, Config, Key

_logger = logging.getLogger(__name__)

COMMAND_LINE = "command line"
_PACKAGE = Path(__file__).resolve().parents[1]


class ConfigError(ValueError):
    """What is wrong with a configuration, one line for each problem.

    Args:
        problems: The lines.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        lines = self.problems if len(self.problems) == 1 else [f"{len(self.problems)} problems:", *self.problems]
        super().__init__("\n  ".join(lines))


def recipe_folders() -> list[Path]:
    """Returns where packaged recipes are: `configs` of the clone, or inside the installed package."""
    clone = _PACKAGE.parent
    folders = [clone / "configs"] if (clone / "pyproject.toml").is_file() else []
    return [folder for folder in [*folders, _PACKAGE / "configs"] if folder.is_dir()]


def find_recipe(name: str) -> str:
    """Returns the path of a recipe.

    Args:
        name: A path or address, or a name inside the packaged `configs`, such as `resnext/resnext50_32x4d_cpu.yaml`.

    Raises:
        ConfigError: There is none; the closest names are in the message.
    """
    if is_remote(name) or local_path(name).exists():
        return name
    inside = name.removeprefix("./").removeprefix("configs/")
    for folder in recipe_folders():
        if (folder / inside).is_file():
            return str(folder / inside)
    known = {path.relative_to(folder).as_posix() for folder in recipe_folders() for path in folder.rglob("*_*.yaml")}
    close = difflib.get_close_matches(inside, sorted(known), n=3, cutoff=0.4)
    hint = f"; closest packaged recipes: {', '.join(close)}" if close else "; give a path to a YAML file"
    raise ConfigError([f"recipe {name!r} does not exist{hint}"])


def read_settings(path: str, documents: bool = False) -> list[Setting]:
    """Reads a recipe's keys with the lines that they are on.

    Args:
        path: A path or address.
        documents: Take the first of several YAML documents; more than one is an error otherwise.

    Raises:
        ConfigError: It cannot be read, is no YAML mapping, or has a key twice.
    """
    try:
        with open_file(path) as file:
            text = file.read().decode("utf-8-sig")
        loader = yaml.SafeLoader(text)
        node = _first_document(loader) if documents else loader.get_single_node()
    except IsADirectoryError:
        raise ConfigError([f"{path}: is a folder; a recipe is a YAML file"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror or error})"]) from None
    except (UnicodeDecodeError, yaml.reader.ReaderError):
        raise ConfigError([f"{path}: is not a text file; a recipe is a YAML file"]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        hint = "; mindcv config import reads the model zoo's" if "another document" in str(error.problem) else ""
        raise ConfigError([f"{path}:{line}: is not valid YAML: {error.problem}{hint}"]) from None
    except (ImportError, ValueError) as error:  # an address whose scheme is unknown or needs a package
        raise ConfigError([f"{path}: cannot be read ({error})"]) from None
    if node is None:
        raise ConfigError([f"{path}: is empty; a recipe has lines of the form 'key: value'"])
    if not isinstance(node, yaml.MappingNode):
        kind = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        raise ConfigError([f"{path}: is {kind}; a recipe has lines of the form 'key: value'"])

    settings: dict[str, Setting] = {}
    problems: list[str] = []
    for key_node, value_node in node.value:
        source = f"{path}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(f"{source}: a key must be a name; a recipe has lines of the form 'key: value'")
            continue
        name = str(key_node.value)
        try:
            value = loader.construct_object(value_node, deep=True)
        except (yaml.MarkedYAMLError, ValueError) as error:
            problems.append(f"{source}: {name}: cannot be read: {getattr(error, 'problem', None) or error}")
            continue
        if name in settings:
            problems.append(
                f"{source}: {name}: got {value!r}, but it is already on line {settings[name].source.rsplit(':', 1)[1]}"
            )
        settings[name] = Setting(name, value, name, source, rank=0)
    if problems:
        raise ConfigError(problems)
    return list(settings.values())


def _first_document(loader: yaml.SafeLoader) -> yaml.Node | None:
    """Returns the first of several YAML documents; the others must be well-formed too."""
    first = loader.get_node() if loader.check_node() else None
    while loader.check_node():
        loader.get_node()
    return first


@dataclass
class _Request:
    """What the command line asks for."""

    settings: list[Setting] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    recipe: str = ""
    print_config: bool = False
    help: bool = False


def _is_flag(word: str) -> bool:
    """Whether a word names a key; `-1e-3` and `-inf` are values."""
    return (word.startswith("--") and len(word) > 2) or bool(re.fullmatch(r"-[A-Za-z](=.*)?", word))


def _read_command_line(words: Sequence[str]) -> _Request:
    request = _Request()
    flags: list[tuple[str, list[str]]] = []
    for word in words:
        if _is_flag(word):
            name, sign, value = word.partition("=")
            flags.append((name.removeprefix("--"), [value] if sign else []))
        elif flags:
            flags[-1][1].append(word)
        else:
            request.problems.append(f"{COMMAND_LINE}: got {word!r} without a key; allowed: -c RECIPE and --key value")
    for name, values in flags:
        plain = name.replace("-", "_")
        if name in ("help", "-h"):
            request.help = True
        elif plain == "print_config" and not values:
            request.print_config = True
        elif name in ("config", "-c") or plain == "config_path":
            request.recipe = " ".join(values)
            if plain == "config_path":
                _logger.warning("%s: %s: %s is read as config", COMMAND_LINE, name, request.recipe)
            if len(values) != 1:
                request.problems.append(f"{COMMAND_LINE}: {name}: got {request.recipe!r}; allowed: one recipe")
        else:
            try:
                value = _join(name, values)
            except ValueError as error:
                request.problems.append(str(error))
                continue
            request.settings.append(Setting(plain, value, name, COMMAND_LINE, rank=1))
    return request


def _join(name: str, values: list[str]) -> str:
    """Returns the words after a flag as one text; a switch alone is on, a list may have several.

    Raises:
        ValueError: The key takes a value and has none, or takes one and has several.
    """
    plain = name.replace("-", "_")
    key = KEYS.get(NEW_KEYS.get(plain, plain))
    if key is None:
        return " ".join(values) or "True"
    if not values and (key.is_switch or plain in SWITCHES):
        return "True"
    if not values or (len(values) > 1 and not key.is_list):
        got = " ".join(values) or "no value"
        raise ValueError(f"{COMMAND_LINE}: {name}: got {got}; allowed: {key.allowed}")
    return " ".join(values)


def _problem_lines(error: ValidationError, found: dict[str, Setting], recipe: str) -> list[str]:
    """One line for each key that is wrong, and for each contradiction."""
    lines: dict[str, str] = {}
    for fault in error.errors():
        if fault["type"] == "contradiction":
            for name, text in fault["ctx"]["problems"]:
                source = found[name].source if name in found else recipe or COMMAND_LINE
                lines[text] = f"{source}: {text}"
            continue
        name = str(fault["loc"][0])
        setting, key = found[name], KEYS[name]
        written = setting.written if setting.written == name else f"{setting.written} (today's {name})"
        hint = suggest(str(setting.value), key.choices)
        lines[name] = f"{setting.source}: {written}: got {setting.value!r}; allowed: {key.allowed}{hint}"
    return list(lines.values())


def build_config(settings: Sequence[Setting], problems: Sequence[str], recipe: str) -> tuple[Config, list[str]]:
    """Checks settings together.

    Args:
        settings: What was given.
        problems: What was found wrong before, to be told with the rest.
        recipe: The recipe that they come from.

    Returns:
        The configuration, and one line for each old spelling.

    Raises:
        ConfigError: Something is wrong.
    """
    found, notes, unread = translate(settings)
    lines = [*problems, *unread]
    values = {name: setting.value for name, setting in found.items()}
    try:
        config = Config(**{"config": recipe, **values})
    except ValidationError as error:
        lines += _problem_lines(error, found, recipe)
    if lines:
        raise ConfigError(lines)
    return config, notes


def _build(settings: Sequence[Setting], problems: Sequence[str], recipe: str) -> Config:
    """Checks settings together and logs what was read from old spellings.

    Raises:
        ConfigError: Something is wrong.
    """
    config, notes = build_config(settings, problems, recipe)
    for note in notes:
        _logger.warning("%s", note)
    return config


def load_recipe(path: str) -> Config:
    """Reads one recipe over the defaults.

    Args:
        path: A path or address of a YAML file, or a name inside the packaged `configs`.

    Raises:
        ConfigError: It does not exist, cannot be read, or has wrong keys or values; all of them are in the message.
    """
    path = find_recipe(path)
    return _build(read_settings(path), [], path)


def _resolve(request: _Request) -> Config:
    settings: list[Setting] = []
    problems: list[str] = []
    path = ""
    if request.recipe:
        try:
            path = find_recipe(request.recipe)
            settings = read_settings(path)
        except ConfigError as error:
            problems = error.problems
    return _build([*settings, *request.settings], [*problems, *request.problems], path)


def read_config(args: Sequence[str]) -> Config:
    """Reads command-line words, and the recipe that they name, into a checked configuration.

    Args:
        args: Such as `["-c", "resnet/resnet50_ascend.yaml", "--lr", "0.1"]`.

    Raises:
        ConfigError: Something is wrong; the message has one line for each problem.
    """
    return _resolve(_read_command_line(args))


def create_parser(prog: str | None = None) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Returns the parser of `-c/--config` alone, and the parser of all keys, which also prints the help."""
    recipe_parser = argparse.ArgumentParser(add_help=False)
    recipe_parser.add_argument(
        "-c", "--config", default="", metavar="RECIPE", help="YAML file, or a name inside the packaged configs"
    )
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s [-c RECIPE] [--key value ...]",
        description="Every key below can stand in the recipe or on the command line, which wins.",
        parents=[recipe_parser],
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=120),
        allow_abbrev=False,
    )
    parser.add_argument("--print-config", action="store_true", help="show the resolved configuration as YAML and stop")
    for section in SECTIONS:
        group = parser.add_argument_group(section.title)
        for name in section.model_fields:
            if name != "config":
                _add_argument(group, KEYS[name])
    return recipe_parser, parser


def _add_argument(group: "argparse._ArgumentGroup", key: Key) -> None:
    facts = [key.allowed, key.unit and f"unit: {key.unit}", f"default: {format_value(key.default)}"]
    text = f"{key.help} ({'; '.join(fact for fact in facts if fact)})".replace("%", "%%")
    kind = re.match(r"(an integer|a number|one of)?", key.allowed)
    metavar = {"an integer": "N", "a number": "X", "one of": "NAME"}.get(kind.group() if kind else "", "TEXT")

    def check(word: str) -> Any:
        try:
            return getattr(read_config([f"--{key.name}={word}"]), key.name)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    if key.is_switch:
        group.add_argument(
            f"--{key.name}", nargs="?", const=True, default=key.default, type=check, metavar="BOOL", help=text
        )
    else:
        group.add_argument(
            f"--{key.name}", default=key.default, type=check, metavar="A,B" if key.is_list else metavar, help=text
        )


def parse_args(args: Sequence[str] | None = None, *, prog: str | None = None) -> Config:
    """Reads the command line of a script. Wrong input prints the report to stderr and leaves with exit code 2.

    Args:
        args: The words after the script's name; None takes them from `sys.argv`.
        prog: The name of the command for `--help`; None takes the script's.

    Raises:
        SystemExit: 2 for wrong input; 0 after `--help` and `--print-config`.
    """
    request = _read_command_line(sys.argv[1:] if args is None else args)
    if request.help:
        _, parser = create_parser(prog)
        parser.print_help()
        sys.exit(0)
    try:
        config = _resolve(request)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    if request.print_config:
        sys.stdout.write(to_yaml(config))
        sys.exit(0)
    return config
