"""A full disk, made by the system's own limit of a file's size: one rule, and the file is named."""

import contextlib
import json
import logging
import os
import resource
import signal
import subprocess
import sys

import pytest

from mindcv.utils.errors import RunError
from mindcv.utils.fs import atomic_write, clear_remains
from mindcv.utils.log import EventLog, set_logger
from mindcv.utils.writing import WriteRule

pytestmark = pytest.mark.no_mindspore


@pytest.fixture(autouse=True)
def no_log_files_of_other_tests(monkeypatch):
    """A run in another test leaves its log open, which the limit would hit too."""
    logger = logging.getLogger("mindcv")
    files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
    monkeypatch.setattr(logger, "handlers", [handler for handler in logger.handlers if handler not in files])


@contextlib.contextmanager
def room_for(size):
    """Files may grow up to so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_error_names_the_file_and_what_was_there_stays(tmp_path):
    path = tmp_path / "net.ckpt"
    path.write_bytes(b"before")
    with room_for(1000), pytest.raises(OSError, match=r"File too large: '.*/net\.ckpt'"), atomic_write(path) as file:
        file.write(b"x" * 5000)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such source"), atomic_write(tmp_path / "a"):
        open("no such source")  # noqa: SIM115


def test_a_folder_that_is_gone_is_named_by_the_file(tmp_path):
    words = r"No such file or directory: '.*/gone/result\.log'"
    with pytest.raises(FileNotFoundError, match=words), atomic_write(tmp_path / "gone" / "result.log"):
        pass


@pytest.mark.parametrize("is_stopped", [True, False])
def test_the_event_log_goes_by_the_rule_and_no_line_is_torn(tmp_path, is_stopped, caplog):
    path = tmp_path / "log.jsonl"
    log = EventLog(path, rule=WriteRule(is_stopped))
    log.write("run_begin")
    size = log.size()
    with room_for(size + 30):
        if is_stopped:
            with pytest.raises(
                RunError, match=r"log\.jsonl could not be written \(File too large\).*ckpt_on_error: cont"
            ):
                log.write("train", loss=1.0)
        else:
            for _ in range(3):
                assert log.write("train", loss=1.0)["loss"] == 1.0
            assert caplog.text.count("log.jsonl could not be written") == 1
    assert log.size() == size
    log.write("train", loss=2.0)
    assert [record.get("loss") for record in log.records()] == [None, 2.0]
    assert all(json.loads(line) for line in path.read_text().splitlines())
    log.close()


def test_a_file_that_fails_again_is_reported_again(tmp_path, caplog):
    rule = WriteRule(stop=False)
    for fails in (True, True, False, True):
        with rule.writing(tmp_path / "a"):
            if fails:
                raise OSError(28, "No space left on device")
    assert caplog.text.count("a could not be written (No space left on device)") == 2


@pytest.mark.parametrize("is_stopped", [True, False])
def test_the_text_log_goes_by_the_rule(tmp_path, is_stopped, capsys):
    os.symlink("/dev/full", tmp_path / "rank0.log")
    logger = set_logger("mindcv.of_this_test", output_dir=str(tmp_path), rule=WriteRule(is_stopped))
    words = "rank0.log could not be written (No space left on device)"
    try:
        if is_stopped:
            with pytest.raises(RunError) as error:
                logger.info("a line")
            assert words in str(error.value)
        else:
            for index in range(3):
                logger.info("line %d", index)
        assert "line 2" in capsys.readouterr().out or is_stopped
        assert "Traceback" not in capsys.readouterr().err
    finally:
        for handler in list(logger.handlers):
            handler.close()
            logger.removeHandler(handler)
        logging.Logger.manager.loggerDict.pop("mindcv.of_this_test")


def test_remains_of_ones_own_names_are_cleared(tmp_path):
    import re

    kept = [".net-1_5.ckpt.tmp.x", ".other.ckpt.abcdefgh.tmp", "net-1_5.ckpt", ".net-1_5.ckptx.abcdefgh.tmp", "x.tmp"]
    for name in [*kept, ".net-1_5.ckpt.abcd_fg0.tmp", ".net-2_5.ckpt.tmp"]:
        (tmp_path / name).write_text("")
    assert clear_remains(tmp_path, re.compile(r"net-\d_\d\.ckpt")) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


CODE = """
import os, sys, time
from mindcv.utils.errors import run_command
from mindcv.utils.fs import atomic_write
def command():
    if len(sys.argv) > 2:
        ready, begin = os.pipe()
        child = os.fork()
        if not child:
            os.write(begin, b"1")
            time.sleep(60)
            os._exit(0)
        os.read(ready, 1)
        os.kill(child, 15)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    with atomic_write(sys.argv[1], "w") as file:
        file.write("half")
        file.flush()
        print("writing", flush=True)
        time.sleep(60)
sys.exit(run_command(command))
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_no_temporary_file(tmp_path, number, code):
    """As of `infer --out` and `export`."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(tmp_path / "out.csv")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Under nohup the tests ignore a hang-up, and so would the command.
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    assert process.stdout.readline() == "writing\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err == f"mindcv: stopped by {number.name}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_forked_worker_ends_by_the_signal_itself(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, str(tmp_path / "out"), "fork"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "-15\n"
    assert process.stdout.readline() == "writing\n"
    process.terminate()
    assert process.communicate(timeout=60)[1] == "mindcv: stopped by SIGTERM\n"
