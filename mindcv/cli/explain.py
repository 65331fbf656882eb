"""`mindcv explain`: where a network looks in these images."""

import argparse
import sys
from typing import TYPE_CHECKING

from mindcv.utils.fs import atomic_write
from mindcv.utils.log import show_notes
from mindcv.utils.text import escaped

from ._model_options import add_model_options
from .infer import EXIT_BAD_FILES, expand_inputs, stdin_lines

if TYPE_CHECKING:
    import numpy as np

    from mindcv.export import Classifier
    from mindcv.report.grid import Cell

HELP = "draw where a model looks in images (Grad-CAM)"

# Gradients are computed of so many images at once.
_BATCH_SIZE = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add_model_options(parser, takes_exported=False)
    parser.add_argument(
        "inputs", nargs="+", metavar="IMAGE", help="image, folder, glob, .txt file with one path a line, or - for stdin"
    )
    parser.add_argument("--target", metavar="CLASS", help="name or index of the class (default: the most probable one)")
    parser.add_argument("--top_k", "--top-k", type=int, default=3, metavar="K", help="classes an image (default: 3)")
    parser.add_argument("--out", default="explain.png", metavar="FILE", help="the picture (default: explain.png)")
    parser.add_argument("--font", metavar="FILE", help="font of the words (default: one with Latin letters only)")


def run(args: argparse.Namespace) -> int:
    """Draws and returns 0, or 3 when some of the files could not be read.

    Raises:
        FileNotFoundError: The model, a folder or a list is not there.
        ValueError: There are no images, the model has no gradients or maps, or options are wrong.
    """
    if args.top_k < 1:
        raise ValueError(f"--top_k: got {args.top_k}; give a number from 1")
    paths = expand_inputs(args.inputs, stdin_lines())
    from mindcv.data import read_class_names
    from mindcv.data.preprocess import check_channels
    from mindcv.engine import setup_run
    from mindcv.export import Classifier
    from mindcv.export.runtime import is_exported_file
    from mindcv.report.grid import draw_grid

    if is_exported_file(args.model):
        raise ValueError(
            f"{args.model}: an exported file has no gradients; give the checkpoint or model it was made of"
        )
    setup_run(args.device_target, 1, None, False, 0)
    show_notes("mindcv.data.preprocess")
    names = read_class_names(args.class_names) if args.class_names else None
    classifier = Classifier(args.model, args.config, class_names=names, pretrained=args.pretrained)
    check_channels(len(classifier.preprocess.mean))
    num_bad = 0
    inputs: list[tuple[str, np.ndarray]] = []
    for path in paths:
        try:
            inputs.append((path, classifier.read(path)))
        except ValueError as error:
            num_bad += 1
            print(f"mindcv: {escaped(path)}: {escaped(str(error))}", file=sys.stderr)
    cells: list[Cell] = []
    for begin in range(0, len(inputs), _BATCH_SIZE):
        cells += _explained(classifier, inputs[begin : begin + _BATCH_SIZE], args.target, args.top_k)
    if cells:
        picture = draw_grid(cells, args.font)
        with atomic_write(args.out) as file:
            picture.save(file, "PNG")
        print(f"{len(cells)} images: {escaped(args.out)}")
    if num_bad:
        print(f"mindcv: {num_bad} of {len(paths)} files could not be read", file=sys.stderr)
    return EXIT_BAD_FILES if num_bad else 0


def _explained(
    classifier: "Classifier", inputs: list[tuple[str, "np.ndarray"]], target: str | None, top_k: int
) -> list["Cell"]:
    """Returns a cell an image: it, the map over it, the most probable classes, and the one that the map is for."""
    import numpy as np

    from mindcv.report.grad_cam import explain, overlay
    from mindcv.report.grid import Cell, Line, drawable
    from mindcv.weights.outputs import probabilities

    images = np.stack([image for _, image in inputs])
    num_classes = getattr(classifier.network, "num_classes", 0)
    targets = None if target is None else [_index_of(target, classifier.class_names, num_classes)] * len(images)
    found = explain(classifier.network, images, targets)
    if not np.ptp(found.maps, axis=(1, 2)).any():
        print(
            "mindcv: the maps are even: the network's last map is one place for images of "
            f"{images.shape[2]} x {images.shape[3]}; larger images show more",
            file=sys.stderr,
        )
    preprocess = classifier.preprocess
    rows = zip(
        *(inputs, drawable(images, preprocess.mean, preprocess.std), found.maps, found.targets),
        probabilities(found.logits, classifier.head),
        strict=True,
    )
    cells = []
    for (path, _), pixels, heat, index, shares in rows:
        labels = list(classifier.labels(shares, len(shares)))
        shown = labels[:top_k] + [label for label in labels[top_k:] if label.index == index]
        lines = [
            Line(f"{label.name} {label.probability:.3f}", label.probability, "right" if label.index == index else "")
            for label in shown
        ]
        cells.append(Cell([pixels, overlay(pixels, heat)], [Line(path, mark="pale"), *lines]))
        told = "  ".join(f"{escaped(label.name)} {label.probability:.4f}" for label in shown)
        print(f"{escaped(path)}  {told}")
    return cells


def _index_of(target: str, names: tuple[str, ...] | None, num_classes: int) -> int:
    """Returns the index of a class that is given by its name or number.

    Raises:
        ValueError: There is no such class.
    """
    if names is not None and target in names:
        return names.index(target)
    if target.isdecimal() and int(target) < num_classes:
        return int(target)
    from mindcv.utils.registry import suggest

    hint = suggest(target, names or ()) or "."
    last = num_classes - 1
    raise ValueError(f"--target: there is no class {target!r}{hint} Give a name or a number from 0 to {last}")
