"""Reads recipe and command line into a checked `Config`: default < recipe < command line."""

import argparse
import contextlib
import itertools
import logging
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError

from ..utils.errors import EXIT_USAGE, say_error
from ..utils.fs import is_remote, local_path
from ..utils.registry import closest, suggest
from .common import COMMON_KEYS, DESCRIPTIONS
from .compat import NEW_KEYS, SWITCHES, Setting, shown, translate
from .fields import Key
from .recipe_file import ConfigError, read_settings
from .render import to_yaml
from .schema import KEYS, SECTIONS, Config
from .values import format_value

_logger = logging.getLogger(__name__)

COMMAND_LINE = "command line"
_DEVICES = ("ascend", "gpu", "cpu")
_PACKAGE = Path(__file__).resolve().parents[1]


def recipe_folders() -> list[Path]:
    """Returns where packaged recipes are: `configs` of the clone, or inside the installed package."""
    clone = _PACKAGE.parent
    folders = [clone / "configs"] if (clone / "pyproject.toml").is_file() else []
    return [folder for folder in [*folders, _PACKAGE / "configs"] if folder.is_dir()]


def recipes_of_models(device: str) -> dict[str, Path]:
    """Returns the packaged recipes that are written for a device, by the name of their model.

    Args:
        device: `ascend`, `gpu` or `cpu`, the ending of their files' names.
    """
    found = {}
    for folder in reversed(recipe_folders()):
        for path in folder.rglob(f"*_{device}.yaml"):
            line = re.search(r"^model: (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            if line:
                found[line[1]] = path
    return found


def find_recipe(name: str) -> str:
    """Returns the path of a recipe.

    Args:
        name: A path or address, or a name inside the packaged `configs`, such as `resnet/resnet_50_ascend.yaml`, or
            `resnet_50_ascend` alone where only one has it. `resnet50_ascend`, of model and device, names it too.

    Raises:
        ConfigError: There is none; the closest names are in the message.
    """
    if is_remote(name) or (local_path(name).exists() and not local_path(name).is_dir()):
        return name
    inside = name.removeprefix("./").removeprefix("configs/")
    for folder in recipe_folders():
        if (folder / inside).is_file():
            return str(folder / inside)
    known = {
        path.relative_to(folder).as_posix(): path
        for folder in reversed(recipe_folders())
        for path in folder.rglob("*_*.yaml")
    }
    stem = inside.removesuffix(".yaml")
    named = [path for path in known if Path(path).name == f"{stem}.yaml"]
    if len(named) == 1:
        return str(known[named[0]])
    if named:
        raise ConfigError([f"recipe {name!r} is not the name of one alone; give one of {', '.join(sorted(named))}"])
    if local_path(name).exists():
        return name  # a folder, which reading refuses
    family, model, device = _parts_of_name(inside)
    of_model = recipes_of_models(device).get(model) if device in _DEVICES else None
    if of_model and family in ("", of_model.parent.name):
        return str(of_model)
    raise ConfigError([f"recipe {name!r} does not exist; {_instead_of(inside, sorted(known))}"])


def _parts_of_name(inside: str) -> tuple[str, str, str]:
    """Takes `family/model_device.yaml` apart."""
    family, _, file = inside.removesuffix(".yaml").rpartition("/")
    model, _, device = file.rpartition("_")
    return family, model, device


def _instead_of(inside: str, known: list[str]) -> str:
    """Says what to use where there is no such recipe: a training has one, whatever devices it can run on."""
    family, model, device = _parts_of_name(inside)
    if device in _DEVICES:
        written_for = "cpu" if device == "cpu" else "ascend"
        recipes = {name: f"{path.parent.name}/{path.name}" for name, path in recipes_of_models(written_for).items()}
        recipes |= {Path(path).name.removesuffix(f"_{written_for}.yaml"): path for path in recipes.values()}
        if model in recipes:
            return f"use {recipes[model]}" + (" --device_target GPU" if device == "gpu" else "")
        for path in recipes.values() if device == "cpu" else ():
            if path.startswith(f"{family}/"):
                return f"use {path} --model {model}"
    by_stem = {Path(path).stem: path for path in known}
    file = inside.removesuffix(".yaml").rpartition("/")[2]
    close = closest(inside, known, 3, cutoff=0.4) or [by_stem[stem] for stem in closest(file, by_stem, 3, cutoff=0.4)]
    if not close:
        return "give a path to a YAML file"
    return f"closest packaged recipes: {', '.join(close)}; --model changes a recipe's model"


@dataclass
class _Request:
    """What the command line asks for."""

    settings: list[Setting] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    recipe: str = ""
    print_config: bool = False
    help: bool = False
    help_all: bool = False


def _is_flag(word: str) -> bool:
    """Whether a word names a key; `-1e-3` and `-inf` are values."""
    return (word.startswith("--") and len(word) > 2) or bool(re.fullmatch(r"-[A-Za-z](=.*)?", word))


def _read_command_line(words: Sequence[str]) -> _Request:
    request = _Request()
    flags: list[tuple[str, list[str]]] = []
    for word in words:
        if _is_flag(word):
            name, sign, value = word.partition("=")
            name = "imports" if name == "--import" else name.removeprefix("--")
            flags.append((name, [value] if sign else []))
        elif flags:
            flags[-1][1].append(word)
        else:
            request.problems.append(f"{COMMAND_LINE}: got {word!r} without a key; allowed: -c RECIPE and --key value")
    imports = [values for name, values in flags if name == "imports"]
    if len(imports) > 1:  # several add up
        flags = [flag for flag in flags if flag[0] != "imports"] + [("imports", [*itertools.chain(*imports)])]
    for name, values in flags:
        plain = name.replace("-", "_")
        if name in ("help", "-h"):
            request.help = True
        elif plain == "help_all" and not values:
            request.help = request.help_all = True
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
        lines[name] = f"{setting.source}: {written}: got {shown(setting.value)}; allowed: {key.allowed}{hint}"
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
        args: Such as `["-c", "resnet/resnet_50_ascend.yaml", "--lr", "0.1"]`.

    Raises:
        ConfigError: Something is wrong; the message has one line for each problem.
    """
    return _resolve(_read_command_line(args))


def create_parser(
    prog: str | None = None, keys: Collection[str] = KEYS, description: str = ""
) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Returns the parser of `-c/--config` alone, and the parser of all keys, which also prints the help.

    Args:
        prog: The name of the command; None takes the script's.
        keys: The keys that the second parser has.
        description: What its help begins with.
    """
    recipe_parser = argparse.ArgumentParser(add_help=False)
    recipe_parser.add_argument(
        "-c", "--config", default="", metavar="RECIPE", help="YAML file, or a packaged recipe's name: resnet18_cpu"
    )
    parser = argparse.ArgumentParser(
        prog=prog,
        usage="%(prog)s [-c RECIPE] [--key value ...]",
        description=f"{description} Keys stand in the recipe or on the command line, which wins.".strip(),
        parents=[recipe_parser],
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=34, width=120),
        allow_abbrev=False,
    )
    parser.add_argument("--print-config", action="store_true", help="show the resolved configuration as YAML and stop")
    parser.add_argument("--help-all", action="store_true", help="all keys, with their ranges, units and defaults")
    for section in SECTIONS:
        names = [name for name in section.model_fields if name in keys and name != "config"]
        group = parser.add_argument_group(section.title) if names else None
        for name in names:
            _add_argument(group, KEYS[name], is_brief=len(keys) < len(KEYS))
    return recipe_parser, parser


def _add_argument(group: Any, key: Key, is_brief: bool) -> None:
    if is_brief:
        choices = "one of " + ", ".join(key.choices) if key.choices else ""
        facts = [choices, "" if key.default in (None, "", False, ()) else f"default: {format_value(key.default)}"]
        first = re.match(r"(.+?)(?:[.;](?= |$))", key.help)
        meaning = first[1] if first else key.help
    else:
        facts = [key.allowed, key.unit and f"unit: {key.unit}", f"default: {format_value(key.default)}"]
        meaning = key.help
    noted = "; ".join(fact for fact in facts if fact)
    text = f"{meaning} ({noted})".removesuffix(" ()").replace("%", "%%")
    match = re.match(r"(an integer|a number|one of)?", key.allowed)
    metavar = {"an integer": "N", "a number": "X", "one of": "NAME"}.get(match.group() if match else "", "TEXT")

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


class Arguments(Config):
    """A config whose keys can be set (`args.lr = 0.1`), as those of MindCV's scripts can.

    A value is read and checked as in a recipe. A script may add attributes of its own, which no recipe has.

    Raises:
        ConfigError: A key is set to a value that it cannot have.
    """

    model_config = ConfigDict(frozen=False, extra="allow")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in KEYS:
            section = next(section for section in SECTIONS if name in section.model_fields)
            try:
                value = getattr(section(**{name: value}), name)
            except ValidationError as error:
                found = {name: Setting(name, value, name, "args", rank=1)}
                raise ConfigError(_problem_lines(error, found, "")) from None
        elif not hasattr(self, name) and suggest(name, KEYS):
            _logger.warning(
                "args.%s is no key, and is kept as an attribute of the script's%s", name, suggest(name, KEYS)
            )
        super().__setattr__(name, value)

    def __contains__(self, name: object) -> bool:
        """Whether there is such a key or attribute, as argparse's namespace answers it."""
        return isinstance(name, str) and hasattr(self, name)

    def checked(self) -> Config:
        """Returns a frozen config of the keys, checked together.

        Raises:
            ConfigError: Keys contradict each other.
        """
        names = [name for name in KEYS if name in self.model_fields_set and name != "config"]
        settings = [Setting(name, getattr(self, name), name, "args", rank=1) for name in names]
        return build_config(settings, [], self.config)[0]


def parse_args(args: Sequence[str] | None = None, *, prog: str | None = None, command: str = "train") -> Arguments:
    """Reads the command line of a script. Wrong input prints the report to stderr and leaves with exit code 2.

    Args:
        args: The words after the script's name; None takes them from `sys.argv`.
        prog: The name of the command for `--help`; None takes the script's.
        command: `train` or `validate`, whose common keys `--help` shows.

    Raises:
        SystemExit: 2 for wrong input; 0 after `--help` and `--print-config`.
    """
    request = _read_command_line(sys.argv[1:] if args is None else args)
    if request.help:
        keys = KEYS if request.help_all else COMMON_KEYS[command]
        _, parser = create_parser(prog or _script_name(), keys, DESCRIPTIONS[command])
        if not request.help_all:
            parser.epilog = f"{len(KEYS) - len(keys)} keys more: --help-all"
        parser.print_help()
        sys.exit(0)
    # With --print-config, stdout has YAML and nothing else: what is logged goes to stderr.
    aside = contextlib.redirect_stdout(sys.stderr) if request.print_config else contextlib.nullcontext()
    try:
        with aside:
            config = _resolve(request)
        _check_report(config, request, command)
    except ConfigError as error:
        say_error(error)
        sys.exit(EXIT_USAGE)
    if request.print_config:
        sys.stdout.write(to_yaml(config))
        sys.exit(0)
    values = {name: getattr(config, name) for name in KEYS}
    return Arguments.model_construct(_fields_set=set(config.model_fields_set), **values)


def _check_report(config: Config, request: _Request, command: str) -> None:
    """Refuses what the key `report` means to the other script.

    Raises:
        ConfigError: It is a folder for `train`, or none for `validate`.
    """
    if command == "train" and isinstance(config.report, str):
        raise ConfigError([f"report: got {config.report!r}; allowed: True or False: the page goes into ckpt_save_dir"])
    is_given = any(setting.key == "report" for setting in request.settings)
    if command == "validate" and is_given and config.report is True:
        raise ConfigError([f"{COMMAND_LINE}: report: got True; allowed: the folder that the evaluation is written to"])


def _script_name() -> str:
    """The command as it was typed: `python train.py` for a script, else the name of the program."""
    name = sys.argv[0]
    return f"python {name}" if name.endswith(".py") else Path(name).name
