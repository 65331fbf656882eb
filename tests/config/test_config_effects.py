"""Keys that have an effect only beside others: each is known, said in one line, and refused or told of."""

import pytest

from mindcv.config import Config
from mindcv.config.effects import NEEDS, without_effect
from mindcv.config.schema import KEYS

pytestmark = pytest.mark.no_mindspore

TEACHER = {"teacher": "resnet50"}
# A value that is not the default of each key that needs others, and the least that it needs.
CASES = {
    "warmup_factor": (0.1, {"warmup_epochs": 0}, {}),
    "cycle_decay": (0.5, {}, {"num_cycles": 2}),
    "clip_value": (1.0, {}, {"clip_grad": True}),
    "ema_decay": (0.9, {}, {"ema": True}),
    "cutmix_prob": (0.5, {}, {"mixup": 0.2}),
    "scale": ((0.5, 1.0), {"train_crop": "simple"}, {}),
    "ratio": ((0.9, 1.1), {"train_crop": "simple"}, {}),
    "color_jitter": (0.3, {"auto_augment": "randaug-m9"}, {"auto_augment": "3a"}),
    "re_scale": ((0.1, 0.2), {}, {"re_prob": 0.1}),
    "re_ratio": ((0.5, 2.0), {}, {"re_prob": 0.1}),
    "re_value": ("random", {}, {"re_prob": 0.1}),
    "re_max_attempts": (3, {}, {"re_prob": 0.1}),
    "val_interval": (5, {}, {"val_while_train": True}),
    "keep_checkpoint_max": (3, {"ckpt_save_policy": None}, {}),
    "loss_scale": (1024.0, {"loss_scale_type": "auto"}, {}),
    "data_url": ("s3://a", {}, {"enable_modelarts": True}),
    "ckpt_url": ("s3://a", {}, {"enable_modelarts": True}),
    "train_url": ("s3://a", {}, {"enable_modelarts": True}),
    "jit_level": ("O1", {"mode": 1}, {}),
    "ema_warmup": ("timm", {}, {"ema": True}),
    "ema_interval": (32, {}, {"ema": True}),
    "clip_mode": ("agc", {}, {"clip_grad": True}),
    "beta1": (0.8, {"opt": "sgd"}, {"opt": "lamb"}),
    "beta2": (0.9, {"opt": "rmsprop"}, {"opt": "adamw"}),
    "fold": (1, {}, {"folds": 5}),
    "re_count": (3, {}, {"re_prob": 0.1}),
    "switch_prob": (0.3, {"mixup": 0.2}, {"mixup": 0.2, "cutmix": 1.0}),
    "mixup_off_epoch": (3, {}, {"cutmix": 1.0}),
    "focal_gamma": (1.0, {}, {"loss": "focal_multi_label"}),
    "bce_target_threshold": (0.2, {}, {"loss": "BCE"}),
    "teacher_ckpt_path": ("a.ckpt", {}, {"teacher": "resnet50", "distill": "hard"}),
    "distill": ("hard", {}, {"teacher": "resnet50"}),
    "distill_alpha": (0.3, {}, {"teacher": "resnet50", "distill": "hard"}),
    "distill_temperature": (2.0, {**TEACHER, "distill": "hard"}, {**TEACHER, "distill": "soft"}),
    "mixup": (0.2, {"batch_size": 1}, {}),
    "cutmix": (1.0, {"batch_size": 1}, {}),
    "mean": ((1.0, 2.0, 3.0), {"dataset": "cifar10"}, {}),
    "std": ((1.0, 2.0, 3.0), {"dataset": "mnist"}, {}),
    "crop_pct": (0.9, {"dataset": "cifar100"}, {}),
    "hflip": (0.3, {"dataset": "mnist"}, {"dataset": "cifar10"}),
    "vflip": (0.5, {"dataset": "mnist"}, {"dataset": "cifar10"}),
    "re_prob": (0.5, {"dataset": "MNIST"}, {"dataset": "cifar10"}),
    "train_crop": ("simple", {"dataset": "cifar10"}, {}),
    "resize_rounding": ("round", {"crop_mode": "squash"}, {}),
    "runtime": ("openvino", {}, {"model": "m.onnx"}),
    "precision": ("bf16", {}, {"model": "m.onnx"}),
}
UPSTREAMS = {name: need.is_upstreams for need in NEEDS for name in need.keys}

# More that keys need, and what they need besides.
MORE = [
    ("cutmix", 1.0, {"cutmix_prob": 0.0}, {}),
    ("scale", (0.5, 1.0), {"dataset": "cifar10"}, {}),
    ("color_jitter", 0.2, {"dataset": "mnist", "auto_augment": "3a"}, {"auto_augment": "3a"}),
    ("mixup_off_epoch", 90, {"mixup": 0.2}, {"mixup": 0.2, "epoch_size": 91}),
]
# Values that leave another key without effect.
LEAVES = [
    ({"mixup": 0.2, "cutmix": 1.0, "switch_prob": 0.0}, "switch_prob 0 leaves cutmix without effect"),
    ({"mixup": 0.2, "cutmix": 1.0, "switch_prob": 1.0}, "switch_prob 1 leaves mixup without effect"),
    ({**TEACHER, "distill": "soft", "distill_alpha": 0.0}, "distill_alpha 0 leaves teacher without effect"),
]

# What a factory's table says: `scheduler_arguments` and `optimizer_arguments`.
BY_CHOICE = {
    *("min_lr", "warmup_epochs", "warmup_prefix", "decay_epochs", "decay_rate", "multi_step_decay_milestones"),
    *("lr_epoch_stair", "num_cycles", "momentum", "use_nesterov", "eps"),
}
# What a rule of `contradictions` refuses in vain.
BY_RULE = {"resume_opt", "amp_dtype", "aug_splits", "class_names", "data_dir", "amp_cast_list", "teacher"}
# What counts wherever it stands, for training, evaluation or both; or on some devices, with some networks or datasets.
ALWAYS = {
    "compile_cache",
    *("config", "mode", "device_target", "distribute", "sync_bn", "seed", "log_interval", "val_while_train"),
    *("tensorboard", "profile", "report", "dataset", "train_split", "val_split", "unknown_classes", "folds"),
    *("dataset_download", "num_parallel_workers", "shuffle", "eval_shuffle", "sampler", "bad_samples", "num_samples"),
    *("val_image_resize", "tta"),
    *("batch_size", "drop_remainder", "aug_repeats", "image_resize", "interpolation"),
    *("auto_augment", "normalize_on_device", "crop_mode"),
    *("imports", "model", "num_classes", "in_channels", "drop_rate", "drop_path_rate", "pretrained"),
    *("head_init_scale", "random_weights", "ckpt_path", "ckpt_save_dir", "resume", "resume_force"),
    *("ckpt_save_interval", "ckpt_save_steps", "ckpt_save_on", "ckpt_async", "ckpt_on_error", "ckpt_save_policy"),
    *("epoch_size", "dataset_sink_mode", "gradient_accumulation_steps", "lr_base_batch_size", "freeze", "recompute"),
    *("parameter_broadcast", "clip_grad", "sam_rho", "ema", "opt", "weight_decay", "weight_decay_filter"),
    *("layer_decay", "scheduler", "lr", "loss", "label_smoothing", "class_weights", "aux_factor", "reduction"),
    *("amp_level", "val_amp_level", "loss_scale_type", "drop_overflow_update", "enable_modelarts"),
}


def test_of_every_key_it_is_known_what_it_needs():
    """A new key belongs into one of the five."""
    assert set(KEYS) == set(UPSTREAMS) | BY_CHOICE | BY_RULE | ALWAYS
    assert not (set(UPSTREAMS) & ALWAYS)
    assert set(CASES) == set(UPSTREAMS)


@pytest.mark.parametrize(
    ("name", "value", "without", "needed"), [*((name, *case) for name, case in CASES.items()), *MORE]
)
def test_a_key_in_vain(name, value, without, needed):
    is_upstreams = UPSTREAMS[name]
    if is_upstreams:
        found = list(without_effect(Config(**{**without, name: value}), True))
        assert name in dict(found)
        assert dict(found)[name].startswith(f"{name}: ")
        assert " has no effect without " in dict(found)[name]
    else:
        with pytest.raises(ValueError, match=f"{name}: .* has no effect without .*; set it, or leave out {name}"):
            Config(**{**without, name: value})
    missing = {"distill": "hard"} if name == "distill" else {name: value}
    assert name not in dict(without_effect(Config(**{**needed, **missing}), is_upstreams))
    assert name not in dict(without_effect(Config(), is_upstreams))


@pytest.mark.parametrize(("values", "message"), LEAVES)
def test_a_value_that_leaves_another_key_without_effect(values, message):
    with pytest.raises(ValueError, match=message):
        Config(**values)


def test_clipping_by_the_weights_clips():
    """The default of `clip_value` is for norms of all gradients; 15 times the weights' norm would never be reached."""
    assert Config(clip_grad=True, clip_mode="agc").clip_value == 0.01
    assert Config(clip_grad=True, clip_mode="agc", clip_value=0.1).clip_value == 0.1
    assert Config(clip_grad=True).clip_value == 15.0
