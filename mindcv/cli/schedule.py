"""`mindcv schedule`: the learning rate of a run, and the decay of its moving average, update by update."""

import argparse
from typing import TYPE_CHECKING

from mindcv.utils.fs import atomic_write
from mindcv.utils.text import escaped

if TYPE_CHECKING:
    from mindcv.config import Config

HELP = "draw the learning rate of a recipe over its run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options. Every other option is a key of the recipe."""
    parser.add_argument("-c", "--config", required=True, metavar="RECIPE", help="the recipe; --key value changes it")
    parser.add_argument("--steps_per_epoch", type=int, metavar="N", help="steps of an epoch (default: as the data has)")
    parser.add_argument("--out", metavar="FILE", help="write a PNG (default: draw in the terminal)")
    parser.set_defaults(takes_keys=True)


def run(args: argparse.Namespace) -> int:
    """Draws and prints the rates in one line.

    Raises:
        FileNotFoundError: The recipe or the data is not there.
        ImportError: A PNG is wanted, and matplotlib is not installed.
        ValueError: The recipe is not right.
    """
    from mindcv.config import read_config

    if args.steps_per_epoch is not None and args.steps_per_epoch < 1:
        raise ValueError(f"--steps_per_epoch: got {args.steps_per_epoch}; give a number from 1")
    cfg = read_config(["-c", args.config, *args.keys])
    import numpy as np

    from mindcv.build import build_learning_rates, warn_of_ignored_keys
    from mindcv.engine import ema_decays
    from mindcv.report.plot import Panel, require_matplotlib, save_plot, text_plot
    from mindcv.utils.log import show_notes

    if args.out:
        require_matplotlib()
    show_notes("mindcv.build")
    warn_of_ignored_keys(cfg)
    steps_per_epoch = args.steps_per_epoch or _steps_per_epoch(cfg)
    rates = np.array(build_learning_rates(cfg, steps_per_epoch))
    epochs = (np.arange(len(rates)) + 1) * cfg.gradient_accumulation_steps / steps_per_epoch
    panels = [Panel("learning rate", epochs, rates)]
    if cfg.ema:
        decays = ema_decays(len(rates), cfg.ema_decay, cfg.ema_warmup, cfg.ema_interval)
        moved = slice(cfg.ema_interval - 1, None, cfg.ema_interval)
        panels.append(Panel("EMA decay", epochs[moved], decays[moved]))
    top = int(rates.argmax())
    told = (
        f"{len(rates)} updates in {cfg.epoch_size} epochs of {steps_per_epoch} steps; learning rate {rates[0]:.4g}, "
        f"at most {rates[top]:.4g} (epoch {epochs[top]:.4g}), last {rates[-1]:.4g}"
    )
    if args.out:
        with atomic_write(args.out) as file:
            save_plot(file, panels, f"{cfg.model}: {cfg.scheduler}", "epoch")
        print(f"{told}: {escaped(args.out)}")
        return 0
    for panel in panels:
        print("\n".join([*text_plot(panel), ""]))
    print(told)
    return 0


def _steps_per_epoch(cfg: "Config") -> int:
    """Batches of an epoch on one device.

    Raises:
        FileNotFoundError: The data is not there.
    """
    import tempfile

    from mindcv.build import build_train_loader

    try:
        with tempfile.TemporaryDirectory() as folder:  # of the list of bad samples
            loader, _ = build_train_loader(cfg.model_copy(update={"ckpt_save_dir": folder}))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; --steps_per_epoch N draws without data") from error
    return loader.get_dataset_size()
