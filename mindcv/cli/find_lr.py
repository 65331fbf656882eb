"""`mindcv find-lr`: a learning-rate range test (arXiv:1506.01186, section 3.3)."""

import argparse
import math
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mindcv.utils.fs import atomic_write
from mindcv.utils.text import escaped

from ._benchmark_train import emit, require_folder_of

if TYPE_CHECKING:
    import numpy as np

    from mindcv.config import Config
    from mindcv.report.plot import Panel

HELP = "try rising learning rates on a recipe and suggest one"

# Of the mean of losses: the share of the last one that stays. And by how much it may grow over its least value.
_SMOOTHING = 0.9
_LARGEST_GROWTH = 4.0
# Losses that have to be there before a test may end, and for a suggestion.
_LEAST_LOSSES = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options. Every other option is a key of the recipe."""
    parser.add_argument("-c", "--config", required=True, metavar="RECIPE", help="the recipe; --key value changes it")
    parser.add_argument(
        "--from", dest="first", type=float, default=1e-7, metavar="LR", help="first rate (default: 1e-7)"
    )
    parser.add_argument("--to", dest="last", type=float, default=1.0, metavar="LR", help="last rate (default: 1)")
    parser.add_argument("--updates", type=int, default=100, metavar="N", help="updates, a rate each (default: 100)")
    parser.add_argument("--out", metavar="FILE", help="write the plot as PNG (default: draw in the terminal)")
    parser.add_argument("--json", metavar="FILE", help="write the figures there; - for stdout, with nothing else on it")
    parser.set_defaults(takes_keys=True)


def run(args: argparse.Namespace) -> int:
    """Runs the test, draws it and prints a suggestion. Nothing of the run's folder is read or written.

    Raises:
        FileNotFoundError: The recipe or the data is not there.
        ImportError: A PNG is wanted, and matplotlib is not installed.
        ValueError: The recipe or an option is not right.
    """
    from mindcv.config import read_config
    from mindcv.report.plot import require_matplotlib

    if not 0 < args.first < args.last < math.inf:
        raise ValueError(f"--from {args.first:g} --to {args.last:g}: give two rates above 0, the smaller one first")
    if args.updates < 2 * _LEAST_LOSSES:
        raise ValueError(f"--updates: got {args.updates}; give a number from {2 * _LEAST_LOSSES}")
    if args.out:
        require_matplotlib()
    require_folder_of(args.out, "--out")
    require_folder_of(args.json, "--json")
    cfg = read_config(["-c", args.config, *args.keys])
    figures = measure(cfg, args.first, args.last, args.updates)
    if args.out:
        with atomic_write(args.out) as file:
            _save(file, figures)
    emit(figures, args.json, lambda figures: _print(figures, args.out))
    return 0


def measure(cfg: "Config", first: float, last: float, num_updates: int) -> dict[str, Any]:
    """Trains with learning rates that grow by one factor from update to update, and returns the figures.

    It ends early when the smoothed loss is over four times its least value, or not finite.

    Args:
        cfg: The recipe.
        first: The first learning rate.
        last: The last one.
        num_updates: Number of updates.

    Returns:
        `learning_rates`, `losses` and `smoothed` (a list each, as far as the test came), `suggestion` and `minimum`
        (learning rates; see `suggested`), `has_diverged`, and `lr`, the suggestion as the recipe's key `lr`.

    Raises:
        FileNotFoundError, ValueError: Something that the recipe names is not right.
    """
    import numpy as np
    from tqdm import tqdm

    from mindcv import build, engine
    from mindcv.data import pipeline_errors
    from mindcv.export.source import with_preprocess
    from mindcv.utils.imports import import_modules
    from mindcv.utils.modelarts import copy_inputs

    if engine.is_launched():
        raise ValueError("find-lr runs in one process; start it without a launcher")
    import_modules(cfg.imports)
    engine.setup_run(cfg.device_target, cfg.mode, cfg.jit_level, False, cfg.seed)
    # What a run writes is not written, and what would only cost time is left out.
    cfg = copy_inputs(cfg).model_copy(update={"dataset_sink_mode": False, "ema": False, "drop_remainder": True})
    cfg = with_preprocess(cfg)
    count = cfg.gradient_accumulation_steps
    rates = np.geomspace(first, last, num_updates)
    losses: list[float] = []
    with tempfile.TemporaryDirectory() as folder:  # of the list of bad samples
        cfg = cfg.model_copy(update={"ckpt_save_dir": folder})
        known = build.find_outputs(cfg)
        loader, num_classes = build.build_train_loader(cfg, known)
        outputs = build.get_outputs(loader, num_classes)
        build.check_loss(cfg, loader)
        steps_per_epoch = loader.get_dataset_size()
        network = build.build_network(cfg, num_classes, class_names=outputs.class_names)
        teacher = build.build_teacher(cfg, num_classes, outputs.class_names) if cfg.teacher else None
        weights = build.build_class_weights(cfg, loader, num_classes)
        step = build.build_step(cfg, network, num_classes, rates.tolist(), weights, teacher)
        feed = build.build_feed(cfg, step, loader, "CPU", 0)
        step.set_train(True)
        smoothed: list[float] = []
        with pipeline_errors(), tqdm(total=num_updates, unit=" updates", disable=not sys.stderr.isatty()) as bar:
            for step in range(num_updates * count):
                if step % steps_per_epoch == 0:
                    feed.begin_epoch(step // steps_per_epoch, 0)
                loss = float(feed.run_step().asnumpy())
                losses.append(loss)
                if (step + 1) % count:
                    continue
                losses[-count:] = [sum(losses[-count:]) / count]
                bar.update()
                smoothed = smooth(losses)
                if has_diverged(smoothed):
                    break
    if not math.isfinite(losses[0]):
        raise ValueError(f"the loss is {losses[0]:g} at the first learning rate, {first:g}; look at weights and data")
    rates = rates[: len(losses)]
    suggestion, minimum = suggested(rates, smoothed)
    factor = cfg.batch_size * count / cfg.lr_base_batch_size if cfg.lr_base_batch_size else 1.0
    return {
        "model": cfg.model,
        "recipe": cfg.config,
        "opt": cfg.opt,
        "batch_size": cfg.batch_size * count,
        "suggestion": suggestion,
        "lr": None if suggestion is None else suggestion / factor,
        "minimum": minimum,
        "has_diverged": has_diverged(smoothed),
        "learning_rates": rates.tolist(),
        "losses": [loss if math.isfinite(loss) else None for loss in losses],
        "smoothed": [loss if math.isfinite(loss) else None for loss in smoothed],
    }


def smooth(losses: Sequence[float]) -> list[float]:
    """Returns the mean of each loss and those before it, each of which counts 0.9 times the one behind it."""
    values, total, weight = [], 0.0, 0.0
    for loss in losses:
        total, weight = _SMOOTHING * total + loss, _SMOOTHING * weight + 1.0
        values.append(total / weight)
    return values


def has_diverged(smoothed: Sequence[float]) -> bool:
    """Whether the last value is not finite, or, when there are some, over four times the least one."""
    if not math.isfinite(smoothed[-1]):
        return True
    return len(smoothed) > _LEAST_LOSSES and smoothed[-1] > _LARGEST_GROWTH * min(smoothed)


def suggested(rates: "np.ndarray", smoothed: Sequence[float]) -> tuple[float | None, float | None]:
    """Returns the learning rate at which the smoothed loss falls most steeply over log(rate), and that of its minimum.

    Args:
        rates: (N,), growing by one factor.
        smoothed: (N,).

    Returns:
        Both; None where the loss does not fall, or there are too few values.
    """
    import numpy as np

    values = np.array(smoothed)
    values = values[np.isfinite(values)]
    if len(values) < _LEAST_LOSSES:
        return None, None
    lowest = int(values.argmin())
    slopes = np.gradient(values, np.log(rates[: len(values)]))
    if lowest == 0 or slopes[: lowest + 1].min() >= 0:
        return None, None
    return float(rates[slopes[: lowest + 1].argmin()]), float(rates[lowest])


def _panel(figures: dict[str, Any]) -> "Panel":
    import numpy as np

    from mindcv.report.plot import Panel

    losses, smoothed = (np.array(figures[name], float) for name in ("losses", "smoothed"))
    marks = [] if figures["suggestion"] is None else [(figures["suggestion"], f"{figures['suggestion']:.2g}")]
    return Panel("loss (smoothed)", np.array(figures["learning_rates"]), smoothed, losses, marks, log_x=True)


def _save(file: Any, figures: dict[str, Any]) -> None:
    from mindcv.report.plot import save_plot

    title = f"{figures['model']}, {figures['opt']}, {figures['batch_size']} images an update"
    save_plot(file, [_panel(figures)], title, "learning rate")


def _print(figures: dict[str, Any], out: str | None) -> None:
    from mindcv.report.plot import text_plot

    if out:
        print(escaped(out))
    else:
        print("\n".join([*text_plot(_panel(figures)), ""]))
    if figures["suggestion"] is None:
        print("no suggestion: the loss does not fall; give more --updates, or other rates by --from and --to")
        return
    rate, lowest = (f"{figures[name]:.2g}" for name in ("suggestion", "minimum"))
    key = "" if figures["lr"] == figures["suggestion"] else f" (lr: {figures['lr']:.2g} with this lr_base_batch_size)"
    print(f"suggestion: lr {rate}{key}, where the loss falls most steeply; it is least at {lowest}")
