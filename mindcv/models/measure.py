"""Writes `sizes.csv`: parameters and multiply-adds of every model.

    python -m mindcv.models.measure [NAME ...]   measures the models named, or those that are not in the file
    python -m mindcv.models.measure --check      fails where the file is not what the networks are

Multiply-adds are those of convolutions, dense layers and of cells that say theirs by `macs(*shapes)` (attention), for
one image of the model's input size.
"""

import argparse
import csv
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from mindspore.common import initializer

from mindcv.utils.fs import atomic_write

from . import Variant, create_model, get_pretrained_cfg, list_models, model_entrypoint
from ._sizes import SIZES, Size, list_sizes

__all__ = ["count_parameters", "measure"]


@contextmanager
def undrawn_weights() -> Iterator[None]:
    """Networks are made without drawing their weights, which is most of the time that it takes."""
    classes = drawing_initializers()
    drawn = [initializer_class._initialize for initializer_class in classes]
    for initializer_class in classes:
        initializer_class._initialize = _leave
    try:
        yield
    finally:
        for initializer_class, draw in zip(classes, drawn, strict=True):
            initializer_class._initialize = draw


def drawing_initializers() -> list[type[initializer.Initializer]]:
    """Returns the classes of initialisers that draw random numbers: MindSpore's, ours and users'."""
    found = _subclasses(initializer.Initializer)
    return [each for each in found if not issubclass(each, initializer.Zero | initializer.One | initializer.Constant)]


def _subclasses(parent: type[Any]) -> list[type[Any]]:
    return [each for child in parent.__subclasses__() for each in (child, *_subclasses(child))]


def _leave(self: initializer.Initializer, array: np.ndarray) -> None:
    array.fill(0)


def count_parameters(network: nn.Cell) -> int:
    """Returns the number of trainable values."""
    return sum(int(np.prod(parameter.shape)) for parameter in network.trainable_params())


def measure(name: str) -> Size:
    """Returns what a model costs for one image of its input size."""
    with undrawn_weights():
        network = create_model(name).set_train(False)
    channels, height, width = network.default_cfg.input_size
    macs = 0

    def count(cell: nn.Cell, inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal macs
        if isinstance(cell, nn.Conv2d):
            macs += int(np.prod(output.shape)) * int(np.prod(cell.weight.shape[1:]))
        elif isinstance(cell, nn.Dense):
            macs += int(np.prod(output.shape)) * cell.in_channels
        else:
            macs += int(cell.macs(*(value.shape for value in inputs if isinstance(value, Tensor))))

    watched = [
        cell
        for _, cell in network.cells_and_names()
        if isinstance(cell, (nn.Conv2d, nn.Dense)) or hasattr(cell, "macs")
    ]
    for cell in watched:
        cell.register_forward_hook(count)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    network(*network.inputs_of(Tensor(np.zeros((1, channels, height, width), np.float32))))
    return Size(count_parameters(network), macs, height)


def _measured() -> list[str]:
    return [name for name in list_models() if isinstance(model_entrypoint(name), Variant)]


def _check() -> list[str]:
    """Returns what is wrong with the file; multiply-adds are measured anew for the smallest models only."""
    known, names = list_sizes(), _measured()
    faults = [f"{name} is missing" for name in names if name not in known]
    faults += [f"{name} is no model" for name in known if name not in names]
    for name in set(names) & set(known):
        with undrawn_weights():
            count = count_parameters(create_model(name))
        if count != known[name].parameters:
            faults.append(f"{name} has {count} parameters, not {known[name].parameters}")
        if get_pretrained_cfg(name).input_size[1] != known[name].side:
            faults.append(f"{name} takes {get_pretrained_cfg(name).input_size[1]} pixels, not {known[name].side}")
    for name in sorted(set(names) & set(known), key=lambda name: known[name].macs)[:3]:
        if measure(name) != known[name]:
            faults.append(f"{name} is {measure(name)}, not {known[name]}")
    return sorted(faults)


def main(arguments: list[str] | None = None) -> int:
    """Writes or checks the file; returns 1 where it is not right."""
    parser = argparse.ArgumentParser(prog="python -m mindcv.models.measure", description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="models to measure (default: those not in the file)")
    parser.add_argument("--check", action="store_true", help="compare the file with the networks and write nothing")
    args = parser.parse_args(arguments)
    if args.check:
        faults = _check()
        for fault in faults:
            sys.stderr.write(f"{SIZES}: {fault}; run python -m mindcv.models.measure\n")
        return int(bool(faults))
    known, names = list_sizes(), _measured()
    for name in args.names or [name for name in names if name not in known]:
        known[name] = measure(name)
        sys.stderr.write(f"{name}: {known[name]}\n")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "parameters", "macs", "side"])
    writer.writerows([name, known[name].parameters, known[name].macs, known[name].side] for name in names)
    with atomic_write(SIZES) as file:
        file.write(text.getvalue().encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
