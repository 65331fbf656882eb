"""How long the first step of a start takes: compiled, and with the graph from the compile cache.

    python benchmarks/start.py                                     ResNeXt-50 and Swin-Tiny, batch 2, 224x224
    python benchmarks/start.py --models resnet18 --image_size 64 --rounds 3
    python benchmarks/start.py --models --script                   train.py with the README's first recipe

Each start is a process of its own: without the cache, with an empty one, and with what that one kept, `--rounds` times
in turns. Printed: medians in seconds of the first step (compiling or taking the graph, and one step), and as JSON.
The losses of all three must be the same to the bit. With `--script` also the seconds from the start of
`python train.py` to the end of its first step.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STARTS = ("off", "first", "second")
ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "configs" / "resnext" / "resnext50_32x4d_cpu.yaml"


def worker(options: argparse.Namespace) -> None:
    """One start: two steps, printed with their seconds and losses."""
    begin = time.perf_counter()
    import mindspore as ms
    import numpy as np

    from mindcv import create_loss, create_model, create_optimizer
    from mindcv.engine import HostFeed, LossWithNetwork, TrainStep, open_compile_cache, setup_run

    setup_run("CPU", 0, None, False, 1)
    network = create_model(options.models[0], num_classes=1000)
    optimizer = create_optimizer(network, opt="momentum", lr=0.1, momentum=0.9)
    step = TrainStep(LossWithNetwork(network, create_loss("CE")), optimizer)
    step.set_train(True)
    random, side = np.random.RandomState(0), options.image_size
    image = ms.Tensor(random.standard_normal((options.batch_size, 3, side, side)).astype(np.float32))
    label = ms.Tensor(random.randint(0, 1000, options.batch_size).astype(np.int32))
    cache = open_compile_cache(options.worker, "CPU", 0)
    feed = HostFeed(step, lambda epoch, first_step: iter([(image, label)] * 2), cache)
    feed.begin_epoch(0, 0)
    built = time.perf_counter()
    losses = [float(feed.run_step().asnumpy())]
    first = time.perf_counter()
    losses.append(float(feed.run_step().asnumpy()))
    second = time.perf_counter()
    print(json.dumps({"build": built - begin, "first": first - built, "next": second - first, "losses": losses}))


def start(options: argparse.Namespace, model: str, cache: str) -> dict:
    """Runs one start and returns what it printed."""
    command = [sys.executable, __file__, "--models", model, "--worker", cache]
    command += ["--batch_size", str(options.batch_size), "--image_size", str(options.image_size)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def script_start(cache: str) -> float:
    """Returns the seconds from the start of train.py to the line of its first step."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "train.py"), "-c", str(RECIPE), "--compile_cache", cache]
        command += ["--ckpt_save_dir", folder, "--log_interval", "1", "--report", "False"]
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            for line in process.stdout:
                if "step: [1/" in line:
                    return time.perf_counter() - begin
        finally:
            process.kill()
            process.communicate()
    raise SystemExit(f"train.py ended with exit code {process.returncode} before its first step")


def measure_script(rounds: int) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name in STARTS:
                seconds[name].append(script_start("off" if name == "off" else folder))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = medians["second"] / medians["off"]
    print("train.py to the end of its first step:", *(f"{name} {value:.2f} s" for name, value in medians.items()))
    print(f"train.py: the second start takes {ratio:.2f} times that without a cache (wanted: at most 0.5)")
    print(json.dumps({"script": RECIPE.name, "medians_s": medians, "ratio": ratio}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["resnext50_32x4d", "swin_tiny"])
    parser.add_argument("--batch_size", type=int, default=2)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--script", action="store_true", help="measure train.py as well")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options)
        return
    for model in options.models:
        answers: dict[str, list[dict]] = {name: [] for name in STARTS}
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                for name in STARTS:
                    answers[name].append(start(options, model, "off" if name == "off" else folder))
        losses = {json.dumps(answer["losses"]) for of_start in answers.values() for answer in of_start}
        if len(losses) != 1:
            raise SystemExit(f"{model}: the losses differ: {losses}")
        medians = {
            name: {part: statistics.median(answer[part] for answer in of_start) for part in ("build", "first", "next")}
            for name, of_start in answers.items()
        }
        for name, of_start in medians.items():
            print(f"{model:<18} {name:<7}", *(f"{part} {seconds:7.2f} s" for part, seconds in of_start.items()))
        ratio = medians["second"]["first"] / medians["off"]["first"]
        print(f"{model}: first step of the second start {ratio:.2f} times that without a cache (wanted: at most 0.2)")
        print(json.dumps({"model": model, "medians_s": medians, "ratio": ratio}))
    if options.script:
        measure_script(options.rounds)


if __name__ == "__main__":
    main()
