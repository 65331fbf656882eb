"""Holds the import levels of docs/architecture.md: a lower level never imports a higher one."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.no_mindspore

PACKAGE = Path(__file__).parents[1] / "mindcv"

# What each part may import from mindcv besides itself, `utils` and `config`.
ALLOWED = {
    "utils": set(),
    "config": set(),
    "weights": set(),
    "models.layers": set(),
    "loss": set(),
    "optim": {"weights"},  # files of the optimizer state
    "scheduler": set(),
    "data": {"weights"},  # downloads are one thing, for weights and for data
    "models": {"models.layers", "weights"},
    "engine": {"weights"},
    "export": {"models", "models.layers", "data", "weights"},
    "report": {"models"},
}
TOP = {"", "__main__", "_version", "build", "cli", "train", "validate"}  # may import anything
WITHOUT_MINDSPORE = {"utils", "config", "weights", "report", "cli", "", "__main__"}
# Allowed anywhere besides the standard library; what is not here is imported inside the function that needs it.
REQUIRED = {"mindcv", "mindspore", "numpy", "yaml", "pydantic", "pydantic_core", "PIL", "tqdm"}


def part_of(module: str) -> str:
    """The part that a module below mindcv belongs to: `mindcv.models.layers.conv` is of `models.layers`."""
    words = module.split(".")[1:]
    return ".".join(words[:2]) if words[:2] == ["models", "layers"] else (words or [""])[0]


def module_name(path: Path) -> str:
    words = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


def imports(node: ast.AST, module: str, is_package: bool, lazy: bool = False) -> Iterator[tuple[str, bool]]:
    """Yields absolute names of imported modules, and whether the import runs in a function only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        if isinstance(child, ast.Import):
            yield from ((alias.name, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = module.split(".")[: None if is_package else -1]
            prefix = base[: len(base) - child.level + 1] if child.level else []
            target = ".".join([*prefix, *filter(None, [child.module])])
            if target in ("mindcv", "mindcv.models"):  # `from . import layers` names the module in the alias
                yield from ((f"{target}.{alias.name}", lazy) for alias in child.names)
            else:
                yield target, lazy
        else:
            is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from imports(child, module, is_package, lazy or is_function)


def all_imports() -> Iterator[tuple[str, str, bool]]:
    """Yields importing module, imported module, and whether it is imported in a function only."""
    for path in sorted(PACKAGE.rglob("*.py")):
        module = module_name(path)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from ((module, name, lazy) for name, lazy in imports(tree, module, path.name == "__init__.py"))


def test_levels():
    wrong = []
    for module, name, lazy in all_imports():
        here, there = part_of(module), part_of(name)
        if name.split(".")[0] != "mindcv" or here in TOP or name in ("mindcv", "mindcv.__version__"):
            continue
        reexports = {"engine", "weights"} if here == "utils" and lazy else set()  # upstream's names, when used
        if there not in {here, "utils", "config", "_version", *ALLOWED[here], *reexports}:
            wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_every_part_has_a_level():
    parts = {part_of(module_name(path)) for path in PACKAGE.rglob("*.py")}
    assert parts <= set(ALLOWED) | TOP


def test_mindspore_only_where_it_is_needed():
    wrong = [
        f"{module} imports {name}"
        for module, name, lazy in all_imports()
        if name.split(".")[0] == "mindspore" and not lazy and part_of(module) in WITHOUT_MINDSPORE
    ]
    assert wrong == []


def test_optional_packages_are_imported_in_functions():
    known = REQUIRED | sys.stdlib_module_names
    at_top = [(module, name) for module, name, lazy in all_imports() if not lazy]
    assert [f"{module} imports {name}" for module, name in at_top if name.split(".")[0] not in known] == []


def test_families_do_not_import_each_other():
    """Files that start with an underscore are machinery, and upstream's import paths only re-export."""
    reexports = {"registry", "helpers", "features", "model_factory", "utils", "measure"}
    families = {f"mindcv.models.{path.stem}" for path in (PACKAGE / "models").glob("[!_]*.py")}
    families -= {f"mindcv.models.{name}" for name in reexports}
    pairs = [(module, ".".join(name.split(".")[:3])) for module, name, _ in all_imports() if module in families]
    assert [f"{module} imports {name}" for module, name in pairs if name in families] == []
