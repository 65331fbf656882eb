"""The C extensions of `data/images` are found where they are built."""

import ast
import sysconfig
from pathlib import Path

import pytest

from mindcv.data import images
from mindcv.data.images import decoding, extensions, image_check, operations

ROOT = Path(__file__).parents[2]
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
DECLARED = [
    node.args[0].value
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")))
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Extension"
]


@pytest.mark.parametrize("name", ["jpeg", "augment"])
def test_what_is_built_is_found(name):
    """A wrong import path would only make everything slower, and tests of the extension would be skipped."""
    package, _, module = next(each for each in DECLARED if each.endswith(f"._{name}")).rpartition(".")
    assert package == images.__name__
    # Anywhere in the package, so that a module that was moved in one place only is noticed.
    built = list((ROOT / "mindcv").rglob(f"{module}{SUFFIX}"))
    assert built in ([], [ROOT.joinpath(*package.split("."), f"{module}{SUFFIX}")])
    assert (getattr(extensions, name) is not None) == bool(built)


def test_who_uses_them_asks_one_place():
    assert decoding._jpeg is image_check._jpeg is extensions.jpeg
    assert operations._augment is extensions.augment


def test_one_that_does_not_load_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "_broken.py").write_text("raise ImportError('undefined symbol')")
    monkeypatch.setattr(images, "__path__", [*images.__path__, str(tmp_path)])
    with pytest.raises(ImportError, match="undefined symbol"):
        extensions._find("_broken")
    assert extensions._find("_absent") is None
