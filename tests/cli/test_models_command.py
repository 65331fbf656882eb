"""`mindcv models`."""

import argparse

import pytest

from mindcv.cli import models
from mindcv.models import list_models


def run(*args: str) -> int:
    parser = argparse.ArgumentParser()
    models.add_arguments(parser)
    return models.run(parser.parse_args(args))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["resnet*"], ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]),
        (["resnet*", "--exclude", "*18", "*152"], ["resnet34", "resnet50", "resnet101"]),
        (["*50*", "--module", "senet"], ["seresnet50", "seresnext50_32x4d"]),
    ],
)
def test_names(args, expected, capsys):
    assert run(*args) == 0
    assert capsys.readouterr().out.split() == expected


def test_all_names_one_a_line(capsys):
    assert run() == 0
    assert capsys.readouterr().out.splitlines() == list_models()


def test_pretrained_table(capsys):
    assert run("resnet*", "--pretrained") == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "weights",
        "default",
        "top-1",
        "size",
        "input",
        "crop",
        "interpolation",
        "licence",
        "source",
    ]
    assert [row.split()[0] for row in rows] == list_models("resnet*", pretrained=True)
    cells = {row.split()[0]: row.split()[1:] for row in rows}
    tv2 = ["80.86", "102MB", "3x224x224", "0.966", "bilinear", "BSD-3-Clause", "torchvision"]
    assert cells["resnet50.tv2_in1k"] == tv2
    assert cells["resnet50.mindcv_in1k"][:2] == ["yes", "76.69"]
    assert sum(row[0] == "yes" for row in cells.values()) == len(list_models("resnet*"))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["resnet5O"], "no model matches 'resnet5O'; did you mean 'resnet50'?"),
        (["--module", "vgg99"], "unknown model module 'vgg99'"),
        (["resnet50", "--module", "senet"], "no model matches 'resnet50' --module senet"),
    ],
)
def test_nothing_found(args, message):
    with pytest.raises(ValueError, match="^" + message.replace("?", r"\?")):
        run(*args)
