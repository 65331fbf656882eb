"""A whole run on files, one of which makes the loss infinite."""

import numpy as np
import pytest
from mindspore import nn, ops
from PIL import Image

from mindcv.config import Config
from mindcv.engine import read_checkpoint
from mindcv.models import create_model
from mindcv.train import train
from mindcv.utils.errors import RunError
from mindcv.validate import validate
from mindcv.weights import write_ckpt


class Logarithm(nn.Cell):
    """Not defined for white."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Dense(1, 3, weight_init="ones")

    def construct(self, x):
        return self.classifier(ops.log(255.0 - x.mean((1, 2, 3), keep_dims=True).reshape((-1, 1))))


def test_the_error_names_the_files_of_the_very_batch(tmp_path, monkeypatch):
    """The labels of the batches before tell which files they had, so the rest of the epoch is where white is."""
    monkeypatch.setattr("mindcv.train.build_network", lambda cfg, num_classes, **_: Logarithm())
    random = np.random.RandomState(0)
    for index in range(24):
        pixels = random.randint(0, 200, (20, 20, 3), dtype=np.uint8) if index != 17 else np.full((20, 20, 3), 255)
        folder = tmp_path / "data" / "train" / f"class{index % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:02d}.png")
    cfg = Config(
        model="resnet18",
        dataset="imagenet",
        data_dir=str(tmp_path / "data"),
        ckpt_save_dir=str(tmp_path / "run"),
        device_target="CPU",
        mode=1,
        batch_size=4,
        image_resize=16,
        color_jitter=None,
        mean=(0, 0, 0),
        std=(1, 1, 1),
        epoch_size=2,
        warmup_epochs=0,
        seed=3,
    )
    with pytest.raises(
        RunError, match=r"the loss is (nan|inf) at epoch 1, step \d .* with the batch (.+), listed in"
    ) as error:
        train(cfg)
    names = (tmp_path / "run" / "non_finite_batch.txt").read_text().splitlines()
    assert len(names) == 4
    assert f"with the batch {', '.join(names)}, listed in" in str(error.value)
    assert [name.endswith("class2/17.png") for name in names].count(True) == 1


def test_a_last_batch_of_one_image_at_1x1_maps_leaves_the_statistics_finite(tmp_path):
    """9 images in batches of 8, at 32 pixels, of which ResNet's last stage makes one value a channel."""
    cfg = Config(
        model="resnet18",
        dataset="digits",
        ckpt_save_dir=str(tmp_path),
        device_target="CPU",
        mode=1,
        num_samples=9,
        batch_size=8,
        drop_remainder=False,
        image_resize=32,
        epoch_size=1,
        warmup_epochs=0,
        decay_epochs=1,
        val_while_train=False,
    )
    state = train(cfg)
    assert state.global_step == 2
    arrays, _ = read_checkpoint(tmp_path / "resnet18-1_2.ckpt")
    variances = {name: array for name, array in arrays.items() if name.endswith("moving_variance")}
    assert all(np.isfinite(array).all() for array in variances.values())
    # Moved by the first batch, of 8 images, alone.
    last = variances["layer4.1.bn2.moving_variance"]
    assert (last != 1).all()


def test_a_checkpoint_that_is_not_finite_is_not_evaluated(tmp_path):
    """Such as earlier versions saved; its logits were the same for all images."""
    network = create_model("resnet18", num_classes=10)
    arrays = {name: parameter.asnumpy().copy() for name, parameter in network.parameters_dict().items()}
    arrays["bn1.moving_variance"][3] = np.nan
    write_ckpt(tmp_path / "broken.ckpt", arrays)
    cfg = Config(
        model="resnet18", dataset="digits", ckpt_path=str(tmp_path / "broken.ckpt"), device_target="CPU", mode=1
    )
    words = r"broken\.ckpt: bn1\.moving_variance is not finite \(1 of 64 values, the first one nan\); its accuracy says"
    with pytest.raises(ValueError, match=words):
        validate(cfg)
