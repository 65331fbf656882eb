"""The rule of conftest.py for tests marked `zoo`, and names of test files."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.no_mindspore


class Item:
    def __init__(self, *marks: str) -> None:
        self.keywords = set(marks)

    def get_closest_marker(self, name: str) -> str | None:
        return name if name in self.keywords else None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [("", [3, 0, 2]), ("not slow", [3, 0, 2]), ("zoo", [3, 0, 1, 2]), ("zoo and not slow", [3, 0, 1, 2])],
)
def test_zoo_runs_only_when_it_is_named_and_slow_comes_first(request, expression, expected):
    conftest = request.config.pluginmanager.get_plugin(str(Path(__file__).with_name("conftest.py")))
    items = [Item(), Item("zoo"), Item("torch"), Item("slow")]
    indices = {id(item): index for index, item in enumerate(items)}
    left_out = []
    hook = SimpleNamespace(pytest_deselected=lambda items: left_out.extend(items))
    conftest.pytest_collection_modifyitems(
        SimpleNamespace(option=SimpleNamespace(markexpr=expression), hook=hook), items
    )
    assert [indices[id(item)] for item in items] == expected
    assert [indices[id(item)] for item in left_out] == [index for index in range(4) if index not in expected]


def test_each_test_file_has_a_name_of_its_own():
    """pytest imports them by name, and does not run the second one of a name."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
