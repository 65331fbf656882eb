"""`mindcv export`: a checkpoint to MINDIR, ONNX, AIR or safetensors, verified."""

import argparse
from collections.abc import Sequence

from mindcv.utils.log import show_notes

from ._imports import add_import_option
from ._renamed import Renamed
from .infer import expand_inputs, stdin_lines

HELP = "export a checkpoint to mindir, onnx, air or safetensors, and verify it"

# Keys of the recipe that are options here too; None is left to the recipe.
_RECIPE_KEYS = ("model", "ckpt_path", "num_classes", "image_resize", "dataset", "data_dir", "ema", "pretrained")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add_import_option(parser)
    source = parser.add_argument_group("what is exported (each stands in the recipe or here)")
    source.add_argument(
        "checkpoint", nargs="?", help="checkpoint of a training (its recipe: -c, or config.yaml beside it)"
    )
    source.add_argument(
        "-c", "--config", default="", metavar="RECIPE", help="recipe that the checkpoint was trained with"
    )
    source.add_argument(
        "--ckpt_path", "--checkpoint_file_path", action=Renamed, metavar="FILE", help="checkpoint of any format"
    )
    source.add_argument("--model", metavar="NAME", help="name of the model")
    source.add_argument("--num_classes", metavar="N", help="classes (default: the recipe's, else the checkpoint's)")
    source.add_argument("--image_resize", nargs="+", metavar="N", help="side of the image in pixels, or height width")
    source.add_argument("--dataset", metavar="NAME", help="dataset, which names the classes")
    source.add_argument("--data_dir", metavar="DIR", help="its folder")
    source.add_argument("--ema", action="store_const", const="True", help="the averaged weights of the checkpoint")
    source.add_argument(
        "--pretrained",
        nargs="?",
        const="True",
        metavar="TAG|FILE",
        help="published weights, those of a tag, or a checkpoint like --ckpt_path",
    )

    target = parser.add_argument_group("what is written")
    target.add_argument(
        "--format",
        "--file_format",
        action=Renamed,
        type=str.lower,
        metavar="FORMAT",
        help="mindir, onnx, air or safetensors (default: by the suffix of --out)",
    )
    target.add_argument(
        "--out",
        "--file_name",
        action=Renamed,
        metavar="FILE",
        help="the file (default: MODEL.FORMAT); a JSON comes beside it",
    )
    target.add_argument("--batch_size", default="1", metavar="N", help="images in a batch, or dynamic (default: 1)")
    target.add_argument(
        "--softmax",
        action="store_true",
        help="give probabilities, of several labels independent ones",
    )
    target.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="for several labels an image: least probability of a label that counts as found, for who runs the file",
    )
    target.add_argument("--uint8_input", action="store_true", help="take pixels and normalise them inside")
    target.add_argument("--fold_bn", action="store_true", help="fold BatchNorm into convolutions")
    target.add_argument(
        "--quantize",
        choices=["int8"],
        metavar="int8",
        help="layers compute in int8 (onnx): a quarter of the size, and faster where the processor has VNNI or AMX",
    )
    target.add_argument(
        "--calibration",
        nargs="+",
        metavar="IMAGES",
        help="images that int8 takes its ranges from: files, folders, globs, .txt lists (default: the recipe's data)",
    )
    target.add_argument(
        "--min_agreement",
        "--min-agreement",
        type=float,
        metavar="P",
        help="share of held-back images on which int8 must give the float network's class (default: 0.98)",
    )
    target.add_argument("--fp16_weights", action="store_true", help="store weights in fp16; half as large")
    target.add_argument(
        "--class_names", metavar="FILE", help="text file with one class name a line (default: the checkpoint's)"
    )
    target.add_argument("--key_file", metavar="FILE", help="encrypt a mindir with the 16, 24 or 32 bytes in this file")
    target.add_argument("--enc_mode", default="AES-GCM", help="AES-GCM, AES-CBC or SM4-CBC (default: AES-GCM)")
    target.add_argument(
        "--tolerance",
        type=float,
        metavar="X",
        help="allowed share of the largest score (default: 1e-4; fp16 weights: 2e-2)",
    )
    target.add_argument("--device_target", default="auto", help="Ascend, GPU, CPU or auto (default: auto)")


def run(args: argparse.Namespace) -> int:
    """Exports, and prints what was found when the file was run.

    Raises:
        FileNotFoundError: There is no such checkpoint or recipe.
        ImportError: ONNX packages are not installed.
        RunError: The file computes something else than the network; nothing was written.
        ValueError: Options or checkpoint are wrong.
    """
    from mindcv.config import read_config

    cfg = read_config(_recipe_words(args))
    from mindcv.data import read_class_names
    from mindcv.engine import setup_run
    from mindcv.export import export_model, info_path
    from mindcv.export.calibration import images_of_data
    from mindcv.export.exporter import DYNAMIC, MIN_AGREEMENT, output_path
    from mindcv.export.runtime import read_key
    from mindcv.export.source import source_from_config
    from mindcv.weights.outputs import renamed_classes

    if not args.quantize and (args.calibration or args.min_agreement is not None):
        raise ValueError("--calibration and --min_agreement are for --quantize int8; add it, or leave them out")
    if not args.out and not args.format:
        raise ValueError("name the file with --out FILE, or the format with --format mindir|onnx|air|safetensors")
    file_format, out = output_path(args.out or cfg.model, args.format)
    key = read_key(args.key_file) if args.key_file else None
    batch_size = DYNAMIC if args.batch_size == DYNAMIC else _as_count(args.batch_size)
    class_names = read_class_names(args.class_names) if args.class_names else None
    setup_run(args.device_target, 0, None, False, cfg.seed)
    show_notes("mindcv.data.preprocess")
    source = source_from_config(cfg)
    calibration, held_back = None, None
    if args.quantize:
        show_notes("mindcv.export.calibration")
        calibration, held_back = (
            (expand_inputs(args.calibration, stdin_lines()), None) if args.calibration else images_of_data(cfg)
        )
    info = export_model(
        source.network,
        out,
        file_format,
        batch_size,
        preprocess=source.preprocess,
        class_names=renamed_classes(source.class_names, class_names, args.class_names)
        if class_names
        else source.class_names,
        head=source.head,
        model_name=source.name,
        dataset=source.dataset,
        softmax=args.softmax,
        uint8_input=args.uint8_input,
        fold_bn=args.fold_bn,
        fp16_weights=args.fp16_weights,
        key=key,
        enc_mode=args.enc_mode,
        tolerance=args.tolerance,
        threshold=args.threshold,
        quantize=args.quantize,
        calibration=calibration,
        held_back=held_back,
        min_agreement=MIN_AGREEMENT if args.min_agreement is None else args.min_agreement,
    )
    checked = info.verification
    sizes = ", ".join(map(str, checked["batch_sizes"]))
    print(
        f"verified on batches of {sizes}: largest difference {checked['largest_difference']:.3g} "
        f"(allowed {checked['allowed']:.3g})"
    )
    if args.quantize:
        print(
            f"int8: agrees with the float network on {checked['agreement']:.4f} of {checked['held_back_images']} "
            f"held-back images (at least {checked['min_agreement']:g}); {checked['int8_layers']} layers in int8, "
            f"{checked['float_layers']} in float, ranges of {checked['calibration_images']} images"
        )
    shape = "x".join("N" if side is None else str(side) for side in info.input_shape)
    print(f"{out}: {info.format}, {info.input_name} {shape} {info.input_dtype}, {out.stat().st_size / 1e6:.1f} MB")
    print(info_path(out))
    return 0


def _recipe_words(args: argparse.Namespace) -> Sequence[str]:
    recipe = args.config
    if args.checkpoint:
        if args.ckpt_path:
            raise ValueError(f"give {args.checkpoint} or --ckpt_path {args.ckpt_path}, not both")
        args.ckpt_path = args.checkpoint
        if not args.model:
            from mindcv.export.source import recipe_of

            recipe = recipe_of(args.checkpoint, recipe)
    words = ["-c", recipe] if recipe else []
    for key in _RECIPE_KEYS:
        value = getattr(args, key)
        if value is not None:
            words += [f"--{key}={' '.join(value) if isinstance(value, list) else value}"]
    return words


def _as_count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"--batch_size: got {text!r}; give a number from 1, or dynamic")
    return int(text)
