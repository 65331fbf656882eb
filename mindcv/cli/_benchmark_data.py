"""`mindcv benchmark data`: how many images a second a recipe's data pipeline gives on this machine, stage by stage."""

import argparse
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mindcv.config import Config

HELP = "measure a recipe's data pipeline by stage, against decoding alone, and how long training waits for it"

# Decoded from memory, again and again, to see what the processor could do at most.
_DECODED_IMAGES = 256

_NO_AUGMENTATION = {"auto_augment": None, "color_jitter": None, "re_prob": 0.0, "aug_splits": 0}
_NO_MIXING = {"mixup": 0.0, "cutmix": 0.0}
_ON_DEVICE = {"normalize_on_device": True}
# What a recipe is changed by, to measure its pipeline up to a stage.
_STAGES = {
    "read, decode, crop": _NO_AUGMENTATION | _NO_MIXING | _ON_DEVICE,
    "+ augmentation": _NO_MIXING | _ON_DEVICE,
    "+ mixing": _ON_DEVICE,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options. Every other option is a key of the recipe."""
    parser.add_argument("-c", "--config", required=True, metavar="RECIPE", help="the recipe; --key value changes it")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement (default: 5)")
    parser.add_argument(
        "--steps", type=int, default=20, help="training steps to measure the wait share of; 0: none (default: 20)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout, with nothing else on it")
    parser.set_defaults(takes_keys=True)


def run(args: argparse.Namespace) -> int:
    """Measures and prints.

    Raises:
        FileNotFoundError, ValueError: Recipe, data or options are not right.
    """
    from mindcv.cli import _benchmark_train
    from mindcv.config import read_config

    if args.seconds <= 0 or args.steps < 0:
        raise ValueError(f"--seconds must be above 0 and --steps 0 or more, got {args.seconds} and {args.steps}")
    cfg = read_config(["-c", args.config, *args.keys])
    figures = measure(cfg, args.seconds, args.steps)
    _benchmark_train.emit(figures, args.json, _print)
    return 0


def measure(cfg: "Config", seconds: float, steps: int) -> dict[str, Any]:
    """Measures each stage for some seconds.

    Args:
        cfg: The recipe.
        seconds: Length of each measurement.
        steps: Training steps that the wait share is measured in; 0: it is left out.

    Returns:
        `stages`: for each stage images a second and milliseconds of one core for an image; `data_wait_share`, 0 to 1.
    """
    from mindcv import build, engine
    from mindcv.cli import _benchmark_train
    from mindcv.data import get_samples, pipeline_errors
    from mindcv.data.workers import usable_cores

    engine.setup_run(cfg.device_target, cfg.mode, cfg.jit_level, False, cfg.seed)
    cfg = cfg.model_copy(update={"drop_remainder": True})
    configs = {name: cfg.model_copy(update=changes) for name, changes in _STAGES.items()}
    # What a recipe does not have is no stage of its own.
    configs = {name: config for name, config in configs.items() if config != cfg} | {"the recipe": cfg}
    loaders = {name: build.build_train_loader(config)[0] for name, config in configs.items()}
    samples = get_samples(loaders["the recipe"])
    stages: dict[str, Any] = {}
    with pipeline_errors():
        if hasattr(samples, "read"):
            workers = min(cfg.num_parallel_workers or usable_cores(), usable_cores())
            stages["reading alone"] = _time(_in_threads(samples.read, range(len(samples)), workers), seconds)
            files = [samples.read(number) for number in range(min(_DECODED_IMAGES, len(samples)))]
            stages["decoding alone"] = _time(_in_threads(_decoder(), files, workers), seconds)
        for name, loader in loaders.items():
            stages[name] = _time(_sizes(loader), seconds)
    figures = {"recipe": cfg.config, "data": cfg.dataset, "cores": usable_cores(), "stages": stages}
    if steps:
        trained = _benchmark_train.measure(cfg, steps, 2, False)
        figures |= {name: trained[name] for name in ("model", "device", "img_per_s", "data_wait_share")}
    return figures


def _decoder() -> Callable[[bytes], Any]:
    """What gives all pixels of an image, by the decoder that training uses."""
    from mindcv.data.images.decoding import decode_image

    return decode_image


def _in_threads(function: Any, items: Any, workers: int) -> Iterator[int]:
    """Calls a function for the items, again and again, and yields how many are done."""
    part = 4 * workers
    with ThreadPoolExecutor(workers) as pool:
        for start in itertools.cycle(range(0, len(items), part)):
            yield len(list(pool.map(function, items[start : start + part])))


def _sizes(loader: Any) -> Iterator[int]:
    """Sizes of the batches of many epochs."""
    from mindcv.data import epoch_batches

    for epoch in itertools.count():
        yield from (batch[0].shape[0] for batch in epoch_batches(loader, epoch))


def _time(sizes: Iterable[int], seconds: float) -> dict[str, float]:
    """Images a second, and milliseconds of one core for each; the first batch, with the start, does not count."""
    iterator = iter(sizes)
    next(iterator)
    begin, cpu, count = time.perf_counter(), time.process_time(), 0
    while (elapsed := time.perf_counter() - begin) < seconds:
        count += next(iterator)
    return {"img_per_s": round(count / elapsed, 1), "core_ms": round(1000 * (time.process_time() - cpu) / count, 3)}


def _print(figures: dict[str, Any]) -> None:
    print(f"{figures['recipe']}, data: {figures['data']}, {figures['cores']} cores")
    print(f"{'':<20} {'images/s':>9}   ms of one core an image")
    for name, stage in figures["stages"].items():
        print(f"{name:<20} {stage['img_per_s']:>9.0f}   {stage['core_ms']:.2f}")
    if "model" in figures:
        share = f"{figures['data_wait_share']:.1%} of the time"
        print(f"training {figures['model']} on {figures['device']}: {figures['img_per_s']:.1f} images/s, waits {share}")
