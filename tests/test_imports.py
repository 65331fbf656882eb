"""Holds the import levels of docs/architecture.md: a lower level never imports a higher one."""

import ast
import functools
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
    "kernels": set(),
    "models.layers": {"kernels"},
    "loss": set(),
    "optim": {"kernels", "optim.gradients", "optim.state"},
    "optim.gradients": set(),  # of the optimizers and of the training step
    "optim.state": {"weights"},  # of the optimizers and of resuming
    "scheduler": set(),
    "data": {"weights"},  # what the outputs of a model mean
    "models": {"models.layers", "weights"},
    "engine": {"kernels", "weights", "optim.gradients", "optim.state"},
    "export": {"models", "models.layers", "data", "weights"},
    "report": {"models", "weights"},
    "serve": {"export", "report", "data"},
}
TOP = {"", "__main__", "_version", "build", "cli", "teacher", "train", "validate", "version"}  # may import anything
WITHOUT_MINDSPORE = {"utils", "config", "weights", "report", "cli", "", "__main__"}
# MindCV's import paths in `utils` of what is in `engine`; nothing of ours imports them.
UPSTREAM = {
    f"mindcv.utils.{name}"
    for name in ("amp", "callbacks", "checkpoint_manager", "random", "reduce_manager", "train_step", "trainer_factory")
}
# Allowed anywhere besides the standard library; what is not here is imported inside the function that needs it.
REQUIRED = {"mindcv", "mindspore", "numpy", "yaml", "pydantic", "pydantic_core", "PIL", "tqdm"}


def part_of(module: str) -> str:
    """The part that a module below mindcv belongs to: `mindcv.models.layers.conv` is of `models.layers`."""
    words = module.split(".")[1:]
    if words in (["optim", "gradients"], ["optim", "state"]):
        return ".".join(words)
    return ".".join(words[:2]) if words[:2] == ["models", "layers"] else (words or [""])[0]


def module_name(path: Path) -> str:
    words = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(words[:-1] if words[-1] == "__init__" else words)


MODULES = {module_name(path) for suffix in ("py", "c") for path in PACKAGE.rglob(f"*.{suffix}")}
# Families that are built on another one.
PARENTS = {
    "hrnet": "resnet",
    "mae": "vit",
    "resnetv2": "resnet",
    "sknet": "resnet",
    "swintransformerv2": "swintransformer",
}


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
            # `from . import layers` names the module in the alias.
            modules = [f"{target}.{alias.name}" for alias in child.names if f"{target}.{alias.name}" in MODULES]
            yield from ((name, lazy) for name in modules)
            if len(modules) < len(child.names):
                yield target, lazy
        else:
            is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from imports(child, module, is_package, lazy or is_function)


@functools.cache
def all_imports() -> list[tuple[str, str, bool]]:
    """Returns importing module, imported module, and whether it is imported in a function only."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        module = module_name(path)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += [(module, name, lazy) for name, lazy in imports(tree, module, path.name == "__init__.py")]
    return found


def test_levels():
    wrong = []
    for module, name, lazy in all_imports():
        here, there = part_of(module), part_of(name)
        if name.split(".")[0] != "mindcv" or here in TOP or name in ("mindcv", "mindcv.__version__"):
            continue
        # Upstream's names, when used.
        reexports = {"engine"} if here == "utils" and (lazy or module in UPSTREAM) else set()
        if there not in {here, "utils", "config", "_version", *ALLOWED[here], *reexports}:
            wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_upstreams_paths_are_for_users():
    assert [f"{module} imports {name}" for module, name, _ in all_imports() if name in UPSTREAM] == []


def test_mindcvs_interface_is_for_users():
    """`engine.upstream` stands on the engine; only what shows its names to users imports it."""
    inside = "mindcv.engine.upstream"
    importers = {module for module, name, _ in all_imports() if name.startswith(inside) and inside not in module}
    assert importers - UPSTREAM == {"mindcv.engine"}


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


def test_families_import_their_parents_only():
    """Files that start with an underscore are machinery, and upstream's import paths only re-export."""
    reexports = {"registry", "helpers", "features", "model_factory", "utils", "measure"}
    families = {f"mindcv.models.{path.stem}" for path in (PACKAGE / "models").glob("[!_]*.py")}
    families -= {f"mindcv.models.{name}" for name in reexports}
    pairs = {(module, ".".join(name.split(".")[:3])) for module, name, _ in all_imports() if module in families}
    pairs = {(child.rpartition(".")[2], parent.rpartition(".")[2]) for child, parent in pairs if parent in families}
    assert pairs == set(PARENTS.items())


def test_private_modules_stay_private():
    """A module with an underscore is imported from its own package only; the version is everybody's."""
    wrong = []
    for module, name, _ in all_imports():
        private = any(word.startswith("_") and not word.startswith("__") for word in name.split("."))
        if name.split(".")[0] == "mindcv" and private and name != "mindcv._version":
            package = name[: name.index("._")]
            if not f"{module}.".startswith(f"{package}."):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def private_names(module: str, is_package: bool, source: str) -> Iterator[str]:
    """Yields `module.name` for each private name of another module of mindcv that a module imports or reads."""
    tree = ast.parse(source)
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname: alias.name for alias in node.names if alias.asname and alias.name in MODULES}
        elif isinstance(node, ast.ImportFrom):
            base = module.split(".")[: None if is_package else -1]
            prefix = base[: len(base) - node.level + 1] if node.level else []
            target = ".".join([*prefix, *filter(None, [node.module])])
            for alias in node.names:
                if f"{target}.{alias.name}" in MODULES:
                    modules[alias.asname or alias.name] = f"{target}.{alias.name}"
                elif target.split(".")[0] == "mindcv" and is_private(alias.name):
                    yield f"{target}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            name = ast.unparse(node.value)
            owner = modules.get(name, name)
            if owner in MODULES and owner != module and f"{owner}.{node.attr}" not in MODULES:
                yield f"{owner}.{node.attr}"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_private_names_stay_private():
    """A name with an underscore is for its own file: what another one needs has a public name."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        found = private_names(module_name(path), path.name == "__init__.py", path.read_text(encoding="utf-8"))
        wrong += [f"{module_name(path)}: {name}" for name in found]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from .fs import _umask, locked", ["mindcv.utils.fs._umask"]),
        ("from ..utils import fs\nfs._umask()", ["mindcv.utils.fs._umask"]),
        ("import mindcv.utils.fs as files\nfiles._umask()", ["mindcv.utils.fs._umask"]),
        ("import mindcv.utils.fs\nmindcv.utils.fs._umask()", ["mindcv.utils.fs._umask"]),
        ("from ..weights import _ckpt\nfrom .fs import local_path\nlocal_path.__doc__", []),
    ],
)
def test_private_names_are_found(source, found):
    assert list(private_names("mindcv.utils.text", False, source)) == found


def test_no_circles():
    """Neither at the start nor inside functions does a module import one that imports it."""
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for module, name, _ in all_imports():
        if name in MODULES and name != module:
            graph[module].add(name)
    state: dict[str, int] = {}
    circles = []

    def visit(module: str, path: list[str]) -> None:
        state[module] = 1
        for other in sorted(graph[module]):
            if state.get(other) == 1:
                circles.append(" -> ".join([*path[path.index(other) :], other]))
            elif other not in state:
                visit(other, [*path, other])
        state[module] = 2

    for module in sorted(graph):
        if module not in state:
            visit(module, [module])
    assert circles == []
