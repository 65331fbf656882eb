"""The short path of README and quick start: photos, a fine-tuned model, its accuracy, a prediction. No network."""

import ast
import csv
import shlex
import shutil
from pathlib import Path

import pytest
from script_runner import ROOT, SHORTER

from mindcv.cli import main

PAGES = ("README.md", "docs/quick_start.md")
TITLE = "## From a folder of photos to a model\n"


def commands_of(page: str) -> list[list[str]]:
    """The commands under the title, each as words."""
    section = (ROOT / page).read_text(encoding="utf-8").split(TITLE)[1].split("\n## ")[0]
    block = section.split("```shell\n")[1].split("```")[0]
    return [shlex.split(line) for line in block.splitlines()]


def test_both_pages_have_the_same_three_commands():
    first, second = (commands_of(page) for page in PAGES)
    assert first == second
    assert [words[:2] for words in first] == [["mindcv", "train"], ["mindcv", "validate"], ["mindcv", "infer"]]
    assert "--pretrained" in first[0]
    assert not any(word.startswith("--device") for words in first for word in words)


@pytest.mark.slow
def test_the_short_path_from_photos_to_a_prediction(photos, weights, capsys):
    train, validate, infer = (words[1:] for words in commands_of("docs/quick_start.md"))
    assert main([*train, *SHORTER, "--pretrained", weights]) == 0
    told = capsys.readouterr().out
    assert "Evaluate with: " in told
    assert main(validate) == 0
    accuracy = ast.literal_eval(capsys.readouterr().out.splitlines()[-1])["Top_1_Accuracy"]
    assert f"Best top-1 accuracy: {100 * accuracy:.2f} %" in told
    assert accuracy >= 0.75  # of 10 parts of two photographs
    assert main(infer) == 0
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert row[0] == "photos/train/cat/1.jpg"
    assert {row[1], row[3]} == {"cat", "dog"}
    assert float(row[2]) + float(row[4]) == pytest.approx(1, abs=2e-4)
    # What it answers for all photos is mostly right.
    assert main([*infer[:-1], "photos/train", "--output_format", "csv", "--top_k", "1", "--out", "answers.csv"]) == 0
    with Path("answers.csv").open(newline="", encoding="utf-8") as file:
        right = [Path(line["image"]).parent.name == line["class"] for line in csv.DictReader(file)]
    assert len(right) == 48
    assert sum(right) >= 36
    shutil.rmtree("ckpt")
