"""The typed schema of all configuration keys: flat, and grouped in code by section.

A key is declared once, with its type, range or choices, default, help, unit, the keyword of the factory it goes to
where that differs, and its old spellings. The YAML check, the command line, `docs/reference/configuration.md` and
`config.schema.json` are made from it.
"""

import contextlib
import itertools
import math
import re
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from ..utils.pixel_scale import unit_scale_problem
from .effects import without_effect

_NONE_WORDS = ("", "none", "null", "~")
_BRACKETS = "[]() \t"


@dataclass(frozen=True)
class Words:
    """What a type allows, in words, where its annotation does not say it well."""

    text: str


def split_list(value: Any) -> Any:
    """Turns the text forms of a list, `0.08,1.0`, `[0.08, 1.0]` and `0.08 1.0`, into a list; anything else stays."""
    if not isinstance(value, str):
        return value
    return [part for part in re.split(r"[,\s]+", value.strip(_BRACKETS)) if part]


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("not ascending")
    return value


def _strictly_ascending(value: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(value)):
        raise ValueError("not ascending")
    return value


def _one_side_if_square(value: Any) -> Any:
    """Reads `[224, 224]`, as recipes for other scripts have it, as 224."""
    sides = split_list(value)
    if isinstance(sides, (list, tuple)) and len(sides) in (1, 2) and len({str(side) for side in sides}) == 1:
        return sides[0]
    return sides


def _number_or_name(value: Any) -> Any:
    """Turns text that is a number into one."""
    try:
        return float(value) if isinstance(value, (str, int)) else value
    except ValueError:
        return value


def _first_and_last(value: Any) -> Any:
    """Reads `10:20`."""
    return value.split(":") if isinstance(value, str) else value


def _jitter_strengths(value: Any) -> Any:
    if isinstance(value, tuple) and len(value) not in (3, 4):
        raise ValueError("wrong length")
    return value


# Every number has a range, so that what no run can mean is refused here and not in somebody else's words.
MOST_EPOCHS = 100_000
MOST_STEPS = 1_000_000_000
MOST_SAMPLES = 2_000_000_000
MOST_IMAGES_IN_A_STEP = 1_000_000
LARGEST_SIDE = 16384

# Datasets that come with the package and have no folder.
PACKAGED_DATASETS = ("digits",)

# That of the paper (arXiv 2102.06171) for batches of 4,096 images; the default of clip_value would never clip.
AGC_CLIP_VALUE = 0.01

Probability = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, le=1000)]
NotNegative = Annotated[float, Field(ge=0, le=1000)]
Epoch = Annotated[int, Field(ge=1, le=MOST_EPOCHS)]
Step = Annotated[int, Field(ge=1, le=MOST_STEPS)]
# A mean or deviation of pixels of up to 16 bits.
PixelMean = Annotated[float, Field(ge=-65535, le=65535)]
PixelDeviation = Annotated[float, Field(gt=0, le=65535)]
PixelValue = Annotated[int, Field(ge=0, le=255)]
Range = Annotated[
    tuple[Positive, Positive], AfterValidator(_ascending), Words("2 numbers > 0 and <= 1000, the smaller first")
]
Channels = Annotated[
    tuple[PixelMean, ...], Field(min_length=1), Words("a number for each channel, from -65535 to 65535")
]
Deviations = Annotated[
    tuple[PixelDeviation, ...], Field(min_length=1), Words("a number > 0 and <= 65535 for each channel")
]
Milestones = Annotated[
    tuple[Epoch, ...], AfterValidator(_strictly_ascending), Words(f"integers >= 1 and <= {MOST_EPOCHS}, ascending")
]
Steps = Annotated[
    tuple[Step, Step],
    BeforeValidator(_first_and_last),
    AfterValidator(_ascending),
]
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
ImageSize = Annotated[
    Side | tuple[Side, Side],
    BeforeValidator(_one_side_if_square),
    Words(f"an integer >= 1 and <= {LARGEST_SIDE}, or two of them: height, width"),
]
Jitter = Annotated[
    NotNegative | tuple[NotNegative, ...] | None,
    AfterValidator(_jitter_strengths),
    Words("a number >= 0 and <= 1000, 3 or 4 of them (brightness, contrast, saturation, hue), or None"),
]
ErasedValue = Annotated[
    PixelValue | tuple[PixelValue, PixelValue, PixelValue] | Literal["random"],
    Words("an integer from 0 to 255, 3 of them (R, G, B), or random"),
]
Modules = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")], ...],
    Words("names of Python modules, such as my_package.my_models"),
]
HeldOutShare = Annotated[float, Field(gt=0, lt=1)]
ValSplit = Annotated[
    str | HeldOutShare,
    BeforeValidator(_number_or_name),
    Words("text, or a number > 0 and < 1, the share of train_split that is held out"),
]
AmpLevel = Literal["O0", "O1", "O2", "O3"]

_SWITCH = TypeAdapter(bool)


def key(
    default: Any,
    help: str,
    *,
    unit: str = "",
    keyword: str = "",
    old: tuple[str, ...] = (),
    may_change: bool = False,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """Declares a key.

    Args:
        default: The value when neither the recipe nor the command line has the key.
        help: One sentence for `--help` and the reference page.
        unit: What the number counts.
        keyword: The factory's name for it, where it differs.
        old: Spellings of other scripts that are read as this key.
        may_change: Whether a run can be resumed with another value and still be the same run.
        ge, gt, le, lt: The range of a number.
    """
    facts: dict[str, Any] = {"unit": unit, "keyword": keyword, "old_spellings": list(old), "may_change": may_change}
    extra = {name: fact for name, fact in facts.items() if fact}
    return Field(default, description=help, json_schema_extra=extra, ge=ge, gt=gt, le=le, lt=lt)


class Section(BaseModel):
    """Keys that belong together. `factory` is the function that takes all of them, where there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    title: ClassVar[str] = ""
    factory: ClassVar[str] = ""

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        """Reads the spellings that YAML, the command line and upstream's recipes use for one and the same value."""
        field = cls.model_fields[str(info.field_name)]
        members = _members(field.annotation)
        choices = [choice for member in members if get_origin(member) is Literal for choice in get_args(member)]
        if isinstance(value, str) and type(None) in members and value.strip().lower() in _NONE_WORDS:
            return None
        if value is None and str in members and field.default == "":
            return ""
        if isinstance(value, bool) and bool not in members:
            raise ValueError("a switch where a value belongs")
        if isinstance(value, str) and bool in members:
            with contextlib.suppress(ValidationError):
                return _SWITCH.validate_python(value.strip())
        for choice in choices:
            if str(value).strip().lower() == str(choice).lower():
                return choice
        if any(get_origin(member) is tuple for member in members) and isinstance(value, str):
            parts = split_list(value)
            return value if len(parts) == 1 and len(members) > 1 else parts
        return value


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
    def _require_place(cls, value: str) -> str:
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
        False, "Hand out pixels as uint8; normalising, mixup and cutmix are then done on the device."
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


class ModelKeys(Section):
    title = "Model"

    imports: Modules = key(
        (),
        "Modules with models of your own, which are imported first, from the current folder too; --import MODULE on "
        "the command line of every command.",
        may_change=True,
    )
    model: str = key(
        "mobilenet_v2_035_224", "Name of the model.", keyword="model_name", old=("backbone", "arch", "network")
    )
    num_classes: int | None = key(None, "Classes; None takes the dataset's.", ge=1, le=10_000_000)
    in_channels: int = key(3, "Channels of the input: 3 (RGB), or 1 for grey images.", ge=1, le=65536)
    drop_rate: Rate | None = key(None, "Dropout before the classifier; None is the model's own.")
    drop_path_rate: Rate | None = key(None, "Stochastic depth; None is the model's own.")
    head_init_scale: Positive = key(
        1.0, "What the initial weights of the layer that gives the logits are multiplied by, where no file has them."
    )
    pretrained: Annotated[bool | str, Words("True, False, a tag, a file, or an address (https://, s3:// ...)")] = key(
        False,
        "Start from published weights: the model's default ones, or those of a tag such as a1h_in1k; or from any "
        "checkpoint: a file or an address. A head of other classes, or none, starts fresh: fine-tuning.",
        may_change=True,
    )


class CheckpointKeys(Section):
    title = "Checkpoints"

    random_weights: bool = key(
        False, "Evaluate fresh random weights, where neither ckpt_path nor pretrained is set.", may_change=True
    )
    ckpt_path: str = key(
        "",
        "Checkpoint to start from or to evaluate.",
        keyword="checkpoint_path",
        old=("checkpoint_file_path",),
        may_change=True,
    )
    resume_opt: bool = key(False, "Also take optimizer state and epoch from beside ckpt_path.", may_change=True)
    ckpt_save_dir: str = key(
        "./ckpt", "Folder for checkpoints, logs and the resolved config.", old=("outputs_dir",), may_change=True
    )
    resume: str = key(
        "none",
        "Go on with a run: auto takes the last whole checkpoint in ckpt_save_dir, if there is one; or a file, or the "
        "folder of a run; none starts anew.",
        may_change=True,
    )
    resume_force: bool = key(False, "Resume even with settings that change what is trained.", may_change=True)
    ckpt_save_interval: int = key(
        1, "How often a checkpoint is saved.", unit="epochs", ge=1, le=MOST_EPOCHS, may_change=True
    )
    ckpt_save_steps: int | None = key(
        None,
        "Save a checkpoint every so many steps as well.",
        unit="steps",
        ge=1,
        le=MOST_STEPS,
        old=("ckpt_interval",),
        may_change=True,
    )
    ckpt_save_on: Literal["master", "all"] = key(
        "master",
        "Which ranks save checkpoints: the first, or all, each into its own folder.",
        old=("is_save_on_master",),
        may_change=True,
    )
    ckpt_async: bool = key(False, "Write checkpoints in the background while training goes on.", may_change=True)
    ckpt_on_error: Literal["stop", "continue"] = key(
        "stop",
        "What to do when a checkpoint, a log or another file of the run cannot be written, as when the disk is full.",
        may_change=True,
    )
    ckpt_save_policy: Literal["latest_k", "top_k"] | None = key(
        "latest_k",
        "Which checkpoints are kept: the latest, or those with the best top-1; None keeps all.",
        may_change=True,
    )
    keep_checkpoint_max: int = key(
        10,
        "How many checkpoints are kept.",
        unit="files",
        ge=1,
        le=1_000_000,
        old=("ckpt_save_max",),
        may_change=True,
    )


class TrainingKeys(Section):
    title = "Training"

    epoch_size: int = key(
        90,
        "Length of the training.",
        unit="epochs",
        keyword="num_epochs",
        ge=1,
        le=MOST_EPOCHS,
        old=("max_epoch", "epochs"),
        may_change=True,
    )
    dataset_sink_mode: bool = key(
        True, "Feed the device by queue, where the device can (Ascend and GPU).", may_change=True
    )
    gradient_accumulation_steps: int = key(
        1, "Batches whose gradients make one update.", unit="batches", ge=1, le=1_000_000
    )
    lr_base_batch_size: int | None = key(
        None,
        "Scale lr and min_lr linearly: they are meant for updates of so many images, and multiplied by what an update "
        "has (batch_size x workers x gradient_accumulation_steps) over this. None takes them as they are.",
        unit="images",
        ge=1,
        le=MOST_SAMPLES,
    )
    freeze: str | None = key(
        None,
        "What is not trained: patterns of names of parameters or cells with commas between them, such as "
        "'conv1,bn1,layer1*'. Frozen BatchNorm normalises with its running statistics and leaves them.",
    )
    recompute: bool = key(
        False,
        "Compute the network's blocks once more in the backward pass, which takes time and saves memory; graph mode.",
        may_change=True,
    )
    parameter_broadcast: bool = key(
        True,
        "Start all workers from the first one's weights; without, they must have the same weights already.",
        may_change=True,
    )
    clip_grad: bool = key(False, "Clip the gradient by its global norm.", old=("use_clip_grad",))
    clip_value: float = key(
        15.0,
        "Largest global norm of the gradient, with clip_grad; or what clip_mode makes of it: with agc, 0.01 when it is "
        "not set.",
        gt=0,
        le=1e9,
    )
    clip_mode: Literal["norm", "agc"] = key(
        "norm",
        "What clip_grad does: norm clips by the global norm; agc clips the gradient of each output to clip_value times "
        "the norm of its weights, but of the last layer.",
    )
    sam_rho: NotNegative = key(
        0.0,
        "Sharpness-aware minimisation: each update takes the gradient at weights that lie so far uphill, with two "
        "passes in place of one; 0 is off.",
    )
    ema: bool = key(False, "Keep a moving average of the weights, and evaluate it.", old=("use_ema",))
    ema_decay: Rate = key(0.9999, "Decay of the moving average in one update, with ema.")
    ema_warmup: Literal["mindcv", "timm", "none"] = key(
        "mindcv",
        "How ema_decay is reached, by the number n of the average's moves: ema_decay (1 - exp(-n / 2000)) (mindcv), "
        "the smaller of ema_decay and 1 - n^(-2/3) (timm), or at once, but for the first move, a copy (none).",
    )
    ema_interval: Step = key(1, "Move the average at every n-th update only, by ema_decay, with ema.")


class OptimizerKeys(Section):
    title = "Optimizer"
    factory = "create_optimizer"

    opt: Literal[
        "sgd", "momentum", "nesterov", "adam", "adamw", "lion", "nadam", "adan", "rmsprop", "adagrad", "lamb"
    ] = key("adam", "Optimizer.")
    momentum: Rate = key(0.9, "Momentum of sgd, momentum, nesterov and rmsprop.")
    weight_decay: NotNegative = key(
        1e-6,
        "Weight decay: L2, added to the gradient, in sgd, momentum, nesterov, adam, rmsprop and adagrad; decoupled "
        "from it in adamw, lion, nadam, adan and lamb.",
    )
    beta1: Rate | None = key(
        None, "Decay of the first moment of adam, adamw, lion, nadam, adan and lamb; None is the optimizer's own."
    )
    beta2: Rate | None = key(
        None, "Decay of the second moment of adam, adamw, lion, nadam, adan and lamb; None is the optimizer's own."
    )
    use_nesterov: bool = key(False, "Nesterov's momentum for sgd, momentum and adam.", keyword="nesterov")
    weight_decay_filter: Literal["disable", "auto", "norm_and_bias"] = key(
        "disable",
        "What weight decay leaves out: nothing, norm parameters as MindSpore does, or norm parameters and biases.",
        old=("filter_bias_and_bn",),
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = key(
        None,
        "Factor of the learning rate from a layer to the one below it, counted from the head, frozen layers too; None "
        "is off. With it, weight_decay_filter 'disable' acts like norm_and_bias.",
    )
    eps: Positive = key(
        1e-10,
        "Term that keeps the denominator from zero in adam, adamw, nadam, adan, rmsprop, adagrad and lamb.",
        old=("opt_eps",),
    )


class ScheduleKeys(Section):
    title = "Schedule"
    factory = "create_scheduler"

    scheduler: Literal[
        "constant",
        "cosine_decay",
        "warmup_cosine_decay",
        "exponential_decay",
        "polynomial_decay",
        "step_decay",
        "multi_step_decay",
        "one_cycle",
        "cyclic",
    ] = key("cosine_decay", "Course of the learning rate.", old=("lr_scheduler",))
    lr: NotNegative = key(0.001, "Learning rate, the largest of the schedule.")
    min_lr: NotNegative = key(
        1e-6,
        "Smallest learning rate of cosine_decay, warmup_cosine_decay, one_cycle and cyclic; polynomial_decay ends at "
        "0.",
        old=("eta_min",),
    )
    warmup_epochs: int = key(
        3,
        "Length of the warm-up, a straight line up to lr; when it is not set, at most a third of epoch_size, and 0 for "
        "one_cycle and cyclic, which have none.",
        unit="epochs",
        ge=0,
        le=MOST_EPOCHS,
    )
    warmup_factor: Probability = key(
        0.0,
        "Share of lr that the warm-up starts from. With lr_epoch_stair, 0 counts as 1 / (warmup_epochs + 1), so that "
        "no epoch is trained at rate 0.",
    )
    warmup_prefix: bool = key(
        True,
        "The schedule starts after the warm-up, and decay_epochs and milestones count from there. False: they count "
        "from the start of the run, and the warm-up replaces the schedule's first epochs.",
    )
    decay_epochs: int = key(
        100,
        "Length of one cosine of cosine_decay and warmup_cosine_decay, after which the rate stays at min_lr; when it "
        "is not set but epoch_size is, they last to the end of the run. Or how often step_decay lowers the rate. "
        "exponential_decay and polynomial_decay do not use it.",
        unit="epochs",
        ge=0,
        le=MOST_EPOCHS,
        old=("T_max",),
    )
    decay_rate: Positive = key(
        0.9,
        "Factor of a step of step_decay and multi_step_decay, and of an epoch of exponential_decay; the power of "
        "polynomial_decay.",
        old=("lr_gamma",),
    )
    multi_step_decay_milestones: Milestones = key(
        (30, 60, 90),
        "When multi_step_decay lowers the rate.",
        unit="epochs",
        keyword="milestones",
        old=("lr_epochs",),
    )
    lr_epoch_stair: bool = key(
        False, "Change the learning rate once an epoch, not at every step. one_cycle and cyclic need False."
    )
    num_cycles: int = key(1, "Cycles of cosine_decay, warmup_cosine_decay and cyclic.", ge=1, le=MOST_EPOCHS)
    cycle_decay: Positive = key(
        1.0, "Factor of the highest rate from a cycle of cosine_decay and warmup_cosine_decay to the next."
    )


class LossKeys(Section):
    title = "Loss"
    factory = "create_loss"

    loss: Literal["CE", "BCE", "asl_single_label", "asl_multi_label", "jsd", "focal", "focal_multi_label"] = key(
        "CE", "Loss.", keyword="name"
    )
    label_smoothing: Rate = key(
        0.0, "How much of the label goes to all classes.", old=("label_smooth", "label_smooth_factor", "smooth_factor")
    )
    class_weights: str | None = key(
        None,
        "Factors of the training loss by class: a text file with a line for each class (a number in the order of the "
        "classes, or name,number), or balanced: images / (classes x images of the class) of the training split.",
        keyword="weight",
    )
    focal_gamma: NotNegative = key(2.0, "Focus of focal and focal_multi_label; 0 is none.")
    bce_target_threshold: Rate | None = key(
        None, "Labels above it, after mixing and smoothing, are 1 to BCE, and the others 0; None leaves them."
    )
    aux_factor: NotNegative = key(0.0, "Weight of the auxiliary head's loss.")
    reduction: Literal["mean", "sum", "none"] = key("mean", "How the samples' losses are combined.")


class DistillationKeys(Section):
    title = "Distillation"

    teacher: str = key(
        "", "Model whose logits the network learns from too: a name with published weights, or with teacher_ckpt_path."
    )
    teacher_ckpt_path: str = key("", "Checkpoint of the teacher.")
    distill: Literal["soft", "hard"] | None = key(
        None, "How it learns from the teacher: from its probabilities, or from its most probable class."
    )
    distill_alpha: Probability = key(0.5, "Share of the teacher's part in the loss; the rest is that of the labels.")
    distill_temperature: Positive = key(3.0, "What logits are divided by for the probabilities of distill: soft.")


class PrecisionKeys(Section):
    title = "Precision"

    amp_level: AmpLevel = key(
        "O0",
        "Mixed precision: O0 none, O1 a list of cells in half precision, O2 all but a list of cells, O3 all.",
        old=("opt_level", "amp"),
    )
    amp_dtype: Literal["float16", "bfloat16"] = key(
        "float16",
        "What half precision is. bfloat16 needs no loss scale; Ascend 910B and later and GPUs from Ampere on have it.",
    )
    val_amp_level: AmpLevel = key("O0", "Mixed precision of the evaluation.", may_change=True)
    amp_cast_list: str | None = key(
        None,
        "Cells for O1 to cast, or for O2 to leave, in place of the built-in list, such as '[nn.Dense, nn.Conv2d]'.",
    )
    loss_scale_type: Literal["fixed", "dynamic", "auto"] = key(
        "fixed", "How the loss is scaled.", old=("is_dynamic_loss_scale", "dynamic_loss_scale")
    )
    loss_scale: float = key(1.0, "Loss scale, or the one that a dynamic scale starts from.", gt=0, le=1e15)
    drop_overflow_update: bool = key(False, "Leave out updates whose gradients overflow; dynamic scaling always does.")


class ModelArtsKeys(Section):
    title = "ModelArts"

    enable_modelarts: bool = key(
        False, "Copy data and weights in from the addresses below, and outputs out to them.", may_change=True
    )
    data_url: str = key("", "Address of the dataset (obs://, s3:// ...), which is copied to data_dir.", may_change=True)
    ckpt_url: str = key(
        "",
        "Address of the weights to start from or to evaluate, or of a folder with ckpt_path in it.",
        old=("checkpoint_url",),
        may_change=True,
    )
    train_url: str = key(
        "", "Address that ckpt_save_dir is copied to, with each checkpoint and at the end.", may_change=True
    )


SECTIONS: tuple[type[Section], ...] = (
    RunKeys,
    DataKeys,
    AugmentationKeys,
    MixingKeys,
    ModelKeys,
    CheckpointKeys,
    TrainingKeys,
    OptimizerKeys,
    ScheduleKeys,
    LossKeys,
    DistillationKeys,
    PrecisionKeys,
    ModelArtsKeys,
)


# pydantic collects fields from the last base to the first, so this is the order of `SECTIONS` reversed.
class Config(
    ModelArtsKeys,
    PrecisionKeys,
    DistillationKeys,
    LossKeys,
    ScheduleKeys,
    OptimizerKeys,
    TrainingKeys,
    CheckpointKeys,
    ModelKeys,
    MixingKeys,
    AugmentationKeys,
    DataKeys,
    RunKeys,
):
    """All keys of a run, checked and frozen. Keys are attributes: `config.batch_size`.

    Raises:
        pydantic.ValidationError: A key or value is not allowed; `read_config` turns it into a readable report.
    """

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: Any) -> Any:
        """Lets defaults follow what is set, so that it need not be said twice."""
        if not isinstance(values, Mapping):
            return values
        return {**_following_defaults(values), **values}

    @model_validator(mode="after")
    def _check(self) -> "Config":
        problems = contradictions(self)
        if problems:
            text = "; ".join(text for _, text in problems)
            raise PydanticCustomError("contradiction", "{text}", {"text": text, "problems": problems})
        return self

    def checked(self) -> "Config":
        """Returns this config; `Arguments`, whose keys can be set, has to check them together for it."""
        return self

    @classmethod
    def free_keys(cls) -> frozenset[str]:
        """Returns the keys that a run can be resumed with other values of."""
        return frozenset(name for name, known in KEYS.items() if known.may_change)

    def arguments(self, factory: str) -> dict[str, Any]:
        """Returns the keyword arguments for one factory: its section's keys under its own names.

        Args:
            factory: `create_transforms`, `create_optimizer`, `create_scheduler` or `create_loss`.

        Raises:
            KeyError: No section goes to that factory as a whole.
        """
        section = {section.factory: section for section in SECTIONS if section.factory}[factory]
        return {KEYS[name].keyword: getattr(self, name) for name in section.model_fields}


def _following_defaults(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the defaults that are others than usual because of what is set.

    A dynamic loss scale always drops overflowing updates. A schedule fits the run: the warm-up is no longer than a
    third of a short one, a cosine lasts to the end, and no floor is above the rate that falls to it. Clipping by the
    weights gets its paper's factor.
    """
    follow: dict[str, Any] = {}
    if str(values.get("loss_scale_type")).lower() == "dynamic":
        follow["drop_overflow_update"] = True
    if str(values.get("clip_mode")).strip().lower() == "agc":
        follow["clip_value"] = AGC_CLIP_VALUE
    scheduler = str(values.get("scheduler", KEYS["scheduler"].default)).strip().lower()
    epochs = _as_number(values.get("epoch_size"))
    warmup_default = KEYS["warmup_epochs"].default
    if scheduler in ("one_cycle", "cyclic"):  # they have a rise of their own
        follow["warmup_epochs"] = 0
    elif epochs is not None:
        follow["warmup_epochs"] = min(warmup_default, int(epochs // 3))
    warmup = _as_number(values.get("warmup_epochs", follow.get("warmup_epochs", warmup_default)))
    cycles = _as_number(values.get("num_cycles", 1))
    if epochs is not None and warmup is not None and cycles and scheduler in ("cosine_decay", "warmup_cosine_decay"):
        start = 0 if str(values.get("warmup_prefix")).strip().lower() == "false" else warmup
        follow["decay_epochs"] = max(1, int((epochs - start) // cycles))
    lr = _as_number(values.get("lr"))
    if lr is not None and 0 <= lr < KEYS["min_lr"].default:
        follow["min_lr"] = lr
    return follow


def _as_number(value: Any) -> float | None:
    """A value as a finite number; None for what is none, which the check of its own key then refuses."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and abs(number) < 1e12 else None


def contradictions(config: Config) -> list[tuple[str, str]]:
    """Returns what no value alone makes wrong but two together do, as (key, one line)."""
    off_scale = unit_scale_problem(config.mean, config.std)
    falls_to_min_lr = ("cosine_decay", "warmup_cosine_decay", "one_cycle", "cyclic")
    rules = (
        (
            config.ckpt_save_policy == "top_k" and not config.val_while_train,
            "ckpt_save_policy",
            "ckpt_save_policy 'top_k' needs accuracies; set val_while_train: True, or ckpt_save_policy: latest_k",
        ),
        (
            config.resume_opt and not config.ckpt_path,
            "resume_opt",
            "resume_opt needs the checkpoint to resume from; set ckpt_path",
        ),
        (
            config.amp_dtype == "bfloat16" and config.amp_level == "O0" == config.val_amp_level,
            "amp_dtype",
            "amp_dtype 'bfloat16' has no effect at amp_level O0; set amp_level: O1, O2 or O3",
        ),
        (
            config.mode == 1 and config.recompute,
            "recompute",
            "recompute works in graph mode only: in PyNative mode MindSpore would move BatchNorm's statistics twice a "
            "step; set mode: 0 or recompute: False",
        ),
        (
            config.loss_scale_type == "dynamic" and not config.drop_overflow_update,
            "drop_overflow_update",
            "loss_scale_type 'dynamic' always drops overflowing updates; remove drop_overflow_update: False",
        ),
        (
            config.scheduler in falls_to_min_lr and config.min_lr > config.lr,
            "min_lr",
            f"min_lr {config.min_lr:g} is above lr {config.lr:g}, the largest of {config.scheduler}; set min_lr <= lr",
        ),
        (
            config.use_nesterov and config.opt in ("sgd", "momentum", "nesterov") and config.momentum == 0,
            "use_nesterov",
            "use_nesterov needs momentum > 0; set momentum or use_nesterov: False",
        ),
        (
            config.loss == "jsd" and config.aug_splits == 0,
            "loss",
            "loss 'jsd' compares three views of an image; set aug_splits: 3",
        ),
        (
            config.aug_splits > 0 and config.auto_augment is None,
            "aug_splits",
            "aug_splits needs the augmentation that makes the views differ; set auto_augment",
        ),
        (
            config.folds is not None and config.fold >= config.folds,
            "fold",
            f"fold {config.fold} is not one of the {config.folds} folds, which are counted from 0",
        ),
        (
            config.folds is not None and isinstance(config.val_split, float),
            "folds",
            "folds and a share as val_split both say what is held out; remove one of them",
        ),
        (
            config.sampler == "balanced" and (not config.shuffle or config.aug_repeats > 1),
            "sampler",
            "sampler 'balanced' draws at random; set shuffle: True and aug_repeats: 0, or sampler: uniform",
        ),
        (
            config.dataset.lower() in PACKAGED_DATASETS and config.data_dir not in ("", KEYS["data_dir"].default),
            "data_dir",
            f"data_dir {config.data_dir!r} would not be read: the dataset {config.dataset!r} is part of the package; "
            "for the folder set dataset: imagenet (with num_classes: None and image_resize), else leave out data_dir",
        ),
        (
            config.class_weights == "balanced" and config.sampler == "balanced",
            "class_weights",
            "class_weights 'balanced' and sampler 'balanced' would both make up for rare classes; remove one of them",
        ),
        (
            len(config.mean) != len(config.std),
            "std",
            f"mean has {len(config.mean)} channels and std has {len(config.std)}; give both the same number",
        ),
        (
            bool(config.teacher) and config.distill is None,
            "teacher",
            "teacher needs distill, which says what is learned from it; set distill: soft or hard",
        ),
        (
            bool(config.teacher) and config.distill_alpha == 0,
            "distill_alpha",
            "distill_alpha 0 leaves teacher without effect; set it above 0, or leave out teacher",
        ),
        (
            config.mixup > 0 and config.cutmix > 0 and config.switch_prob in (0, 1),
            "switch_prob",
            f"switch_prob {config.switch_prob:g} leaves {'mixup' if config.switch_prob else 'cutmix'} without effect; "
            f"leave out both, or set switch_prob between 0 and 1",
        ),
        (
            config.bce_target_threshold is not None and config.label_smoothing > 0,
            "label_smoothing",
            "label_smoothing has no effect with bce_target_threshold, which makes labels whole again; leave one of "
            "them out",
        ),
        (
            config.sam_rho > 0 and config.gradient_accumulation_steps > 1,
            "sam_rho",
            "sam_rho and gradient_accumulation_steps above 1 do not go together: the weights uphill are those of one "
            "batch; leave one of them out",
        ),
        (bool(off_scale), "mean", f"{off_scale}"),
    )
    in_vain = [
        (name, f"{text}; set it, or leave out {name}") for name, text in without_effect(config, is_upstreams=False)
    ]
    return [*((name, text) for wrong, name, text in rules if wrong), *in_vain]


@dataclass(frozen=True)
class Key:
    """What the schema says of one key.

    Args:
        name: The key.
        default: Its value when nothing is given.
        help: One sentence.
        unit: What the number counts, or empty.
        keyword: The factory's name for it; the key's own where they are the same.
        old: Spellings of other scripts that are read as this key.
        allowed: Type with range, or choices, in words.
        choices: The names to choose from, or empty.
        is_switch: Whether it is on or off.
        is_list: Whether several values are allowed.
        may_change: Whether a run can be resumed with another value of it.
    """

    name: str
    default: Any
    help: str
    unit: str
    keyword: str
    old: tuple[str, ...]
    allowed: str
    choices: tuple[str, ...]
    is_switch: bool
    is_list: bool
    may_change: bool


def _members(annotation: Any) -> list[Any]:
    """Returns the types of a union without their constraints: `float | None` gives `[float, NoneType]`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def limits(metadata: list[Any]) -> dict[str, float]:
    """Returns the range that constraints set, such as `{"ge": 0, "lt": 1}`."""
    parts = [part for item in metadata for part in getattr(item, "metadata", [item])]
    return {
        name: getattr(part, name)
        for name in ("ge", "gt", "le", "lt")
        for part in parts
        if getattr(part, name, None) is not None
    }


def _allowed(annotation: Any, metadata: list[Any]) -> str:
    """What a type allows, in words."""
    for item in metadata:
        if isinstance(item, Words):
            return item.text
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _allowed(inner, [*metadata, *more])
    if origin in (Union, types.UnionType):
        return " or ".join(_allowed(part, metadata) for part in get_args(annotation))
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(annotation))
    if annotation is type(None):
        return "None"
    if annotation is bool:
        return "True or False"
    word = {int: "an integer", float: "a number", str: "text"}[annotation]
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limit = " and ".join(
        f"{signs[name]} {value if annotation is int else format(value, 'g')}"
        for name, value in limits(metadata).items()
    )
    return f"{word} {limit}".strip()


def _describe(name: str, field: FieldInfo) -> Key:
    extra = field.json_schema_extra
    facts: dict[str, Any] = extra if isinstance(extra, dict) else {}
    members = _members(field.annotation)
    return Key(
        name=name,
        default=field.default,
        help=field.description or "",
        unit=facts.get("unit", ""),
        may_change=facts.get("may_change", False),
        keyword=facts.get("keyword", name),
        old=tuple(facts.get("old_spellings", ())),
        allowed=_allowed(field.annotation, field.metadata),
        choices=tuple(
            str(choice) for member in members if get_origin(member) is Literal for choice in get_args(member)
        ),
        is_switch=bool in members,
        is_list=any(get_origin(member) is tuple for member in members),
    )


KEYS: dict[str, Key] = {
    name: _describe(name, field) for section in SECTIONS for name, field in section.model_fields.items()
}
