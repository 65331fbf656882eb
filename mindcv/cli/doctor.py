"""`mindcv doctor`: what this machine and environment are, how fast a convolution runs, what is wrong and its remedy."""

import argparse
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mindcv
from mindcv.cli.cache import summary
from mindcv.kernels import describe_kernels, onednn
from mindcv.utils.cores import usable_cores
from mindcv.utils.graph_store import GraphStore, default_cache_folder
from mindcv.utils.runtime import ONEDNN_ISA_VARIABLE, cpu_runtime_state, prepare_cpu_runtime

HELP = "print versions, device and speed of this machine, and what is wrong with it"

# oneDNN's reference convolution does 0.3 to 0.6 GFLOP/s on a core where the other kernels do 20 to 60
SLOW_CONVOLUTION_GFLOPS = 2.0


@dataclass(frozen=True)
class Problem:
    """Something wrong, and what to do about it."""

    what: str
    remedy: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="length of the speed check in seconds; 0 leaves it out (default: 5)"
    )


def run(args: argparse.Namespace) -> int:
    """Prints the report and returns 0, or 1 when something is wrong."""
    if not args.seconds >= 0:
        raise ValueError(f"--seconds: got {args.seconds}, it must be 0 or more")
    problems = check_packages() + check_launcher()
    notes: list[str] = []
    for name, value in describe_machine():
        print(f"{name:<12} {value}")

    error = import_error()
    if error:
        problems.append(Problem(f"mindspore cannot be imported: {error}", "pip install 'mindspore>=2.7,<2.11'"))
    else:
        for name, value in describe_runtime():
            print(f"{name:<12} {value}")
        problems += check_image_extensions()
        if args.seconds:
            speeds = measure_convolutions(args.seconds)
            for name, gflops in speeds.items():
                print(f"{name:<12} {gflops:.1f} GFLOP/s")
            wrong, notes = check_speeds(speeds, _device(), cpu_runtime_state())
            problems += wrong

    print()
    for note in notes:
        print(f"note: {note}")
    for problem in problems:
        print(f"WRONG: {problem.what}\n  remedy: {problem.remedy}")
    if not problems:
        print("Nothing wrong found.")
    return 1 if problems else 0


def describe_machine() -> list[tuple[str, str]]:
    """Returns name and value of what can be said without MindSpore."""
    cores = usable_cores()
    lines = [("mindcv", mindcv.__version__), ("python", f"{platform.python_version()} ({sys.executable})")]
    lines += [(name, package_version(name) or "not installed") for name in ("mindspore", "numpy", "protobuf")]
    lines += [("platform", platform.platform()), ("cores", str(cores)), ("memory", _memory())]
    return lines


def describe_compile_cache() -> str:
    """Returns what is kept of compiled graphs with `compile_cache: auto`, or why nothing is."""
    folder = default_cache_folder()
    try:
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        if not os.access(there, os.W_OK):
            return f"off: {there} cannot be written; MINDCV_COMPILE_CACHE names another folder"
        return summary(GraphStore(folder, is_read=True))
    except (OSError, ValueError) as error:
        return f"off: {error}"


def describe_runtime() -> list[tuple[str, str]]:
    """Returns the device and the CPU runtime's state, as a run would have them."""
    prepare_cpu_runtime()
    state = cpu_runtime_state()
    done = ", ".join(state["set_by_mindcv"]) or "nothing"
    enabled = "on" if state["enabled"] else "off (MINDCV_CPU_RUNTIME)"
    runtime = f"{enabled}; set by mindcv: {done}; {ONEDNN_ISA_VARIABLE}={state[ONEDNN_ISA_VARIABLE]}; AVX-512: "
    return [
        ("device", _device()),
        ("cpu runtime", runtime + ("yes" if state["avx512"] else "no")),
        ("cpu kernels", describe_kernels()),
        ("convolution", f"by MindSpore; training and evaluation by the kernels: {onednn.start().text}"),
        ("compile cache", describe_compile_cache()),
    ]


def import_error() -> str | None:
    """Returns why MindSpore cannot be imported, or None when it can."""
    try:
        import mindspore  # noqa: F401
    except Exception as error:  # a broken installation raises anything: OSError, TypeError of protobuf
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    return None


def package_version(name: str) -> str | None:
    """Returns the version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_packages() -> list[Problem]:
    """Returns what is wrong with the versions of numpy and protobuf, the two that break MindSpore."""
    problems = []
    numpy = package_version("numpy")
    if numpy and _numbers(numpy)[0] >= 2:
        problems.append(
            Problem(
                f"numpy {numpy}: MindSpore is built for numpy 1; with 2 its first eager operators raise SystemError",
                "pip install 'numpy>=1.26,<2'",
            )
        )
    protobuf, needed = package_version("protobuf"), _required_protobuf()
    if protobuf and needed and _numbers(protobuf) < _numbers(needed):
        problems.append(
            Problem(f"protobuf {protobuf}: this MindSpore needs {needed} or newer", f"pip install 'protobuf>={needed}'")
        )
    return problems


def check_launcher() -> list[Problem]:
    """Returns what would keep `msrun`, which starts the `python` of PATH, from starting this environment's."""
    folder = Path(sys.executable).parent
    remedy = f"activate this environment, or: export PATH={folder}:$PATH"
    if shutil.which("msrun") is None:
        return [Problem("msrun is not on PATH; training on several devices needs it", remedy)]
    python = shutil.which("python")
    if python is None or Path(python).parent != folder:
        return [Problem(f"msrun would start {python or 'no python at all'} and not {sys.executable}", remedy)]
    return []


def check_image_extensions() -> list[Problem]:
    """Returns what is wrong when images are not decoded, or not augmented, by the C extensions."""
    from mindcv.data.images.decoding import is_jpeg_extension_built
    from mindcv.data.images.operations import is_augment_extension_built

    missing = []
    if not is_jpeg_extension_built():
        missing.append("the JPEG extension was not built, so Pillow decodes images, as a whole and more slowly")
    if not is_augment_extension_built():
        missing.append("the extension for augmentation was not built, so Pillow augments images, more slowly")
    remedy = (
        "install a C compiler (apt install gcc, or dnf install gcc), then: "
        "pip install --force-reinstall --no-deps mindcv"
    )
    return [Problem(what, remedy) for what in missing]


def check_speeds(speeds: dict[str, float], device: str, state: dict[str, object]) -> tuple[list[Problem], list[str]]:
    """Judges the CPU's convolutions.

    Slowness is wrong where oneDNN's reference convolution may run, which the settings say. Else the machine is busy or
    slow, which is no fault of its set-up.

    Args:
        speeds: GFLOP/s by name.
        device: The device target.
        state: What `cpu_runtime_state` returned.

    Returns:
        What is wrong, and what to know.
    """
    slow = [f"{name} {gflops:.1f} GFLOP/s" for name, gflops in speeds.items() if gflops < SLOW_CONVOLUTION_GFLOPS]
    if device != "CPU" or not slow:
        return [], []
    what = ", ".join(slow)
    isa = str(state[ONEDNN_ISA_VARIABLE] or "").upper()
    if not state["avx512"] or (isa and "512" not in isa and isa not in ("ALL", "DEFAULT")):
        return [], [f"{what}: slow, though the CPU runtime is set as it should be. {_load()}"]
    remedies = [f"export {ONEDNN_ISA_VARIABLE}=AVX2"] if isa else []
    if not state["enabled"]:
        remedies.append("unset MINDCV_CPU_RUNTIME")
    remedy = " and ".join(remedies) or f"export {ONEDNN_ISA_VARIABLE}=AVX2"
    return [Problem(f"{what}: oneDNN runs its reference convolution, 20 to 50 times too slow", remedy)], []


def _load() -> str:
    """How busy the machine is, in words."""
    cores = usable_cores()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > cores:
        return f"The machine is busy: a load of {load:.1f} on {cores} cores; measure again when it is idle"
    return "If other programs were running, measure again"


def measure_convolutions(seconds: float) -> dict[str, float]:
    """Times a dense and a grouped 3x3 convolution in graph mode, for `seconds` in all.

    Returns:
        GFLOP/s by name; a multiply-add counts as two operations. The fastest run counts, which another program that
        takes the processor for a while does not change.
    """
    import mindspore as ms
    import numpy as np
    from mindspore import nn

    mode = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    speeds = {}
    try:
        for name, groups in (("conv 3x3", 1), ("grouped 3x3", 32)):
            channels, size = 128, 28
            net = nn.Conv2d(channels, channels, 3, pad_mode="pad", padding=1, group=groups, has_bias=False)
            x = ms.Tensor(np.ones((4, channels, size, size), np.float32))
            net(x).asnumpy()  # compiles
            durations = []
            end = time.perf_counter() + seconds / 2
            while not durations or time.perf_counter() < end:
                start = time.perf_counter()
                net(x).asnumpy()
                durations.append(time.perf_counter() - start)
            operations = 2 * 9 * x.shape[0] * size * size * channels * channels // groups
            speeds[name] = operations / min(durations) / 1e9
    finally:
        ms.set_context(mode=mode)
    return speeds


def _device() -> str:
    import mindspore as ms

    return str(ms.get_context("device_target"))


def _memory() -> str:
    try:
        page, total, free = (os.sysconf(name) for name in ("SC_PAGE_SIZE", "SC_PHYS_PAGES", "SC_AVPHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return "unknown"
    return f"{page * total / 2**30:.1f} GiB, {page * free / 2**30:.1f} GiB free"


def _required_protobuf() -> str | None:
    """The lower bound that the installed MindSpore declares."""
    try:
        requirements = importlib.metadata.requires("mindspore") or []
    except importlib.metadata.PackageNotFoundError:
        return None
    bounds = [re.match(r"protobuf\b.*>=\s*([\d.]+)", requirement) for requirement in requirements]
    return next((bound[1] for bound in bounds if bound), None)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)[:3]]
