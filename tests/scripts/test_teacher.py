"""A run with a teacher: what is refused, and that it can be resumed to the bit."""

import shutil

import numpy as np
import pytest
from mindspore import Tensor
from tiny_run import tiny_net

from mindcv.build import build_network
from mindcv.config import Config, save_args
from mindcv.engine import read_checkpoint
from mindcv.models import create_model, register_model
from mindcv.teacher import build_teacher
from mindcv.train import train
from mindcv.weights import ModelOutputs, write_ckpt

RUN = {
    "model": "tiny_net",
    "dataset": "digits",
    "device_target": "CPU",
    "batch_size": 16,
    "num_samples": 64,
    "image_resize": 16,
    "num_parallel_workers": 2,
    "drop_rate": 0.2,
    "mixup": 0.4,
    "cutmix": 0.4,
    "opt": "adamw",
    "lr": 0.01,
    "epoch_size": 2,
    "warmup_epochs": 0,
    "loss_scale_type": "dynamic",
    "loss_scale": 1024,
    "amp_level": "O2",
    "ema": True,
    "log_interval": 1,
    "val_while_train": True,
    "num_classes": 10,
}


@pytest.fixture(scope="module", autouse=True)
def _tiny_net():
    register_model(tiny_net)


def write(path, network, outputs=None, prefix=""):
    arrays = {f"{prefix}{name}": parameter.asnumpy() for name, parameter in network.parameters_dict().items()}
    write_ckpt(path, {**arrays, **(outputs.entry() if outputs else {})})
    return str(path)


def test_a_run_is_resumed_to_the_bit(tmp_path):
    teacher = write(tmp_path / "teacher.ckpt", tiny_net())
    keys = {**RUN, "teacher": "tiny_net", "teacher_ckpt_path": teacher, "distill": "soft"}
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    train(Config(**keys, ckpt_save_dir=str(whole), ckpt_save_steps=3))
    resumed.mkdir()
    shutil.copy(whole / "tiny_net-1_3.ckpt", resumed)
    train(Config(**keys, ckpt_save_dir=str(resumed), resume=str(resumed / "tiny_net-1_3.ckpt"), ckpt_save_steps=3))
    expected, _ = read_checkpoint(whole / "tiny_net-2_4.ckpt")
    got, _ = read_checkpoint(resumed / "tiny_net-2_4.ckpt")
    assert set(got) == set(expected)
    assert not [name for name in got if "teacher" in name]
    for name, array in expected.items():
        if name != "train_state":
            np.testing.assert_array_equal(got[name], array, err_msg=name)
    plain = tmp_path / "plain"
    train(Config(**RUN, ckpt_save_dir=str(plain), ckpt_save_steps=3))
    without, _ = read_checkpoint(plain / "tiny_net-2_4.ckpt")
    assert set(without) == set(expected)
    assert not np.array_equal(without["conv.weight"], expected["conv.weight"])
    with pytest.raises(ValueError, match=r"started with other settings: distill_alpha 0\.5 -> 0\.7"):
        train(Config(**keys, distill_alpha=0.7, ckpt_save_dir=str(whole), resume=str(whole / "tiny_net-1_3.ckpt")))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"teacher": "tiny_nett", "distill": "soft"},
            "there is no model 'tiny_nett'; did you mean 'tiny_net'",
        ),
        (
            {"teacher": "resnet18", "distill": "soft"},
            r"teacher: resnet18: the published weights have 1000 classes, not 10.* give one .* with teacher_ckpt_path",
        ),
        ({"teacher": "tiny_net", "teacher_ckpt_path": "{}/gone.ckpt", "distill": "soft"}, r"gone\.ckpt"),
        (
            {"teacher": "tiny_net", "teacher_ckpt_path": "{}/five.ckpt", "distill": "hard"},
            r"teacher: .*five\.ckpt has 5 classes, the student 10; a teacher has the student's classes in their order",
        ),
        (
            {"teacher": "resnet18", "teacher_ckpt_path": "{}/plain.ckpt", "distill": "hard"},
            r"teacher: .*plain\.ckpt has 5 classes, the student 10",
        ),
        (
            {"teacher": "tiny_net", "teacher_ckpt_path": "{}/order.ckpt", "distill": "hard"},
            r"teacher: .*order\.ckpt has other class names than the data, or another order of them",
        ),
        (
            {"teacher": "tiny_net", "teacher_ckpt_path": "{}/several.ckpt", "distill": "hard"},
            r"teacher: .*several\.ckpt gives several labels an image; distillation is for one",
        ),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused_in_one_line(values, message, tmp_path):
    write(tmp_path / "five.ckpt", tiny_net(num_classes=5), ModelOutputs.of(5, None))
    write(tmp_path / "plain.ckpt", create_model("resnet18", num_classes=5))
    write(tmp_path / "order.ckpt", tiny_net(), ModelOutputs.of(10, list("9876543210")))
    write(tmp_path / "several.ckpt", tiny_net(), ModelOutputs.of(10, None, "multiple"))
    values = {key: value.replace("{}", str(tmp_path)) for key, value in values.items()}
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        build_teacher(Config(**{**RUN, **values}), 10, list("0123456789"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"teacher": "resnet18"}, "teacher needs distill"),
        ({"distill": "hard"}, "distill: hard has no effect without teacher; set it, or leave out distill"),
        ({"distill_alpha": 0.3}, "distill_alpha: 0.3 has no effect without teacher"),
        (
            {"teacher": "resnet18", "distill": "hard", "distill_temperature": 2},
            "distill_temperature: 2 has no effect without distill: soft",
        ),
    ],
)
def test_keys_of_distillation_in_vain_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Config(**values)


@pytest.mark.parametrize("on_device", [False, True])
def test_a_teacher_with_its_recipe_beside_it_has_its_average_and_its_normalisation(on_device, tmp_path):
    network = tiny_net()
    average = {f"ema.{name}": 2 * p.asnumpy() for name, p in network.parameters_dict().items()}
    arrays = {name: parameter.asnumpy() for name, parameter in network.parameters_dict().items()}
    write_ckpt(tmp_path / "net.ckpt", {**arrays, **average})
    recipe = Config(**{**RUN, "mean": [127.5] * 3, "std": [50.0, 60, 70]})
    save_args(recipe, tmp_path / "config.yaml")
    keys = {"teacher": "tiny_net", "teacher_ckpt_path": str(tmp_path / "net.ckpt"), "distill": "soft"}
    cfg = Config(**{**RUN, **keys, "amp_level": "O0", "normalize_on_device": on_device})
    teacher = build_teacher(cfg, 10).set_train(False)
    pixels = np.random.RandomState(0).randint(0, 255, (2, 16, 16, 3)).astype(np.float32)
    expected = build_network(recipe.model_copy(update={"ckpt_path": str(tmp_path / "net.ckpt")}), 10, ema=True)
    own = ((pixels - 127.5) / np.array([50.0, 60, 70])).transpose(0, 3, 1, 2).astype(np.float32)
    want = expected.set_train(False)(Tensor(own)).asnumpy()
    given = pixels if on_device else ((pixels - cfg.mean) / cfg.std).transpose(0, 3, 1, 2).astype(np.float32)
    np.testing.assert_allclose(teacher(Tensor(given)).asnumpy(), want, atol=2e-5)
    assert np.abs(want).max() > 0.01
