"""`mindcv benchmark data`: how many images a second a recipe's data pipeline gives on this machine, stage by stage."""

import argparse
import itertools
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mindcv.config import Config
    from mindcv.data.pipeline import Pipeline

HELP = "measure a recipe's data pipeline by stage, against decoding alone, and how long training waits for it"

# Decoded from memory, again and again, to see what the processor could do at most.
_DECODED_IMAGES = 256

# What a recipe is changed by, to measure its pipeline up to a stage: each stage comes with all before it.
_LEFT_OUT: dict[str, dict[str, Any]] = {
    "interpolation": {"interpolation": "bilinear"},
    "flips": {"hflip": 0.0, "vflip": 0.0},
    "policy, colours": {"auto_augment": None, "color_jitter": None, "aug_splits": 0},
    "erasing": {"re_prob": 0.0},
    "mixing": {"mixup": 0.0, "cutmix": 0.0},
    # Whoever normalises also mixes: up to here, what is mixed is only drawn.
    "normalisation": {"normalize_on_device": True},
}
_MOST_ADVICE = 3
# Shares of the pipeline's time from which a stage is worth a change.
_LARGE, _NOTABLE = 0.4, 0.1
_LITTLE_WAITING = 0.05


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
    _benchmark_train.require_folder_of(args.json, "--json")
    cfg = read_config(["-c", args.config, *args.keys])
    with tempfile.TemporaryDirectory() as folder:  # of the list of bad samples
        figures = measure(cfg.model_copy(update={"ckpt_save_dir": folder}), args.seconds, args.steps)
    _benchmark_train.emit(figures, args.json, _print)
    return 0


def measure(cfg: "Config", seconds: float, steps: int) -> dict[str, Any]:
    """Measures each stage for some seconds.

    Args:
        cfg: The recipe.
        seconds: Length of each measurement.
        steps: Training steps that the wait share is measured in; 0: it is left out.

    Returns:
        `stages`: for each stage its own milliseconds of one core an image (`core_ms`), the `share` of all of them, and
        `img_per_s` of the pipeline up to it; `whole`, the recipe's pipeline; for image files `decoding_alone`, of whole
        images; `data_wait_share`, 0 to 1; `advice`, at most three lines.
    """
    from mindcv import build, engine
    from mindcv.cli import _benchmark_train
    from mindcv.data import get_samples, pipeline_errors
    from mindcv.data.images.decoding import decode_image
    from mindcv.data.images.operations import is_augment_extension_built
    from mindcv.data.pipeline import pipeline_of
    from mindcv.data.sources.packed import is_packed
    from mindcv.utils.cores import usable_cores

    engine.setup_run(cfg.device_target, cfg.mode, cfg.jit_level, False, cfg.seed)
    if cfg.bad_samples == "skip":  # which decodes all images before each measurement
        cfg = cfg.model_copy(update={"bad_samples": "replace"})
    configs = _configs(cfg)
    loaders = {name: build.build_train_loader(config)[0] for name, config in configs.items()}
    loader = loaders["crop, batch"]
    samples, cores = get_samples(loader), usable_cores()
    workers = min(cfg.num_parallel_workers or cores, cores)
    times: dict[str, dict[str, float]] = {}
    figures: dict[str, Any] = {"recipe": cfg.config, "data": cfg.dataset, "cores": cores, "workers": workers}
    with pipeline_errors():
        if samples.is_encoded:
            pipeline = pipeline_of(loader)
            read = _reader(pipeline)
            times["reading"] = _time(_in_threads(read, range(len(samples)), workers), seconds)
            files = _decodable(pipeline, read)
            figures["decoding_alone"] = _time(_in_threads(decode_image, files, workers), seconds)
            if pipeline.reader.reading is not None:
                index = np.arange(len(samples))
                keys = np.stack(np.broadcast_arrays(cfg.seed or 0, 0, index, index), axis=1)
                times["decode, crop"] = _time(_in_threads(pipeline.reader, keys, workers), seconds)
                loaders = {"batch, transfer": loaders.pop("crop, batch"), **loaders}
        for name, stage in loaders.items():
            splits = configs[name].aug_splits if name in configs else 0
            times[name] = _time(_sizes(stage, splits or 1), seconds)
    figures |= {"whole": times[list(times)[-1]], "stages": costs(times)}
    if steps:
        trained = _benchmark_train.measure(cfg, steps, 2, False)
        figures |= {name: trained[name] for name in ("model", "device", "img_per_s", "data_wait_share")}
    is_file = samples.is_encoded and "://" not in cfg.data_dir and not is_packed(Path(cfg.data_dir))
    figures["advice"] = advise(figures, is_file, cfg.interpolation, is_augment_extension_built())
    return figures


def _configs(cfg: "Config") -> dict[str, "Config"]:
    """The recipe up to each stage; what it does not have is no stage of its own."""
    left_out = [change for changes in _LEFT_OUT.values() for change in changes.items()]
    configs = {"crop, batch": cfg.model_copy(update=dict(left_out))}
    previous = configs["crop, batch"]
    for name, changes in _LEFT_OUT.items():
        left_out = [(key, value) for key, value in left_out if key not in changes]
        config = cfg.model_copy(update=dict(left_out))
        if config != previous:
            configs[name] = previous = config
    return configs


def costs(times: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """What each stage costs, from the times of the pipeline up to each.

    Args:
        times: For each stage, in turn, `img_per_s` and `core_ms` of it with all before it.

    Returns:
        For each `img_per_s` as it is, its own `core_ms` (at least 0), and its `share` of their sum.
    """
    ends = [time["core_ms"] for time in times.values()]
    own = [max(end - before, 0.0) for before, end in zip([0.0, *ends], ends, strict=False)]
    total = sum(own) or 1.0
    return {
        name: {"img_per_s": time["img_per_s"], "core_ms": round(cost, 3), "share": round(cost / total, 4)}
        for (name, time), cost in zip(times.items(), own, strict=True)
    }


def advise(figures: dict[str, Any], is_file: bool, interpolation: str, has_extension: bool) -> list[str]:
    """What to change, at most three lines, the first first.

    Args:
        figures: What `measure` returns, without the advice.
        is_file: Whether images are files, which could be packed.
        interpolation: The recipe's.
        has_extension: Whether the C extension does the augmentation.
    """
    if figures.get("data_wait_share", 1.0) < _LITTLE_WAITING:
        return [f"training waits {figures['data_wait_share']:.1%} of the time for data: nothing to change"]
    stages, cores, workers = figures["stages"], figures["cores"], figures["workers"]
    shares = {name: stage["share"] for name, stage in stages.items()}

    def share(name: str) -> float:
        return shares.get(name, 0.0)

    lines = []
    if workers < cores:
        lines.append(f"num_parallel_workers is {workers}, of {cores} usable cores: --num_parallel_workers {cores}")
    if is_file and "reading" in stages and stages["reading"]["img_per_s"] < 1.5 * figures["whole"]["img_per_s"]:
        lines.append("reading files is hardly faster than all the rest: mindcv prepare packs them; or a faster disk")
    elif is_file and share("decode, crop") >= _LARGE:
        lines.append(f"decode, crop is {share('decode, crop'):.0%}: mindcv prepare stores smaller images, packed")
    if share("policy, colours") >= _NOTABLE and not has_extension:
        lines.append(f"policy, colours is {share('policy, colours'):.0%}, without the C extension: see mindcv doctor")
    if share("normalisation") >= _NOTABLE:
        what = "normalisation, with mixing" if "mixing" in shares else "normalisation"
        lines.append(f"{what}: {share('normalisation'):.0%}; the device does it with --normalize_on_device True")
    if share("interpolation") >= _NOTABLE:
        lines.append(
            f"interpolation {interpolation} costs {share('interpolation'):.0%} more than --interpolation bilinear"
        )
    if not lines:
        largest = max(shares, key=share)
        lines.append(f"the largest part is {largest}, {share(largest):.0%}; no key makes it cheaper, more cores do")
    return lines[:_MOST_ADVICE]


def _reader(pipeline: "Pipeline") -> Callable[[int], bytes]:
    """What gives the bytes of a sample's image file; none of one that cannot be read and would be replaced."""
    from mindcv.data.image_reader import bad_sample_message

    def read(index: int) -> bytes:
        try:
            return pipeline.samples.read(index)
        except (OSError, ValueError) as error:
            if not pipeline.reader.replaces:
                raise ValueError(bad_sample_message(pipeline.samples.name(index), error)) from error
            return b""

    return read


def _decodable(pipeline: "Pipeline", read: Callable[[int], bytes]) -> list[bytes]:
    """The first image files, without those that are damaged and would be replaced."""
    from mindcv.data.image_reader import bad_sample_message
    from mindcv.data.images.decoding import check_pixels

    files = []
    for index in range(min(_DECODED_IMAGES, len(pipeline.samples))):
        data = read(index)
        try:
            check_pixels(data)
        except ValueError as error:
            if not pipeline.reader.replaces:
                raise ValueError(bad_sample_message(pipeline.samples.name(index), error)) from error
            continue
        files.append(data)
    if not files:
        raise ValueError(f"the first {_DECODED_IMAGES} images cannot be decoded; look at them with: mindcv data check")
    return files


def _in_threads(function: Any, items: Any, workers: int) -> Iterator[int]:
    """Calls a function for the items, again and again, and yields how many are done."""
    part = 4 * workers
    with ThreadPoolExecutor(workers) as pool:
        for start in itertools.cycle(range(0, len(items), part)):
            yield len(list(pool.map(function, items[start : start + part])))


def _sizes(loader: Any, splits: int) -> Iterator[int]:
    """Samples in the batches of many epochs; of each there are so many images."""
    from mindcv.data import epoch_batches

    for epoch in itertools.count():
        yield from (batch[0].shape[0] // splits for batch in epoch_batches(loader, epoch))


def _time(sizes: Iterable[int], seconds: float) -> dict[str, float]:
    """Images a second, and milliseconds of one core for each; the first batch, with the start, does not count."""
    iterator = iter(sizes)
    next(iterator)
    begin, cpu, count = time.perf_counter(), time.process_time(), 0
    while (elapsed := time.perf_counter() - begin) < seconds:
        count += next(iterator)
    return {"img_per_s": round(count / elapsed, 1), "core_ms": round(1000 * (time.process_time() - cpu) / count, 3)}


def _print(figures: dict[str, Any]) -> None:
    print(f"{figures['recipe']}, data: {figures['data']}, {figures['workers']} workers on {figures['cores']} cores")
    print(f"{'stage':<16} {'ms of one core an image':>23} {'share':>6} {'images/s up to here':>20}")
    for name, stage in figures["stages"].items():
        print(f"{name:<16} {stage['core_ms']:>23.2f} {stage['share']:>6.0%} {stage['img_per_s']:>20.0f}")
    if "decoding_alone" in figures:
        alone = figures["decoding_alone"]
        print(f"(decoding whole images alone: {alone['core_ms']:.2f} ms, {alone['img_per_s']:.0f} images/s)")
    if "model" in figures:
        share = f"{figures['data_wait_share']:.1%} of the time"
        print(f"training {figures['model']} on {figures['device']}: {figures['img_per_s']:.1f} images/s, waits {share}")
    for line in figures["advice"]:
        print(f"-> {line}")
