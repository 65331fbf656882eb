import os
import sys

import pytest

from mindcv.utils.errors import RunError, RunStopped, run_command

pytestmark = pytest.mark.no_mindspore


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ValueError("lr is -1"), 2, "mindcv: error: lr is -1"),
        (FileNotFoundError("no file a"), 2, "mindcv: error: no file a"),
        (KeyError("no model b"), 2, "mindcv: error: no model b"),
        (RunError("the loss is nan"), 1, "mindcv: error: the loss is nan"),
        (
            OSError(28, "No space left on device", "a.ckpt"),
            1,
            "mindcv: error: [Errno 28] No space left on device: 'a.ckpt'",
        ),
        (RunStopped("stopped by SIGTERM", 143), 143, "mindcv: stopped by SIGTERM"),
        (KeyboardInterrupt(), 130, "mindcv: stopped by Ctrl-C"),
    ],
)
def test_exit_code_and_one_line(error, code, text, capsys):
    def command():
        raise error

    assert run_command(command) == code
    assert capsys.readouterr().err == text + "\n"


def test_success_and_own_code():
    assert run_command(lambda: None) == 0
    assert run_command(lambda: 3) == 3


def test_programming_errors_are_not_hidden():
    def command():
        raise TypeError("a bug")

    with pytest.raises(TypeError, match="a bug"):
        run_command(command)


def test_debug_shows_the_traceback(monkeypatch, capsys):
    monkeypatch.setenv("MINDCV_DEBUG", "1")

    def command():
        raise ValueError("x")

    assert run_command(command) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("is_gone", [True, False])
def test_output_whose_reader_is_gone_ends_without_a_word(is_gone, monkeypatch, capsys):
    reader, writer = os.pipe()
    if is_gone:
        os.close(reader)

    def command():
        if is_gone:
            sys.stdout.write("x\n")
            sys.stdout.flush()
        raise BrokenPipeError(32, "Broken pipe")  # of another pipe, which is an error

    with os.fdopen(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        code = run_command(command)
    if not is_gone:
        os.close(reader)
    assert (code, capsys.readouterr().err) == ((141, "") if is_gone else (1, "mindcv: error: [Errno 32] Broken pipe\n"))
