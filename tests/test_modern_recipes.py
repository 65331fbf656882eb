"""The modern trainings in configs/*/modern: they load, say what they are, have no key in vain, and train."""

import functools
import re
from pathlib import Path

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
import pytest
import yaml
from test_recipes import ALWAYS_WRITTEN, CONFIGS, WRITTEN_BY_SCHEDULE

from mindcv.build import build_learning_rates, build_step, warn_of_ignored_keys
from mindcv.config import Config, find_recipe, load_recipe
from mindcv.config.effects import without_effect
from mindcv.data import create_transforms
from mindcv.data.mixup import Mixup
from mindcv.models import create_model, model_entrypoint

RECIPES = sorted(CONFIGS.glob("*/modern/*.yaml"))
NAMES = [path.stem for path in RECIPES]
PHOTO = Path(__file__).parent / "data" / "photos" / "flower.jpg"
load = functools.cache(lambda path: load_recipe(str(path)))
modern = pytest.mark.parametrize("path", RECIPES, ids=NAMES)

# What their sources say: epochs, optimizer, learning rate at which global batch, weight decay, loss, mixup, cutmix,
# repeats, and the published top-1.
FACTS = {
    "resnet50_tv2": (600, "momentum", 0.5, 1024, 2e-5, "CE", 0.2, 1.0, 4, 80.86),
    "resnext50_32x4d_tv2": (600, "momentum", 0.5, 1024, 2e-5, "CE", 0.2, 1.0, 4, 81.20),
    "seresnext50_32x4d_tv2": (600, "momentum", 0.5, 1024, 2e-5, "CE", 0.2, 1.0, 4, None),
    "resnet50_a1": (600, "lamb", 5e-3, 2048, 0.01, "BCE", 0.2, 1.0, 3, 80.4),
    "resnet50_a2": (300, "lamb", 5e-3, 2048, 0.02, "BCE", 0.1, 1.0, 3, 79.8),
    "resnet50_a3": (100, "lamb", 8e-3, 2048, 0.02, "BCE", 0.1, 1.0, 0, 78.1),
    "resnext50_32x4d_a2": (300, "lamb", 5e-3, 2048, 0.02, "BCE", 0.1, 1.0, 3, None),
    "seresnext50_32x4d_a2": (300, "lamb", 5e-3, 2048, 0.02, "BCE", 0.1, 1.0, 3, None),
    "resnext50_32x4d_ra": (240, "momentum", 0.6, 1536, 1e-4, "CE", 0.0, 0.0, 0, 79.76),
    "vit_b_16_224_deit3": (800, "lamb", 3e-3, 2048, 0.05, "BCE", 0.8, 1.0, 3, 83.8),
    "vit_b_16_224_deit3_finetune": (20, "adamw", 1e-5, 512, 0.1, "CE", 0.8, 1.0, 3, 83.8),
    "vit_b_16_224_deit3_21k_finetune": (50, "lamb", 3e-4, 2048, 0.02, "CE", 0.0, 1.0, 0, 85.7),
    "vit_l_16_224_deit3": (800, "lamb", 3e-3, 2048, 0.05, "BCE", 0.8, 1.0, 3, 84.9),
    "vit_l_16_224_deit3_finetune": (20, "adamw", 1e-5, 512, 0.1, "CE", 0.8, 1.0, 3, 84.9),
    "convnext_tiny_paper": (300, "adamw", 4e-3, 4096, 0.05, "CE", 0.8, 1.0, 0, 82.1),
    "convnext_small_paper": (300, "adamw", 4e-3, 4096, 0.05, "CE", 0.8, 1.0, 0, 83.1),
    "convnext_base_384_finetune": (30, "adamw", 5e-5, 512, 1e-8, "CE", 0.0, 0.0, 0, 85.1),
    "mobilenet_v3_large_100_tv": (600, "rmsprop", 0.064, 1024, 1e-5, "CE", 0.0, 0.0, 0, 74.04),
    "mobilenet_v3_small_100_tv": (600, "rmsprop", 0.064, 1024, 1e-5, "CE", 0.0, 0.0, 0, 67.67),
}


@modern
def test_header_and_figures(path):
    cfg = load(path)
    title, paper, result = path.read_text(encoding="utf-8").splitlines()[:3]
    *facts, top1 = FACTS[path.stem]
    got = (cfg.epoch_size, cfg.opt, cfg.lr, cfg.lr_base_batch_size, cfg.weight_decay, cfg.loss, cfg.mixup, cfg.cutmix)
    assert [*got, cfg.aug_repeats] == facts
    assert title.startswith(f"# {cfg.model} on ImageNet-1K ")
    assert re.fullmatch(r'# Paper   [^"]+, "[^"]+", https://arxiv\.org/abs/\d{4}\.\d{5}', paper)
    assert re.fullmatch(r"# Result  (top-1 \d\d\.\d\d?.* published .*|none .*); not measured here", result)
    told = re.search(r"top-1 (\d\d\.\d\d?)", result)
    assert (float(told[1]) if told else None) == top1
    assert path.stem.startswith(cfg.model.removesuffix("_224"))
    assert cfg.ckpt_save_dir == f"./ckpt/{path.stem}"
    # Made for 8 devices: an update has the images that the learning rate is meant for.
    assert 8 * cfg.batch_size * cfg.gradient_accumulation_steps == cfg.lr_base_batch_size
    assert cfg.warmup_epochs + cfg.decay_epochs == cfg.epoch_size or cfg.scheduler == "step_decay"
    assert find_recipe(path.stem) == str(path)


@modern
def test_no_key_is_in_vain(path, caplog):
    cfg, default = load(path), Config()
    keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(without_effect(cfg, True)) == list(without_effect(cfg, False)) == []
    warn_of_ignored_keys(cfg)
    assert caplog.messages == []
    allowed = ALWAYS_WRITTEN | WRITTEN_BY_SCHEDULE[cfg.scheduler] | {"momentum", "beta1", "beta2"}
    needless = [key for key in set(keys) - allowed if getattr(cfg, key) == getattr(default, key)]
    assert needless == []
    arguments = {"drop_path_rate": cfg.drop_path_rate} if cfg.drop_path_rate else {}
    assert model_entrypoint(cfg.model).checked(arguments) == arguments


def test_every_recipe_has_its_facts():
    assert sorted(NAMES) == sorted(FACTS)
    assert {path.parent.parent.name for path in RECIPES} == {
        *("resnet", "resnext", "senet", "vit", "convnext", "mobilenetv3"),
    }


# One of each kind of training; the others differ from these in numbers.
KINDS = [
    *("resnet50_tv2", "resnet50_a1", "resnet50_a3", "resnext50_32x4d_ra", "vit_b_16_224_deit3"),
    *("vit_b_16_224_deit3_21k_finetune", "convnext_tiny_paper", "convnext_base_384_finetune"),
    "mobilenet_v3_large_100_tv",
]


@pytest.mark.parametrize("name", KINDS)
def test_it_trains(name):
    """A small ResNet learns from one photograph and its crops: the loss is finite, and each weight moves."""
    cfg = load(RECIPES[NAMES.index(name)])
    cfg = cfg.model_copy(update={"image_resize": 32, "amp_level": "O0", "batch_size": 4, "num_classes": 10})
    images = []
    for seed in range(4):
        ds.config.set_seed(seed)
        image = np.frombuffer(PHOTO.read_bytes(), np.uint8)
        for operation in create_transforms(cfg.dataset, is_training=True, **cfg.arguments("create_transforms")):
            image = operation(image)
        images.append(image)
    images, labels = np.stack(images), np.arange(4, dtype=np.int32)
    assert images.shape == (4, 32, 32, 3)
    assert images.dtype == np.uint8
    assert len({image.tobytes() for image in images}) > 1
    inputs = [images, labels]
    if cfg.mixup or cfg.cutmix:
        inputs = Mixup(cfg.mixup, cfg.cutmix, prob=cfg.cutmix_prob, label_smoothing=0.0, num_classes=10).draw(*inputs)
    network = create_model("resnet18", layers=(1, 1, 1, 1), channels=(8, 8, 8, 8), num_classes=10)
    rates = [max(rate, 1e-4) for rate in build_learning_rates(cfg, cfg.gradient_accumulation_steps)]
    step = build_step(cfg, network, 10, rates).set_train(True)
    before = {p.name: p.asnumpy().copy() for p in network.trainable_params()}
    for _ in range(cfg.gradient_accumulation_steps):
        loss = float(step(*map(ms.Tensor, inputs)).asnumpy())
    assert 0 < loss < 20
    still = [p.name for p in network.trainable_params() if np.array_equal(p.asnumpy(), before[p.name])]
    assert still == []
    if cfg.layer_decay:
        gone = {p.name: np.abs(p.asnumpy() - before[p.name]).max() for p in network.trainable_params()}
        assert gone["classifier.weight"] > 3 * gone["conv1.weight"]
