"""Keys of the run itself, of the data, its augmentation and its mixing."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    field_validator,
)

from .fields import (
    MOST_EPOCHS,
    MOST_IMAGES_IN_A_STEP,
    MOST_SAMPLES,
    MOST_STEPS,
    Channels,
    Deviations,
    ErasedValue,
    ImageSize,
    Jitter,
    NotNegative,
    Probability,
    Range,
    Section,
    Steps,
    ValSplit,
    Words,
    key,
)


class RunKeys(Section):
    title = "Run"

    config: str = key("", "The recipe that the run started from; a saved config remembers it.", may_change=True)
    mode: Literal[0, 1] = key(0, "0 runs compiled (GRAPH_MODE), 1 runs eagerly (PYNATIVE_MODE).", may_change=True)
    jit_level: Literal["O0", "O1", "O2"] | None = key(
        None,
        "How far the graph compiler optimises; None is MindSpore's default. Not every device and version has O2.",
        may_change=True,
    )
    compile_cache: Annotated[str, Words("auto, off or a folder")] = key(
        "auto",
        "Where compiled graphs are kept for the next start: a folder, off, or auto, which is on where it was measured: "
        "on CPU in graph mode.",
        may_change=True,
    )
    device_target: Literal["auto", "Ascend", "GPU", "CPU"] = key(
        "auto", "The device to run on; auto takes Ascend, then GPU, then CPU.", may_change=True
    )
    runtime: Literal["auto", "onnxruntime", "openvino"] = key(
        "auto",
        "What runs an exported ONNX file; auto takes openvino for bf16, and for int8 where it is installed.",
        may_change=True,
    )
    precision: Literal["fp32", "bf16"] = key(
        "fp32",
        "What an exported ONNX file is computed in; bf16 needs openvino and a processor that has it.",
        may_change=True,
    )
    distribute: bool = key(
        False,
        "Train on all workers that mindcv launch or msrun started; under these it is found by itself.",
        old=("is_distributed", "run_distribute", "multiprocessing_distributed"),
        may_change=True,
    )
    sync_bn: bool = key(False, "BatchNorm over the images of all workers, in place of each worker's own.")
    seed: int = key(42, "Seed of weights, data order and augmentation.", ge=0, le=2**32 - 1)
    log_interval: int = key(100, "How often the loss is logged.", unit="steps", ge=1, le=MOST_STEPS, may_change=True)
    val_while_train: bool = key(False, "Evaluate during training.", old=("run_eval",), may_change=True)
    val_interval: int = key(
        1,
        "How often to evaluate during training.",
        unit="epochs",
        ge=1,
        le=MOST_EPOCHS,
        old=("eval_interval",),
        may_change=True,
    )
    tensorboard: bool = key(
        False, "Write loss, learning rate, speed, metrics and memory for TensorBoard too.", may_change=True
    )
    report: Annotated[
        bool | Annotated[str, Field(min_length=1)], Words("True or False for train; a folder for validate")
    ] = key(
        True,
        "train: write report.html into the run's folder at the end, where the extra mindcv[report] is installed. "
        "validate: a folder for the figures by class, confusions, predictions and worst images.",
        may_change=True,
    )
    profile: Annotated[
        Steps | None, Words(f"two integers >= 1 and <= {MOST_STEPS}, first:last (in a recipe [first, last]), or None")
    ] = key(
        None,
        "Record these steps of the run, from the first to the last, as a trace that a browser shows.",
        unit="steps",
        may_change=True,
    )

    @field_validator("compile_cache", mode="before")
    @classmethod
    def _read_switch(cls, value: Any) -> Any:
        """YAML takes `off` for a switch, and so is the opposite of it."""
        return {False: "off", True: "auto"}.get(value, value) if isinstance(value, bool) else value

    @field_validator("compile_cache")
    @classmethod
    def _require_address(cls, value: str) -> str:
        """Refuses a name that is empty, and takes the two words in any case."""
        if not value.strip():
            raise ValueError("auto, off or a folder")
        return value.lower() if value.lower() in ("auto", "off") else value


class DataKeys(Section):
    title = "Data"

    dataset: str = key(
        "imagenet", "Name of the dataset; imagenet is any folder with a folder for each class.", keyword="name"
    )
    data_dir: str = key(
        "./", "Folder of the dataset, above its splits.", keyword="root", old=("data_path",), may_change=True
    )
    train_split: str = key("train", "Name of the training split.", keyword="split")
    val_split: ValSplit = key(
        "val",
        "Name of the evaluation split; or the share of the training split that is held out for it.",
        keyword="split",
    )
    class_names: str = key(
        "",
        "Text file with one class name a line, in the order of the classes; empty takes the checkpoint's, else the "
        "dataset's own order.",
        may_change=True,
    )
    unknown_classes: Literal["refuse", "skip"] = key(
        "refuse", "What to do about a class of the data that the model does not know: stop, or leave its images out."
    )
    folds: int | None = key(
        None,
        "Cross-validation: the training split is divided into so many parts, one of which is held out for evaluation.",
        unit="parts",
        ge=2,
        le=1000,
    )
    fold: int = key(0, "Which of the folds is held out, from 0.", ge=0, le=999)
    dataset_download: bool = key(
        False, "Download the dataset where that is possible.", keyword="download", may_change=True
    )
    num_parallel_workers: int = key(
        8,
        "Threads that prepare data; never more than the machine has cores.",
        unit="threads",
        ge=1,
        le=4096,
        old=("workers",),
        may_change=True,
    )
    shuffle: bool = key(True, "Shuffle the training data.")
    eval_shuffle: bool = key(False, "Shuffle the evaluation data.", keyword="shuffle", may_change=True)
    val_image_resize: ImageSize | None = key(
        None,
        "Size of the image in evaluation, for networks that take any. None: image_resize.",
        unit="pixels",
        may_change=True,
    )
    tta: Literal["flip", "five_crop", "ten_crop", "scales"] | None = key(
        None,
        "Views of each image in evaluation, whose probabilities are averaged: mirrored, the centre and four corners, "
        "these mirrored, or three sizes.",
        may_change=True,
    )
    sampler: Literal["uniform", "balanced"] = key(
        "uniform", "How training samples are drawn: each one once an epoch, or every class equally often."
    )
    bad_samples: Literal["error", "skip", "replace"] | None = key(
        None,
        "What to do about images that cannot be read: stop; decode all files first and leave the bad ones out; or use "
        "another sample, which evaluation never does: it leaves out. None replaces in training, stops in evaluation.",
    )
    num_samples: int | None = key(
        None, "Use only so many training samples; None uses all.", unit="samples", ge=1, le=MOST_SAMPLES
    )
    batch_size: int = key(
        128,
        "Images in a step on one device.",
        unit="images",
        ge=1,
        le=MOST_IMAGES_IN_A_STEP,
        old=("per_batch_size",),
    )
    drop_remainder: bool = key(True, "Leave out the last training batch when it is not full.")
    aug_repeats: int = key(
        0,
        "Repeated augmentation: each sample so many times in an epoch; 0 and 1 are off.",
        keyword="num_aug_repeats",
        ge=0,
        le=1000,
    )


class AugmentationKeys(Section):
    title = "Augmentation"
    factory = "create_transforms"

    image_resize: ImageSize = key(
        224,
        "Size of the image that the network gets: the side of a square, or height and width.",
        unit="pixels",
        old=("image_size",),
    )
    train_crop: Literal["random_resized", "simple"] = key(
        "random_resized",
        "How training crops an image: a part of random area and ratio, resized; or simple, the image resized by its "
        "shorter side, and moved by some pixels.",
    )
    scale: Range = key((0.08, 1.0), "Area of the random crop.", unit="share of the image")
    ratio: Range = key((0.75, 1.333), "Aspect ratio of the random crop.", unit="width / height")
    hflip: Probability = key(0.5, "Probability of a horizontal flip.")
    vflip: Probability = key(0.0, "Probability of a vertical flip.")
    color_jitter: Jitter = key(0.4, "Strength of colour jitter; not used together with auto_augment.")
    interpolation: Literal[
        "nearest", "bilinear", "bicubic", "area", "pilcubic", "antialias", "linear", "cubic", "lanczos"
    ] = key("bilinear", "How images are resized.")
    auto_augment: str | None = key(
        None,
        "Policy: randaug, autoaug, autoaugr, 3a, trivialaugwide or augmix, with options, such as randaug-m7-mstd0.5.",
    )
    re_prob: Probability = key(0.0, "Probability of random erasing.")
    re_scale: Range = key((0.02, 0.33), "Area of the erased rectangle.", unit="share of the image")
    re_ratio: Range = key((0.3, 3.3), "Aspect ratio of the erased rectangle.", unit="width / height")
    re_value: ErasedValue = key(0, "What the erased rectangle is filled with.")
    re_count: int = key(
        1,
        "Most rectangles that are erased in an image; each is smaller by their number.",
        unit="rectangles",
        ge=1,
        le=100,
    )
    re_max_attempts: int = key(
        10, "Tries to place the erased rectangle before the image is left as it is.", ge=1, le=10000
    )
    mean: Channels = key(
        (0.485 * 255, 0.456 * 255, 0.406 * 255),
        "Mean that is taken off each channel; one number counts for all.",
        unit="0 to 255",
    )
    std: Deviations = key(
        (0.229 * 255, 0.224 * 255, 0.225 * 255),
        "What each channel is divided by; one number counts for all.",
        unit="0 to 255",
    )
    normalize_on_device: bool = key(
        False, "Give pixels as uint8; normalising, mixup and cutmix are then done on the device."
    )
    crop_pct: float = key(
        0.875,
        "Share of the resized image that the evaluation's centre crop keeps; above 1 the image gets a black border.",
        gt=0,
        le=2,
    )
    resize_rounding: Literal["floor", "round"] = key(
        "floor",
        "How the evaluation rounds the longer side of a resized image: down, as torchvision does, or to the nearest.",
    )
    crop_mode: Literal["center", "squash"] = key(
        "center",
        "How the evaluation resizes: in proportion, so that the crop loses the longer sides' ends, or squashed.",
    )


class MixingKeys(Section):
    title = "Mixing"

    mixup: NotNegative = key(0.0, "Alpha of mixup's beta distribution; 0 is off.")
    cutmix: NotNegative = key(0.0, "Alpha of cutmix's beta distribution; 0 is off.")
    cutmix_prob: Probability = key(1.0, "Probability that a batch is mixed, by mixup or cutmix.")
    switch_prob: Probability = key(0.5, "Share of the mixed batches that are cutmix's, with mixup and cutmix both on.")
    mixup_off_epoch: int = key(
        0, "Mixing ends after so many epochs; 0 lasts to the end.", unit="epochs", ge=0, le=MOST_EPOCHS
    )
    aug_splits: Literal[0, 3] = key(
        0, "Augmentation splits for the JSD loss: 0 is off, 3 makes three views of an image."
    )
