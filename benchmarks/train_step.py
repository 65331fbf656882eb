"""Training-step speed on CPU: with and without mindcv's kernels and runtime, and beside PyTorch.

    python benchmarks/train_step.py                       ResNeXt-50, batch 16, 224x224; about 10 minutes on two cores
    python benchmarks/train_step.py --rounds 3 --model resnet18 --batch_size 4 --image_size 64
    python benchmarks/train_step.py --torch_python OTHER_ENVIRONMENT/bin/python --variants ours,plain,torch

Variants alternate in one run, each in a process of its own for the whole run, so that all meet the same machine:

    ours         mindcv's TrainStep and momentum
    ours_bf16    the same at amp_level O2 and amp_dtype bfloat16
    plain        ours with MINDCV_CPU_KERNELS=0
    bare         nn.TrainOneStepCell and nn.Momentum on the same network, prepared runtime
    unprepared   ours with MINDCV_CPU_KERNELS=0 and MINDCV_CPU_RUNTIME=0
    before       ours of another checkout of this repository, --before_root (build its extensions first)
    torch        PyTorch with timm's network of that name, channels-last, in the environment of --torch_python
    torch_bf16   the same under bf16 autocast

Printed: medians, the largest resident memory and ratios, as JSON too.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

VARIANTS = ("ours", "ours_bf16", "plain", "bare", "unprepared", "before", "torch", "torch_bf16")
# timm's names, where they are others
TIMM_NAMES = {"mobilenet_v3_large_100": "mobilenetv3_large_100", "vit_b_32_224": "vit_base_patch32_224"}


def worker(options: argparse.Namespace) -> None:
    """Makes one step of one variant for each line on stdin and answers with its seconds."""
    serve(torch_step(options) if options.worker.startswith("torch") else mindspore_step(options))


def serve(step: Callable[[], float]) -> None:
    """Makes a step for each line on stdin."""
    for _ in sys.stdin:
        begin = time.perf_counter()
        value = step()
        seconds = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps({"seconds": seconds, "loss": value, "peak_mb": peak}), flush=True)


def torch_step(options: argparse.Namespace) -> Callable[[], float]:
    """PyTorch's step; its environment has no mindcv."""
    import timm
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    network = timm.create_model(TIMM_NAMES.get(options.model, options.model), num_classes=1000).train()
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, 0.9)
    loss = torch.nn.CrossEntropyLoss()
    side = options.image_size
    image = torch.randn(options.batch_size, 3, side, side).to(memory_format=torch.channels_last)
    label = torch.randint(0, 1000, (options.batch_size,))

    def step() -> float:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=options.worker == "torch_bf16"):
            value = loss(network(image), label)
        value.backward()
        optimizer.step()
        return float(value.detach())

    return step


def mindspore_step(options: argparse.Namespace) -> Callable[[], float]:
    """mindcv's step, or MindSpore's own."""
    import mindspore as ms
    import numpy as np
    from mindspore import nn

    import mindcv
    from mindcv import create_loss, create_model, create_optimizer
    from mindcv.engine import LossWithNetwork, TrainStep, setup_run

    found = Path(mindcv.__file__).resolve().parents[1]
    if options.worker == "before" and found != options.before_root.resolve():
        raise ImportError(f"mindcv of {found} was imported, not that of {options.before_root}")
    setup_run("CPU", 0, None, False, 1)
    network = create_model(options.model, num_classes=1000)
    if options.worker == "ours_bf16":
        from mindcv.engine import auto_mixed_precision

        network = auto_mixed_precision(network, "O2", amp_dtype="bfloat16")
    loss = LossWithNetwork(network, create_loss("CE"))
    if options.worker == "bare":
        optimizer = nn.Momentum(network.trainable_params(), 0.1, 0.9)
        step = nn.TrainOneStepCell(loss, optimizer)
    else:
        step = TrainStep(loss, create_optimizer(network, opt="momentum", lr=0.1, momentum=0.9))
    step.set_train(True)
    side = options.image_size
    random = np.random.RandomState(0)
    image = ms.Tensor(random.standard_normal((options.batch_size, 3, side, side)).astype(np.float32))
    label = ms.Tensor(random.randint(0, 1000, options.batch_size).astype(np.int32))

    def run() -> float:
        return float(step(image, label).asnumpy())

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnext50_32x4d")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=9, help="timed steps of all but unprepared")
    parser.add_argument("--unprepared_rounds", type=int, default=2, help="timed steps of unprepared, which is slow")
    parser.add_argument("--variants", default="ours,plain,bare,unprepared", help="some of " + ", ".join(VARIANTS))
    parser.add_argument("--torch_python", help="Python of an environment with torch and timm")
    parser.add_argument("--before_root", type=Path, help="another built checkout of this repository, for before")
    parser.add_argument("--worker", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options)
        return

    variants = options.variants.split(",")
    if wrong := [name for name in variants if name not in VARIANTS]:
        parser.error(f"--variants: unknown {', '.join(wrong)}; there are {', '.join(VARIANTS)}")
    if any(name.startswith("torch") for name in variants) and not options.torch_python:
        parser.error("--variants torch needs --torch_python")
    if "before" in variants and not (options.before_root and (options.before_root / "mindcv/__init__.py").is_file()):
        parser.error("--variants before needs --before_root, a checkout of this repository")
    workers = {}
    for name in variants:
        is_plain, is_unprepared = name in ("plain", "unprepared"), name == "unprepared"
        environment = dict(os.environ)
        environment |= {"MINDCV_CPU_KERNELS": "0"} if is_plain or is_unprepared else {}
        environment |= {"MINDCV_CPU_RUNTIME": "0"} if is_unprepared else {}
        environment |= {"PYTHONPATH": str(options.before_root.resolve())} if name == "before" else {}
        python = options.torch_python if name.startswith("torch") else sys.executable
        command = [python, __file__, *sys.argv[1:], "--worker", name]
        workers[name] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def step(name: str) -> dict[str, float]:
        process = workers[name]
        process.stdin.write("step\n")
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"the {name} process ended with exit code {process.wait()}")

    first = {name: step(name) for name in variants}
    print("first step (with compilation):", {name: round(answer["seconds"], 1) for name, answer in first.items()})
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    peaks = dict.fromkeys(variants, 0)
    for index in range(options.rounds):
        for name in variants:
            if name != "unprepared" or index < options.unprepared_rounds:
                answer = step(name)
                seconds[name].append(answer["seconds"])
                peaks[name] = answer["peak_mb"]
    for process in workers.values():
        process.stdin.close()
        process.wait()

    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(
            f"{name:<11} {median:8.3f} s/step  {options.batch_size / median:7.2f} img/s  "
            f"{peaks[name]:6d} MB  ({len(seconds[name])} steps)"
        )
    wanted = {
        ("before", "ours"): 2.0,
        ("plain", "ours"): 2.0,
        ("torch", "ours"): 1.0,
        ("torch_bf16", "ours_bf16"): 0.8,
        ("unprepared", "plain"): 8.0,
    }
    ratios = {}
    for (slow, fast), least in wanted.items():
        if slow in medians and fast in medians:
            ratios[f"{fast}_over_{slow}"] = ratio = medians[slow] / medians[fast]
            print(f"{fast} is {ratio:.2f} times as fast as {slow} (wanted: at least {least})")
    if "ours" in medians and "torch" in medians:
        ratios["memory_over_torch"] = peaks["ours"] / peaks["torch"]
        print(f"ours takes {ratios['memory_over_torch']:.2f} times torch's memory (wanted: at most 1.1)")
    if "plain" in medians and "bare" in medians:
        ratios["plain_over_bare"] = medians["plain"] / medians["bare"]
        print(f"our step: {100 * (ratios['plain_over_bare'] - 1):+.1f} % against the bare cell (wanted: at most +3 %)")
    print(json.dumps({"model": options.model, "medians_s": medians, "peaks_mb": peaks, **ratios}))


if __name__ == "__main__":
    main()
