"""A model of a user's own, from the file of docs/own-model.md to an exported model, by the commands of that page."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml
from script_runner import ROOT
from time_limits import LIMIT_S

PAGE = (ROOT / "docs/own-model.md").read_text(encoding="utf-8")
MODULE = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL).group(1)
COMMANDS = [line for block in re.findall(r"```shell\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
# What the console script does, in a folder of its own: the current folder is not on Python's path.
CONSOLE = "import sys\nfrom mindcv.cli import main\nsys.exit(main())\n"


@pytest.fixture(scope="module")
def desk(tmp_path_factory, image_folder):
    folder = tmp_path_factory.mktemp("desk")
    (folder / "bin").mkdir()
    (folder / "bin" / "console.py").write_text(CONSOLE)
    (folder / "my_models.py").write_text(MODULE)
    (folder / "photos").symlink_to(image_folder)
    return folder


def _mindcv(desk, words):
    command = [sys.executable, str(desk / "bin" / "console.py"), *words]
    done = subprocess.run(command, cwd=desk, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_from_the_file_to_an_exported_model(desk):
    out = {}
    for command in COMMANDS:
        words = shlex.split(command)
        assert words[0] == "mindcv"
        out[" ".join(words[1:3])] = _mindcv(desk, words[1:])
    assert [line.split()[0] for line in out["models --import"].splitlines()] == ["model", "my_net"]
    accuracy = float(re.search(r"'Top_1_Accuracy': ([\d.]+)", out["validate -c"]).group(1))
    rows = [line.split() for line in (desk / "run/result.log").read_text().splitlines()][1:]
    assert accuracy == max(float(row[2]) for row in rows)
    assert yaml.safe_load((desk / "run/config.yaml").read_text())["imports"] == ["my_models"]
    by_checkpoint = [line.split()[:2] for line in out["infer run/my_net_best.ckpt"].splitlines()]
    by_file = [line.split()[:2] for line in out["infer my_net.mindir"].splitlines()]
    assert len(by_checkpoint) == 10
    assert by_checkpoint == by_file
    right = sum(image.split("/")[-2] == name for image, name in by_file)
    assert right / 10 == accuracy
    assert "freeze: 3 of 8 parameters" in out["train -c"]
    assert "arrays" in out["convert run/my_net_best.ckpt"]
    # What the run prints at its end works as it is.
    printed = re.search(r"Evaluate with: (?:mindcv|python validate\.py|validate) ?(.*)", out["train --import"]).group(1)
    words = shlex.split(printed)
    again = _mindcv(desk, words if words[0] == "validate" else ["validate", *words])
    assert f"'Top_1_Accuracy': {accuracy}" in again


@pytest.mark.slow
def test_workers_import_it_too(desk):
    keys = "--model my_net --data_dir photos --image_resize 16 --batch_size 4 --epoch_size 1 --device_target CPU"
    keys += " --mode 1 --num_parallel_workers 1 --distribute True --ckpt_save_dir two"
    _mindcv(desk, ["launch", "--nproc", "2", "train", "--import", "my_models", *keys.split()])
    assert list((desk / "two").glob("my_net-1_*.ckpt"))
