"""Inference speed on CPU: the live network, its ONNX exports in two runtimes, and PyTorch on the same cores.

    python benchmarks/inference.py                                   ResNeXt-50, 224x224; about 15 minutes on two cores
    python benchmarks/inference.py --torch_python /opt/venvs/torch/bin/python      PyTorch of another environment
    python benchmarks/inference.py --variants onnx openvino_int8 torch_bf16        some of them
    python benchmarks/inference.py --model resnet18 --image_size 64 --batch_size 4 --rounds 1 --latency_rounds 2

All take turns in one run, each in a process of its own for the whole run, so that all meet the same machine:

* `eager`, `graph`: mindcv's live network in MindSpore's two modes, prepared CPU runtime
* `onnx`, `onnx_int8`: `mindcv.export`, with `quantize` (ranges of random pixels, as the weights are), in onnxruntime
* `openvino`, `openvino_bf16`, `openvino_int8`: the same files in OpenVINO
* `torch`, `torch_channels_last`, `torch_bf16`: PyTorch eager, with channels-last tensors, and these with bf16 autocast;
  the network of torchvision or timm, else ResNeXt-50 as written below

What is not installed is left out. Printed: medians of the batch, p50 and p99 of batch 1, and ratios of medians, with
those that the project wants, as JSON too.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# How an exported file runs: whether in int8, by what, in which precision.
EXPORTED = {
    "onnx": (None, "onnxruntime", "fp32"),
    "onnx_int8": ("int8", "onnxruntime", "fp32"),
    "openvino": (None, "openvino", "fp32"),
    "openvino_bf16": (None, "openvino", "bf16"),
    "openvino_int8": ("int8", "openvino", "fp32"),
}
TORCH = ("torch", "torch_channels_last", "torch_bf16")
VARIANTS = ("eager", "graph", *EXPORTED, *TORCH)
# The best of some must be so many times as fast as another.
WANTED = (
    (("onnx",), "eager", 1.8),
    (("onnx",), "graph", 1.8),
    (("onnx", "openvino"), "torch_channels_last", 1.5),
    (tuple(EXPORTED), "torch_bf16", 1.6),  # with AMX
    (("onnx_int8", "openvino_int8"), "onnx", 2.0),  # with VNNI or AMX
)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def build_live(options: argparse.Namespace) -> Callable[[Any], Any]:
    from mindcv import create_model
    from mindcv.engine import setup_run
    from mindcv.export.runtime import live_run

    setup_run("CPU", {"graph": 0, "eager": 1}[options.worker], None, False, 1)
    return live_run(create_model(options.model))


def build_onnx(options: argparse.Namespace) -> Callable[[Any], Any]:
    import numpy as np

    from mindcv import create_model
    from mindcv.data import EvalPreprocess
    from mindcv.engine import setup_run
    from mindcv.export import ExportedModel, export_model

    setup_run("CPU", 0, None, False, 1)
    quantize, runtime, precision = EXPORTED[options.worker]
    side = options.image_size
    path = Path(options.folder, f"{options.model}_{side}_{quantize or 'float'}.onnx")
    if not path.exists():
        images = np.random.RandomState(1).randint(0, 256, (12, side, side, 3), np.uint8)
        export_model(
            create_model(options.model),
            path,
            batch_size="dynamic",
            preprocess=EvalPreprocess(side),
            quantize=quantize,
            calibration=images if quantize else None,
            min_agreement=0.0,
        )
    return ExportedModel(path, runtime=runtime, precision=precision)


def build_torch(options: argparse.Namespace) -> Callable[[Any], Any]:
    import torch

    torch.set_num_threads(cores())
    torch.manual_seed(1)
    network = torch_network(options.model).eval()
    layout = torch.contiguous_format if options.worker == "torch" else torch.channels_last
    network = network.to(memory_format=layout)

    def run(images: Any) -> Any:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=options.worker == "torch_bf16"):
            return network(torch.from_numpy(images).to(memory_format=layout)).float().numpy()

    return run


def torch_network(name: str) -> Any:
    """Returns the network of torchvision or timm, else a ResNeXt-50 of your own (arXiv:1611.05431, table 1)."""
    for package in ("torchvision.models", "timm"):
        try:
            library = __import__(package, fromlist=["models"])
        except (ImportError, RuntimeError):  # RuntimeError: torchvision of another torch version
            continue
        make = getattr(library, "get_model", None) or library.create_model
        return make(name)
    if name != "resnext50_32x4d":
        raise SystemExit(f"without torchvision and timm only resnext50_32x4d can be built in torch, not {name}")
    from torch import nn

    def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
        layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(layer, nn.BatchNorm2d(outputs))

    class Block(nn.Module):
        def __init__(self, inputs: int, width: int, stride: int) -> None:
            super().__init__()
            self.reduce = conv(inputs, width, 1)
            self.grouped = conv(width, width, 3, stride, groups=32)
            self.expand = conv(width, 2 * width, 1)
            is_same = stride == 1 and inputs == 2 * width
            self.shortcut = nn.Identity() if is_same else conv(inputs, 2 * width, 1, stride)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x: Any) -> Any:
            out = self.relu(self.grouped(self.relu(self.reduce(x))))
            return self.relu(self.expand(out) + self.shortcut(x))

    layers: list[nn.Module] = [conv(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, depth in enumerate((3, 4, 6, 3)):
        width = 128 * 2**stage
        for index in range(depth):
            layers.append(Block(channels, width, 2 if stage and not index else 1))
            channels = 2 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def worker(options: argparse.Namespace) -> None:
    """Runs one batch of the size that each line on stdin says, and answers with its seconds."""
    try:
        name = options.worker
        build = build_onnx if name in EXPORTED else build_torch if name in TORCH else build_live
        run = build(options)
    except (ImportError, ValueError) as error:
        print(json.dumps({"missing": str(error)}), flush=True)
        return
    import numpy as np

    print(json.dumps({"ready": True}), flush=True)
    side = options.image_size
    images = np.random.RandomState(0).standard_normal((options.batch_size, 3, side, side)).astype(np.float32)
    for line in sys.stdin:
        batch = np.ascontiguousarray(images[: int(line)])
        begin = time.perf_counter()
        scores = run(batch)
        seconds = time.perf_counter() - begin
        print(json.dumps({"seconds": seconds, "rows": len(scores)}), flush=True)


def answer(process: subprocess.Popen) -> dict[str, Any]:
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise RuntimeError(f"a worker ended with exit code {process.wait()}")


def start(options: argparse.Namespace) -> dict[str, subprocess.Popen]:
    """Starts one process a variant and leaves out what is not installed."""
    workers = {}
    for name in options.variants:
        python = options.torch_python if name in TORCH else sys.executable
        command = [python, __file__, *sys.argv[1:], "--folder", options.folder, "--worker", name]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        reply = answer(process)
        if "missing" in reply:
            print(f"{name}: left out, {reply['missing']}")
            process.wait()
        else:
            workers[name] = process
    return workers


def measure(workers: dict[str, subprocess.Popen], batch_size: int, rounds: int) -> dict[str, list[float]]:
    """Returns the seconds of each variant, alternating, after one run of each that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for index in range(rounds + 1):
        for name, process in workers.items():
            time.sleep(0.03)  # until the threads of the one before have stopped to spin
            process.stdin.write(f"{batch_size}\n")
            process.stdin.flush()
            value = answer(process)["seconds"]
            if index:
                seconds[name].append(value)
    return seconds


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, round(share * (len(values) - 1)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnext50_32x4d")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=15, help="timed batches of each")
    parser.add_argument("--latency_rounds", type=int, default=200, help="timed batches of 1 of each")
    parser.add_argument("--torch_python", default=sys.executable, help="interpreter that has torch")
    parser.add_argument("--variants", nargs="+", default=VARIANTS, choices=VARIANTS, metavar="NAME")
    parser.add_argument("--folder", help="keeps the exported files there for the next run (default: they are removed)")
    parser.add_argument("--worker", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options)
        return

    with contextlib.ExitStack() as stack:
        options.folder = options.folder or stack.enter_context(tempfile.TemporaryDirectory())
        workers = start(options)
    batch = measure(workers, options.batch_size, options.rounds)
    single = measure(workers, 1, options.latency_rounds)
    for process in workers.values():
        process.stdin.close()
        process.wait()

    medians = {name: statistics.median(values) for name, values in batch.items()}
    latency = {
        name: {"p50_ms": 1e3 * percentile(values, 0.5), "p99_ms": 1e3 * percentile(values, 0.99)}
        for name, values in single.items()
    }
    size = f"batch {options.batch_size} at {options.image_size}x{options.image_size}"
    print(f"{options.model}, {size}, {cores()} cores, {options.rounds} rounds")
    for name, median in medians.items():
        print(
            f"{name:<19} {options.batch_size / median:8.2f} img/s  {1e3 * median:8.1f} ms a batch   batch 1: "
            f"p50 {latency[name]['p50_ms']:.1f} ms, p99 {latency[name]['p99_ms']:.1f} ms"
        )
    ratios = {}
    for names, other, wanted in WANTED:
        here = [name for name in names if name in medians]
        if here and other in medians:
            best = min(here, key=lambda name: medians[name])
            ratios[f"{best}/{other}"] = ratio = medians[other] / medians[best]
            print(f"{best} is {ratio:.2f} times as fast as {other} (wanted: at least {wanted})")
    print(json.dumps({"model": options.model, "medians_s": medians, "latency": latency, "ratios": ratios}))


if __name__ == "__main__":
    main()
