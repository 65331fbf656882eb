"""Upstream's names in `mindcv.utils`."""

import inspect
import subprocess
import sys

import pytest

import mindcv.utils

# COMPAT: arguments in this order with these defaults; new ones are keyword-only and come after.
SIGNATURES = {
    "AllReduceSum": "",
    "CheckpointManager": "ckpt_save_policy=None",
    "DownLoad": "",
    "GradientAccumulation": "max_accumulation_step, optimizer, grad_reducer",
    "StateMonitor": "model, model_name='', model_ema=False, last_epoch=0, dataset_sink_mode=True, dataset_val=None, "
    "metric_name=('accuracy',), val_interval=1, val_start_epoch=1, save_best_ckpt=True, ckpt_save_dir='./', "
    "ckpt_save_interval=1, ckpt_save_policy=None, ckpt_keep_max=10, summary_dir='./', log_interval=100, "
    "rank_id=None, device_num=None",
    "TrainStep": "network, optimizer, scale_sense=1.0, ema=False, ema_decay=0.9999, clip_grad=False, clip_value=15.0, "
    "gradient_accumulation_steps=1",
    "ValCallback": "log_interval=100",
    "auto_mixed_precision": "network, amp_level='O0', amp_cast_list=None",
    "create_trainer": "network, loss, optimizer, metrics, amp_level, amp_cast_list, loss_scale_type, loss_scale=1.0, "
    "drop_overflow_update=False, ema=False, ema_decay=0.9999, clip_grad=False, clip_value=15.0, "
    "gradient_accumulation_steps=1",
    "detect_file_type": "filename",
    "get_default_download_root": "",
    "get_metrics": "num_classes",
    "require_customized_train_step": "ema=False, clip_grad=False, gradient_accumulation_steps=1, amp_cast_list=None",
    "set_default_download_root": "path",
    "set_logger": "name=None, output_dir=None, rank=0, log_level=20, color=True",
    "set_seed": "seed=42, rank=0",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name):
    parameters = inspect.signature(getattr(mindcv.utils, name)).parameters.values()
    positional = [parameter.replace(annotation=parameter.empty) for parameter in parameters if parameter.kind != 3]
    assert ", ".join(map(str, positional)) == SIGNATURES[name]


def test_all_names_are_listed():
    assert mindcv.utils.__all__ == sorted(SIGNATURES)
    assert set(SIGNATURES) <= set(dir(mindcv.utils))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'mindcv\.utils' has no attribute 'StateMonitors'"):
        _ = mindcv.utils.StateMonitors


@pytest.mark.no_mindspore
def test_importing_utils_does_not_import_mindspore():
    code = (
        "import sys, mindcv.utils; mindcv.utils.DownLoad, mindcv.utils.set_logger; sys.exit('mindspore' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
