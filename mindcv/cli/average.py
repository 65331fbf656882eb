"""`mindcv average`: one network of the weights of several trainings, all of them or those that help."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mindcv.utils.text import escaped

if TYPE_CHECKING:
    import numpy as np

    from mindcv.config import Config
    from mindcv.weights.average import WeightSum

HELP = "average the weights of checkpoints of one network (a soup)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options. With --greedy every other option is a key of the recipe."""
    parser.add_argument("files", nargs="+", metavar="CKPT", help="checkpoints or other weight files, two or more")
    parser.add_argument(
        "--out", default="average.ckpt", metavar="FILE", help=".ckpt, .safetensors or .npz (default: average.ckpt)"
    )
    parser.add_argument(
        "--greedy",
        action="store_true",
        help="by falling accuracy, take a file in only if the average is then no worse on val_split",
    )
    parser.add_argument(
        "-c", "--config", default="", metavar="RECIPE", help="for --greedy (default: config.yaml beside the first file)"
    )
    parser.set_defaults(takes_keys=True)


def run(args: argparse.Namespace) -> int:
    """Averages, writes and says what of.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The files are of different networks, or have values that are not finite.
    """
    from mindcv.weights import write_weights
    from mindcv.weights.average import WeightSum, read_averageable

    if len(args.files) < 2:
        raise ValueError(f"an average is of two files or more, got {len(args.files)}")
    if not args.greedy and (args.keys or args.config):
        wrong = args.keys[0] if args.keys else "-c"
        raise ValueError(f"{wrong}: only --greedy evaluates, and needs a recipe and its keys; leave it out")
    if Path(args.out).absolute() in [Path(file).absolute() for file in args.files]:
        raise ValueError(f"--out {args.out}: is one of the files that are averaged; name another one")
    total = WeightSum(args.files[0], *read_averageable(args.files[0]))
    for file in args.files[1:]:
        arrays, outputs = read_averageable(file)
        total.check(file, arrays, outputs)
        if not args.greedy:
            total = total.added(arrays)
    if args.greedy:
        total = _greedy(args)
    outputs = total.outputs
    write_weights(args.out, {**total.mean(), **(outputs.entry() if outputs else {})})
    print(f"mean of {total.count} of {len(args.files)} files: {escaped(args.out)}")
    return 0


def _greedy(args: argparse.Namespace) -> "WeightSum":
    """The greedy soup of arXiv:2203.05482 (recipe 1), each step told in a line."""
    from mindcv.config import read_config
    from mindcv.export.source import recipe_of
    from mindcv.weights.average import WeightSum, read_averageable

    recipe = recipe_of(args.files[0], args.config)
    metric, evaluate = _evaluation(read_config(["-c", recipe, *args.keys, "--ckpt_path", args.files[0]]))
    alone = []
    for file in args.files:
        alone.append(evaluate(read_averageable(file)[0]))
        print(f"{escaped(file)}: {metric} {alone[-1]:.6f}")
    order = sorted(range(len(alone)), key=lambda index: -alone[index])
    best, first = alone[order[0]], args.files[order[0]]
    total = WeightSum(first, *read_averageable(first))
    print(f"start: {escaped(first)}")
    for index in order[1:]:
        file = args.files[index]
        wider = total.added(read_averageable(file)[0])
        found = evaluate(wider.mean())
        is_taken = found >= best
        print(f"{'with' if is_taken else 'without'} {escaped(file)}: {metric} {found:.6f} of {wider.count} files")
        if is_taken:
            best, total = found, wider
    return total


def _evaluation(cfg: "Config") -> tuple[str, Callable[[Mapping[str, "np.ndarray"]], float]]:
    """Returns the name of the figure that decides, and what gives it for weights; the network is compiled once.

    With `ema` in the recipe the moving averages are evaluated, as in `validate`.
    """
    import mindspore as ms

    from mindcv import engine
    from mindcv.build import (
        build_eval_loader,
        build_evaluator,
        build_network,
        check_head,
        find_outputs,
        prepare_network,
    )
    from mindcv.data import pipeline_errors
    from mindcv.export.source import with_preprocess
    from mindcv.models import as_evaluated
    from mindcv.utils.imports import import_modules
    from mindcv.utils.modelarts import copy_inputs

    import_modules(cfg.imports)
    if engine.is_launched():
        raise ValueError("average runs in one process; start it without a launcher")
    engine.setup_run(cfg.device_target, cfg.mode, cfg.jit_level, False, cfg.seed)
    cfg = with_preprocess(as_evaluated(copy_inputs(cfg)))
    outputs = find_outputs(cfg)
    loader, num_classes = build_eval_loader(cfg, outputs)
    if outputs is not None:
        check_head(outputs, loader, cfg.ckpt_path)
    network = build_network(cfg, num_classes, cfg.ema)
    parameters = list(network.get_parameters())
    evaluator = build_evaluator(cfg, prepare_network(cfg, network, cfg.val_amp_level), loader, num_classes)

    def evaluate(arrays: Mapping[str, "np.ndarray"]) -> float:
        for parameter in parameters:
            name = f"ema.{parameter.name}" if cfg.ema else parameter.name
            if name in arrays:
                parameter.set_data(ms.Tensor(arrays[name], parameter.dtype))
        with pipeline_errors():
            result = evaluator.run()
        return result[evaluator.metric] if result else 0.0

    return evaluator.metric, evaluate
