"""The packaging table matches the tree; what a wheel must hold is where the table says."""

import ast
import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from time_limits import LIMIT_S

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # comes with pytest

pytestmark = pytest.mark.no_mindspore

ROOT = Path(__file__).parents[1]
TABLE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = TABLE["tool"]["setuptools"]


def files_of(package: str) -> set[Path]:
    """The data files that the table takes into the wheel for one package."""
    folder = ROOT / SETUPTOOLS["package-dir"].get(package, package.replace(".", "/"))
    return {path for glob in SETUPTOOLS["package-data"][package] for path in folder.glob(glob)}


def test_packages_are_those_of_the_tree():
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "mindcv").rglob("__init__.py")}
    assert sorted(SETUPTOOLS["packages"]) == sorted({*found, "mindcv.configs"})


def test_data_files_are_in_the_table():
    packaged = set().union(*map(files_of, SETUPTOOLS["package-data"]))
    wanted = {path for folder in ("mindcv", "configs") for path in (ROOT / folder).rglob("*") if path.is_file()}
    wanted = {path for path in wanted if path.suffix not in (".py", ".pyc", ".c", ".cpp", ".h", ".so")}
    assert packaged == wanted
    assert {ROOT / "mindcv/py.typed", ROOT / "mindcv/data/assets/digits.npz"} <= packaged
    assert ROOT / "mindcv/config/config.schema.json" in packaged


def test_metadata():
    project = TABLE["project"]
    assert project["requires-python"] == ">=3.10,<3.13"
    assert project["license"] == "Apache-2.0"
    assert {"mindspore>=2.7,<2.11", "numpy>=1.26,<2"} <= set(project["dependencies"])
    assert project["scripts"] == {"mindcv": "mindcv.cli:main"}
    assert (ROOT / project["readme"]).is_file()


def test_setup_py_only_names_the_extensions():
    _, imports, call = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body
    assert ast.unparse(imports) == "from setuptools import Extension, setup"
    assert [keyword.arg for keyword in call.value.keywords] == ["ext_modules"]


def has_c_compiler() -> bool:
    return shutil.which("cc") is not None or shutil.which("gcc") is not None


@pytest.mark.skipif(not has_c_compiler(), reason="there is no C compiler")
def test_the_jpeg_extension_is_built_where_it_can_be():
    from mindcv.data.images.decoding import is_jpeg_extension_built

    assert is_jpeg_extension_built(), "install the package again, or run: python setup.py build_ext --inplace"


@pytest.mark.skipif(not has_c_compiler() or sys.platform != "linux", reason="there is no C compiler")
def test_the_kernels_are_built_where_they_can_be():
    from mindcv.kernels import KERNELS, built_library

    missing = [name for name in KERNELS if built_library(name) is None]
    assert missing == [], "install the package again, or run: python setup.py build_ext --inplace"


def test_a_compiler_that_fails_leaves_the_extensions_out(tmp_path):
    """The package is installed all the same; `mindcv doctor` tells it later."""
    folders = ["--build-lib", tmp_path / "lib", "--build-temp", tmp_path / "temp"]
    command = [sys.executable, "setup.py", "build_ext", *folders]
    failing = {"CC": "false", "CXX": "false", "LDSHARED": "false", "LDCXXSHARED": "false"}
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **failing}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'building extension "mindcv.kernels._convolution" failed' in done.stdout + done.stderr
    assert list(tmp_path.rglob("*.so")) == []


def test_changelog_has_the_version():
    from mindcv import __version__

    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("document", ["README.md", "mkdocs.yml"])
def test_linked_files_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    if document == "mkdocs.yml":
        pages = [page for entry in yaml.safe_load(text)["nav"] for page in leaves(entry)]
        missing = [page for page in pages if not (ROOT / "docs" / page).is_file()]
    else:
        links = [part.split(")")[0] for part in text.split("](")[1:]]
        missing = [link for link in links if "://" not in link and not (ROOT / link.split("#")[0]).exists()]
    assert missing == []


def leaves(entry: object) -> list[str]:
    """The pages of one entry of mkdocs' nav, which nests lists and dictionaries."""
    if isinstance(entry, str):
        return [entry]
    children = entry.values() if isinstance(entry, dict) else entry
    return [leaf for child in children for leaf in leaves(child)]


def has_setuptools_77() -> bool:
    try:
        return int(importlib.metadata.version("setuptools").split(".")[0]) >= 77
    except importlib.metadata.PackageNotFoundError:
        return False


@pytest.mark.skipif(not has_setuptools_77(), reason="building a wheel offline needs setuptools>=77")
def test_wheel(tmp_path):
    tree = tmp_path / "tree"
    for name in ("mindcv", "configs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    options = ["--no-build-isolation", "--no-deps", "-q", "-w", str(tmp_path), str(tree)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options], check=True, timeout=LIMIT_S)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "mindcv/configs/resnext/resnext50_32x4d_cpu.yaml" in names
    assert {"mindcv/py.typed", "mindcv/config/config.schema.json", "mindcv/data/assets/digits.npz"} <= names
    for extension in ("data/images/_jpeg", "kernels/_multi_tensor", "kernels/_convolution"):
        is_built = any(name.startswith(f"mindcv/{extension}.") and name.endswith(".so") for name in names)
        assert is_built == has_c_compiler()
