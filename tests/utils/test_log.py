"""What a line of the log looks like on a terminal and in a file."""

import io
import logging
import re
import sys

import pytest

from mindcv.utils.log import set_logger

pytestmark = pytest.mark.no_mindspore


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Logs three lines and returns what came to stdout and into the file."""

    def tell(stdout, **options):
        monkeypatch.setattr(sys, "stdout", stdout)
        logger = set_logger("mindcv.told", output_dir=str(tmp_path), **options)
        logger.info("trained on %s", "caf\x1b[2J\udce9.png")
        logger.warning("slow")
        logger.error("gone")
        for handler in list(logger.handlers):
            logger.removeHandler(handler)
            handler.close()
        return stdout.getvalue(), (tmp_path / "rank0.log").read_text(encoding="utf-8")

    return tell


def test_short_on_a_terminal(told):
    shown, _ = told(Terminal(), color=False)
    lines = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in shown.splitlines()]
    assert lines == [r"trained on caf\x1b[2J\udce9.png", "WARNING: slow", "ERROR: gone"]


def test_colours_are_ours_alone(told):
    shown, _ = told(Terminal())
    lines = shown.splitlines()
    assert re.fullmatch(r"\x1b\[32m\d\d:\d\d:\d\d\x1b\[0m trained on caf\\x1b\[2J\\udce9\.png", lines[0])
    assert re.fullmatch(r"\d\d:\d\d:\d\d \x1b\[33mWARNING\x1b\[0m: slow", lines[1])
    assert re.fullmatch(r"\d\d:\d\d:\d\d \x1b\[31mERROR\x1b\[0m: gone", lines[2])


def test_files_and_pipes_have_date_module_and_level(told):
    shown, file = told(io.StringIO())
    assert shown == file
    prefix = r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\] mindcv\.told "
    levels = [re.match(prefix + r"([A-Z]+) - ", line)[1] for line in file.splitlines()]
    assert levels == ["INFO", "WARNING", "ERROR"]
    assert r"caf\x1b[2J\udce9.png" in file


def test_a_level_can_be_logged_to_several_handlers_without_being_written_twice(told, tmp_path):
    _, file = told(Terminal())
    assert file.count("WARNING") == 1
    assert "WARNING - slow" in file
    assert logging.getLogger("mindcv.told").handlers == []
