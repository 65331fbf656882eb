"""`mindcv push`: a trained model in the form of timm and of the Hugging Face hub, to a folder, a store or the hub."""

import argparse
import json
from collections.abc import Mapping

from mindcv.utils.fs import is_remote, local_path

from ._imports import add_import_option

HELP = "share a trained model: a folder, s3://..., or hf://OWNER/NAME on the Hugging Face hub"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add_import_option(parser)
    parser.add_argument("source", metavar="RUN|CKPT", help="folder of a training (its best checkpoint), or a file")
    parser.add_argument("target", metavar="TARGET", help="folder, s3://BUCKET/PATH ..., or hf://OWNER/NAME")
    parser.add_argument(
        "-c", "--config", default="", metavar="RECIPE", help="recipe of the training (default: config.yaml beside it)"
    )
    parser.add_argument(
        "--licence", "--license", default="", metavar="NAME", help="licence of the weights, as in apache-2.0"
    )
    parser.add_argument(
        "--report",
        metavar="DIR",
        help="evaluation for the card, of `mindcv validate --report DIR` (default: one in RUN's folder)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the model that is there")
    parser.add_argument("--private", action="store_true", help="make a new repository on the hub private")
    parser.add_argument("--device_target", default="auto", help="Ascend, GPU, CPU or auto (default: auto)")


def run(args: argparse.Namespace) -> int:
    """Writes the model, checks that it reads back with equal logits, and puts it there.

    Raises:
        FileNotFoundError: There is no such run or checkpoint.
        OSError: The target cannot be written.
        RunError: The hub refuses, or what was written differs.
        ValueError: Options are wrong.
    """
    from mindcv.config import read_config
    from mindcv.engine import setup_run
    from mindcv.export.share import ModelCard, model_folder, publish
    from mindcv.export.source import source_from_checkpoint

    checkpoint = _checkpoint_of(args.source)
    setup_run(args.device_target, 1, None, False, 0)  # eager: two images are not worth a compilation
    source = source_from_checkpoint(checkpoint, args.config)
    beside = args.config or str(local_path(checkpoint).parent / "config.yaml")
    figures, evaluated_on = _figures(args.report, checkpoint)
    card = ModelCard(figures, evaluated_on, args.licence, read_config(["-c", beside]))
    with model_folder(source, card) as folder:
        architecture = json.loads((folder / "config.json").read_bytes())["architecture"]
        size = sum(path.stat().st_size for path in folder.iterdir())
        location = publish(folder, args.target, args.overwrite, args.private)
    print(f"{args.target}: {source.name} of {checkpoint}, {size / 1e6:.1f} MB, reads back with equal logits")
    print(f"read it with: {_how_to_read(location, source.name)}")
    print(_what_timm_does(architecture))
    return 0


def _how_to_read(location: str, name: str) -> str:
    if is_remote(location):
        return f'create_model("{name}", pretrained="{location}")'
    return f'create_model("{location}", pretrained=True)'


def _what_timm_does(architecture: str) -> str:
    if architecture.startswith("mindcv."):
        name = architecture.removeprefix("mindcv.")
        return f"timm has no network that computes the same as this {name}, and refuses it"
    return f"timm reads it as {architecture}"


def _checkpoint_of(source: str) -> str:
    """The file itself, or the best checkpoint of a run's folder, else its last one.

    Raises:
        FileNotFoundError: There is no such location, or it has no checkpoint.
        ValueError: It has several best ones, as when runs share a folder.
    """
    if is_remote(source):
        return source
    location = local_path(source)
    if not location.is_dir():
        if not location.exists():
            raise FileNotFoundError(f"{source}: there is no such run or checkpoint")
        return source
    from mindcv.engine.checkpoint_list import list_checkpoints

    best = sorted(location.glob("*_best.ckpt"))
    if len(best) > 1:
        raise ValueError(f"{source} has {len(best)} best checkpoints; name one: {', '.join(map(str, best))}")
    if best:
        return str(best[0])
    listed = list_checkpoints(location)
    if not listed:
        raise FileNotFoundError(f"{source}: the folder holds no checkpoint of a training")
    return str(location / listed[-1].file)


def _figures(report: str | None, checkpoint: str) -> tuple[Mapping[str, float], str]:
    """Figures for the card, and what they were measured on.

    Raises:
        FileNotFoundError: There is no evaluation in the folder that was named.
        ValueError: There are several.
    """
    from mindcv.config import dataset_text
    from mindcv.report.evaluation import find_evaluations, read_evaluation

    if report is None and is_remote(checkpoint):
        return {}, ""
    location = local_path(checkpoint).parent if report is None else local_path(report)
    found = find_evaluations(location)
    if report is not None and not found:
        raise FileNotFoundError(f"--report: {report} holds no evaluation; `mindcv validate --report DIR` writes one")
    if len(found) > 1:
        raise ValueError(f"{location} holds {len(found)} evaluations; name one: --report {found[0]}")
    if not found:
        return {}, ""
    evaluation = read_evaluation(found[0])
    figures = {
        "mAP": evaluation.mean_average_precision,
        "subset accuracy": evaluation.subset_accuracy,
        "top-1 accuracy": evaluation.top_1_accuracy,
        "top-5 accuracy": evaluation.top_5_accuracy,
        "macro F1": evaluation.macro.f1,
        "expected calibration error": evaluation.expected_calibration_error,
    }
    known = {name: value for name, value in figures.items() if value is not None}
    dataset = dataset_text(evaluation.facts.dataset, evaluation.num_classes)
    return known, f"{evaluation.num_images} images of {dataset}"
