"""Reads a recipe's YAML, which may be anybody's: bounded in size and depth, no aliases, no odd numbers of YAML 1.1."""

import re
from collections.abc import Iterator, Sequence

import yaml

from ..utils.fs import open_file
from .compat import NEW_KEYS, Setting, is_switch, shown
from .schema import KEYS

__all__ = ["ConfigError", "read_settings"]

LARGEST_RECIPE = 256 * 1024
DEEPEST_NESTING = 16
LONGEST_NUMBER = 64
# Keys of today and of other scripts together are fewer.
MOST_KEYS = 500

_TAG = "tag:yaml.org,2002:"
_OCTAL = re.compile(r"([-+]?)0[0-7_]+")


class ConfigError(ValueError):
    """What is wrong with a configuration, one line for each problem.

    Args:
        problems: The lines.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        lines = self.problems if len(self.problems) == 1 else [f"{len(self.problems)} problems:", *self.problems]
        super().__init__("\n  ".join(lines))


def read_settings(path: str, documents: bool = False) -> list[Setting]:
    """Reads a recipe's keys with the lines that they are on.

    Args:
        path: A path or address.
        documents: Take the first of several YAML documents; more than one is an error otherwise.

    Raises:
        ConfigError: It cannot be read, is no YAML mapping, is too large, too deep or has aliases, has a key twice, or
            has a value that YAML 1.1 reads as something else than what it looks like.
    """
    try:
        text = _read_text(path)
        _check_structure(text, path)
        loader = yaml.SafeLoader(text)
        node = _first_document(loader) if documents else loader.get_single_node()
    except yaml.reader.ReaderError:
        raise ConfigError([f"{path}: is not a text file; a recipe is a YAML file"]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        hint = "; mindcv config import reads the model zoo's" if "another document" in str(error.problem) else ""
        raise ConfigError([f"{path}:{line}: is not valid YAML: {error.problem}{hint}"]) from None
    if node is None:
        raise ConfigError([f"{path}: is empty; a recipe has lines of the form 'key: value'"])
    if not isinstance(node, yaml.MappingNode):
        form = "a list" if isinstance(node, yaml.SequenceNode) else "a single value"
        raise ConfigError([f"{path}: is {form}; a recipe has lines of the form 'key: value'"])

    if len(node.value) > MOST_KEYS:
        raise ConfigError([f"{path}: has {len(node.value)} keys; there are {len(KEYS)}, so allowed are {MOST_KEYS}"])

    settings: dict[str, Setting] = {}
    problems: list[str] = []
    for key_node, value_node in node.value:
        source = f"{path}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            problems.append(f"{source}: a key must be a name; a recipe has lines of the form 'key: value'")
            continue
        name = str(key_node.value)
        try:
            odd = next(_odd_words(value_node, name), None)
            if odd is not None:
                problems.append(f"{source}: {name}: {odd}")
                continue
            value = loader.construct_object(value_node, deep=True)
        # With a tag that is written out (`!!int`, `!!bool`) on other text, the library fails in any of these ways.
        except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
            problems.append(f"{source}: {name}: cannot be read: {getattr(error, 'problem', None) or error}")
            continue
        if name in settings:
            first = settings[name].source.rsplit(":", 1)[1]
            problems.append(f"{source}: {name}: got {shown(value)}, but it is already on line {first}")
        settings[name] = Setting(name, value, name, source, rank=0)
    if problems:
        raise ConfigError(problems)
    return list(settings.values())


def _read_text(path: str) -> str:
    """Returns a file's text, having read no more than a recipe may have."""
    try:
        with open_file(path) as file:
            data = file.read(LARGEST_RECIPE + 1)
    except IsADirectoryError:
        raise ConfigError([f"{path}: is a folder; a recipe is a YAML file"]) from None
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read ({error.strerror or error})"]) from None
    except (ImportError, ValueError) as error:  # an address whose scheme is unknown or needs a package
        raise ConfigError([f"{path}: cannot be read ({error})"]) from None
    if len(data) > LARGEST_RECIPE:
        raise ConfigError([f"{path}: has more than {LARGEST_RECIPE // 1024} KiB; a recipe is a short YAML file"])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not a text file; a recipe is a YAML file"]) from None


def _check_structure(text: str, path: str) -> None:
    """Refuses aliases, which a few lines of may stand for more than memory holds, and deep nesting.

    Events are read one after the other, so that nothing has been expanded by then.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            sign = "*" if isinstance(event, yaml.AliasEvent) else "&"
            raise ConfigError(
                [f"{path}:{line}: got {sign}{anchor}: a recipe has no anchors and aliases; write the value out"]
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST_NESTING:
                raise ConfigError(
                    [f"{path}:{line}: is nested more than {DEEPEST_NESTING} levels deep; a recipe is 'key: value'"]
                )
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _first_document(loader: yaml.SafeLoader) -> yaml.Node | None:
    """Returns the first of several YAML documents; the others must be well-formed too."""
    first = loader.get_node() if loader.check_node() else None
    while loader.check_node():
        loader.get_node()
    return first


def _odd_words(node: yaml.Node, name: str) -> Iterator[str]:
    """Yields what is wrong with values that YAML 1.1 takes for something else than a reader does."""
    for scalar in _scalars(node):
        word, tag = scalar.value, scalar.tag.removeprefix(_TAG)
        if tag in ("int", "float") and len(word) > LONGEST_NUMBER:
            yield f"got a number of {len(word)} characters; allowed are {LONGEST_NUMBER}"
        elif tag in ("int", "float") and ":" in word:
            number = yaml.safe_load(word)
            yield (
                f"got {word}, which YAML reads as {number} (a number to the base 60); "
                f"write '{word}' in quotes, or {number}"
            )
        elif tag == "int" and (octal := _OCTAL.fullmatch(word)):
            plain = octal[1] + (word.lstrip("-+0").replace("_", "") or "0")
            yield (
                f"got {word}, which YAML reads as {yaml.safe_load(word)} (an octal number); write {plain}, or "
                f"'{word}' in quotes for text"
            )
        elif tag == "bool" and word.lower() not in ("true", "false") and _takes_no_switch(name):
            yield (
                f"got {word}, which YAML reads as {yaml.safe_load(word)}; write '{word}' in quotes for text; "
                f"allowed: {KEYS[NEW_KEYS.get(name, name)].allowed}"
            )
        elif tag == "timestamp":
            yield f"got {word}, which YAML reads as a date; write '{word}' in quotes"


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    """The single values in a node."""
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.SequenceNode):
        for part in node.value:
            yield from _scalars(part)
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            for part in pair:
                yield from _scalars(part)


def _takes_no_switch(name: str) -> bool:
    """Whether a key is known and is not one of those that are on or off."""
    return NEW_KEYS.get(name, name) in KEYS and not is_switch(name)
