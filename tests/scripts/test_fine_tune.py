"""docs/fine-tune.md, from the first command to the last: photos, a model, a report, a served file, a shared folder."""

import ast
import http.client
import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from script_runner import ROOT, SHORTER
from time_limits import LIMIT_S

from mindcv.cli import main
from mindcv.export import Classifier

PAGE = ROOT / "docs" / "fine-tune.md"


def commands() -> dict[str, list[str]]:
    """The page's commands by their first words, each as the words behind `mindcv`."""
    blocks = re.findall(r"```shell\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert all(words[0] == "mindcv" for words in lines)
    return {" ".join(words[1:3]) if words[1] == "data" else words[1]: words[1:] for words in lines}


def test_the_page_has_the_whole_way():
    steps = ["data check", "data show", "train", "validate", "report", "infer", "explain", "export", "serve", "push"]
    assert list(commands()) == steps


@pytest.mark.slow
def test_every_command_of_the_page(photos, weights, capsys):
    pytest.importorskip("jinja2")
    pytest.importorskip("fastapi")
    page = commands()

    def run(name: str, *more: str) -> str:
        assert main([*page[name], *more]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    assert "48" in run("data check")
    run("data show")
    assert Image.open("seen.png").width > 200
    assert "Evaluate with: " in run("train", *SHORTER, "--pretrained", weights)
    accuracy = ast.literal_eval(run("validate").splitlines()[-1])["Top_1_Accuracy"]
    assert accuracy >= 0.75  # of 10 parts of two photographs
    evaluation = json.loads(Path("ckpt/photos/evaluation/evaluation.json").read_text())
    assert evaluation["top_1_accuracy"] == pytest.approx(accuracy)
    run("report")
    html = Path("ckpt/photos/report.html").read_text(encoding="utf-8")
    assert "cat" in html
    assert "<svg" in html
    said = run("infer").splitlines()[-1].split()
    assert {said[1], said[3]} == {"cat", "dog"}
    run("explain")
    assert Image.open("looked.png").width > 200
    assert "verified" in run("export")
    assert ask_the_server(page["serve"]) == said[1]
    assert "reads back with equal logits" in run("push")
    card = Path("pets/README.md").read_text(encoding="utf-8")
    assert f"| top-1 accuracy | {accuracy:.6g} |" in card
    shared = Classifier("local-dir:pets").predict("photos/train/cat/1.jpg")[0].labels[0]
    assert (shared.name, f"{shared.probability:.2f}") == (said[1], f"{float(said[2]):.2f}")


def ask_the_server(words: list[str]) -> str:
    """Serves the exported file as the page does, on a port that is free, and returns the class of a photo."""
    port = words.index("--port") + 1
    command = [sys.executable, "-m", "mindcv", *words[:port], "0", *words[port + 1 :]]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=LIMIT_S)
        connection.request("POST", "/predict", Path("photos/train/cat/1.jpg").read_bytes())
        answer = json.loads(connection.getresponse().read())
        connection.request("GET", "/")
        assert b"<html" in connection.getresponse().read()
        process.send_signal(signal.SIGINT)
        assert process.wait(LIMIT_S) == 0
        return answer["results"][0]["predictions"][0]["class"]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
