"""`mindcv cache`: what is kept, how large it is, and that clearing leaves what is not its own."""

import os

import pytest

from mindcv.cli import main
from mindcv.utils.graph_store import GraphStore, KeptGraph

pytestmark = pytest.mark.no_mindspore


def run(capsys, *words: str) -> list[str]:
    assert main(["cache", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_list_size_and_clear(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "graphs"
    monkeypatch.setenv("MINDCV_COMPILE_CACHE", str(folder))
    empty = f"{folder}: 0 graphs, 0.0 of at most 256 MiB"
    assert run(capsys, "list") == [empty]
    assert not folder.exists()  # looking makes nothing
    store = GraphStore(folder)
    store.keep("a" * 64, KeptGraph(os.urandom(2 << 20)), "the training step")
    store.keep("b" * 64, KeptGraph(os.urandom(1 << 20)), "the evaluation")
    store.put_aside("b" * 64)
    (folder / "notes.txt").write_text("mine")

    *lines, total = run(capsys, "list")
    step, aside = sorted(lines)
    assert step.startswith("aaaaaaaaaaaa      2.0 MiB  used 2")
    assert step.endswith("  the training step")
    assert aside.startswith("bbbbbbbbbbbb      1.0 MiB  used 2")
    assert aside.endswith("  put aside as unusable")
    assert total == f"{folder}: 2 graphs, 3.0 of at most 256 MiB"
    assert run(capsys, "size") == [total]
    assert run(capsys, "clear", "--folder", str(folder)) == [f"{folder}: removed 2 graphs, 3.0 MiB"]
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert run(capsys, "size") == [empty]


def test_a_folder_that_is_not_there(tmp_path, capsys):
    assert main(["cache", "clear", "--folder", str(tmp_path / "no")]) == 2
    assert capsys.readouterr().err == f"mindcv: error: --folder: there is no folder {tmp_path / 'no'}\n"
