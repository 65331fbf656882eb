"""Evaluation of exported files: what `validate --model FILE.mindir` and `FILE.onnx` do."""

import sys
from typing import TYPE_CHECKING

from mindcv.config import Config

from ._model_options import say_runtime

if TYPE_CHECKING:
    from mindcv.data import EvalPreprocess

__all__ = ["main"]


def main(cfg: Config) -> None:
    """Evaluates an exported file and prints one line, in the form that the model zoo's scripts print it.

    The file's JSON says how images are prepared. Keys of the config that contradict it are refused; the dataset is the
    config's where it names one, else the one that the exported recipe had. Its classes are found by their names, by the
    same rule as those of a checkpoint's data.

    Raises:
        FileNotFoundError: The file, its JSON or the data is not there.
        ValueError: The file is damaged, the data does not fit it, or the config contradicts it.
    """
    from mindcv.build import build_eval_loader, build_recorder, check_head
    from mindcv.data import is_encoded, known_outputs, view_operations
    from mindcv.engine import Evaluator, by_class, is_launched, setup_run
    from mindcv.export import ExportedModel
    from mindcv.validate import run_evaluator, write_records
    from mindcv.weights.outputs import MULTIPLE

    if is_launched():
        raise ValueError("an exported file is evaluated by one process; start it without msrun")
    setup_run(cfg.device_target, cfg.mode, cfg.jit_level, False, cfg.seed)
    model = ExportedModel(cfg.model, runtime=cfg.runtime, precision=cfg.precision)
    say_runtime(model.runtime, bool({"runtime", "precision"} & cfg.model_fields_set))
    info = model.info
    name = cfg.dataset if "dataset" in cfg.model_fields_set else info.dataset or cfg.dataset
    cfg = cfg.model_copy(update={"dataset": name, "batch_size": info.batch_size or cfg.batch_size})
    _check_preprocess(cfg, info.preprocess)
    outputs = known_outputs(cfg, cfg.model, info.outputs)
    encoded, normalise = is_encoded(name), info.normalisation == "outside"
    if cfg.tta:
        operations = view_operations(info.preprocess, cfg.tta, encoded, normalise)
    else:
        operations = info.preprocess.operations(encoded, normalise)
    loader, num_classes = build_eval_loader(cfg, outputs, operations)
    check_head(outputs, loader, cfg.model)
    gives_probabilities = info.output_name == "probabilities"
    evaluator = Evaluator(
        *(model, None, loader, num_classes, cfg.batch_size),
        is_shared=False,
        is_multi_label=info.head == MULTIPLE,
        are_probabilities=gives_probabilities,
    )
    recorder = build_recorder(cfg, loader, num_classes, gives_probabilities)
    values = run_evaluator(evaluator, recorder)
    if evaluator.is_multi_label:
        print(by_class(evaluator.average_precisions, outputs and outputs.class_names), file=sys.stderr)
        figures = f"mAP:{values['mAP']}, subset accuracy:{values['Subset_Accuracy']}"
    else:
        figures = f"top1 accuracy:{values['Top_1_Accuracy']}"
        if "Top_5_Accuracy" in values:
            figures += f", top5 accuracy:{values['Top_5_Accuracy']}"
    write_records(evaluator, recorder, values)
    print(f"Total data:{values['num_samples']}, {figures}")


def _check_preprocess(cfg: Config, preprocess: "EvalPreprocess") -> None:
    """Refuses keys that were given and that the file, which has the last word, contradicts."""
    from mindcv.data import EvalPreprocess
    from mindcv.data.preprocess import check_channels

    channels = len(preprocess.mean)
    check_channels(channels)
    if "in_channels" in cfg.model_fields_set and cfg.in_channels != channels:
        raise ValueError(
            f"in_channels: got {cfg.in_channels}, but {cfg.model} was exported for {channels}; leave it out"
        )
    wanted = EvalPreprocess.from_config(cfg.model_copy(update={"in_channels": channels}))
    same = ("crop_pct", "interpolation", "mean", "std", "resize_rounding", "crop_mode")
    for key, field in {
        "image_resize": "image_size",
        "val_image_resize": "image_size",
        **dict(zip(same, same, strict=True)),
    }.items():
        if key in cfg.model_fields_set and getattr(wanted, field) != getattr(preprocess, field):
            raise ValueError(
                f"{key}: got {getattr(cfg, key)}, but {cfg.model} was exported for {getattr(preprocess, field)}; "
                "leave it out, or export again"
            )
