"""What models cost before they compute: making them, importing the library, compiling the first training step.

    python benchmarks/models.py                              all three parts; long for all models
    python benchmarks/models.py create --models resnet50 vit_b_32_224
    MINDCV_UPSTREAM=/path/to/mindcv python benchmarks/models.py create     beside MindCV, from a checkout
                        (or the unpacked wheel of `pip download mindcv==0.3.0 --no-deps`, which has all 275 names)
    MINDCV_UPSTREAM=... python benchmarks/models.py create --all     all models, a quarter of an hour or more
    python benchmarks/models.py start                        imports and commands, against `import mindspore`
    python benchmarks/models.py compile                      first step in graph mode, and those after it
    python benchmarks/models.py compile --models resnet18 --opt momentum lamb --rounds 1     the same, in a minute

`compile` compares our training step, with each optimizer of --opt and with everything that it can do (EMA, clipping,
accumulation and dynamic loss scale together, with the first of them), with MindSpore's bare one: the same network in
`nn.TrainOneStepCell` with `nn.Momentum`. Where there are several networks, it compares too how the time of the first
step rises with the number of parameters.

What is compared takes turns in one run, each measurement in a process of its own; medians and their ratios are printed,
as JSON too. `cpu` is the time of the processors, which other programs on the machine lengthen less than the clock's.
Nothing is loaded: `create` makes networks with drawn weights, in one process that is ours and one that is MindCV's,
which take a dozen in turn; those of less than two seconds three times, since memory that a machine has not used yet is
slow. What a process does once (imports, the first network) is not counted. Lines are printed as soon as a dozen is
measured, and Ctrl-C ends with what there is. Names that MindCV has not, or cannot make, are listed and left out of the
sums.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

_CREATE = """
import gc, json, statistics, sys, time
import mindspore
{imports}


def measure(name):
    gc.collect()
    begin = time.perf_counter()
    network = create_model(name, num_classes=1000)
    return time.perf_counter() - begin


create_model("resnet18", num_classes=1000)
for line in sys.stdin:
    name = json.loads(line)
    try:
        first = measure(name)
        seconds = statistics.median([first, measure(name), measure(name)]) if first < {quick} else first
        answer = {{"name": name, "seconds": seconds}}
    except Exception as error:
        answer = {{"name": name, "error": f"{{type(error).__name__}}: {{error}}".splitlines()[0][:80]}}
    print(json.dumps(answer), flush=True)
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


# Networks that a side makes in its turn; seconds below which one is made three times; the ratios wanted of each and of
# all.
GROUP, QUICK = 12, 2.0
RATIO, RATIO_OF_SUMS = 0.5, 0.25
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


class Side:
    """A process that makes networks: ours, or MindCV's.

    Args:
        code: What it runs: a line with a name in, a line of JSON out.
    """

    def __init__(self, code: str) -> None:
        self._code = code
        self._process: subprocess.Popen[str] | None = None

    def measure(self, name: str) -> float | str:
        """Returns the seconds that a network takes to be made, or why it cannot be."""
        if self._process is None:
            # A session of its own, which Ctrl-C does not reach.
            self._process = subprocess.Popen(
                [sys.executable, "-c", self._code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # said below
            print(json.dumps(name), file=self._process.stdin, flush=True)
        for line in self._process.stdout:
            if line.startswith('{"name"'):
                answer = json.loads(line)
                return answer.get("seconds", answer.get("error"))
        code = self._process.wait()
        self._process = None  # the next network gets a new one
        return f"the process ended with {code}"

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def create(names: Sequence[str], rounds: int) -> dict:
    """Measures how long models take to make, beside MindCV where there is a checkout."""
    upstream = os.environ.get("MINDCV_UPSTREAM")
    sides = {"ours": Side(_CREATE.format(imports=_OURS, quick=QUICK))}
    if upstream:
        sides["mindcv"] = Side(_CREATE.format(imports=_UPSTREAM.format(path=upstream), quick=QUICK))
    medians: dict[str, dict[str, float]] = {side: {} for side in sides}
    failed: dict[str, str] = {}
    ratios: dict[str, float] = {}
    try:
        for begin in range(0, len(names), GROUP):
            group = names[begin : begin + GROUP]
            found: dict[str, dict[str, list[float]]] = {side: {name: [] for name in group} for side in sides}
            for _ in range(rounds):
                for side, process in sides.items():
                    for name in group:
                        answer = process.measure(name)
                        if isinstance(answer, str):
                            failed[name] = f"{side}: {answer}"
                        else:
                            found[side][name].append(answer)
            for name in group:
                if name in failed:
                    print(f"{name:<28}  not compared: {failed[name]}", flush=True)
                    continue
                for side, times in found.items():
                    medians[side][name] = statistics.median(times[name])
                line = "".join(f"  {side} {times[name]:7.3f} s" for side, times in medians.items())
                if upstream:
                    ratios[name] = medians["ours"][name] / medians["mindcv"][name]
                    line += f"  {ratios[name]:5.2f} times"
                print(f"{name:<28}{line}", flush=True)
    except KeyboardInterrupt:
        print("interrupted")
    finally:
        for process in sides.values():
            process.close()
    sums = {side: sum(times.values()) for side, times in medians.items()}
    result: dict = {"seconds": {side: round(total, 3) for side, total in sums.items()}}
    if ratios:
        above = sorted((name for name in ratios if ratios[name] > RATIO), key=ratios.__getitem__, reverse=True)
        result["ratio_of_sums"] = sums["ours"] / sums["mindcv"]
        result["worst_ratio"] = max(ratios.values())
        result[f"above_{RATIO}"] = {name: round(ratios[name], 2) for name in above}
        print(f"{len(ratios)} models, sums {result['ratio_of_sums']:.3f} times, wanted {RATIO_OF_SUMS}")
        print(f"{len(above)} above {RATIO}: " + " ".join(f"{name} {ratios[name]:.2f}" for name in above))
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
    parser.add_argument("--all", action="store_true", help="create: all models, in one round unless --rounds says more")
    parser.add_argument("--opt", nargs="+", default=["momentum", "adamw", "lamb"], help="optimizers of compile")
    parser.add_argument("--image_size", type=int, default=64, help="side of the images of compile")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of compile after the first")
    parser.add_argument("--rounds", type=int, help="measurements of which the median is taken; default 3, with --all 1")
    options = parser.parse_args()
    if options.all and (options.part != "create" or options.models):
        parser.error("--all is for `create`, without --models")
    options.rounds = options.rounds or (1 if options.all else 3)

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
