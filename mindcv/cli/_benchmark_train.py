"""`mindcv benchmark train`: the speed of a recipe's training steps on this machine."""

import argparse
import itertools
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mindcv.utils.fs import require_directory

if TYPE_CHECKING:
    import mindspore as ms

    from mindcv.config import Config

__all__ = ["HELP", "add_arguments", "emit", "measure", "require_folder_of", "run"]

HELP = (
    "run some training steps of a recipe: images a second, ms a step, share of waiting for data, memory, compile time"
)

# Classes of made-up labels when the recipe leaves them to the dataset.
_NUM_CLASSES = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options. Every other option is a key of the recipe."""
    parser.add_argument("-c", "--config", required=True, metavar="RECIPE", help="the recipe; --key value changes it")
    parser.add_argument("--steps", type=int, default=100, metavar="N", help="steps that are measured (default: 100)")
    parser.add_argument(
        "--warmup_steps", type=int, default=5, metavar="N", help="steps before these; the first compiles (default: 5)"
    )
    parser.add_argument("--synthetic", action="store_true", help="one made-up batch again and again: needs no dataset")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout, with nothing else on it")
    parser.set_defaults(takes_keys=True)


def run(args: argparse.Namespace) -> int:
    """Measures and prints. Of several workers the first one prints.

    Raises:
        FileNotFoundError, ValueError: Recipe, data or options are not right.
    """
    from mindcv.config import read_config

    for name in ("steps", "warmup_steps"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name}: got {getattr(args, name)}; give a number from 1")
    require_folder_of(args.json, "--json")
    cfg = read_config(["-c", args.config, *args.keys])
    with tempfile.TemporaryDirectory() as folder:  # of the list of bad samples
        cfg = cfg.model_copy(update={"ckpt_save_dir": folder})
        figures = measure(cfg, args.steps, args.warmup_steps, args.synthetic)
    from mindcv import engine

    if engine.rank() > 0:
        return 0
    emit(figures, args.json, _print)
    return 0


def require_folder_of(file: str | None, option: str) -> None:
    """Proves, before anything is measured, that the file of an option can be written; "-" is stdout.

    Raises:
        ValueError: Its folder cannot be written to.
    """
    if file not in (None, "-"):
        require_directory(Path(file).parent, option)


def emit(figures: dict[str, Any], json_file: str | None, show: Callable[[dict[str, Any]], None]) -> None:
    """Writes figures as JSON where that is asked for, and shows them unless the JSON has stdout to itself."""
    text = json.dumps(figures, indent=2)
    if json_file == "-":
        print(text)
        return
    if json_file:
        Path(json_file).write_text(f"{text}\n", encoding="utf-8")
    show(figures)


def measure(cfg: "Config", steps: int, warmup_steps: int, synthetic: bool) -> dict[str, Any]:
    """Runs the training step of a recipe, with its data and its optimizer, and returns the figures.

    Args:
        cfg: The recipe.
        steps: Steps that are measured.
        warmup_steps: Steps before, at least one.
        synthetic: Take one batch of random numbers in place of the data.

    Returns:
        Model, setting and figures by name, units in the names: s, ms, mb (MiB); `data_wait_share` is 0 to 1.
        `graph_compile_s` is None in PyNative mode.

    Raises:
        FileNotFoundError, ValueError: Something that the recipe names is not right.
    """
    import mindspore

    from mindcv import __version__, build, engine
    from mindcv.data import pipeline_errors
    from mindcv.data.preprocess import as_size
    from mindcv.export.source import with_preprocess
    from mindcv.utils.imports import import_modules
    from mindcv.utils.modelarts import copy_inputs
    from mindcv.utils.runtime import peak_memory_mb

    import_modules(cfg.imports)
    device = engine.setup_run(cfg.device_target, cfg.mode, cfg.jit_level, engine.is_launched(), cfg.seed)
    cfg = copy_inputs(cfg)
    cfg = with_preprocess(cfg)
    total_steps = warmup_steps + steps
    if synthetic:
        loader, num_classes, steps_per_epoch = None, cfg.num_classes or _NUM_CLASSES, total_steps
    else:
        try:
            # A last batch of another size would compile once more.
            loader, num_classes = build.build_train_loader(cfg.model_copy(update={"drop_remainder": True}))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}; --synthetic measures without data") from error
        steps_per_epoch = loader.get_dataset_size()
    network = build.build_network(cfg, num_classes)
    engine.broadcast_parameters(network.get_parameters())
    params_m = sum(parameter.size for parameter in network.trainable_params()) / 1e6
    rates = build.build_learning_rates(cfg, steps_per_epoch)
    rates += rates[-1:] * (total_steps - len(rates))
    step = build.build_step(cfg, network, num_classes, rates)
    if loader is None:
        batch = _made_up_batch(cfg, num_classes)
        feed: Any = engine.HostFeed(step, lambda epoch, first_step: itertools.repeat(batch))
    else:
        epochs = max(cfg.epoch_size, math.ceil(total_steps / steps_per_epoch))
        feed = build.build_feed(cfg.model_copy(update={"epoch_size": epochs}), step, loader, device, 0)

    step.set_train(True)
    with pipeline_errors():
        begin = time.perf_counter()
        _run_steps(feed, range(1), steps_per_epoch, device)
        first_s = time.perf_counter() - begin - feed.wait_s
        _run_steps(feed, range(1, warmup_steps), steps_per_epoch, device)
        wait_s, begin = feed.wait_s, time.perf_counter()
        _run_steps(feed, range(warmup_steps, total_steps), steps_per_epoch, device)
        seconds = time.perf_counter() - begin
    return {
        "model": cfg.model,
        "recipe": cfg.config,
        "params_m": round(params_m, 2),
        "device": device,
        "cards": engine.world_size(),
        "batch_size": cfg.batch_size,
        "resolution": "x".join(map(str, as_size(cfg.image_resize))),
        "mode": "graph" if cfg.mode == 0 else "pynative",
        "jit_level": cfg.jit_level or "default",
        "amp_level": cfg.amp_level,
        "data": "synthetic" if synthetic else cfg.dataset,
        "steps": steps,
        "img_per_s": round(steps * cfg.batch_size * engine.world_size() / seconds, 2),
        "ms_per_step": round(1000 * seconds / steps, 2),
        "data_wait_share": round((feed.wait_s - wait_s) / seconds, 4),
        "first_step_s": round(first_s, 2),
        "graph_compile_s": round(max(first_s - seconds / steps, 0.0), 2) if cfg.mode == 0 else None,
        **{name: round(value, 1) for name, value in peak_memory_mb().items()},
        "mindcv": __version__,
        "mindspore": mindspore.__version__,
    }


def _run_steps(feed: Any, steps: range, steps_per_epoch: int, device: str) -> None:
    """Runs the steps of these indices and waits for the last one, on a CPU for each as training does."""
    loss = None
    for step in steps:
        if step % steps_per_epoch == 0:
            feed.begin_epoch(step // steps_per_epoch, 0)
        loss = feed.run_step()
        if device == "CPU":
            loss.asnumpy()
    if loss is not None:
        loss.asnumpy()


def _made_up_batch(cfg: "Config", num_classes: int) -> list["ms.Tensor"]:
    """Random numbers in the form of what the loader gives: images, labels, and how to mix where the device does it."""
    import mindspore as ms
    import numpy as np

    from mindcv.build import mixes_batches
    from mindcv.data.preprocess import as_size

    random = np.random.default_rng(cfg.seed)
    count, size = cfg.batch_size * (cfg.aug_splits or 1), as_size(cfg.image_resize)
    mixes = mixes_batches(cfg)
    label = random.integers(0, num_classes, count, np.int32)
    if cfg.normalize_on_device:
        image = random.integers(0, 256, (count, *size, cfg.in_channels), np.uint8)
        columns = [image, label, *([np.array([1, 1, 0, 0, 0, 0], np.float32)] if mixes else [])]
    else:
        image = random.standard_normal((count, cfg.in_channels, *size), np.float32)
        columns = [image, np.eye(num_classes, dtype=np.float32)[label] if mixes else label]
    return [ms.Tensor(column) for column in columns]


def _print(figures: dict[str, Any]) -> None:
    setting = f"{figures['model']} on {figures['device']} x {figures['cards']}, {figures['mode']} mode, "
    setting += f"AMP {figures['amp_level']}, batch {figures['batch_size']} at {figures['resolution']}, "
    compiled = figures["graph_compile_s"]
    lines = {
        "FPS": f"{figures['img_per_s']:.2f} img/s",
        "step": f"{figures['ms_per_step']:.2f} ms",
        "data wait": f"{figures['data_wait_share']:.1%}",
        "graph compile": "none" if compiled is None else f"{compiled:.1f} s",
        "peak memory": f"{figures['host_peak_mb']:.0f} MiB",
    }
    if "device_peak_mb" in figures:
        lines["on the device"] = f"{figures['device_peak_mb']:.0f} MiB"
    print(f"{setting}data: {figures['data']}, {figures['steps']} steps")
    for name, value in lines.items():
        print(f"{name:<14} {value}")
    sys.stdout.flush()
