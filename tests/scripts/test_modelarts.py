"""A job on ModelArts' keys, against a real S3 server: copied in, stopped, copied out, and gone on with elsewhere."""

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from time_limits import LIMIT_S, wait_until
from tiny_run import tiny_net

from mindcv.config import parse_args
from mindcv.models import _registry, register_model
from mindcv.train import train
from mindcv.utils import modelarts
from mindcv.utils.modelarts import copy_inputs
from mindcv.utils.remote import RemoteError
from mindcv.validate import validate

RECIPE = {
    "model": "tiny_net",
    "device_target": "CPU",
    "mode": 1,
    "batch_size": 8,
    "image_resize": 16,
    "num_parallel_workers": 2,
    "val_while_train": True,
    "epoch_size": 500,
    "keep_checkpoint_max": 2,
    "dataset_sink_mode": False,
    "warmup_epochs": 0,
    "resume": "auto",
    "enable_modelarts": True,
}


@pytest.fixture
def tiny_model():
    """The network of tiny_run.py in this process, and in no other test."""
    register_model(tiny_net)
    yield
    del _registry._entrypoints._things["tiny_net"], _registry._module_of["tiny_net"]


def fill(bucket, folder: Path, prefix: str) -> None:
    for path in folder.rglob("*.png"):
        bucket.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())


def sums(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.usefixtures("tiny_model")
def test_a_job_that_is_stopped_goes_on_elsewhere(bucket, image_folder, tmp_path):
    fill(bucket, image_folder, "data")
    recipe = tmp_path / "recipe.yaml"
    addresses = {"data_url": f"{bucket.url}/data", "train_url": f"{bucket.url}/out/"}
    recipe.write_text(yaml.safe_dump(RECIPE | addresses))
    bucket.proxy.cuts = [0, 500, 2000] * 4
    command = [sys.executable, str(Path(__file__).with_name("tiny_run.py")), "-c", str(recipe)]
    job = subprocess.Popen(
        [*command, "--ckpt_save_dir", str(tmp_path / "first")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_until(lambda: "out/checkpoints.json" in bucket.names() or job.poll() is not None, "a checkpoint in the store")
    job.send_signal(signal.SIGINT)
    out, _ = job.communicate(timeout=LIMIT_S)
    assert job.returncode == 130, out
    assert "going on" not in out
    expected = sums(tmp_path / "first")
    assert "config.yaml" in expected
    assert {name: hashlib.sha256(bucket.get(f"out/{name}")).hexdigest() for name in expected} == expected
    assert bucket.names() == sorted(
        [*(f"out/{name}" for name in expected), *(key for key in bucket.names() if key.startswith("data/"))]
    )

    # On another machine: nothing here but the recipe.
    done = json.loads((tmp_path / "first" / "checkpoints.json").read_text())["checkpoints"][-1]["epoch"]
    assert 0 < done < 500
    second = tmp_path / "second"
    arguments = [
        "-c",
        str(recipe),
        "--ckpt_save_dir",
        str(second),
        "--resume_force",
        "True",
        "--epoch_size",
        str(done + 1),
    ]
    state = train(parse_args(arguments))
    assert state.epoch == done + 1
    assert [row["epoch"] for row in state.history] == list(range(1, done + 2))
    assert sums(second)
    assert {name: hashlib.sha256(bucket.get(f"out/{name}")).hexdigest() for name in sums(second)} == sums(second)
    checkpoints = {key for key in bucket.names() if key.startswith("out/tiny_net-")}
    assert checkpoints == {f"out/{path.name}" for path in second.glob("tiny_net-*.ckpt")}  # dropped ones are gone there

    name = f"tiny_net-{done + 1}_3.ckpt"
    result = validate(parse_args(["-c", str(recipe), "--checkpoint_url", f"{bucket.url}/out/{name}"]))
    local = ["-c", str(recipe), "--enable_modelarts", "False", "--data_dir", str(image_folder)]
    assert result == validate(parse_args([*local, "--ckpt_path", str(second / name)]))
    assert result["Top_1_Accuracy"] == state.history[-1]["Top_1_Accuracy"]


def inputs(tmp_path, **keys):
    recipe = tmp_path / "inputs.yaml"
    recipe.write_text(yaml.safe_dump({"model": "tiny_net", "enable_modelarts": True} | keys))
    return copy_inputs(parse_args(["-c", str(recipe)]))


def test_where_inputs_go(bucket, tmp_path, caplog):
    caplog.set_level("INFO")
    bucket.put("data/train/a/0.png", b"image")
    bucket.put("weights/one.ckpt", b"weights")
    url = bucket.url
    cfg = inputs(tmp_path, data_url=f"{url}/data", ckpt_url=f"{url}/weights/")
    assert Path(cfg.data_dir, "train/a/0.png").read_bytes() == b"image"
    assert cfg.data_dir.startswith(str(tmp_path / "home" / "copies"))
    assert Path(cfg.ckpt_path).read_bytes() == b"weights"
    cfg = inputs(tmp_path, data_url=f"{url}/data", data_dir=str(tmp_path / "cache" / "data"))
    assert cfg.data_dir == str(tmp_path / "cache" / "data")
    assert Path(cfg.data_dir, "train/a/0.png").read_bytes() == b"image"
    bucket.put("weights/two.ckpt", b"others")
    with pytest.raises(ValueError, match=r"one file of weights, found one\.ckpt, two\.ckpt; name one with ckpt_path"):
        inputs(tmp_path, ckpt_url=f"{url}/weights")
    cfg = inputs(tmp_path, ckpt_url=f"{url}/weights", ckpt_path="two.ckpt")
    assert Path(cfg.ckpt_path).read_bytes() == b"others"
    with pytest.raises(FileNotFoundError, match=f"{url}/none: there is no such file"):
        inputs(tmp_path, data_url=f"{url}/none")
    assert inputs(tmp_path, data_url=str(tmp_path)).data_dir == str(tmp_path)  # as newer jobs get it: a local folder
    caplog.clear()
    assert inputs(tmp_path, enable_modelarts=False, data_url=f"{url}/data").data_dir == "./"
    assert "data_url: without effect; set enable_modelarts: True" in caplog.text


def test_one_process_of_a_host_copies_and_the_others_wait(bucket, tmp_path, monkeypatch):
    for index in range(5):
        bucket.put(f"data/{index}", b"x" * 1000)
    copies = []
    original = modelarts.copy_in

    def slow(url, target):
        copies.append(url)
        time.sleep(0.3)
        return original(url, target)

    monkeypatch.setattr(modelarts, "copy_in", slow)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump({"model": "tiny_net", "enable_modelarts": True, "data_url": f"{bucket.url}/data"}))
    cfg = parse_args(["-c", str(recipe)])
    threads = [threading.Thread(target=copy_inputs, args=(cfg,)) for _ in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(copies) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_outputs_are_copied_after_an_error_too(bucket, tmp_path, monkeypatch, error, caplog):
    out = tmp_path / "out"
    keys = {"model": "tiny_net", "enable_modelarts": True, "train_url": f"{bucket.url}/out", "ckpt_save_dir": str(out)}
    recipe = tmp_path / "r.yaml"
    recipe.write_text(yaml.safe_dump(keys))
    cfg = parse_args(["-c", str(recipe)])
    with pytest.raises(error), modelarts.outputs_copied(cfg, 0, lambda: None):
        (out / "rank0.log").write_text("log")
        (out / "rank1.log").write_text("of another rank")
        raise error
    assert bucket.names() == ["out/rank0.log"]
    monkeypatch.setenv("MINDCV_RETRIES", "1")
    bucket.proxy.is_down = True
    with pytest.raises(error), modelarts.outputs_copied(cfg, 0, lambda: None):
        (out / "more").write_text("x")
        raise error
    assert "could not be copied out" in caplog.text
    with pytest.raises(RemoteError), modelarts.outputs_copied(cfg, 0, lambda: None):
        pass


def test_what_is_here_is_not_written_over_and_a_cut_copy_is_gone_on_with(bucket, tmp_path):
    """A list alone is no sign that all came, and checkpoints without a list are newer than those in the store."""
    out = tmp_path / "out"
    recipe = tmp_path / "r.yaml"
    keys = {"model": "tiny_net", "enable_modelarts": True, "train_url": f"{bucket.url}/out", "resume": "auto"}
    recipe.write_text(yaml.safe_dump({**keys, "ckpt_save_dir": str(out)}))
    cfg = parse_args(["-c", str(recipe)])
    bucket.put("out/checkpoints.json", b"of the store")
    bucket.put("out/tiny_net-1_5.ckpt", b"of the store")
    out.mkdir()
    (out / "tiny_net-2_5.ckpt").write_text("of here")
    (out / ".tiny_net-1_5.ckpt.part").write_text("of")
    with modelarts.outputs_copied(cfg, 0, lambda: None):
        assert sorted(path.name for path in out.iterdir()) == [".copying.lock", "tiny_net-2_5.ckpt"]
    (out / "checkpoints.json").write_text("came first")
    (out / ".copying").touch()
    with modelarts.outputs_copied(cfg, 0, lambda: None):
        assert (out / "tiny_net-1_5.ckpt").read_text() == "of the store"
    assert not (out / ".copying").exists()
