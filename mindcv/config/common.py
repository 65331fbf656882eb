"""Which keys `train --help` and `validate --help` show first; `--help-all` shows all of them."""

__all__ = ["COMMON_KEYS", "DESCRIPTIONS"]

DESCRIPTIONS = {
    "train": "Trains a model from a recipe.",
    "validate": "Evaluates a checkpoint, published weights or an exported file.",
}

COMMON_KEYS: dict[str, tuple[str, ...]] = {
    "train": (
        *("device_target", "mode", "distribute", "seed", "val_while_train"),
        *("dataset", "data_dir", "val_split", "num_parallel_workers", "batch_size"),
        *("image_resize", "auto_augment"),
        *("mixup", "cutmix"),
        *("imports", "model", "num_classes", "pretrained"),
        *("ckpt_path", "ckpt_save_dir", "resume"),
        *("epoch_size", "freeze", "ema"),
        *("opt", "weight_decay"),
        *("scheduler", "lr", "warmup_epochs"),
        *("loss", "label_smoothing"),
        *("amp_level",),
    ),
    "validate": (
        *("device_target", "mode", "jit_level", "compile_cache", "report"),
        *("dataset", "data_dir", "class_names", "unknown_classes"),
        *("train_split", "val_split", "folds", "fold", "dataset_download"),
        *("num_parallel_workers", "bad_samples", "batch_size"),
        *("image_resize", "interpolation", "mean", "std", "crop_pct", "normalize_on_device"),
        *("imports", "model", "num_classes", "in_channels", "pretrained"),
        *("random_weights", "ckpt_path"),
        *("ema",),
        *("loss", "label_smoothing"),
        *("val_amp_level", "amp_dtype"),
    ),
}
