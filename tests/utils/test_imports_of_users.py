"""`--import` and `imports`: modules of the user's own."""

import sys

import pytest

from mindcv.config import Config, ConfigError, read_config
from mindcv.utils.imports import import_modules

pytestmark = pytest.mark.no_mindspore


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_module_of_the_current_folder_and_of_a_package(folder):
    (folder / "mine_alone.py").write_text("VALUE = 3\n")
    (folder / "my_package_x").mkdir()
    (folder / "my_package_x" / "my_models.py").write_text("VALUE = 4\n")
    import_modules(["mine_alone", "my_package_x.my_models", "mine_alone"])
    assert sys.modules["mine_alone"].VALUE == 3
    assert sys.modules["my_package_x.my_models"].VALUE == 4
    assert sys.path[-1] == str(folder)


def test_no_module_of_the_folder_hides_an_installed_one(folder):
    (folder / "wave.py").write_text("raise SystemError\n")
    sys.modules.pop("wave", None)
    import_modules(["wave"])
    assert hasattr(sys.modules["wave"], "open")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"there is no module 'broken_x' in .* give its name with dots and without \.py"),
        ("import not_there_y\n", "broken_x needs the module 'not_there_y', which is not installed"),
        (
            "x = 1\nx / 0\n",
            r"broken_x cannot be imported: ZeroDivisionError: division by zero \(.*broken_x.py, line 2\)",
        ),
        ("x = (\n", r"broken_x cannot be imported: SyntaxError"),
    ],
)
def test_what_cannot_be_imported(folder, text, message):
    if text is not None:
        (folder / "broken_x.py").write_text(text)
    with pytest.raises(ImportError, match=message) as error:
        import_modules(["broken_x"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], ()),
        (["--import", "a.b"], ("a.b",)),
        (["--import=a", "--import", "b", "c"], ("a", "b", "c")),
        (["--imports", "a,b"], ("a", "b")),
    ],
)
def test_key_and_option(words, expected, caplog):
    assert read_config(words).imports == expected
    assert caplog.messages == []


@pytest.mark.parametrize("value", ["my_models.py/", "a-b", "../x", "a b;c", "1a"])
def test_what_is_no_name_of_a_module(value):
    with pytest.raises(ConfigError, match=r"allowed: names of Python modules"):
        read_config(["--import", value])
    with pytest.raises(ValueError, match="imports"):
        Config(imports=[value])
