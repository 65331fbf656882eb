"""mindcv launch: what workers get, and how a job ends. The workers here need no MindSpore."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from time_limits import LIMIT_S, wait_until

from mindcv.cli import main
from mindcv.cli._job import share_of_cores
from mindcv.cli.launch import free_port, parse_devices, worker_command

pytestmark = pytest.mark.no_mindspore

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("launched.py")


def start(folder, how, *options, nproc=2):
    command = [sys.executable, "-m", "mindcv", "launch", "--nproc", str(nproc), "--log_dir", str(folder), *options]
    return subprocess.Popen(
        [*command, str(SCRIPT), how, "--lr", "0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=take_signals,
    )


def take_signals():
    """Undoes nohup and the & of scripts, which have children ignore signals."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def run(folder, how, *options, nproc=2):
    process = start(folder, how, *options, nproc=nproc)
    out, err = process.communicate(timeout=LIMIT_S)
    assert not workers_of(folder), "a worker is left"
    return process.returncode, out, err


def workers_of(folder):
    """Processes that have a log of the folder open."""
    found = []
    for descriptor in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if target.startswith(f"{folder}/"):
            found.append(descriptor.parts[2])
    return found


def environment(pid):
    text = Path(f"/proc/{pid}/environ").read_text(encoding="utf-8", errors="replace")
    return dict(entry.partition("=")[::2] for entry in text.split("\0"))


def wait_for(folder, words, nproc=2):
    """Returns when all workers have printed the words."""
    logs = [folder / f"worker_{rank}.log" for rank in range(nproc)]
    wait_until(lambda: all(log.is_file() and words in log.read_text() for log in logs), f"{words!r} of all workers")


def test_workers_get_their_rank_and_devices_and_the_python_that_runs_this(tmp_path):
    code, out, err = run(tmp_path, "well", "--devices", "5,2-3", nproc=3)
    assert (code, err) == (0, "")
    assert f"ranks 0 to 2 of 3, logs in {tmp_path}" in out
    facts = [json.loads((tmp_path / f"worker_{rank}.log").read_text().splitlines()[0]) for rank in range(3)]
    assert json.loads(out.splitlines()[1]) == facts[0]  # rank 0's output is shown
    assert "MindSpore's own" not in out
    for rank, own in enumerate(facts):
        assert (own["MS_ROLE"], own["MS_SCHED_HOST"]) == ("MS_WORKER", "127.0.0.1")
        assert (own["MS_WORKER_NUM"], own["RANK_SIZE"]) == ("3", "3")
        assert (own["MS_NODE_ID"], own["DEVICE_ID"]) == (str(rank), str(rank))
        assert own["ASCEND_RT_VISIBLE_DEVICES"] == own["CUDA_VISIBLE_DEVICES"] == "5,2,3"
        assert own["python"] == sys.executable
        assert own["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
        assert own["cores"] == share_of_cores(sorted(os.sched_getaffinity(0)), rank, 3)
        assert own["arguments"] == ["--lr", "0.1"]


def test_eight_workers_choose_port_and_log_folder_themselves(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "mindcv", "launch", "--nproc", "8", "--devices", "0,1,2,3,4,5,6,7"]
    done = subprocess.run(
        [*command, str(SCRIPT), "well"], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert (done.returncode, done.stderr) == (0, "")
    (folder,) = (tmp_path / "launch_logs").iterdir()
    assert re.fullmatch(r"\d{8}-\d{6}", folder.name)
    workers = [json.loads((folder / f"worker_{rank}.log").read_text().splitlines()[0]) for rank in range(8)]
    assert [worker["DEVICE_ID"] for worker in workers] == list("01234567")
    assert {worker["ASCEND_RT_VISIBLE_DEVICES"] for worker in workers} == {"0,1,2,3,4,5,6,7"}
    (port,) = {worker["MS_SCHED_PORT"] for worker in workers}
    assert int(port) > 1023
    # Collectives wait longer than the launcher, which can say who hangs.
    assert {worker["MS_CPU_COMM_OP_TIMEOUT"] for worker in workers} == {"2100"}


def test_the_second_host_counts_on_from_the_first(tmp_path):
    hosts = ["--nnodes", "3", "--node_rank", "1", "--master_addr", "localhost", "--no_bind_core"]
    code, out, _ = run(tmp_path, "well", *hosts)
    assert code == 0
    assert "ranks 2 to 3 of 6" in out
    assert not (tmp_path / "scheduler.log").exists()
    for device, rank in enumerate((2, 3)):
        own = json.loads((tmp_path / f"worker_{rank}.log").read_text().splitlines()[0])
        assert (own["MS_NODE_ID"], own["DEVICE_ID"], own["RANK_SIZE"]) == (str(rank), str(device), "6")
        assert own["cores"] == sorted(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("how", "code", "words"),
    [
        ("is killed", 137, r"rank 1 \(device 1\) was the first to end, killed by SIGKILL; .*memory"),
        ("is terminated", 143, r"rank 1 \(device 1\) was the first to end, killed by SIGTERM"),
        ("exits", 7, r"rank 1 \(device 1\) was the first to end, with exit code 7"),
        ("raises", 1, r"(?s)exit code 1; .*the last lines of .*worker_1\.log:.*Traceback.*RuntimeError: no batch"),
    ],
)
def test_a_rank_that_ends_badly_is_named_and_ends_the_job(tmp_path, how, code, words):
    returned, _, err = run(tmp_path, how)  # the others wait for ever
    assert returned == code
    assert re.search(words, err)
    assert "MindSpore's own" not in err


@pytest.mark.parametrize(
    ("how", "words", "ranks"),
    [
        ("hangs", r"rank 1 stopped first, at \d\d:\d\d:\d\d\n", (0, 1)),
        ("hangs before its first step", r"rank 1 has made none yet\n", (0, 1)),
        ("leaves", r"rank 0 stopped first, at .*; rank 1 had ended before, with exit code 0\n", (0,)),
    ],
)
def test_a_job_without_progress_is_ended_with_the_stacks_of_its_workers(tmp_path, how, words, ranks):
    code, _, err = run(tmp_path, how, "--hang_timeout_s", "2")
    assert code == 1
    assert re.search("no rank has made a step for 2 s; " + words, err)
    for rank in ranks:
        log = (tmp_path / f"worker_{rank}.log").read_text()
        assert re.search(r"launched\.py\", line \d+ in wait", log)


def test_a_suspended_worker_ends_the_job(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("mindcv.cli._job._SUSPENDED_S", 1)
    command = ["launch", "--nproc", "2", "--log_dir", str(tmp_path), str(SCRIPT), "is suspended"]
    assert main(command) == 1
    assert (
        "mindcv: error: rank 1 has been suspended (SIGSTOP) for 1 s and holds up all others" in capsys.readouterr().err
    )
    assert not workers_of(tmp_path)


@pytest.mark.parametrize(
    ("scheduler", "words"),
    [
        ("print('... The node: 3 is timed out. It may exit'); raise SystemExit(1)", "rank 3 no longer answers"),
        ("raise SystemExit(1)", "a rank no longer answers the scheduler; look at the logs of all hosts"),
    ],
)
def test_a_host_that_is_gone_is_known_from_the_scheduler(tmp_path, monkeypatch, capsys, scheduler, words):
    monkeypatch.setattr("mindcv.cli._job._SCHEDULER", scheduler)
    hosts = ["--nnodes", "2", "--master_addr", "localhost"]
    assert main(["launch", "--nproc", "2", *hosts, "--log_dir", str(tmp_path), str(SCRIPT), "saves"]) == 1
    assert words in capsys.readouterr().err
    assert not workers_of(tmp_path)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 143)],
    ids=lambda value: str(value),
)
def test_a_signal_reaches_all_workers_and_waits_for_them_to_save(tmp_path, number, code):
    process = start(tmp_path, "saves")
    wait_for(tmp_path, "waiting")
    process.send_signal(number)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, err
    for rank in (0, 1):
        name = "SIGINT" if number == signal.SIGINT else "SIGTERM"
        assert f"saving after {name}" in (tmp_path / f"worker_{rank}.log").read_text()


def test_workers_that_stop_by_themselves_are_waited_for(tmp_path):
    code, _, err = run(tmp_path, "is stopped alone")
    assert (code, err) == (143, "")
    assert all("saving" in (tmp_path / f"worker_{rank}.log").read_text() for rank in (0, 1))


def test_workers_that_do_not_stop_are_killed(tmp_path):
    process = start(tmp_path, "does not stop", "--stop_timeout_s", "0.5")
    wait_for(tmp_path, "waiting")
    process.terminate()
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 143
    assert "each of ranks 0, 1 did not stop within 0.5 s and was killed" in err
    assert not workers_of(tmp_path)


def test_workers_of_a_launcher_that_is_killed_save_and_end(tmp_path):
    process = start(tmp_path, "saves")
    wait_for(tmp_path, "waiting")
    process.kill()
    process.communicate(timeout=LIMIT_S)
    wait_for(tmp_path, "saving after SIGTERM")
    wait_until(lambda: len(workers_of(tmp_path)) <= 1, "the end of the workers")
    # The scheduler ends when all workers have joined and left, and these never joined.
    for pid in workers_of(tmp_path):
        assert environment(pid)["MS_ROLE"] == "MS_SCHED"
        os.kill(int(pid), signal.SIGKILL)


def test_a_second_ctrl_c_kills_at_once(tmp_path):
    process = start(tmp_path, "does not stop")
    wait_for(tmp_path, "waiting")
    process.terminate()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert not workers_of(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train.py"], "--nproc is 0; give the number of workers"),
        (["--nproc", "3", "--devices", "0,1", "train.py"], "--nproc is 3, but --devices names 2"),
        (["--nproc", "2", "--devices", "0;1", "train.py"], "--devices is '0;1'; allowed: numbers and ranges"),
        (["--devices", "0,0-1", "train.py"], "names a card twice"),
        (["--nproc", "2", "--node_rank", "1", "train.py"], "--node_rank is 1; with --nnodes 1 it is 0 to 0"),
        (["--nproc", "2", "--nnodes", "2", "train.py"], "--nnodes needs --master_addr"),
        (["--nproc", "2", "trian.py"], "trian.py: no such script"),
    ],
)
def test_what_cannot_be_is_one_line(arguments, words, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["launch", *arguments]) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


def test_parts():
    assert parse_devices("0, 2-4,1") == [0, 2, 3, 4, 1]
    assert parse_devices(None) == []
    assert share_of_cores(list(range(10, 18)), 1, 3) == [12, 13]
    assert share_of_cores([4, 5], 2, 3) == [4]
    assert worker_command("train", ["--lr", "1"]) == [sys.executable, "-m", "mindcv", "train", "--lr", "1"]
    script = str(SCRIPT)
    assert worker_command("python", [script, "a"]) == worker_command(script, ["a"]) == [sys.executable, script, "a"]
    assert free_port() > 1023


def test_options_of_other_launchers(capsys):
    words = ["--nproc_per_node=2", "--visible_devices=0,1", "--env_sh=env.sh", "--server_id=127.0.0.1", "--mode=test"]
    assert main(["launch", *words, "nothing.py", "--mode=0"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "--nproc_per_node is called --nproc here",
        "--visible_devices is called --devices here",
        "--env_sh has no effect: source it in the shell that starts this command",
        "--server_id is called --master_addr here",
        "--mode has no effect: name train.py or validate.py",
        "mindcv: error: nothing.py: no such script; give a file or one of train, validate, benchmark after the options",
    ]
