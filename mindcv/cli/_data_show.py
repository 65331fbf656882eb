"""`mindcv data show`: training images as the network gets them, or validation images with what a checkpoint says."""

import argparse
import tempfile
from typing import TYPE_CHECKING, Any

from mindcv.utils.text import escaped

if TYPE_CHECKING:
    import numpy as np

    from mindcv.config import Config
    from mindcv.report.grid import Cell

_MOST_CLASSES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument(
        "folder",
        nargs="?",
        default="",
        metavar="DIR",
        help="folder of the dataset, above its splits (default: recipe's)",
    )
    parser.add_argument(
        "-c",
        "--config",
        metavar="RECIPE",
        help="the recipe (default: the built-in settings, or config.yaml beside the checkpoint)",
    )
    parser.add_argument(
        "--predictions", metavar="CKPT", help="draw validation images with what this checkpoint says and what is true"
    )
    parser.add_argument("--wrong", action="store_true", help="with --predictions: only those it gets wrong")
    parser.add_argument("--count", type=int, default=16, metavar="N", help="images (default: 16)")
    parser.add_argument("--out", default="data.png", metavar="FILE", help="the picture (default: data.png)")
    parser.add_argument("--font", metavar="FILE", help="font of the words (default: one with Latin letters only)")


def run(args: argparse.Namespace) -> int:
    """Draws the picture.

    Raises:
        FileNotFoundError: The dataset or the checkpoint is not there.
        ValueError: The recipe, the dataset or the checkpoint is not right.
    """
    from mindcv.report.grid import draw_grid
    from mindcv.utils.fs import atomic_write

    if args.count < 1:
        raise ValueError(f"--count: got {args.count}; give a number from 1")
    if args.wrong and not args.predictions:
        raise ValueError("--wrong: needs --predictions CKPT, which says what is wrong")
    cells, told = _predictions(args) if args.predictions else _training_images(args)
    picture = draw_grid(cells, args.font)
    with atomic_write(args.out) as file:
        picture.save(file, "PNG")
    print(f"{told}: {escaped(args.out)}")
    return 0


def _config(args: argparse.Namespace, recipe: str | None, *words: str) -> "Config":
    from mindcv.config import read_config

    # What the device would do is done by the host here, with the same result.
    options = ["--batch_size", str(args.count), "--drop_remainder", "False", "--normalize_on_device", "False", *words]
    return read_config(
        [*(["-c", recipe] if recipe else []), *(["--data_dir", args.folder] if args.folder else []), *options]
    )


def _training_images(args: argparse.Namespace) -> tuple[list["Cell"], str]:
    """The first images of a training's first epoch."""
    from mindcv.build import build_train_loader
    from mindcv.data import EvalPreprocess, batch_names, epoch_batches, get_class_names, pipeline_errors
    from mindcv.report.grid import Cell, Line, drawable

    with tempfile.TemporaryDirectory() as folder:  # of the list of bad samples
        cfg = _config(args, args.config, "--ckpt_save_dir", folder)
        loader, num_classes = build_train_loader(cfg)
        with pipeline_errors():
            batch = next(epoch_batches(loader, 0, seed=cfg.seed))
    images, labels = (column.asnumpy()[: args.count] for column in batch)
    names = get_class_names(loader) or [str(index) for index in range(num_classes)]
    preprocess = EvalPreprocess.from_config(cfg)
    files = batch_names(loader, 0, 0, args.count)
    cells = []
    for pixels, label, file in zip(drawable(images, preprocess.mean, preprocess.std), labels, files, strict=True):
        cells.append(Cell([pixels], [*_truth(label, names), Line(_short(file), mark="pale")]))
    return cells, f"{len(cells)} training images"


def _truth(label: "np.ndarray", names: list[str]) -> list[Any]:
    """A line for the class, or for each of those that share an image, most first."""
    from mindcv.report.grid import Line

    if label.ndim == 0:
        return [Line(names[label])]
    parts = [index for index in (-label).argsort(kind="stable")[:_MOST_CLASSES] if label[index] > 0]
    return [Line(f"{names[index]} {label[index]:.2f}", float(label[index])) for index in parts]


def _short(file: str) -> str:
    """The last folder and the name of a file."""
    return "/".join(file.replace("\\", "/").split("/")[-2:])


def _predictions(args: argparse.Namespace) -> tuple[list["Cell"], str]:
    """Validation images in an order drawn by the seed."""
    from mindcv.build import build_eval_loader, build_network, check_head, find_outputs, prepare_network
    from mindcv.data import EvalPreprocess, batch_names, epoch_batches, get_class_names, pipeline_errors
    from mindcv.engine import name_not_finite, setup_run
    from mindcv.export.runtime import in_batches, live_run
    from mindcv.export.source import recipe_of, with_preprocess
    from mindcv.report.grid import drawable
    from mindcv.weights.outputs import MULTIPLE, SINGLE, probabilities

    recipe = recipe_of(args.predictions, args.config or "")
    cfg = with_preprocess(_config(args, recipe, "--ckpt_path", args.predictions, "--eval_shuffle", "True"))
    setup_run(cfg.device_target, cfg.mode, cfg.jit_level, False, cfg.seed)
    outputs = find_outputs(cfg)
    loader, num_classes = build_eval_loader(cfg, outputs)
    if outputs is not None:
        check_head(outputs, loader, cfg.ckpt_path)
    network = build_network(cfg, num_classes, cfg.ema)
    not_finite = name_not_finite(network)
    if not_finite is not None:
        raise ValueError(f"{cfg.ckpt_path}: {not_finite}; its predictions say nothing, show those of other weights")
    run_network = live_run(prepare_network(cfg, network, cfg.val_amp_level))
    head = outputs.head if outputs is not None else SINGLE
    names = (outputs and outputs.class_names) or get_class_names(loader) or [str(index) for index in range(num_classes)]
    preprocess = EvalPreprocess.from_config(cfg)
    cells: list[Cell] = []
    seen = num_right = 0
    with pipeline_errors():
        for step, batch in enumerate(epoch_batches(loader, 0, seed=cfg.seed)):
            images, labels = (column.asnumpy() for column in batch)
            shares = probabilities(in_batches(run_network, images, args.count), head)
            pixels = drawable(images, preprocess.mean, preprocess.std)
            files = batch_names(loader, 0, step, args.count)
            for row in zip(pixels, shares, labels, files, strict=True):
                is_right, cell = _predicted(*row, names, head == MULTIPLE)
                seen, num_right = seen + 1, num_right + is_right
                if not (args.wrong and is_right):
                    cells.append(cell)
                if len(cells) == args.count:
                    return cells, f"{seen} validation images, {num_right} right"
            if not args.wrong:
                break
    if not cells:
        raise ValueError(f"{args.predictions} gets all of the {seen} validation images right; leave out --wrong")
    return cells, f"{seen} validation images, {num_right} right"


def _predicted(
    pixels: "np.ndarray", shares: "np.ndarray", label: "np.ndarray", file: str, names: list[str], several: bool
) -> tuple[bool, "Cell"]:
    """Whether an image is told right, and its cell: what is said, by probability, then what is true."""
    from mindcv.report.grid import Cell, Line

    true = {int(index) for index in (label > 0.5).nonzero()[0]} if label.ndim else {int(label)}
    said = {int(index) for index in (shares > 0.5).nonzero()[0]} if several else {int(shares.argmax())}
    lines = []
    for index in map(int, (-shares).argsort(kind="stable")[: _MOST_CLASSES if several else 2]):
        mark = "right" if index in true else "wrong" if index in said else ""
        lines.append(Line(f"{names[index]} {shares[index]:.2f}", float(shares[index]), mark))
    if said != true:
        lines.append(Line(f"true: {', '.join(names[index] for index in sorted(true)) or 'none'}"))
    return said == true, Cell([pixels], [*lines, Line(_short(file), mark="pale")])
