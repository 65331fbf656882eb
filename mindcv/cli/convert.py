"""`mindcv convert`: a weight file to another format, or to the names of MindCV or timm."""

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ._imports import add_import_option

if TYPE_CHECKING:
    import numpy as np
    from mindspore import nn

HELP = "convert a weight file to another format or to other names"

_TOLERANCE = 1e-4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add_import_option(parser)
    parser.add_argument("input", metavar="IN", help=".ckpt, .safetensors, .npz, or a torch file (.pth .pt .bin)")
    parser.add_argument("output", metavar="OUT", help="the suffix is the format: .ckpt, .safetensors or .npz")
    parser.add_argument("--to", choices=["mindcv", "timm"], help="names of the output (default: mindcv with --model)")
    parser.add_argument(
        "--model", metavar="NAME", help="model whose weights they are; without it names stay as they are"
    )
    parser.add_argument("--ema", action="store_true", help="the averaged weights of a training's file")
    parser.add_argument("--verify", action="store_true", help="compare the logits with timm's (needs torch and timm)")


def run(args: argparse.Namespace) -> int:
    """Converts the file. Nothing is written unless everything fits, and with --verify unless the logits are equal.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: --verify without timm.
        ValueError: The options contradict, or the file is no weight file or does not fit the model.
    """
    from mindcv.weights import read_outputs, read_weights, write_weights

    if not args.model and (args.to or args.verify):
        raise ValueError("--to and --verify need --model NAME, since every family has its own names")
    arrays: Mapping[str, np.ndarray] = read_weights(args.input, ema=args.ema)
    if args.model:
        arrays = _convert_names(args, arrays)
    # What the outputs mean stays with the weights, but where a file is to be as timm's own.
    outputs = None if args.to == "timm" else read_outputs(args.input)
    write_weights(args.output, {**arrays, **(outputs.entry() if outputs else {})})
    print(f"{args.output}: {len(arrays)} arrays, {sum(array.nbytes for array in arrays.values()) / 1e6:.1f} MB")
    return 0


def _convert_names(args: argparse.Namespace, arrays: "Mapping[str, np.ndarray]") -> "Mapping[str, np.ndarray]":
    """Returns the arrays by the names of `args.to`, having checked that they are the model's, all of them."""
    from mindcv.models import checkpoint_marks, network_of_file, to_timm_names, with_tables

    from .weights import compare, tell_network

    model, ours = network_of_file(args.model, arrays, args.input)
    tell_network(args.input, args.model, model)
    compare(model, ours).raise_if_incomplete(args.model, args.input)
    if args.to == "timm" or args.verify:
        theirs = to_timm_names(model, ours)
        if args.verify:
            _verify(args.model, model, ours, theirs)
        if args.to == "timm":
            _warn_of_other_network(args.model, model, theirs)
            return theirs
    return {**with_tables(model, ours), **checkpoint_marks(model)}


def _warn_of_other_network(model_name: str, model: "nn.Cell", theirs: "Mapping[str, np.ndarray]") -> None:
    """Says that timm computes something else, where the file's names stand for a network with other arguments."""
    from mindcv.models import file_tells

    for argument, value in file_tells(model_name, theirs).items():
        if getattr(model, argument, value) != value:
            print(
                f"warning: {model_name} has {argument}={getattr(model, argument)!r} here, timm's network is one of "
                f"{value!r} and gives other logits; if these weights were trained from published ones, name them: "
                f"--model {model_name.partition('.')[0]}.TAG, else train on in timm, or with {argument}={value!r}",
                file=sys.stderr,
            )


def _verify(
    model_name: str, model: "nn.Cell", ours: "Mapping[str, np.ndarray]", theirs: "Mapping[str, np.ndarray]"
) -> None:
    """Runs both networks on the same random images.

    Raises:
        ImportError: torch or timm is not installed.
        ValueError: timm has no such network, or the logits differ.
    """
    try:
        import timm
        import torch
    except ImportError as error:
        raise ImportError("--verify runs timm's network too; install it with: pip install torch timm") from error
    import numpy as np
    from mindspore import Parameter, Tensor, load_param_into_net

    from mindcv.models import file_tells

    num_classes, in_channels = model.num_classes, file_tells(model_name, ours)["in_channels"]
    name = model_name.partition(".")[0]
    for candidate in (name, f"legacy_{name}"):
        if not timm.is_model(candidate):
            continue
        network = timm.create_model(candidate, num_classes=num_classes, in_chans=in_channels).eval()
        if set(network.state_dict()) == set(theirs):
            break
    else:
        raise ValueError(
            f"timm {timm.__version__} has no network of these names for {model_name!r}; leave out --verify"
        )
    network.load_state_dict({key: torch.from_numpy(array) for key, array in theirs.items()})
    load_param_into_net(model, {key: Parameter(Tensor(array), name=key) for key, array in ours.items()})
    shape = (2, in_channels, *model.default_cfg.input_size[1:])
    images = np.random.RandomState(0).standard_normal(shape).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    logits = model.set_train(False)(Tensor(images)).asnumpy()
    difference, allowed = np.abs(logits - expected).max(), _TOLERANCE * max(1, np.abs(expected).max())
    if not difference <= allowed:
        raise ValueError(
            f"the logits differ from those of timm's {candidate} by {difference:.2g}, more than {allowed:.2g}"
        )
    print(f"verified: the logits are those of timm's {candidate}; largest difference {difference:.1g}")
