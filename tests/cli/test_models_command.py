"""`mindcv models`."""

import argparse
import json

import pytest

from mindcv.cli import models
from mindcv.models import list_models


def run(*args: str) -> int:
    parser = argparse.ArgumentParser()
    models.add_arguments(parser)
    return models.run(parser.parse_args(args))


def table(capsys) -> list[list[str]]:
    return [line.split() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["resnet??"], ["resnet18", "resnet34", "resnet50"]),
        (["resnet*", "--module", "resnet", "--exclude", "*18", "*152"], ["resnet34", "resnet50", "resnet101"]),
        (["*50*", "--module", "senet"], ["seresnet50", "seresnext50_32x4d"]),
        (["--module", "senet", "--max-params", "22M"], ["seresnet18", "seresnet34", "seresnext26_32x4d"]),
        (["--module", "resnet", "--max-macs", "4.1G", "--sort", "macs"], ["resnet18", "resnet34", "resnet50"]),
        (
            ["--module", "senet", "--max-params", "22M", "--sort", "params"],
            ["seresnet18", "seresnext26_32x4d", "seresnet34"],
        ),
        (
            ["--module", "resnet", "--sort", "top1", "--max-params", "26M"],
            ["resnext50_32x4d", "resnet50", "resnet34", "resnet18"],
        ),
    ],
)
def test_names(args, expected, capsys):
    assert run(*args, "--names") == 0
    assert capsys.readouterr().out.split() == expected
    assert run(*args) == 0
    assert [row[0] for row in table(capsys)[1:]] == expected


def test_table_of_models(capsys):
    """What is in sizes.csv and in the table of weights."""
    assert run("*resnet50", "--exclude", "BiT*", "sk*") == 0
    assert table(capsys) == [
        ["model", "params", "MACs", "input", "top-1", "best", "weights"],
        ["resnet50", "25.6M", "4.09G", "224", "81.21", "a1_in1k", "20"],
        ["seresnet50", "28.1M", "4.09G", "224", "81.28", "ra2_in1k", "5"],
    ]


def test_best_free_weights(capsys):
    """Facebook's have 82.17 % for ResNeXt-50, and nobody else has any for ConvNeXt V2 B; both forbid commercial use."""
    assert run("*50_32x4d", "--module", "resnet") == 0
    assert table(capsys)[1][4:] == ["82.01", "a1h_in1k", "12"]
    assert run("convnextv2_base") == 0
    assert table(capsys)[1][4:] == ["-", "-", "2"]
    assert run("resnext50_32x4d", "--pretrained", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["free"] for row in rows] == [True] * 10 + [False] * 2
    assert [row["name"].partition(".")[2] for row in rows[:2]] == ["a1h_in1k", "a1_in1k"]
    assert [row["top1"] for row in rows[:10]] == sorted((row["top1"] for row in rows[:10]), reverse=True)


def test_json(capsys):
    assert run("seresnet152", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {
            "name": "seresnet152",
            "params": 66821848,
            "macs": 11520204800,
            "input": [224, 224],
            "top1": None,
            "best": None,
            "weights": [],
        }
    ]
    assert run("seresnet50", "--json", "--pretrained", "--sort", "top1") == 0
    first = json.loads(capsys.readouterr().out)[0]
    assert (first["name"], first["top1"], first["input"]) == ("seresnet50.ra2_in1k", 81.284, [288, 288])
    assert first["licence"] == "Apache-2.0"


def test_all_models_in_natural_order(capsys):
    assert run("--names") == 0
    assert capsys.readouterr().out.splitlines() == list_models()


def test_pretrained_table(capsys):
    assert run("resnet??", "--pretrained") == 0
    header, *rows = table(capsys)
    assert header == ["weights", "default", "top-1", "params", "input", "crop", "interpolation", "licence", "source"]
    assert sorted(row[0] for row in rows) == sorted(list_models("resnet??", pretrained=True))
    assert [row[0].partition(".")[0] for row in rows] == ["resnet18"] * 8 + ["resnet34"] * 7 + ["resnet50"] * 20
    cells = {row[0]: row[1:] for row in rows}
    assert cells["resnet50.tv2_in1k"] == ["80.86", "25.6M", "224", "0.966", "bilinear", "BSD-3-Clause", "torchvision"]
    assert cells["resnet50.mindcv_in1k"][:2] == ["yes", "76.69"]
    assert sum(row[0] == "yes" for row in cells.values()) == 3


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["resnet5O"], "no model matches 'resnet5O'; did you mean 'resnet50'?"),
        (["resnext"], "no model matches 'resnext'; did you mean 'resnext*'?"),
        (["resnet50", "--max-params", "1K"], "no model matches 'resnet50' --max-params 1000$"),
        (["--module", "vgg99"], "unknown model module 'vgg99'"),
        (["--max-params", "1K"], "no model matches --max-params 1000"),
        (["resnet50", "--module", "senet"], "no model matches 'resnet50' --module senet"),
    ],
)
def test_nothing_found(args, message):
    with pytest.raises(ValueError, match="^" + message.replace("?", r"\?").replace("*", r"\*")):
        run(*args)


def test_number_that_is_none(capsys):
    with pytest.raises(SystemExit):
        run("--max-params", "ten")
    assert "'ten' is no number; give one such as 25000000, 25M or 4.1G" in capsys.readouterr().err
