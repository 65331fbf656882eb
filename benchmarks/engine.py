"""Measures the training engine on a CPU: the step, its options, checkpoints, two workers.

python benchmarks/engine.py                     # all parts, about 9 minutes on two cores
python benchmarks/engine.py --only ac           # two of them
python benchmarks/engine.py --rounds 1 --steps 3 --batch_size 2 --image_size 32 --checkpoint_model resnet18    # a try
python benchmarks/engine.py --json engine.json

a  our training step against a bare one: value_and_grad and momentum in a Cell, same network, graph mode
b  what each option adds to the step (fp16 is emulated on a CPU, and slow)
c  how long a checkpoint holds training up, written at once and in the background (`ckpt_async`)
d  two workers of one core each against one worker on both cores, same global batch, by `mindcv launch`

What is compared takes turns: in a and b each variant has a process of its own for the whole run and makes two steps a
round; in c blocks of steps without and with a checkpoint follow each other in one process; in d whole jobs do. The
medians count.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CLASSES = 1000
# What each variant's config has beside the plain one.
OPTIONS: dict[str, dict[str, Any]] = {
    "amp O2": {"amp_level": "O2"},
    "dynamic loss scale": {"loss_scale_type": "dynamic", "loss_scale": 1024},
    "clip_grad": {"clip_grad": True},
    "accumulation 2": {"gradient_accumulation_steps": 2},
    "EMA": {"ema": True},
    "label smoothing": {"label_smoothing": 0.1},
    "normalize_on_device": {"normalize_on_device": True},
    "mixup on device": {"normalize_on_device": True, "mixup": 0.2},
    "recompute": {"recompute": True},
}
# So much may our step take more than the bare one.
MOST_OVER_BARE = 0.03


def prepare(args: argparse.Namespace, model: str, batch_size: int, **settings: Any) -> tuple[Any, tuple[Any, ...]]:
    """Returns the step that a config gives and a batch for it."""
    import mindspore as ms
    import numpy as np

    from mindcv.build import build_learning_rates, build_network, build_step
    from mindcv.config import Config

    base = {"opt": "momentum", "weight_decay": 0.0, "scheduler": "constant", "warmup_epochs": 0, "lr": 0.01}
    cfg = Config(model=model, batch_size=batch_size, epoch_size=1, **base, **settings)
    step = build_step(cfg, build_network(cfg, CLASSES), CLASSES, build_learning_rates(cfg, 1000))
    step.set_train(True)
    random, side = np.random.RandomState(0), args.image_size
    label = ms.Tensor(random.randint(0, CLASSES, batch_size), ms.int32)
    if not cfg.normalize_on_device:
        return step, (ms.Tensor(random.standard_normal((batch_size, 3, side, side)), ms.float32), label)
    image = ms.Tensor(random.randint(0, 256, (batch_size, side, side, 3)), ms.uint8)
    # What Mixup.draw gives for mixup with 0.7.
    mix = (ms.Tensor([0.7, 0.7, 0, 0, 0, 0], ms.float32),) if cfg.mixup else ()
    return step, (image, label, *mix)


def prepare_bare(args: argparse.Namespace) -> tuple[Any, tuple[Any, ...]]:
    """Returns the least step that trains the same network, and the plain batch."""
    from mindspore import Tensor, nn, ops

    plain, batch = prepare(args, args.model, args.batch_size)
    apply_momentum = ops.ApplyMomentum()
    update = ops.MultitypeFuncGraph("update")

    @update.register("Tensor", "Tensor", "Tensor")
    def _update(weight, velocity, gradient):
        return apply_momentum(weight, velocity, 0.01, gradient, 0.9)

    class BareStep(nn.Cell):
        def __init__(self, network: nn.Cell, weights: Any) -> None:
            super().__init__(auto_prefix=False)
            self.network = network.set_grad()
            self.weights = weights
            self.velocities = weights.clone("velocity", init="zeros")
            self.value_and_grad = ops.value_and_grad(network, None, weights)
            self.hyper_map = ops.HyperMap()

        def construct(self, image: Tensor, label: Tensor) -> Tensor:
            loss, gradients = self.value_and_grad(image, label)
            return ops.depend(loss, self.hyper_map(update, self.weights, self.velocities, gradients))

    step = BareStep(plain.network, plain.weights)
    step.set_train(True)
    return step, batch


def timed(step: Any, batch: tuple[Any, ...], count: int) -> float:
    """Seconds of so many steps."""
    begin = time.perf_counter()
    for _ in range(count):
        step(*batch).asnumpy()
    return time.perf_counter() - begin


def answer(**figures: float) -> None:
    """Sends figures to the process that waits for them."""
    print(json.dumps(figures), flush=True)


def step_worker(args: argparse.Namespace, variant: str) -> None:
    """Makes two steps for each line on stdin."""
    if variant == "bare":
        step, batch = prepare_bare(args)
    else:
        step, batch = prepare(args, args.model, args.batch_size, **OPTIONS.get(variant, {}))
    timed(step, batch, 2)
    for _ in sys.stdin:
        answer(seconds=timed(step, batch, 2) / 2)


def checkpoint_worker(args: argparse.Namespace) -> None:
    """Runs a block of steps for each line on stdin, which says how the checkpoint is saved after its first step."""
    from mindcv.engine import CheckpointSaver, TrainState

    step, batch = prepare(args, args.checkpoint_model, args.batch_size)
    timed(step, batch, 2)
    with tempfile.TemporaryDirectory() as folder:
        savers = {how: CheckpointSaver(folder, how, "latest_k", 1, {}, how == "async") for how in ("sync", "async")}
        for count, line in enumerate(sys.stdin, 1):
            saver, call_s, rest_s, size_mb = savers.get(line.strip()), 0.0, 0.0, 0.0
            begin = time.perf_counter()
            timed(step, batch, 1)
            if saver:
                call = time.perf_counter()
                path = saver.save(step, TrainState(step=count, global_step=count))
                call_s = time.perf_counter() - call
            timed(step, batch, args.steps - 1)
            end = time.perf_counter()
            if saver:
                saver.finish()
                rest_s, size_mb = time.perf_counter() - end, path.stat().st_size / 2**20
            answer(seconds=end - begin, call_s=call_s, rest_s=rest_s, size_mb=size_mb)


def rank_worker(args: argparse.Namespace, result: str) -> None:
    """Trains with this rank's share of the batch; rank 0 writes the median seconds of a step to a file."""
    from mindcv.engine import rank, world_size

    step, batch = prepare(args, args.model, args.batch_size * 2 // world_size())
    timed(step, batch, 3)
    seconds = statistics.median(timed(step, batch, 1) for _ in range(args.steps))
    if rank() == 0:
        Path(result).write_text(json.dumps(seconds))


class Process:
    """A worker of this script that answers each line with figures."""

    def __init__(self, *role: str) -> None:
        command = [sys.executable, __file__, *sys.argv[1:], "--role", *role]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line: str = "go") -> dict[str, float]:
        """Sends a line and returns the answer."""
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        for text in self.process.stdout:
            if text.startswith("{"):
                return json.loads(text)
        raise RuntimeError(f"{self.process.args} ended with exit code {self.process.wait()}")

    def close(self) -> None:
        """Ends the process."""
        self.process.stdin.close()
        self.process.wait()


def measure_steps(variants: list[str], rounds: int) -> dict[str, list[float]]:
    """Seconds of a step of each variant in each round."""
    processes = {}
    for variant in variants:
        processes[variant] = Process("step", variant)
        processes[variant].ask()  # one after the other, so that they do not compile all at once
    seconds = {variant: [] for variant in variants}
    for _ in range(rounds):
        for variant, process in processes.items():
            seconds[variant].append(process.ask()["seconds"])
    for process in processes.values():
        process.close()
    return seconds


def measure_checkpoints(rounds: int) -> dict[str, list[dict[str, float]]]:
    """Figures of blocks of steps without a checkpoint, with one, and with one in the background."""
    process = Process("checkpoint")
    blocks: dict[str, list[dict[str, float]]] = {"none": [], "sync": [], "async": []}
    for _ in range(rounds):
        for how, answers in blocks.items():
            answers.append(process.ask(how))
    process.close()
    return blocks


def measure_workers(rounds: int) -> dict[str, list[float]]:
    """Seconds of a step of the same global batch, by one worker on two cores and by two of one core each."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    seconds: dict[str, list[float]] = {"one": [], "two": []}
    with tempfile.TemporaryDirectory() as folder:
        script = [__file__, *sys.argv[1:], "--role", "rank", f"{folder}/result.json"]
        launch = ["-m", "mindcv", "launch", "--nproc", "2", "--log_dir", f"{folder}/logs"]
        for _ in range(rounds):
            for name, command in (("one", script), ("two", [*launch, *script])):
                subprocess.run(
                    [sys.executable, *command],
                    check=True,
                    stdout=subprocess.DEVNULL,
                    preexec_fn=lambda: os.sched_setaffinity(0, cores),
                )
                seconds[name].append(json.loads(Path(folder, "result.json").read_text()))
    return seconds


def main() -> int:
    """Measures and prints; the exit code is 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="abcd", help="letters of the parts to measure")
    parser.add_argument("--rounds", type=int, default=15, help="for a and b; c has half as many and d a fifth")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--checkpoint_model", default="resnet50", help="for c")
    parser.add_argument("--batch_size", type=int, default=16, help="d has twice as many images in a step")
    parser.add_argument("--image_size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10, help="timed steps of a block in c and of a job in d")
    parser.add_argument("--json", metavar="FILE", help="write the figures to a file")
    parser.add_argument("--role", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.role:
        from mindcv.engine import setup_run

        role, *rest = args.role
        setup_run("CPU", 0, None, False, 1)
        {"step": step_worker, "checkpoint": checkpoint_worker, "rank": rank_worker}[role](args, *rest)
        return 0

    missed = 0
    figures: dict[str, Any] = {"arguments": vars(args)}
    variants = (["plain"] if {"a", "b"} & set(args.only) else []) + (["bare"] if "a" in args.only else [])
    variants += list(OPTIONS) if "b" in args.only else []
    if variants:
        figures["step_s"] = measure_steps(variants, args.rounds)
        medians = {variant: statistics.median(values) for variant, values in figures["step_s"].items()}
        size = f"{args.batch_size} images of {args.image_size}x{args.image_size}"
        print(f"{args.model}, {size}, {args.rounds} rounds of 2 steps")
        for variant, median in medians.items():
            print(f"  {variant:<20} {1e3 * median:9.1f} ms a step   {100 * (median / medians['plain'] - 1):+6.1f} %")
        if "a" in args.only:
            over = medians["plain"] / medians["bare"] - 1
            missed += over > MOST_OVER_BARE
            print(f"our step over the bare one: {100 * over:+.1f} %, wanted at most {100 * MOST_OVER_BARE:+.0f} %")

    if "c" in args.only:
        rounds = max(args.rounds // 2, 1)
        blocks = figures["checkpoint"] = measure_checkpoints(rounds)
        middle = {
            how: {name: statistics.median(answer[name] for answer in answers) for name in answers[0]}
            for how, answers in blocks.items()
        }
        print(f"a checkpoint of {args.checkpoint_model}, {middle['sync']['size_mb']:.0f} MiB, {rounds} rounds")
        plain = [answer["seconds"] for answer in blocks["none"]]
        spread = max(plain) - min(plain)
        for how in ("sync", "async"):
            figure = middle[how]
            slower = figure["seconds"] - figure["call_s"] - middle["none"]["seconds"]
            print(f"  {how:<6} holds training up for {figure['call_s']:.2f} s", end="; ")
            print(
                f"the {args.steps} steps take {slower:+.2f} s beside (without one they differ by {spread:.2f} s)",
                end="; ",
            )
            print(f"{figure['rest_s']:.2f} s of writing are left after them")
        missed += middle["async"]["call_s"] > middle["sync"]["call_s"]
        print("in the background it is wanted to hold training up for less time than at once")

    if "d" in args.only:
        rounds = max(args.rounds // 5, 1)
        figures["workers_s"] = measure_workers(rounds)
        one, two = (statistics.median(figures["workers_s"][name]) for name in ("one", "two"))
        print(f"{2 * args.batch_size} images a step on two cores, {rounds} jobs of {args.steps} steps each")
        print(f"  one worker {1e3 * one:.1f} ms, two workers {1e3 * two:.1f} ms: {one / two:.2f} times as fast")

    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
