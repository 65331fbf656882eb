"""`mindcv models`."""

import argparse

import pytest

from mindcv.cli import models
from mindcv.models import list_models, list_pretrained


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
    assert header.split() == ["weights", "top-1", "input", "source", "url"]
    assert sorted(row.split()[0] for row in rows) == sorted(list_pretrained(["resnet*"]))
    assert all("https://" in row for row in rows)


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
