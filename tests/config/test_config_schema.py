"""The schema: every key, default and choice of the compatibility contract, and what it refuses."""

import types
from typing import Annotated, Union, get_args, get_origin

import pydantic
import pytest

from mindcv.config import Config, ConfigError, read_config
from mindcv.config.fields import PACKAGED_DATASETS, limits
from mindcv.config.schema import KEYS, SECTIONS, contradictions

pytestmark = pytest.mark.no_mindspore

# MindCV 0.5's keys and defaults, with the wanted difference `device_target: auto` and the new `jit_level`.
# fmt: off
DEFAULTS = {
    "config": "", "mode": 0, "distribute": False, "val_while_train": False, "val_interval": 1, "log_interval": 100,
    "seed": 42, "device_target": "auto", "jit_level": None, "dataset": "imagenet", "data_dir": "./",
    "train_split": "train", "val_split": "val", "dataset_download": False, "num_parallel_workers": 8, "shuffle": True,
    "num_samples": None, "batch_size": 128, "drop_remainder": True, "image_resize": 224, "scale": (0.08, 1.0),
    "ratio": (0.75, 1.333), "hflip": 0.5, "vflip": 0.0, "color_jitter": 0.4, "interpolation": "bilinear",
    "auto_augment": None, "aug_splits": 0, "re_prob": 0.0, "re_scale": (0.02, 0.33), "re_ratio": (0.3, 3.3),
    "re_value": 0, "re_max_attempts": 10, "mean": (123.675, 116.28, 103.53),
    "std": (58.395, 57.120000000000005, 57.375),
    "crop_pct": 0.875, "mixup": 0.0, "cutmix": 0.0, "cutmix_prob": 1.0, "aug_repeats": 0, "num_classes": None,
    "model": "mobilenet_v2_035_224", "in_channels": 3, "drop_rate": None, "drop_path_rate": None, "pretrained": False,
    "ckpt_path": "", "resume_opt": False, "keep_checkpoint_max": 10, "ckpt_save_dir": "./ckpt", "ckpt_save_interval": 1,
    "ckpt_save_policy": "latest_k", "epoch_size": 90, "dataset_sink_mode": True, "ema": False, "ema_decay": 0.9999,
    "clip_grad": False, "clip_value": 15.0, "layer_decay": None, "gradient_accumulation_steps": 1, "opt": "adam",
    "momentum": 0.9, "weight_decay": 1e-06, "use_nesterov": False, "weight_decay_filter": "disable", "eps": 1e-10,
    "scheduler": "cosine_decay", "lr": 0.001, "min_lr": 1e-06, "warmup_epochs": 3, "warmup_factor": 0.0,
    "decay_epochs": 100, "decay_rate": 0.9, "multi_step_decay_milestones": (30, 60, 90), "lr_epoch_stair": False,
    "num_cycles": 1, "cycle_decay": 1.0, "loss": "CE", "label_smoothing": 0.0, "aux_factor": 0.0, "reduction": "mean",
    "amp_level": "O0", "val_amp_level": "O0", "amp_cast_list": None, "loss_scale_type": "fixed", "loss_scale": 1.0,
    "drop_overflow_update": False, "eval_shuffle": False,
}
# fmt: on


def test_keys_and_defaults_are_upstreams():
    defaults = Config().model_dump()
    assert {name: defaults[name] for name in DEFAULTS} == DEFAULTS


def test_defaults_pass_their_own_check():
    assert Config(**DEFAULTS) == Config()


def test_keys_are_in_the_order_of_the_sections():
    assert list(Config.model_fields) == list(KEYS) == [name for section in SECTIONS for name in section.model_fields]


def test_every_key_is_explained():
    assert [name for name, key in KEYS.items() if not key.help.endswith(".") or not key.allowed] == []


def test_old_spellings_are_unique_and_no_keys():
    old = [spelling for key in KEYS.values() for spelling in key.old]
    assert len(old) == len(set(old))
    assert not set(old) & set(KEYS)


def test_config_is_frozen():
    with pytest.raises(pydantic.ValidationError):
        Config().lr = 0.1


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [
        ("opt", "SGD", "sgd"),
        ("opt", "AdamW", "adamw"),
        ("opt", "adan", "adan"),
        ("loss", "ce", "CE"),
        ("loss", "bce", "BCE"),
        ("loss", "ASL_single_label", "asl_single_label"),
        ("scheduler", "warmup_cosine_decay", "warmup_cosine_decay"),
        ("scheduler", "polynomial_decay", "polynomial_decay"),
        ("device_target", "ascend", "Ascend"),
        ("device_target", "cpu", "CPU"),
        ("amp_level", "o2", "O2"),
        ("interpolation", "BICUBIC", "bicubic"),
        ("ckpt_save_policy", "None", None),
        ("reduction", "none", "none"),
        ("mode", "1", 1),
        ("lr", "1e-5", 1e-5),
        ("batch_size", "64", 64),
        ("warmup_epochs", 5.0, 5),
        ("num_classes", "None", None),
        ("auto_augment", "", None),
        ("ckpt_path", None, ""),
        ("distribute", "yes", True),
        ("distribute", 0, False),
        ("scale", [0.2, 1], (0.2, 1.0)),
        ("scale", "0.08,1.0", (0.08, 1.0)),
        ("scale", "[0.08, 1.0]", (0.08, 1.0)),
        ("scale", "(0.08, 1.0)", (0.08, 1.0)),
        ("profile", "10:20", (10, 20)),
        ("profile", [5, 5], (5, 5)),
        ("profile", "none", None),
        ("color_jitter", [0.4, 0.4, 0.4], (0.4, 0.4, 0.4)),
        ("color_jitter", "0.3", 0.3),
        ("color_jitter", None, None),
        ("re_value", "random", "random"),
        ("re_value", [124, 116, 104], (124, 116, 104)),
        ("image_resize", [224, 224], 224),
        ("image_resize", "[224]", 224),
        ("image_resize", "192,256", (192, 256)),
        ("image_resize", "192 256", (192, 256)),
        ("image_resize", "[192, 256]", (192, 256)),
        ("image_resize", [192, 256], (192, 256)),
        ("mean", "0", (0.0,)),
        ("multi_step_decay_milestones", [30, 40, 50], (30, 40, 50)),
        ("layer_decay", 0.65, 0.65),
    ],
)
def test_spellings_of_a_value(key, given, expected):
    others = {"std": (1.0,)} if key == "mean" else {}
    value = getattr(Config(**{key: given, **others}), key)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("key", "given", "allowed"),
    [
        ("lr", -0.1, "a number >= 0"),
        ("lr", float("nan"), "a number >= 0"),
        ("lr", "inf", "a number >= 0"),
        ("lr", True, "a number >= 0"),
        ("min_lr", -1, "a number >= 0"),
        ("weight_decay", -1e-4, "a number >= 0"),
        ("momentum", 1.0, "a number >= 0 and < 1"),
        ("ema_decay", 1.0, "a number >= 0 and < 1"),
        ("batch_size", 0, "an integer >= 1"),
        ("batch_size", 1.5, "an integer >= 1"),
        ("batch_size", True, "an integer >= 1"),
        ("mode", 2, "one of 0, 1"),
        ("mode", False, "one of 0, 1"),
        ("opt", "adamm", "one of sgd"),
        ("opt", None, "one of sgd"),
        ("scheduler", "linear", "one of constant"),
        ("scale", [1.0, 0.08], "2 numbers > 0 and <= 1000, the smaller first"),
        ("scale", 0.5, "2 numbers > 0 and <= 1000, the smaller first"),
        ("scale", [0.1, 0.5, 1.0], "2 numbers > 0 and <= 1000, the smaller first"),
        ("color_jitter", [0.4, 0.4], "3 or 4 of them"),
        ("re_value", 300, "an integer from 0 to 255"),
        ("image_resize", [224, 0], "an integer >= 1 and <= 16384, or two of them: height, width"),
        ("image_resize", "192,192,192", "or two of them: height, width"),
        ("image_resize", "192x256", "or two of them: height, width"),
        ("image_resize", [], "or two of them: height, width"),
        ("multi_step_decay_milestones", [60, 30], "integers >= 1 and <= 100000, ascending"),
        ("std", [58.0, 0.0, 57.0], "a number > 0 and <= 65535 for each channel"),
        ("label_smoothing", 1.0, "a number >= 0 and < 1"),
        ("crop_pct", 0, "a number > 0 and <= 2"),
        ("loss_scale", 0, "a number > 0"),
        ("profile", "20:10", "first:last (in a recipe [first, last])"),
        ("profile", "0:3", "first:last (in a recipe [first, last])"),
        ("profile", 620, "first:last (in a recipe [first, last])"),  # how YAML reads 10:20 without quotes
        ("distribute", "maybe", "True or False"),
        ("model", 50, "text"),
        ("data_dir", {"a": 1}, "text"),
    ],
)
def test_refused_value(key, given, allowed):
    with pytest.raises(pydantic.ValidationError) as error:
        Config(**{key: given})
    assert {fault["loc"][0] for fault in error.value.errors()} == {key}
    assert allowed in KEYS[key].allowed


def test_unknown_key_is_refused():
    with pytest.raises(pydantic.ValidationError, match="lable_smoothing"):
        Config(lable_smoothing=0.1)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"ckpt_save_policy": "top_k"}, "ckpt_save_policy"),
        ({"resume_opt": True}, "resume_opt"),
        ({"amp_dtype": "bfloat16"}, "amp_dtype"),
        ({"mode": 1, "recompute": True}, "recompute"),
        ({"loss_scale_type": "dynamic", "drop_overflow_update": False}, "drop_overflow_update"),
        ({"lr": 1e-7, "min_lr": 1e-6}, "min_lr"),
        ({"scheduler": "cyclic", "min_lr": 1.0}, "min_lr"),
        ({"use_nesterov": True, "momentum": 0.0, "opt": "sgd"}, "use_nesterov"),
        ({"loss": "jsd"}, "loss"),
        ({"aug_splits": 3}, "aug_splits"),
        ({"mean": [0.0]}, "std"),
        ({"sam_rho": 0.05, "gradient_accumulation_steps": 2}, "sam_rho"),
        ({"focal_gamma": 1.0}, "focal_gamma"),
        ({"bce_target_threshold": 0.2}, "bce_target_threshold"),
        ({"bce_target_threshold": 0.2, "loss": "BCE", "label_smoothing": 0.1}, "label_smoothing"),
    ],
)
def test_contradiction(values, key):
    assert [name for name, _ in contradictions(Config.model_construct(**{**DEFAULTS, **values}))] == [key]
    with pytest.raises(pydantic.ValidationError):
        Config(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"ckpt_save_policy": "top_k", "val_while_train": True},
        {"lr": 1e-7, "scheduler": "constant"},
        {"mixup": 0.8, "cutmix": 1.0, "loss": "CE"},
        {"loss": "jsd", "aug_splits": 3, "auto_augment": "augmix"},
        {"use_nesterov": True, "momentum": 0.0, "opt": "adamw"},
        {"loss_scale_type": "auto"},
    ],
)
def test_no_contradiction(values):
    assert contradictions(Config(**values)) == []


def test_dynamic_loss_scale_drops_overflowing_updates():
    assert Config(loss_scale_type="Dynamic").drop_overflow_update is True


@pytest.mark.parametrize(
    ("factory", "values", "expected"),
    [
        (
            "create_loss",
            {"loss": "bce"},
            {"name": "BCE", "label_smoothing": 0.0, "aux_factor": 0.0, "reduction": "mean"},
        ),
        ("create_scheduler", {"multi_step_decay_milestones": [1, 2]}, {"milestones": (1, 2), "lr": 0.001}),
        ("create_optimizer", {"use_nesterov": True}, {"nesterov": True, "opt": "adam", "eps": 1e-10}),
        ("create_transforms", {"image_resize": 32}, {"image_resize": 32, "crop_pct": 0.875}),
    ],
)
def test_arguments_have_the_factorys_names(factory, values, expected):
    arguments = Config(**values).arguments(factory)
    assert {name: arguments[name] for name in expected} == expected
    assert "use_nesterov" not in arguments


def _numbers(annotation, metadata=()):
    """The number types in an annotation, each with its range."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _numbers(parts[0], [*metadata, *parts[1:]])
    if origin in (Union, types.UnionType, tuple):
        return [found for part in parts if part is not Ellipsis for found in _numbers(part, metadata)]
    return [(annotation, limits(list(metadata)))] if annotation in (int, float) else []


FIELDS = {name: _numbers(field.annotation, field.metadata) for name, field in Config.model_fields.items()}
NUMBERS = {name: found for name, found in FIELDS.items() if found}


def test_walk_finds_the_number_keys():
    assert len(NUMBERS) >= 49
    assert NUMBERS["seed"] == [(int, {"ge": 0, "le": 2**32 - 1})]
    assert NUMBERS["scale"] == [(float, {"gt": 0, "le": 1000})] * 2


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_a_range_and_refuses_what_is_outside(name):
    for kind, bounds in NUMBERS[name]:
        least, most = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
        assert least is not None
        assert most is not None
        assert most <= (2**32 - 1 if kind is int else 1e15)
    is_list = KEYS[name].is_list
    lengths = [1, 2, 3] if is_list else [0]
    for number in (10**18 + 1, -(10**18) - 1, float("inf"), float("nan")):
        for length in lengths:
            with pytest.raises(pydantic.ValidationError) as error:
                Config(**{name: [number] * length if length else number})
            assert name in {fault["loc"][0] for fault in error.value.errors()}


def test_the_largest_seed_is_taken_and_the_next_one_refused():
    assert Config(seed=2**32 - 1).seed == 2**32 - 1
    with pytest.raises(ConfigError, match="seed: got '4294967296'; allowed: an integer >= 0 and <= 4294967295"):
        read_config(["--seed", str(2**32)])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {"warmup_epochs": 3, "decay_epochs": 100, "min_lr": 1e-6}),
        (["--epoch_size", "2"], {"warmup_epochs": 0, "decay_epochs": 2}),
        (["--max_epoch", "4"], {"warmup_epochs": 1, "decay_epochs": 3}),
        (["--epoch_size", "90"], {"warmup_epochs": 3, "decay_epochs": 87}),
        (["--epoch_size", "90", "--num_cycles", "3"], {"warmup_epochs": 3, "decay_epochs": 29}),
        (["--epoch_size", "10", "--warmup_epochs", "5"], {"warmup_epochs": 5, "decay_epochs": 5}),
        (["--epoch_size", "10", "--decay_epochs", "30"], {"warmup_epochs": 3, "decay_epochs": 30}),
        (["--epoch_size", "10", "--scheduler", "step_decay"], {"warmup_epochs": 3, "decay_epochs": 100}),
        (["--scheduler", "one_cycle"], {"warmup_epochs": 0}),
        (["--scheduler", "Cyclic", "--epoch_size", "9"], {"warmup_epochs": 0}),
        (["--lr", "1e-7"], {"min_lr": 1e-7}),
    ],
)
def test_defaults_follow_what_is_set(words, expected):
    config = read_config(words)
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize("scheduler", KEYS["scheduler"].choices)
@pytest.mark.parametrize("epochs", [1, 2, 3, 5])
def test_every_schedule_of_a_short_run_can_be_made_from_defaults(scheduler, epochs):
    from mindcv.scheduler import create_scheduler

    config = Config(scheduler=scheduler, epoch_size=epochs)
    rates = create_scheduler(4, num_epochs=epochs, **config.arguments("create_scheduler"))
    assert len(rates) == 4 * epochs
    assert max(rates) > 0


def test_report_names_the_closest_choice():
    with pytest.raises(ConfigError, match="did you mean 'momentum'"):
        read_config(["--opt", "momentun"])


@pytest.mark.parametrize("words", [["--dataset", "digits"], ["-c", "resnet18_cpu"], ["--dataset", "Digits"]])
def test_data_folder_beside_a_dataset_that_takes_none_is_refused(words):
    with pytest.raises(ConfigError) as error:
        read_config([*words, "--data_dir", "my_data"])
    assert str(error.value).startswith("command line: data_dir 'my_data' would not be read: the dataset ")
    assert "for the folder set dataset: imagenet" in str(error.value)
    assert read_config([*words, "--data_dir", "./"]).data_dir == "./"
    assert read_config([*words, "--data_dir", "my_data", "--dataset", "imagenet"]).data_dir == "my_data"


def test_packaged_datasets_are_those_that_need_no_folder():
    from mindcv.data.dataset_factory import DATASETS

    assert [name for name, spec in DATASETS.items() if not spec.needs_root] == list(PACKAGED_DATASETS)
