"""Old spellings: recipes of MindCV 0.1 to 0.5 and of the scripts before it load, with one line for each translation."""

import logging

import pytest
from zoo_keys import TRAINING_OPTIONS

from mindcv.config import ConfigError, read_config
from mindcv.config.compat import NEW_KEYS, UNUSED
from mindcv.config.schema import KEYS

pytestmark = pytest.mark.no_mindspore


def resolve(tmp_path, recipe, words=()):
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe, encoding="utf-8")
    return read_config(["-c", str(path), *words])


# Spellings that occur in MindCV's own recipes: the fragment, what it must mean, and how many notes it gives.
UPSTREAM_FRAGMENTS = [
    ("scheduler: warmup_cosine_decay\nlr: 1.6e-3\nmin_lr: 1e-6", {"lr": 0.0016, "min_lr": 1e-6}, 0),
    ("loss: 'ce'\nopt: AdamW\neps: 1e-8", {"loss": "CE", "opt": "adamw", "eps": 1e-8}, 0),
    ("opt: SGD\nuse_nesterov: True", {"opt": "sgd", "use_nesterov": True}, 0),
    ("interpolation: BICUBIC", {"interpolation": "bicubic"}, 0),
    ("color_jitter: [0.4, 0.4, 0.4]\nre_value: 'random'", {"color_jitter": (0.4, 0.4, 0.4), "re_value": "random"}, 0),
    ("scale: [ 0.08, 1.0 ]\nvflip: 0.\ncutmix: 1", {"scale": (0.08, 1.0), "vflip": 0.0, "cutmix": 1.0}, 0),
    ("model: ''\nckpt_path:\ndrop_path_rate: 0.", {"ckpt_path": "", "drop_path_rate": 0.0}, 0),
    ("train_split: val/\nepoch_size : 300", {"train_split": "val/", "epoch_size": 300}, 0),
    ("warmup_factor: 0\ndecay_epochs: 95\nlayer_decay: 0.65", {"warmup_factor": 0.0, "layer_decay": 0.65}, 0),
    ("loss_scale_type: dynamic\ndrop_overflow_update: True\nloss_scale: 16777216", {"loss_scale": 16777216.0}, 0),
    ("loss_scale_type: 'auto'\ndataset_sink_mode: True", {"loss_scale_type": "auto"}, 0),
    ("ckpt_save_policy: top_k\nval_while_train: True", {"ckpt_save_policy": "top_k"}, 0),
    ("weight_decay_filter: 'auto'\nweight_decay: 1.0e-5", {"weight_decay_filter": "auto", "weight_decay": 1e-5}, 0),
    ("amp_level: O3\nval_amp_level: 'O2'", {"amp_level": "O3", "val_amp_level": "O2"}, 0),
    ("filter_bias_and_bn: True", {"weight_decay_filter": "norm_and_bias"}, 1),
    ("filter_bias_and_bn: False", {"weight_decay_filter": "disable"}, 1),
    ("filter_bias_and_bn: True\nweight_decay_filter: auto", {"weight_decay_filter": "auto"}, 1),
    ("dynamic_loss_scale: True", {"loss_scale_type": "dynamic", "drop_overflow_update": True}, 1),
    ("dynamic_loss_scale: False\nloss_scale_type: dynamic", {"loss_scale_type": "dynamic"}, 1),
    ("opt_eps: 1e-3", {"eps": 1e-3}, 1),
    ("lr_scheduler: 'cosine_decay'", {"scheduler": "cosine_decay"}, 1),
    ("scheduler: 'cosineannealing'", {"scheduler": "cosine_decay"}, 1),
    ("use_ema: False\nuse_clip_grad: True\nclip_value: 1.0", {"ema": False, "clip_grad": True}, 2),
    ("label_smoothing: 0.1\nsmooth_factor: 0.1", {"label_smoothing": 0.1}, 1),
    (
        "mixup_prob: 1.0\nmixup_mode: batch\nmixup_off_epoch: 0.0\nswitch_prob: 0.5",
        {"mixup_off_epoch": 0, "switch_prob": 0.5},
        2,
    ),
    (
        "enable_modelarts: True\ndata_url: /cache/data/\ncheckpoint_url: obs://b/w\nsave_checkpoint: True",
        {"enable_modelarts": True, "data_url": "/cache/data/", "ckpt_url": "obs://b/w"},
        2,
    ),
]

# The documents' scripts (seeds 000, 001 and 003).
SEED_FRAGMENTS = [
    ("lr_scheduler: cosine_annealing\nT_max: 150\neta_min: 0", {"decay_epochs": 150, "warmup_prefix": False}, 4),
    (
        "lr_scheduler: exponential\nlr_epochs: [30, 60]\nlr_gamma: 0.1",
        {"warmup_prefix": False, "multi_step_decay_milestones": (30, 60), "decay_rate": 0.1},
        4,
    ),
    ("lr_scheduler: exponential", {"scheduler": "exponential_decay"}, 1),
    ("max_epoch: 150", {"epoch_size": 150}, 1),
    ("epochs: 150", {"epoch_size": 150}, 1),
    ("batch_size: 1\nper_batch_size: 128", {"batch_size": 128}, 2),
    ("batch-size: 64", {"batch_size": 64}, 1),
    ("label_smooth: 1\nlabel_smooth_factor: 0.2", {"label_smoothing": 0.2}, 1),
    ("label_smooth: 1", {"label_smoothing": 0.1}, 1),
    ("label_smooth: 0\nlabel_smooth_factor: 0.2", {"label_smoothing": 0.0}, 1),
    ("label_smooth_factor: 0.2", {"label_smoothing": 0.2}, 1),
    ("image_size: [224,224]", {"image_resize": 224}, 1),
    ("image_size: 32", {"image_resize": 32}, 1),
    ("backbone: resnext50", {"model": "resnext50_32x4d"}, 1),
    ("arch: resnet34", {"model": "resnet34"}, 1),
    ("network: se_resnext50", {"model": "seresnext50_32x4d"}, 1),
    ("run_eval: True\neval_interval: 5", {"val_while_train": True, "val_interval": 5}, 2),
    ("data_path: /data", {"data_dir": "/data"}, 1),
    ("is_distributed: 1", {"distribute": True}, 1),
    ("run_distribute: 0", {"distribute": False}, 1),
    ("multiprocessing-distributed: true", {"distribute": True}, 1),
    ("ckpt_save_max: 5", {"keep_checkpoint_max": 5}, 1),
    ("checkpoint_file_path: /x.ckpt", {"ckpt_path": "/x.ckpt"}, 1),
    ("is_dynamic_loss_scale: 1", {"loss_scale_type": "dynamic"}, 1),
    ("is_dynamic_loss_scale: 0\nloss_scale: 1024", {"loss_scale_type": "fixed", "loss_scale": 1024.0}, 1),
    ("loss-scale: 128", {"loss_scale": 128.0}, 1),
    ("loss-scale: dynamic", {"loss_scale_type": "dynamic", "loss_scale": 65536.0}, 2),
    ("loss-scale: dynamic\nloss_scale_type: fixed", {"loss_scale_type": "dynamic"}, 2),
    ("opt-level: O2", {"amp_level": "O2"}, 1),
    ("amp: true\nopt-level: O1", {"amp_level": "O1"}, 1),
    ("amp: true", {"amp_level": "O2"}, 1),
    ("amp: false\nopt-level: O2", {"amp_level": "O0"}, 1),
    ("workers: 4", {"num_parallel_workers": 4}, 1),
    ("outputs_dir: /out", {"ckpt_save_dir": "/out"}, 1),
    ("outputs_dir: ''", {"ckpt_save_dir": "./ckpt"}, 1),
    ("pretrained: /x.ckpt\nckpt_path: ''", {"pretrained": "/x.ckpt", "ckpt_path": ""}, 0),
    ("pretrained: ''", {"pretrained": False, "ckpt_path": ""}, 0),
    ("pretrained: file:///x.ckpt", {"pretrained": "file:///x.ckpt", "ckpt_path": ""}, 0),
    ("pretrained: https://x.org/y.pth", {"pretrained": "https://x.org/y.pth", "ckpt_path": ""}, 0),
    ("pretrained: s3://bucket/y.pth", {"pretrained": "s3://bucket/y.pth"}, 0),
    ("pretrained: a1h_in1k\nmodel: resnet50", {"pretrained": True, "model": "resnet50.a1h_in1k"}, 1),
    ("pretrained: a1h_in1k\narch: resnet50.a1h_in1k", {"pretrained": True, "model": "resnet50.a1h_in1k"}, 2),
    ("pretrained: yes\nmodel: resnet50.tv_in1k", {"pretrained": True, "model": "resnet50.tv_in1k"}, 0),
    (
        "ckpt_interval: 2000\nis_save_on_master: 0\nrank_save_ckpt_flag: 0\nlog_path: ./log",
        {"ckpt_save_steps": 2000, "ckpt_save_on": "all"},
        4,
    ),
    ("addr: 127.0.0.1\ndevice-list: '0,1'\nrank: 0\ngroup_size: 1", {}, 4),
]


@pytest.mark.parametrize(("recipe", "expected", "notes"), UPSTREAM_FRAGMENTS + SEED_FRAGMENTS)
def test_fragment(tmp_path, caplog, recipe, expected, notes):
    config = resolve(tmp_path, recipe)
    assert {name: getattr(config, name) for name in expected} == expected
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == notes, lines
    assert all("\n" not in line and "recipe.yaml:" in line for line in lines)


def test_note_names_the_new_key(tmp_path, caplog):
    resolve(tmp_path, "mode: 0\nmax_epoch: 150\n")
    assert caplog.messages == [f"{tmp_path}/recipe.yaml:2: max_epoch: 150 is read as epoch_size: 150"]


def test_every_old_spelling_is_shown_above():
    table = "\n".join(recipe for recipe, _, _ in UPSTREAM_FRAGMENTS + SEED_FRAGMENTS).replace("-", "_")
    shown = {line.split(":")[0].strip() for line in table.splitlines()}
    assert set(NEW_KEYS) - shown == set()
    # Documented on the reference page only: same reason as a shown one.
    assert set(UNUSED) - shown == {
        "multi_data_url",
        "config_path",
        "file_name",
        "file_format",
    }


def test_the_whole_se_resnext_recipe_of_document_003_loads(tmp_path):
    config = resolve(
        tmp_path, TRAINING_OPTIONS, ["--data_path=~/val", "--run_distribute", "0", "--checkpoint_file_path", "se.ckpt"]
    )
    expected = {
        "image_resize": 224,
        "batch_size": 128,
        "lr": 0.05,
        "scheduler": "cosine_decay",
        "min_lr": 0.0,
        "decay_epochs": 150,
        "epoch_size": 150,
        "loss_scale_type": "fixed",
        "loss_scale": 1024.0,
        "label_smoothing": 0.0,
        "keep_checkpoint_max": 5,
        "data_dir": "~/val",
        "ckpt_path": "se.ckpt",
        "distribute": False,
        "multi_step_decay_milestones": (30, 60, 90, 120),
        "ckpt_save_dir": "./ckpt",
        "ckpt_save_steps": 2000,
        "ckpt_save_on": "master",
    }
    assert {name: getattr(config, name) for name in expected} == expected


def test_the_command_of_document_000_works():
    words = (
        "--per_batch_size=128 --data_dir=/data/train/ --is_distributed=1 --lr_scheduler=cosine_annealing --lr=0.4 "
        "--T_max=150 --max_epoch=150 --label_smooth=1"
    )
    config = read_config(words.split())
    assert (config.batch_size, config.distribute, config.scheduler) == (128, True, "cosine_decay")
    assert (config.lr, config.decay_epochs, config.epoch_size, config.label_smoothing) == (0.4, 150, 150, 0.1)


# document, its flag with a value, today's key with the value that it then has
FLAGS = [
    ("000", "--data_dir /data", "data_dir", "/data"),
    ("000", "--num_classes 10", "num_classes", 10),
    ("000", "--image_size 224,224", "image_resize", 224),
    ("000", "--per_batch_size=64", "batch_size", 64),
    ("000", "--backbone=resnext50", "model", "resnext50_32x4d"),
    ("000", "--pretrained=/x.ckpt", "pretrained", "/x.ckpt"),
    ("000", "--lr_scheduler=cosine_annealing", "scheduler", "cosine_decay"),
    ("000", "--lr_scheduler=exponential", "scheduler", "exponential_decay"),
    ("000", "--lr_scheduler=exponential --lr_epochs=30,60", "scheduler", "multi_step_decay"),
    ("000", "--lr=0.4", "lr", 0.4),
    ("000", "--lr_epochs=30,60,90,120", "multi_step_decay_milestones", (30, 60, 90, 120)),
    ("000", "--lr_gamma=0.1", "decay_rate", 0.1),
    ("000", "--eta_min=0", "min_lr", 0.0),
    ("000", "--T_max=150", "decay_epochs", 150),
    ("000", "--max_epoch=150", "epoch_size", 150),
    ("000", "--warmup_epochs=5", "warmup_epochs", 5),
    ("000", "--weight_decay=0.0001", "weight_decay", 0.0001),
    ("000", "--momentum=0.9", "momentum", 0.9),
    ("000", "--label_smooth=1", "label_smoothing", 0.1),
    ("000", "--label_smooth=1 --label_smooth_factor=0.2", "label_smoothing", 0.2),
    ("000", "--log_interval=100", "log_interval", 100),
    ("000", "--ckpt_interval=2000", "ckpt_save_steps", 2000),
    ("000", "--is_save_on_master=1", "ckpt_save_on", "master"),
    ("000", "--is_save_on_master=0", "ckpt_save_on", "all"),
    ("000", "--is_distributed=1", "distribute", True),
    ("001", "--data_path=/data", "data_dir", "/data"),
    ("001", "--arch resnext50_32x4d", "model", "resnext50_32x4d"),
    ("001", "--workers 4", "num_parallel_workers", 4),
    ("001", "--epochs 90", "epoch_size", 90),
    ("001", "--batch-size 256", "batch_size", 256),
    ("001", "--amp", "amp_level", "O2"),
    ("001", "--loss-scale 128", "loss_scale", 128.0),
    ("001", "--loss-scale dynamic", "loss_scale_type", "dynamic"),
    ("001", "--opt-level O2", "amp_level", "O2"),
    ("001", "--multiprocessing-distributed", "distribute", True),
    ("002", "--config resnext/resnext50_32x4d_cpu.yaml", "model", "resnext50_32x4d"),
    ("002", "--distribute False", "distribute", False),
    ("002", "--ckpt_path /x.ckpt", "ckpt_path", "/x.ckpt"),
    ("003", "--run_distribute 0", "distribute", False),
    ("003", "--device_target Ascend", "device_target", "Ascend"),
    ("003", "--checkpoint_file_path se.ckpt", "ckpt_path", "se.ckpt"),
    ("003", "--is_dynamic_loss_scale 1", "loss_scale_type", "dynamic"),
    ("003", "--is_dynamic_loss_scale 1", "drop_overflow_update", True),
    ("003", "--ckpt_save_max 5", "keep_checkpoint_max", 5),
    ("003", "--outputs_dir /out", "ckpt_save_dir", "/out"),
    ("003", "--config_path resnext/resnext50_32x4d_cpu.yaml", "model", "resnext50_32x4d"),
]


@pytest.mark.parametrize(("document", "words", "key", "value"), FLAGS, ids=lambda item: str(item)[:60])
def test_flag_of_a_document(document, words, key, value, caplog):
    config = read_config(words.split())
    assert getattr(config, key) == value
    flag = words.split()[0].partition("=")[0].removeprefix("--")
    assert flag in KEYS or any(f"{flag}: " in line and " is read as " in line for line in caplog.messages)


def test_the_flags_of_document_001_work():
    words = "--arch resnext50_32x4d --workers 4 --epochs 90 --batch-size 256 --amp --loss-scale 128 --opt-level O2"
    config = read_config([*words.split(), "--multiprocessing-distributed", "--device-list", "0,1"])
    assert (config.model, config.num_parallel_workers, config.epoch_size) == ("resnext50_32x4d", 4, 90)
    assert (config.batch_size, config.amp_level, config.loss_scale, config.distribute) == (256, "O2", 128.0, True)


@pytest.mark.parametrize(
    ("recipe", "words", "expected"),
    [
        ("max_epoch: 150", ["--epoch_size", "10"], {"epoch_size": 10}),
        ("T_max: 150", [], {"warmup_prefix": False}),
        ("T_max: 150", ["--decay_epochs", "10"], {"warmup_prefix": True}),
        ("T_max: 150\nwarmup_prefix: true", [], {"warmup_prefix": True}),
        ("warmup_epochs: 5", ["--lr-epochs", "30,60"], {"warmup_prefix": False}),
        ("epoch_size: 150", ["--max_epoch", "10"], {"epoch_size": 10}),
        ("batch_size: 64", ["--batch-size", "8"], {"batch_size": 8}),
        ("label_smooth: 1\nlabel_smooth_factor: 0.2", ["--label_smooth", "0"], {"label_smoothing": 0.0}),
        ("label_smooth: 1\nlabel_smooth_factor: 0.2", ["--label_smooth_factor", "0.3"], {"label_smoothing": 0.3}),
        ("label_smooth: 1", ["--label_smoothing", "0.3"], {"label_smoothing": 0.3}),
        ("amp_level: O0", ["--amp"], {"amp_level": "O2"}),
        ("lr_epochs: [1, 2]", ["--lr_scheduler", "exponential"], {"scheduler": "multi_step_decay"}),
        ("ckpt_path: a.ckpt", ["--pretrained", "b.ckpt"], {"pretrained": "b.ckpt", "ckpt_path": ""}),
        ("pretrained: a.ckpt", ["--ckpt_path", "b.ckpt"], {"pretrained": False, "ckpt_path": "b.ckpt"}),
        ("pretrained: true", ["--ckpt_path", "b.ckpt"], {"pretrained": True, "ckpt_path": "b.ckpt"}),
        ("pretrained: a.ckpt", ["--pretrained"], {"pretrained": True, "ckpt_path": ""}),
        ("model: resnet50", ["--pretrained", "tv_in1k"], {"pretrained": True, "model": "resnet50.tv_in1k"}),
        ("pretrained: true", ["--pretrained", "https://x.org/y.pth"], {"pretrained": "https://x.org/y.pth"}),
        ("model: resnet50\npretrained: tv_in1k", ["--pretrained", "False"], {"pretrained": False, "model": "resnet50"}),
    ],
)
def test_the_command_line_wins_in_any_spelling(tmp_path, recipe, words, expected):
    config = resolve(tmp_path, recipe, words)
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("epoch_size: 90\nmax_epoch: 150", "max_epoch: got 150, but epoch_size is 90 and both mean epoch_size"),
        ("image_size: [224, 256, 3]", r"image_size \(today's image_resize\): got \[224, 256, 3\]"),
        ("is_dynamic_loss_scale: maybe", "is_dynamic_loss_scale: got 'maybe'; allowed: True or False"),
        ("label_smooth: maybe", "label_smooth: got 'maybe'; allowed: True or False"),
        ("amp: maybe", "amp: got 'maybe'; allowed: True or False"),
        ("mask_ratio: 0.75", "unknown key 'mask_ratio'"),
        ("pretrained: a.ckpt\nckpt_path: b.ckpt", "got 'a.ckpt', but ckpt_path is 'b.ckpt' and both name the weights"),
        ("model: a.x_in1k\npretrained: y_in1k", "pretrained: got 'y_in1k', but model is 'a.x_in1k'; remove one"),
    ],
)
def test_refused_old_spelling(tmp_path, recipe, message):
    with pytest.raises(ConfigError, match=message) as error:
        resolve(tmp_path, recipe)
    assert "\n" not in str(error.value)
