"""One job at a time in a folder: who holds it, who is gone, and who comes next."""

import fcntl
import json
import os
import subprocess
import sys
import time

import pytest

from mindcv.utils import lock as locks
from mindcv.utils.errors import RunError
from mindcv.utils.lock import STALE_S, FolderLock

pytestmark = pytest.mark.no_mindspore


@pytest.fixture
def held(tmp_path):
    lock = FolderLock(tmp_path, "a", "ckpt_save_dir")
    lock.acquire()
    yield lock
    lock.release()


def other(folder, owner="b"):
    return FolderLock(folder, owner, "ckpt_save_dir")


def rewrite(lock, **values):
    """The lock as another process would have written it."""
    lock.path.write_text(json.dumps({**json.loads(lock.path.read_text()), **values}))


def make_silent(lock, seconds):
    then = time.time() - seconds
    os.utime(lock.path, (then, then))


def test_the_second_one_says_who_holds_it(held, tmp_path):
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime())
    words = rf"ckpt_save_dir: {tmp_path} is in use by process {os.getpid()} on host {os.uname().nodename} since {since}"
    with pytest.raises(ValueError, match=words):
        other(tmp_path).acquire()
    held.release()
    second = other(tmp_path)
    second.acquire()
    assert second.is_holder
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_the_processes_of_a_job_count_as_one(held, tmp_path):
    second = other(tmp_path, "a")
    second.acquire()
    assert not second.is_holder
    second.release()
    assert held.path.exists()


def test_a_lock_whose_process_was_killed_is_taken_over(tmp_path, caplog):
    code = (
        "import sys, os, signal; from pathlib import Path; from mindcv.utils.lock import FolderLock;"
        "FolderLock(Path(sys.argv[1]), 'killed', 'x').acquire(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    assert (tmp_path / ".run.lock").exists()
    lock = other(tmp_path)
    lock.acquire()
    assert lock.is_holder
    assert "whose process is gone" in caplog.text
    lock.release()


def test_a_process_of_the_same_number_is_another_one(held, tmp_path):
    rewrite(held, owner="x", started="12345")
    lock = other(tmp_path)
    lock.acquire()
    assert lock.is_holder
    lock.release()


@pytest.mark.parametrize(("silent_s", "is_taken"), [(STALE_S - 60, False), (STALE_S + 60, True)])
def test_another_hosts_lock_is_taken_over_after_the_stated_time(held, tmp_path, silent_s, is_taken):
    rewrite(held, owner="x", host="far", system="far", pid=1)
    make_silent(held, silent_s)
    lock = other(tmp_path)
    if is_taken:
        lock.acquire()
        assert lock.is_holder
        lock.release()
    else:
        with pytest.raises(
            ValueError, match=r"process 1 on host far since .* taken over 15 minutes after its last sign"
        ):
            lock.acquire()


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"pid": "x", "since": "y"}', '{"since": 1e400}', '{"since": NaN}', '{"since": -1e18}']
)
def test_a_lock_that_says_nothing_is_respected_until_it_is_silent(tmp_path, text):
    lock = other(tmp_path)
    lock.path.write_text(text)
    with pytest.raises(ValueError, match="is in use by process"):
        lock.acquire()
    make_silent(lock, STALE_S + 1)
    lock.acquire()
    assert lock.is_holder
    lock.release()


def test_a_lock_that_is_a_pipe_is_not_waited_for(tmp_path):
    lock = other(tmp_path)
    os.mkfifo(lock.path)
    with pytest.raises(OSError, match=r"no regular file but a pipe, .*run\.lock"):
        lock.acquire()


def test_the_holder_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "HEARTBEAT_S", 0.01)
    lock = other(tmp_path)
    lock.acquire()
    make_silent(lock, 1000)
    old = lock.path.stat().st_mtime
    end = time.monotonic() + 60
    while lock.path.stat().st_mtime == old and time.monotonic() < end:
        time.sleep(0.01)
    assert lock.path.stat().st_mtime > old + 900
    lock.release()


def test_one_that_lost_its_lock_writes_no_more_and_does_not_take_it_back(held, tmp_path):
    held.require()
    rewrite(held, owner="x", host="far")
    with pytest.raises(RunError, match=r"has been taken over by process \d+ on host far .*nothing more is written"):
        held.require()
    held.release()
    assert held.path.exists()


def test_while_one_takes_over_no_other_process_of_the_host_looks(tmp_path, monkeypatch):
    """Else one that has read the old lock would move the new one, and a third could take its place."""
    lock = other(tmp_path)
    lock.path.write_text("{}")
    make_silent(lock, STALE_S + 1)
    rename, seen = os.rename, []

    def move(*names):
        handle = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)
        seen.append(names)
        rename(*names)

    monkeypatch.setattr(locks.os, "rename", move)
    lock.acquire()
    assert lock.is_holder
    assert len(seen) == 1
    lock.release()


def test_a_folder_that_somebody_else_keeps_is_not_waited_for_long(tmp_path, monkeypatch):
    """As with `flock FOLDER mindcv train ...`."""
    monkeypatch.setattr(locks, "_MOST_WAIT_S", 0.05)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    lock = other(tmp_path)
    lock.acquire()
    assert lock.is_holder
    lock.release()
    os.close(handle)


@pytest.mark.parametrize("has_links", [True, False])
def test_of_many_at_once_one_has_it(tmp_path, monkeypatch, has_links):
    import threading

    if not has_links:

        def refuse(*names):
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(locks.os, "link", refuse)
    stale = other(tmp_path)
    stale.path.write_text("{}")
    make_silent(stale, STALE_S + 1)
    all_locks, refused = [other(tmp_path, str(index)) for index in range(8)], []
    gate = threading.Barrier(8)

    def race(lock):
        gate.wait()
        try:
            lock.acquire()
        except ValueError:
            refused.append(lock)

    threads = [threading.Thread(target=race, args=(lock,)) for lock in all_locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    holders = [lock for lock in all_locks if lock.is_holder]
    assert len(holders) == 1
    assert len(refused) == 7
    holders[0].require()
    holders[0].release()
    assert list(tmp_path.iterdir()) == []
