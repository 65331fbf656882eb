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
    from mindcv.weights import read_weights, write_weights

    if not args.model and (args.to or args.verify):
        raise ValueError("--to and --verify need --model NAME, since every family has its own names")
    arrays: Mapping[str, np.ndarray] = read_weights(args.input, ema=args.ema)
    if args.model:
        arrays = _convert_names(args, arrays)
    write_weights(args.output, arrays)
    print(f"{args.output}: {len(arrays)} arrays, {sum(array.nbytes for array in arrays.values()) / 1e6:.1f} MB")
    return 0


def _convert_names(args: argparse.Namespace, arrays: "Mapping[str, np.ndarray]") -> "Mapping[str, np.ndarray]":
    """Returns the arrays by the names of `args.to`, having checked that they are the model's, all of them."""
    from mindcv.models._loading import checkpoint_marks

    from .weights import compare

    model, ours = _fit(args.model, arrays, args.input)
    compare(model, ours).raise_if_incomplete(args.model, args.input)
    if args.to == "timm" or args.verify:
        theirs = _to_timm(model, ours)
        if args.verify:
            _verify(args.model, model, ours, theirs)
        if args.to == "timm":
            _warn_of_other_network(args.model, model, theirs)
            return theirs
    return {**ours, **checkpoint_marks(model)}


def _fit(
    model_name: str, arrays: "Mapping[str, np.ndarray]", source: str
) -> "tuple[nn.Cell, Mapping[str, np.ndarray]]":
    """Creates the model with the file's number of classes and input channels, and brings the arrays to its names."""
    from .weights import bring_to_our_names

    model, ours = bring_to_our_names(model_name, arrays, source)
    cfg = model.default_cfg
    sizes = {}
    for argument, name, axis in (("num_classes", cfg.classifier, 0), ("in_channels", cfg.first_conv, 1)):
        weight = ours.get(f"{name}.weight")
        if weight is not None and weight.ndim > axis:
            sizes[argument] = weight.shape[axis]
    if sizes in ({"num_classes": 1000, "in_channels": 3}, {}):
        return model, ours
    return bring_to_our_names(model_name, arrays, source, **sizes)


def _to_timm(model: "nn.Cell", ours: "Mapping[str, np.ndarray]") -> "Mapping[str, np.ndarray]":
    from mindcv.models._loading import family_function

    export_fn = family_function(model, "checkpoint_export_fn")
    if export_fn is None:
        raise ValueError(f"timm's names for {type(model).__name__} are not known; convert with --to mindcv")
    return export_fn(ours, model)


def _warn_of_other_network(model_name: str, model: "nn.Cell", theirs: "Mapping[str, np.ndarray]") -> None:
    """Says that timm computes something else, where the file's names stand for a network with other arguments."""
    from mindcv.models._loading import family_function

    args_fn = family_function(model, "checkpoint_model_args")
    for argument, value in args_fn(theirs).items() if args_fn else ():
        if getattr(model, argument) != value:
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

    num_classes, in_channels = model.num_classes, ours[f"{model.default_cfg.first_conv}.weight"].shape[1]
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
