"""The commands of docs/from/: each of "our commands" in their tables is run, on small data with small settings.

They are read from the pages, so that page and test cannot drift. What is appended only shortens them. Commands of one
process run inside the test, through what the command line calls. Of those for several workers each launcher and script
is started once as real processes, on two workers; the others run what a worker runs, alone.
"""

import ast
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from script_runner import ROOT
from time_limits import LIMIT_S
from torch_writer import write_torch_file
from zoo_keys import TRAINING_OPTIONS

from mindcv.cli import main
from mindcv.config import load_recipe, read_config, to_yaml
from mindcv.config.schema import KEYS
from mindcv.models import create_model, to_timm_names
from mindcv.weights import read_weights, write_weights
from mindcv.weights.marks import without_marks

pytestmark = pytest.mark.slow

PAGES = ROOT / "docs" / "from"
HEAD = "| their command | our command |"
# 2 steps an epoch on each worker; the first epoch is warm-up.
SHORT = ["--device_target=CPU", "--mode=1", "--image_resize=16", "--batch_size=4", "--num_parallel_workers=1"]
SHORT += ["--num_samples=8"]
CLASSES = ["--num_classes=2"]
RUN = ["--epoch_size=3", "--warmup_epochs=1", "--decay_epochs=2", "--val_interval=3", "--ckpt_save_interval=3"]
RUN += ["--log_interval=1"]
LR = 0.4


def commands_of(page: str) -> list[str]:
    """What stands in the right column of a page's first table, as code."""
    lines = (PAGES / f"{page}.md").read_text(encoding="utf-8").splitlines()
    rows = lines[lines.index(HEAD) + 2 :]
    rows = rows[: next(index for index, line in enumerate(rows) if not line.startswith("|"))]
    assert all(row.count(" | ") == 1 for row in rows), page
    return [command for row in rows for command in re.findall("`([^`]+)`", row.split(" | ")[1])]


class Desk:
    """A user's folder with small data and checkpoints, where the commands of a page are run."""

    def __init__(self, folder: Path, data: Path, model: str) -> None:
        self.folder, self.model = folder, model
        self.out = folder / "out"
        self.paths = {
            "/path/to/dataset": data,
            "/path/to/imagenet": data,
            "/data/xxx/": data,
            "/dataset": data,
            "~/imagenet": data,
            "/opt/npu/datasets/classification": data,
            "/path/to/cifar10": folder / "cifar10",
            "/path/to/ckpt": folder / "se_resnext50.ckpt",
        }
        network = create_model(model, num_classes=2)
        arrays = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
        write_weights(folder / "se_resnext50.ckpt", arrays)

    def words(self, command: str) -> list[str]:
        """The command's words with this folder's paths; the longest placeholder that fits is taken."""
        words = []
        for word in shlex.split(command):
            if re.fullmatch(r"[A-Z_]+=\w*", word):
                continue
            flag, sign, value = word.partition("=") if word.startswith("--") else ("", "", word)
            for placeholder in sorted(self.paths, key=len, reverse=True):
                if value.startswith(placeholder):
                    value = str(self.paths[placeholder]) + value.removeprefix(placeholder)
                    break
            words.append(f"{flag}{sign}{value}")
        return words

    def keys(self, words: list[str]) -> list[str]:
        """What makes a recipe's run short. The keys that are given stay visible in what it writes."""
        classes = [] if "cifar10" in words else CLASSES
        keys = [*words, f"--model={self.model}", *SHORT, *classes]
        if "--ckpt_save_steps" in words:
            keys.append("--ckpt_save_steps=2")
        if "--multi_step_decay_milestones" in words:
            keys.append("--multi_step_decay_milestones=2")
        return keys

    def train_keys(self, words: list[str]) -> list[str]:
        """The keys of a short training. Old spellings are resolved first, as they exclude today's beside them."""
        flags = {word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--")}
        if flags - {*KEYS, "config"}:
            asked = self.folder / "asked.yaml"
            asked.write_text(to_yaml(read_config(words)))
            words = ["-c", str(asked)]
        # fp16 is slow on a CPU, so it is kept only where it is asked for, with half as many steps.
        is_asked = "amp_level" in flags or "amp" in flags
        precision = ["--amp_level=O0"]
        if is_asked:
            # It overflows where weights run away, as they may at a document's rate and without clipping.
            precision = ["--num_samples=4", "--clip_grad=True", "--clip_value=0.1"]
        self.asked = read_config(words)
        lr = LR
        if is_asked and self.asked.loss_scale_type == "dynamic":
            # In three steps the scale does not find down from 65536; and fp16 overflows where weights run away.
            precision.append("--loss_scale=128")
            lr = 0.01
        return [*self.keys(words), *RUN, *precision, f"--lr={lr}", f"--ckpt_save_dir={self.out}"]

    def run(self, command: str, really: set[str] = frozenset()) -> None:
        """Runs one command to its end; it must end well."""
        words = self.words(command)
        if words[0] == "msrun":
            self._run_msrun(words)
        elif words[:2] == ["mindcv", "launch"]:
            assert words[2:4] == ["--nproc", "8"]
            script, arguments = words[4], words[5:]
            if script in really:
                self._run_launched(script, arguments)
            else:
                self._run_alone(script, [*arguments, "--distribute", "False"])
        elif words[0] == "python":
            self._run_alone(words[1], words[2:])
        else:
            assert words[0] == "mindcv"
            self._run_alone(words[1], words[2:])

    def _run_alone(self, script: str, words: list[str]) -> None:
        assert main(self._short(script, words)) == 0, words

    def _short(self, script: str, words: list[str]) -> list[str]:
        """The words after `mindcv` that do the same as a script with its words, in short."""
        name = script.removesuffix(".py")
        cpu = "--device_target=CPU"
        if name == "train":
            return [name, *self.train_keys(words)]
        if name == "validate":
            return [name, *words, cpu] if "--model" in words else [name, *self.keys(words)]
        if name == "benchmark":
            short = ["--steps=2", "--warmup_steps=1", *(["--nproc=1"] if words[0] == "table" else [])]
            return [name, *self.keys(words), *short]
        if name == "export":
            return [name, *words, cpu, *CLASSES, f"--model={self.model}", "--image_resize=16"]
        if name == "convert":
            return [name, *words, f"--model={self.model}"]
        return [name, *words, *([cpu] if name == "infer" else [])]

    def _run_launched(self, script: str, words: list[str]) -> None:
        name, *short = self._short(script, words)
        path = str(ROOT / script) if script.endswith(".py") else name
        launch = ["-m", "mindcv", "launch", "--nproc", "2", "--log_dir", str(self.folder / "log"), path]
        self._run_process([sys.executable, *launch, *short])

    def _run_msrun(self, words: list[str]) -> None:
        script_index = words.index("train.py")
        options = [*words[1 : script_index - 1], "--worker_num=2", "--local_worker_num=2", "--join=True"]
        options += [f"--master_port={free_port()}", f"--log_dir={self.folder / 'log'}"]
        script = [words[script_index - 1], str(ROOT / "train.py"), *self.train_keys(words[script_index + 1 :])]
        self._run_process([words[0], *options, *script])

    def _run_process(self, command: list[str]) -> None:
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        job = subprocess.Popen(
            command,
            env={**os.environ, "PATH": path},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            out, _ = job.communicate(timeout=LIMIT_S)
        finally:
            if job.returncode is None:  # nothing of it is left behind
                os.killpg(job.pid, signal.SIGKILL)
        assert job.returncode == 0, out[-3000:]
        sys.stdout.write(out)

    def events(self, name: str) -> list[dict]:
        lines = (self.out / "log.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def rates(self) -> list[float]:
        return [event["lr"] for event in self.events("train")]

    def config(self):
        return load_recipe(str(self.out / "config.yaml"))

    def checkpoints(self, folder: str = ".") -> set[str]:
        return {path.name.removeprefix(f"{self.model}-") for path in (self.out / folder).glob("*-*.ckpt")}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def last_dict(text: str) -> dict:
    return ast.literal_eval([line for line in text.splitlines() if line.startswith("{")][-1])


@pytest.fixture
def desk(tmp_path, monkeypatch, image_folder):
    monkeypatch.chdir(tmp_path)
    return lambda model: Desk(tmp_path, image_folder, model)


def test_pages_are_complete():
    """Every page is in the site and on the first page; every command of a page names a recipe of ours, or a file."""
    pages = sorted(path.stem for path in PAGES.glob("*.md"))
    assert pages == ["mindcv", "mindspore_model_zoo_resnext50", "pytorch_resnext50_npu", "se_resnext50"]
    site, first = (ROOT / "mkdocs.yml").read_text(), (ROOT / "docs/index.md").read_text()
    assert all(f"from/{page}.md" in site and f"(from/{page}.md)" in first for page in pages)
    recipes = {word for page in pages for command in commands_of(page) for word in shlex.split(command)}
    recipes = {word for word in recipes if word.startswith("configs/")}
    assert recipes == {"configs/resnext/resnext50_32x4d_ascend.yaml"}
    assert (ROOT / recipes.pop()).is_file()


def test_document_000(desk, capfd):
    desk = desk("resnet18")
    eight, one, exponential, theirs, test_eight, test_one = commands_of("mindspore_model_zoo_resnext50")
    desk.run(eight, really={"train.py"})
    assert desk.events("run_begin")[0]["world_size"] == 2
    cosine = [0.0, LR / 2, LR, *(LR * (1 + np.cos(np.pi * k / 4)) / 2 for k in (1, 2, 3))]
    assert desk.rates() == pytest.approx(cosine)
    assert desk.checkpoints() == desk.checkpoints("rank_1") == {"1_2.ckpt", "2_2.ckpt", "3_2.ckpt"}
    assert (desk.config().label_smoothing, desk.config().weight_decay_filter) == (0.1, "norm_and_bias")

    desk.run(one)
    assert desk.rates() == pytest.approx(cosine)
    assert {"1_2.ckpt", "2_2.ckpt", "3_2.ckpt"} <= desk.checkpoints()

    desk.run(exponential)
    assert desk.rates() == pytest.approx([0.0, LR / 2, LR, LR, LR / 10, LR / 10])

    desk.run(theirs)
    config = desk.config()
    given = (config.scheduler, config.label_smoothing, config.ckpt_save_steps, config.ckpt_save_on, config.distribute)
    assert given == ("cosine_decay", 0.1, 2000, "master", False)
    # Their T_max, here 2 epochs, counts from the start of the run; the warm-up is the first of them.
    from_start = [0.0, LR / 2, *(LR * (1 + np.cos(np.pi * k / 4)) / 2 for k in (2, 3)), 0.0, 0.0]
    assert desk.rates() == pytest.approx(from_start)

    desk.run(test_eight, really={"validate.py"})
    on_two = last_dict(capfd.readouterr().out)
    desk.run(test_one)
    assert last_dict(capfd.readouterr().out) == pytest.approx(on_two, abs=1e-5)


def test_document_001(desk, capfd):
    desk = desk("resnet18")
    full_1, full_8, speed_1, speed_8, eval_8, theirs, cifar, eval_1, convert = commands_of("pytorch_resnext50_npu")
    arrays = to_timm_names(create_model(desk.model, num_classes=2), read_weights("se_resnext50.ckpt"))
    write_torch_file(
        Path("checkpoint.pth.tar"), {f"module.{name}": np.asarray(array) for name, array in arrays.items()}, epoch=90
    )
    write_cifar(desk.folder / "cifar10")

    for command in (full_1, full_8):
        desk.run(command)
        config = desk.config()
        assert (config.amp_level, config.loss_scale, config.scheduler) == ("O2", 128.0, "step_decay")
        assert desk.rates() == pytest.approx([0.0, LR, LR])

    desk.run(speed_1)
    figures = json.loads(Path("speed.json").read_text())
    assert {"img_per_s", "ms_per_step", "data_wait_share", "host_peak_mb", "graph_compile_s"} <= set(figures)
    assert (figures["cards"], figures["amp_level"]) == (1, "O2")
    capfd.readouterr()
    desk.run(speed_8, really={"benchmark"})
    assert re.search(r"on CPU x 2, .*\nFPS +\d+\.\d\d img/s\n", capfd.readouterr().out)

    desk.run(theirs)
    config = desk.config()
    assert (config.amp_level, config.loss_scale_type, desk.asked.loss_scale) == ("O2", "dynamic", 65536.0)
    assert (config.momentum, config.opt, config.distribute) == (0.9, "momentum", False)
    desk.run(cifar)
    assert (desk.config().dataset, desk.events("run_begin")[0]["num_classes"]) == ("cifar10", 10)

    capfd.readouterr()
    desk.run(eval_8)
    on_eight = last_dict(capfd.readouterr().out)
    desk.run(eval_1)
    assert last_dict(capfd.readouterr().out) == on_eight
    desk.run(convert)
    converted, ours = read_weights("resnext50_32x4d.ckpt"), read_weights("se_resnext50.ckpt")
    assert set(without_marks(converted)) == set(ours)
    assert all((np.asarray(converted[name]) == np.asarray(array)).all() for name, array in ours.items())


def write_cifar(folder: Path) -> None:
    """CIFAR-10's Python files, 8 images in each."""
    import pickle

    (folder / "cifar-10-batches-py").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 3072), np.uint8)
    content = pickle.dumps({b"data": pixels, b"labels": list(range(8))}, protocol=2)
    for name in (*(f"data_batch_{index}" for index in range(1, 6)), "test_batch"):
        (folder / "cifar-10-batches-py" / name).write_bytes(content)


def test_document_002(desk, capfd):
    desk = desk("resnet18")
    eight, one, validation, table = commands_of("mindcv")
    desk.run(eight)
    assert desk.events("run_begin")[0]["world_size"] == 2
    desk.run(one)
    assert desk.events("run_begin")[0]["world_size"] == 1
    accuracy = max(event["Top_1_Accuracy"] for event in desk.events("epoch") if "Top_1_Accuracy" in event)
    capfd.readouterr()
    desk.run(validation)
    assert set(last_dict(capfd.readouterr().out)) == {"Top_1_Accuracy", "loss"}

    # Its accuracies are those of the training that has just ended.
    desk.run(f"{table} --ckpt_save_dir {desk.out}")
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("|")]
    head, _, row = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    theirs = "model name, params(M), cards, batch size, resolution, jit level, graph compile, ms/step, img/s, acc@top1"
    assert head == [*theirs.split(", "), "acc@top5", "recipe", "weight"]
    cells = dict(zip(head, row, strict=True))
    assert (cells["model name"], cells["batch size"], cells["resolution"]) == ("resnet18", "4", "16x16")
    assert (cells["acc@top1"], cells["acc@top5"]) == (f"{100 * accuracy:.2f}", "not measured here")
    assert float(cells["img/s"]) == pytest.approx(4000 / float(cells["ms/step"]), rel=0.02)


def test_document_003(desk, capfd):
    desk = desk("seresnet18")
    write_zoo_config(desk.folder / "default_config.yaml")
    imported, train, theirs, eight, standalone, dynamic, evaluate, run_eval, export, air, accuracy, classes = (
        commands_of("se_resnext50")
    )
    desk.run(imported)
    assert "T_max: 150 is read as decay_epochs: 150" in capfd.readouterr().out
    recipe = yaml.safe_load(Path("se_resnext50.yaml").read_text())
    assert (recipe["model"], recipe["opt"], recipe["lr"]) == ("seresnext50_32x4d", "momentum", 0.05)

    for command in (train, theirs, eight):
        desk.run(command)
        assert len(desk.rates()) == 6
    assert (desk.config().loss_scale_type, desk.config().loss_scale) == ("fixed", 1024.0)
    # The same words but for the card, which no test here has.
    assert desk.words(standalone) == desk.words(train.replace("~/imagenet --device_target Ascend", "/dataset"))
    desk.run(dynamic)
    assert (desk.config().loss_scale_type, desk.config().loss_scale) == ("dynamic", 65536.0)
    assert desk.config().drop_overflow_update

    capfd.readouterr()
    desk.run(evaluate)
    expected = last_dict(capfd.readouterr().out)
    desk.run(run_eval)
    assert last_dict(capfd.readouterr().out) == expected
    desk.run(export)
    assert "verified on batches of 1" in capfd.readouterr().out
    assert main(desk._short("export", desk.words(air)[2:])) == 2
    assert "run the command on an Ascend host" in capfd.readouterr().err
    desk.run(accuracy)
    line = re.search(r"^Total data:(\d+), top1 accuracy:([\d.]+)$", capfd.readouterr().out, re.MULTILINE)
    assert (int(line[1]), float(line[2])) == (10, expected["Top_1_Accuracy"])
    desk.run(classes)
    rows = Path("result.csv").read_text().splitlines()
    assert len(rows) == 1 + 10 * 2  # both classes of each of 10 images


def write_zoo_config(path: Path) -> None:
    """The keys of document 003 with their values."""
    path.write_text(f"{TRAINING_OPTIONS}---\nimage_size: help\n")
