"""`mindcv weights check`: says what of a weight file fits a model."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mindcv.utils.text import harmless

from ._imports import add_import_option

if TYPE_CHECKING:
    import numpy as np
    from mindspore import nn

    from mindcv.weights import LoadReport

HELP = "check a weight file against a model"

_EXIT_MISFIT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add_import_option(parser)
    parser.add_argument(
        "action", choices=["check"], help="print what is loaded, missing, unexpected or of another shape"
    )
    parser.add_argument("file", metavar="FILE", help="weight file of any format and names")
    parser.add_argument("--model", required=True, metavar="NAME", help="model, or model.tag")
    parser.add_argument(
        "--num_classes", type=int, default=1000, metavar="N", help="classes of the model (default: 1000)"
    )
    parser.add_argument("--in_channels", type=int, default=3, metavar="N", help="channels of its image (default: 3)")
    parser.add_argument("--ema", action="store_true", help="the averaged weights of a training's file")


def run(args: argparse.Namespace) -> int:
    """Prints the report. Returns 1 when the file does not fit.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no weight file, or there is no such model.
    """
    from mindcv.models import network_of_file
    from mindcv.weights import read_weights

    arrays = read_weights(args.file, ema=args.ema)
    model, ours = network_of_file(
        args.model, arrays, args.file, num_classes=args.num_classes, in_channels=args.in_channels
    )
    tell_network(args.file, args.model, model)
    report = compare(model, ours)
    print(harmless(str(report)))
    return 0 if report.is_complete else _EXIT_MISFIT


def tell_network(path: str, name: str, model: "nn.Cell") -> None:
    """Says with which arguments a file's network is another than the model's name alone gives."""
    from mindcv.models import checkpoint_marks
    from mindcv.weights.marks import arguments_of

    for argument, value in arguments_of(checkpoint_marks(model)).items():
        print(f"{path} belongs to {name} with {argument}={value!r}")


def compare(model: "nn.Cell", arrays: "Mapping[str, np.ndarray]") -> "LoadReport":
    """Compares a model's parameters with arrays of its names; what a file may lack counts where it is there."""
    from mindcv.models import optional_parameters
    from mindcv.weights import LoadReport

    left_out = optional_parameters(model) - set(arrays)
    return LoadReport.compare(
        {p.name: tuple(p.shape) for p in model.get_parameters() if p.name not in left_out},
        {name: tuple(array.shape) for name, array in arrays.items()},
    )
