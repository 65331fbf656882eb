"""What models cost before they compute: making them, importing the library, compiling the first training step.

    python benchmarks/models.py                              all three parts; long for all models
    python benchmarks/models.py create --models resnet50 vit_b_32_224
    MINDCV_UPSTREAM=/path/to/mindcv python benchmarks/models.py create     beside MindCV, from a checkout
                        (or the unpacked wheel of `pip download mindcv==0.3.0 --no-deps`, which has all 275 names)
    python benchmarks/models.py start                        imports and commands, against `import mindspore`
    python benchmarks/models.py compile                      first step in graph mode, and those after it
    python benchmarks/models.py compile --models resnet18 --opt momentum lamb --rounds 1     the same, in a minute

`compile` compares our training step, with each optimizer of --opt and with everything that it can do (EMA, clipping,
accumulation and dynamic loss scale together, with the first of them), with MindSpore's bare one: the same network in
`nn.TrainOneStepCell` with `nn.Momentum`. Where there are several networks, it compares too how the time of the first
step rises with the number of parameters.

What is compared takes turns in one run, each measurement in a process of its own; medians and their ratios are printed,
as JSON too. `cpu` is the time of the processors, which other programs on the machine lengthen less than the clock's.
Nothing is loaded: `create` makes networks with drawn weights.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

_CREATE = """
import json, sys, time
import mindspore
{imports}
times = {{}}
for name in json.loads(sys.argv[1]):
    begin = time.perf_counter()
    create_model(name, num_classes=1000)
    times[name] = time.perf_counter() - begin
print(json.dumps(times))
"""
_OURS = "from mindcv.models import create_model"
# MindCV's checkout goes before ours on the path.
_UPSTREAM = "sys.path.insert(0, {path!r})\nfrom mindcv.models import create_model"

_COMPILE = """
import json, sys, time
import mindspore as ms
import numpy as np
from mindspore import nn
from mindcv import create_loss, create_model, create_optimizer
from mindcv.engine import LossScale, LossWithNetwork, TrainStep, setup_run

name, which, side, steps = json.loads(sys.argv[1])
setup_run("CPU", 0, None, False, 1)
loss = LossWithNetwork(create_model(name, num_classes=1000), create_loss("CE"))
weights = loss.network.trainable_params()
if which == "bare":
    step = nn.TrainOneStepCell(loss, nn.Momentum(weights, 0.1, 0.9))
else:
    opt, _, together = which.partition("+")
    everything = dict(
        scale_sense=LossScale(1024.0, dynamic=True), ema=True, clip_grad=True, gradient_accumulation_steps=2
    )
    step = TrainStep(loss, create_optimizer(loss.network, opt=opt, lr=0.001), **(everything if together else {}))
step.set_train(True)
random = np.random.RandomState(0)
image = ms.Tensor(random.standard_normal((2, 3, side, side)).astype(np.float32))
label = ms.Tensor(random.randint(0, 1000, 2).astype(np.int32))


def measure():
    begin, begin_cpu = time.perf_counter(), time.process_time()
    step(image, label).asnumpy()
    return time.perf_counter() - begin, time.process_time() - begin_cpu


first, first_cpu = measure()
later, later_cpu = (sorted(times)[steps // 2] for times in zip(*(measure() for _ in range(steps))))
found = {"first": first, "first_cpu": first_cpu, "later": later, "later_cpu": later_cpu, "parameters": len(weights)}
print(json.dumps(found))
"""


# How many times as long as the bare cell our step may take: the first, the first with everything, and later ones.
FIRST, FIRST_ALL, LATER = 1.1, 1.25, 1.03
MEASURED = ("first", "first_cpu", "later", "later_cpu")


def run(code: str, *arguments: str) -> dict:
    """Runs Python code in a process of its own and returns the JSON of its last line."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks/models.py: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def seconds_of(command: Sequence[str], rounds: int) -> float:
    """Returns the median seconds of a command."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def create(names: Sequence[str], rounds: int) -> dict:
    """Measures how long models take to make, beside MindCV where there is a checkout."""
    upstream = os.environ.get("MINDCV_UPSTREAM")
    sides = {"ours": _CREATE.format(imports=_OURS)}
    if upstream:
        sides["mindcv"] = _CREATE.format(imports=_UPSTREAM.format(path=upstream))
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, code in sides.items():
            found[side].append(run(code, json.dumps(list(names))))
    medians = {
        side: {name: statistics.median(times[name] for times in runs) for name in names} for side, runs in found.items()
    }
    result: dict = {"seconds": {side: round(sum(times.values()), 3) for side, times in medians.items()}}
    for name in names:
        print(f"{name:<28}" + "".join(f"  {side} {times[name]:7.3f} s" for side, times in medians.items()))
    if upstream:
        result["ratio_of_sums"] = sum(medians["ours"].values()) / sum(medians["mindcv"].values())
        result["worst_ratio"] = max(medians["ours"][name] / medians["mindcv"][name] for name in names)
    return result


def start(rounds: int) -> dict:
    """Measures imports and commands."""
    python = sys.executable
    commands = {
        "import mindspore": [python, "-c", "import mindspore"],
        "import mindcv": [python, "-c", "import mindcv"],
        "mindcv --help": [python, "-m", "mindcv", "--help"],
        "mindcv models": [python, "-m", "mindcv", "models"],
    }
    result = {name: round(seconds_of(command, rounds), 3) for name, command in commands.items()}
    result["models_over_mindspore"] = round(result["mindcv models"] / result["import mindspore"], 2)
    for name, value in result.items():
        print(f"{name:<24} {value:7.3f}")
    return result


def compile_step(names: Sequence[str], optimizers: Sequence[str], side: int, steps: int, rounds: int) -> dict:
    """Measures the first step and those after it, against a bare cell on the same network."""
    variants = ["bare", *optimizers, f"{optimizers[0]}+all"]
    result: dict = {}
    for name in names:
        found: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
        for _ in range(rounds):
            for variant, runs in found.items():
                runs.append(run(_COMPILE, json.dumps([name, variant, side, steps])))
        medians = {
            variant: {key: statistics.median(one[key] for one in runs) for key in runs[0]}
            for variant, runs in found.items()
        }
        result[name] = medians
        print(f"{name}, {medians['bare']['parameters']:.0f} parameters")
        for variant, row in medians.items():
            ratios = {key: row[key] / medians["bare"][key] for key in MEASURED}
            row.update({f"{key}_ratio": round(ratio, 3) for key, ratio in ratios.items()})
            line = f"  {variant:<14}"
            for key, limit in (("first", FIRST_ALL if variant.endswith("+all") else FIRST), ("later", LATER)):
                times = f"{ratios[key]:.2f} times, cpu {ratios[f'{key}_cpu']:.2f}, wanted {limit}"
                line += f"  {key} {row[key]:7.3f} s ({times})"
            print(line)
    if len(names) > 1:
        result["seconds_per_parameter"] = slopes = {
            variant: statistics.linear_regression(
                [result[name][variant]["parameters"] for name in names],
                [result[name][variant]["first_cpu"] for name in names],
            ).slope
            for variant in variants
        }
        for variant, slope in slopes.items():
            print(f"  {variant:<14} {1000 * slope:7.2f} ms a parameter (cpu; {slope / slopes['bare']:5.2f}; wanted 1)")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["create", "start", "compile"], help="default: all of them")
    parser.add_argument("--models", nargs="+", help="default: all for create; resnet18 50 152 hrnet_w32 for compile")
    parser.add_argument("--opt", nargs="+", default=["momentum", "adamw", "lamb"], help="optimizers of compile")
    parser.add_argument("--image_size", type=int, default=64, help="side of the images of compile")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of compile after the first")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of which the median is taken")
    options = parser.parse_args()

    from mindcv.models import list_models

    result: dict = {}
    if options.part in (None, "create"):
        result["create"] = create(options.models or list_models(), options.rounds)
    if options.part in (None, "start"):
        result["start"] = start(options.rounds)
    if options.part in (None, "compile"):
        names = options.models or ["resnet18", "resnet50", "resnet152", "hrnet_w32"]
        result["compile"] = compile_step(names, options.opt, options.image_size, options.steps, options.rounds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
