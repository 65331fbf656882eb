"""Evaluation of exported files: what `validate --model FILE.mindir` and `FILE.onnx` do."""

import sys
from typing import TYPE_CHECKING

from mindcv.config import Config

if TYPE_CHECKING:
    from mindcv.data import EvalPreprocess

__all__ = ["main"]


def main(cfg: Config) -> None:
    """Evaluates an exported file and prints one line, in the form that the model zoo's scripts print it.

    The file's JSON says how images are prepared. Keys of the config that contradict it are refused; the dataset is the
    config's where it names one, else the one that the exported recipe had.

    Raises:
        FileNotFoundError: The file, its JSON or the data is not there.
        ValueError: The file is damaged, the data does not fit it, or the config contradicts it.
    """
    import numpy as np
    from tqdm import tqdm

    from mindcv.data import check_num_classes, create_dataset, create_loader, divide, pipeline_errors
    from mindcv.data.dataset_factory import is_encoded
    from mindcv.engine import count_correct, setup_run
    from mindcv.engine.distributed import is_launched
    from mindcv.export import ExportedModel

    if is_launched():
        raise ValueError("an exported file is evaluated by one process; start it without msrun")
    setup_run(cfg.device_target, cfg.mode, cfg.jit_level, False, cfg.seed)
    model = ExportedModel(cfg.model)
    info = model.info
    name = cfg.dataset if "dataset" in cfg.model_fields_set else info.dataset or cfg.dataset
    _check_preprocess(cfg.model_copy(update={"dataset": name}), info.preprocess)
    split, part = divide(cfg.train_split, cfg.val_split, cfg.folds, cfg.fold, cfg.seed)[1]
    dataset = create_dataset(
        name,
        cfg.data_dir,
        split,
        shuffle=False,
        num_parallel_workers=cfg.num_parallel_workers,
        download=cfg.dataset_download,
        part=part,
    )
    check_num_classes(dataset, info.num_classes)
    operations = info.preprocess.operations(is_encoded(name), normalise=info.normalisation == "outside")
    loader = create_loader(
        dataset, info.batch_size or cfg.batch_size, transform=operations, num_parallel_workers=cfg.num_parallel_workers
    )
    count = top1 = top5 = 0
    with pipeline_errors():
        batches = loader.create_tuple_iterator(num_epochs=1, output_numpy=True)
        for image, label in tqdm(
            batches, "Evaluating", loader.get_dataset_size(), leave=False, disable=not sys.stderr.isatty()
        ):
            scores = np.asarray(model(image), np.float32)
            count += len(label)
            top1 += count_correct(scores, label, 1)
            top5 += count_correct(scores, label, 5)
    print(f"Total data:{count}, top1 accuracy:{top1 / count}, top5 accuracy:{top5 / count}")


def _check_preprocess(cfg: Config, preprocess: "EvalPreprocess") -> None:
    """Refuses keys that were given and that the file, which has the last word, contradicts."""
    from mindcv.data import EvalPreprocess

    wanted = EvalPreprocess.from_config(cfg)
    fields = {"image_resize": "image_size", "crop_pct": "crop_pct", "interpolation": "interpolation"}
    for key, field in {**fields, "mean": "mean", "std": "std"}.items():
        if key in cfg.model_fields_set and getattr(wanted, field) != getattr(preprocess, field):
            raise ValueError(
                f"{key}: got {getattr(cfg, key)}, but {cfg.model} was exported for {getattr(preprocess, field)}; "
                "leave it out, or export again"
            )
