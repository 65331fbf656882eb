"""`mindcv benchmark table`: the result table of the families' pages, measured on this machine."""

import argparse
import datetime
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mindcv.cli._benchmark_train import require_folder_of
from mindcv.config import Config, find_recipe, load_recipe, read_config, recipes_of_models
from mindcv.report.pages import render_table
from mindcv.utils.cores import usable_cores
from mindcv.utils.errors import RunError
from mindcv.utils.fs import local_path
from mindcv.utils.registry import suggest

__all__ = ["HELP", "add_arguments", "run"]

HELP = "measure recipes and print the result table of the families' pages"

_MISSING = {"top1": "not measured here", "top5": "not measured here"}
# A trained run counts for a recipe when these are the same.
_SAME_RUN = ("model", "dataset", "image_resize")
_SHARED = ("model", "params_m", "cards", "batch_size", "resolution", "jit_level", "ms_per_step", "img_per_s")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options. Every other option is a key of the recipes."""
    parser.add_argument(
        "-c",
        "--config",
        required=True,
        nargs="+",
        metavar="RECIPE",
        help="recipes; or names of models, for their packaged recipes. --key value changes all of them",
    )
    parser.add_argument(
        "--device",
        choices=("ascend", "gpu", "cpu"),
        default="cpu",
        help="whose packaged recipes names of models mean; gpu runs those for ascend (default: cpu)",
    )
    parser.add_argument("--nproc", type=int, default=1, metavar="N", help="workers (default: 1)")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="steps that are measured (default: 100)")
    parser.add_argument("--warmup_steps", type=int, default=5, metavar="N", help="steps before these (default: 5)")
    parser.add_argument("--synthetic", action="store_true", help="made-up data: needs no dataset")
    parser.add_argument("--json", metavar="FILE", help="write the rows there too; - for stdout in place of the table")
    parser.set_defaults(takes_keys=True)


def run(args: argparse.Namespace) -> int:
    """Measures each recipe in a process of its own, and prints the table.

    Accuracies are those of the recipe's own training, found in its `ckpt_save_dir`; where there is none, it says so.

    Raises:
        ConfigError, ValueError: A recipe is not there, or not right.
        RunError: A recipe cannot be run.
    """
    require_folder_of(args.json, "--json")
    if args.device == "gpu":
        args.keys = ["--device_target", "GPU", *args.keys]
    recipes = [_recipe_of(name, args.device) for name in args.config]
    configs = [read_config(["-c", recipe, *args.keys]) for recipe in recipes]
    figures = [_measure(recipe, args) for recipe in recipes]
    rows = [_row(*pair) for pair in zip(configs, figures, strict=True)]
    setup = _setup(figures[0])
    text = json.dumps({"setup": setup, "results": rows}, indent=2)
    if args.json == "-":
        print(text)
        return 0
    if args.json:
        Path(args.json).write_text(f"{text}\n", encoding="utf-8")
    print(f"**Measured here**: {setup}.\n\n{render_table(rows, missing=_MISSING)}")
    return 0


def _recipe_of(name: str, device: str) -> str:
    """Returns the path of a recipe, or of the one that is packaged for a model.

    Raises:
        ConfigError, ValueError: There is none.
    """
    if name.endswith((".yaml", ".yml")):
        return find_recipe(name)
    known = recipes_of_models(device)
    if device == "gpu":
        known = {**recipes_of_models("ascend"), **known}
    if name not in known:
        raise ValueError(f"no packaged recipe of {name!r} for {device}{suggest(name, known) or '; give a YAML file'}")
    return str(known[name])


def _measure(recipe: str, args: argparse.Namespace) -> dict[str, Any]:
    """Returns the figures of one recipe. A process of its own has its own peak of memory and compiles anew.

    Raises:
        RunError: It failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "figures.json"
        launcher = ["launch", "--nproc", str(args.nproc), "--log_dir", folder] if args.nproc > 1 else []
        options = ["--steps", str(args.steps), "--warmup_steps", str(args.warmup_steps), "--json", str(out)]
        options += ["--synthetic"] if args.synthetic else []
        command = [sys.executable, "-m", "mindcv", *launcher, "benchmark", "train", "-c", recipe, *options, *args.keys]
        print(f"measuring {recipe}", file=sys.stderr, flush=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode or not out.is_file():
            sys.stderr.write(done.stdout)
            raise RunError(f"{recipe}: the measurement ended with exit code {done.returncode}")
        return json.loads(out.read_text(encoding="utf-8"))


def _row(cfg: Config, figures: dict[str, Any]) -> dict[str, Any]:
    """Returns one row of the table, with the columns' keys of `mindcv.report.pages`."""
    row = {key: figures[key] for key in _SHARED}
    if figures["graph_compile_s"] is not None:
        row["graph_compile_s"] = round(figures["graph_compile_s"], 1)
    return {**row, **_accuracy(cfg), "recipe": cfg.config}


def _accuracy(cfg: Config) -> dict[str, Any]:
    """Returns the best accuracies (%) of the recipe's training and its checkpoint, as far as they are there."""
    folder = local_path(cfg.ckpt_save_dir)
    if not (folder / "config.yaml").is_file() or not (folder / "log.jsonl").is_file():
        return {}
    trained = load_recipe(str(folder / "config.yaml"))
    if any(getattr(trained, key) != getattr(cfg, key) for key in _SAME_RUN):
        return {}
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    epochs = [event for event in events if event["event"] == "epoch" and "Top_1_Accuracy" in event]
    if not epochs:
        return {}
    best = max(epochs, key=lambda event: event["Top_1_Accuracy"])
    row: dict[str, Any] = {"top1": 100 * best["Top_1_Accuracy"]}
    if "Top_5_Accuracy" in best:
        row["top5"] = 100 * best["Top_5_Accuracy"]
    weight = folder / f"{cfg.model}_best.ckpt"
    return {**row, "weight": str(weight)} if weight.is_file() else row


def _setup(figures: dict[str, Any]) -> str:
    """What the figures were measured on."""
    cores = usable_cores()
    parts = [f"{figures['device']}, host with {cores} cores of {_processor()}", f"MindSpore {figures['mindspore']}"]
    parts += [f"{figures['mode']} mode", f"data: {figures['data']}", datetime.date.today().isoformat()]
    return ", ".join(parts)


def _processor() -> str:
    """The processor's name, where the system tells."""
    path = Path("/proc/cpuinfo")
    lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "an unnamed kind")
