"""Loading weights: time, memory, and that nothing is initialised twice.

    python benchmarks/weights.py                        ResNeXt-50 from .ckpt, .safetensors and .npz; under a minute
    python benchmarks/weights.py --model resnet18 --rounds 1

Every measurement is a process of its own that creates the model first. Printed, as JSON too: seconds from the open file
to the filled model (medians), how far the peak of the resident memory rises above what there was when the model stood,
as a multiple of the model's size, and how many elements were initialised per element of the model. Linux only, for the
peak memory.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SUFFIXES = (".safetensors", ".ckpt", ".npz")
LIMIT_S = 0.5
LIMIT_COPIES = 1.0


def count_initialised() -> list[int]:
    """Makes every initializer of MindSpore add the elements it fills to the list that is returned."""
    from mindspore.common import initializer

    filled: list[int] = []

    def counted(original):
        def fill(self, array):
            filled.append(array.size)
            return original(self, array)

        return fill

    for kind in initializer.Initializer.__subclasses__():
        if "_initialize" in vars(kind):
            kind._initialize = counted(kind._initialize)
    return filled


def status_bytes(field: str) -> int:
    """Reads a field of /proc/self/status: VmRSS, the resident memory, or VmHWM, its peak."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(rf"{field}:\s+(\d+) kB", text)[1]) * 1024


def worker(options: argparse.Namespace) -> None:
    """Creates the model, loads the file into it and prints what that took."""
    filled = count_initialised()
    from mindcv import create_model
    from mindcv.models import load_model_checkpoint

    begin = time.perf_counter()
    model = create_model(options.model)
    create_s = time.perf_counter() - begin
    elements = sum(parameter.size for parameter in model.get_parameters())
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak starts again from here
    before = status_bytes("VmRSS")
    begin = time.perf_counter()
    load_model_checkpoint(model, options.file)
    load_s = time.perf_counter() - begin
    answer = {
        "create_s": create_s,
        "load_s": load_s,
        "copies_at_peak": (status_bytes("VmHWM") - before) / (4 * elements),
        "copies_after": (status_bytes("VmRSS") - before) / (4 * elements),
        "initialised": sum(filled) / elements,
        "model_mb": 4 * elements / 1e6,
    }
    print(json.dumps(answer))


def measure(options: argparse.Namespace, file: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--model", options.model, "--file", str(file)]
    lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return json.loads(next(line for line in lines if line.startswith("{")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnext50_32x4d")
    parser.add_argument("--rounds", type=int, default=5, help="processes for each format")
    parser.add_argument("--file", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.file:
        worker(options)
        return

    from mindcv import create_model
    from mindcv.weights import write_weights

    arrays = {parameter.name: parameter.asnumpy() for parameter in create_model(options.model).get_parameters()}
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {suffix: Path(folder, f"weights{suffix}") for suffix in SUFFIXES}
        for file in files.values():
            write_weights(file, arrays)
        answers: dict[str, list[dict[str, float]]] = {suffix: [] for suffix in SUFFIXES}
        for _ in range(options.rounds):
            for suffix, file in files.items():
                answers[suffix].append(measure(options, file))
    for suffix, rounds in answers.items():
        results[suffix] = {key: statistics.median(answer[key] for answer in rounds) for key in rounds[0]}
        row = results[suffix]
        print(
            f"{suffix:<13} load {row['load_s']:.3f} s  peak +{row['copies_at_peak']:.2f} x {row['model_mb']:.0f} MB  "
            f"after +{row['copies_after']:.2f}  initialised {row['initialised']:.2f} x  create {row['create_s']:.2f} s"
        )
    print(f"wanted for .safetensors: at most {LIMIT_S} s, peak +{LIMIT_COPIES:.0f} copy, initialised at most 1 x")
    print(json.dumps({"model": options.model, "results": results}))


if __name__ == "__main__":
    main()
