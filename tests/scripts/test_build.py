"""How a run's parts follow from the config, where two keys meet."""

import fsspec
import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from mindcv.build import (
    build_class_weights,
    build_eval_loader,
    build_evaluator,
    build_learning_rates,
    build_loss,
    build_network,
    build_saver,
    build_step,
    build_train_loader,
    check_loss,
    get_outputs,
    warn_of_ignored_keys,
)
from mindcv.config import Config
from mindcv.engine import TrainState
from mindcv.engine.evaluator import Scores
from mindcv.models import create_model
from mindcv.weights import read_ckpt, write_ckpt

BFLOAT16 = {"amp_dtype": "bfloat16"}


@pytest.mark.parametrize(("pretrained", "padding"), [(True, "both"), (False, "same")])
def test_a_run_from_published_weights_keeps_their_padding_in_its_checkpoints(pretrained, padding, tmp_path):
    trained = build_network(Config(model="seresnext101_32x4d"), 2)
    path = tmp_path / "a.ckpt"
    write_ckpt(path, {name: parameter.asnumpy() for name, parameter in trained.parameters_dict().items()})
    network = build_network(Config(model="seresnext101_32x4d", pretrained=pretrained, ckpt_path=str(path)), 2)
    assert network.stem_pool_pad == padding


@pytest.mark.parametrize("form", ["{}", "file://{}", "memory://finetune/{}"])
@pytest.mark.parametrize("has_head", [True, False])
def test_fine_tuning_starts_from_a_file_of_other_classes(form, has_head, tmp_path):
    trained = create_model("resnet18", num_classes=5, in_channels=1)
    arrays = {name: parameter.asnumpy() for name, parameter in trained.parameters_dict().items()}
    if not has_head:
        arrays = {name: array for name, array in arrays.items() if not name.startswith("classifier")}
    path = tmp_path / "trained.ckpt"
    write_ckpt(path, arrays)
    address = form.format(path)
    if form.startswith("memory"):
        with fsspec.open(address, "wb") as file:
            file.write(path.read_bytes())
    network = build_network(Config(model="resnet18", pretrained=address), 3)
    now = {name: parameter.asnumpy() for name, parameter in network.parameters_dict().items()}
    assert now["classifier.weight"].shape == (3, 512)
    np.testing.assert_allclose(now["conv1.weight"], np.repeat(arrays["conv1.weight"], 3, 1) / 3, rtol=1e-6)
    same = set(arrays) - {"conv1.weight", "classifier.weight", "classifier.bias"}
    assert len(same) == len(now) - 3
    assert all(np.array_equal(now[name], arrays[name]) for name in same)


@pytest.mark.parametrize("padding", ["both", "same"])
@pytest.mark.parametrize("name", ["resnet18", "seresnet18"])
def test_checkpoints_of_a_run_tell_their_padding(name, padding, tmp_path):
    sizes = {"channels": (8, 8, 8, 8), "layers": (1, 1, 1, 1), "num_classes": 2}
    network = create_model(name, stem_pool_pad=padding, **sizes)
    saver = build_saver(Config(model=name), network, tmp_path, 1)
    saver.save_best(network, network)
    whole = saver.save(network, TrainState(epoch=1, history=[{"steps": 1}]))
    names = set(network.parameters_dict()) | ({"model_args.stem_pool_pad.both"} if padding == "both" else set())
    assert set(read_ckpt(saver.best_path)) == names
    assert set(read_ckpt(whole)) == names | {"train_state"}
    for path in (saver.best_path, whole):
        assert create_model(name, checkpoint_path=str(path), **sizes).stem_pool_pad == padding


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, (1.0, False, False)),
        ({"loss_scale": 128, "drop_overflow_update": True}, (128.0, False, True)),
        ({"loss_scale_type": "dynamic", "loss_scale": 1024}, (1024.0, True, True)),
        ({"loss_scale_type": "auto", "loss_scale": 64}, (1.0, False, False)),
        ({"loss_scale_type": "auto", "amp_level": "O2"}, (2.0**24, True, True)),
        ({"loss_scale_type": "auto", "amp_level": "O2", **BFLOAT16}, (1.0, False, False)),
        ({"loss_scale_type": "dynamic", "loss_scale": 64, "amp_level": "O3", **BFLOAT16}, (64.0, True, True)),
        ({"amp_level": "O1", **BFLOAT16}, (1.0, False, False)),
    ],
)
def test_loss_scale_follows_from_five_keys(values, expected, monkeypatch, caplog):
    monkeypatch.setattr("mindcv.engine.amp._require_bfloat16", lambda: None)
    caplog.set_level("INFO")
    cfg = Config(model="resnet18", **values)
    step = build_step(cfg, build_network(cfg, 2), 2, [0.1])
    assert (step.scale.value, step.scale.dynamic, step.scale.drop_overflow) == expected
    assert ("bfloat16 needs no loss scale" in caplog.text) is (values.get("loss_scale") == 64 and "amp_dtype" in values)


@pytest.mark.parametrize("scheduler", ["cosine_decay", "polynomial_decay", "multi_step_decay"])
def test_rates_grow_with_the_images_of_an_update(scheduler, monkeypatch, caplog):
    caplog.set_level("INFO")
    keys = {"scheduler": scheduler, "lr": 0.1, "min_lr": 0.001, "warmup_epochs": 2, "warmup_factor": 0.1}
    keys |= {"epoch_size": 6, "batch_size": 32, "gradient_accumulation_steps": 3, "multi_step_decay_milestones": [4]}
    plain = build_learning_rates(Config(**keys), 9)
    assert "lr_base_batch_size" not in caplog.text
    monkeypatch.setattr("mindcv.engine.world_size", lambda: 4)
    scaled = build_learning_rates(Config(**keys, lr_base_batch_size=256), 9)
    np.testing.assert_allclose(scaled, np.array(plain) * 1.5, rtol=1e-9)
    assert "lr 0.1 -> 0.15, min_lr 0.001 -> 0.0015: an update has 384 images, lr_base_batch_size is 256" in caplog.text


def test_parts_of_a_step_are_frozen_and_recomputed_by_config(caplog):
    caplog.set_level("INFO")
    cfg = Config(model="resnet18", freeze="conv1,bn1,layer1", recompute=True, opt="momentum", amp_level="O1")
    step = build_step(cfg, build_network(cfg, 2), 2, [0.1])
    assert not [p.name for p in step.optimizer.parameters if p.name.startswith(("conv1", "bn1", "layer1."))]
    assert "freeze: 15 of 62 parameters" in caplog.text
    assert "5 BatchNorm cells keep their statistics" in caplog.text
    assert "recompute: 8 blocks" in caplog.text


@pytest.mark.parametrize(
    ("values", "lines"),
    [
        ({}, []),
        ({"scheduler": "cosine_decay", "decay_rate": 0.9, "min_lr": 1e-7}, []),
        (
            {"scheduler": "cosine_decay", "decay_rate": 0.1, "multi_step_decay_milestones": [3, 4]},
            ["scheduler cosine_decay does not use decay_rate: 0.1, multi_step_decay_milestones: 3,4"],
        ),
        (
            {"scheduler": "polynomial_decay", "decay_epochs": 7},
            ["scheduler polynomial_decay does not use decay_epochs: 7"],
        ),
        (
            {"scheduler": "constant", "num_cycles": 2, "opt": "adamw", "momentum": 0.8, "eps": 1e-8},
            ["scheduler constant does not use num_cycles: 2", "opt adamw does not use momentum: 0.8"],
        ),
        (
            {"clip_value": 1.0, "ema_decay": 0.9, "warmup_factor": 0.1, "warmup_epochs": 0, "cycle_decay": 0.5},
            [
                "warmup_factor: 0.1 has no effect without warmup_epochs",
                "cycle_decay: 0.5 has no effect without num_cycles above 1",
                "clip_value: 1 has no effect without clip_grad",
                "ema_decay: 0.9 has no effect without ema",
            ],
        ),
        ({"clip_grad": True, "clip_value": 1.0, "ema": True, "ema_decay": 0.9, "warmup_factor": 0.1}, []),
        ({"opt": "lion", "use_nesterov": True, "eps": 1e-8}, ["opt lion does not use use_nesterov: True, eps: 1e-08"]),
    ],
)
def test_keys_without_effect_are_told(values, lines, caplog):
    warn_of_ignored_keys(Config(**values))
    assert caplog.messages == lines


def _folder(tmp_path, counts):
    for name, count in counts.items():
        (tmp_path / "train" / name).mkdir(parents=True)
        for index in range(count):
            Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / "train" / name / f"{index}.png")
    return {"data_dir": str(tmp_path), "image_resize": 8, "batch_size": 2}


def test_training_on_one_class_is_refused(tmp_path):
    cfg = Config(**_folder(tmp_path, {"cat": 4}))
    with pytest.raises(ValueError, match=r"has 1 class, so that every answer is right; training needs 2 or more"):
        build_train_loader(cfg)


def test_training_on_images_of_one_class_is_warned_of(tmp_path, caplog):
    keys = _folder(tmp_path, {"cat": 4})
    assert build_train_loader(Config(**keys, num_classes=3))[1] == 3
    assert "are of one class out of 3: loss 0 and accuracy 1 will mean nothing" in caplog.text


def _reference_loss(loss, logits, labels, weights):
    """In float64, with label smoothing 0.1, as the formulas of the losses say."""
    targets = np.eye(3)[labels] if labels.ndim == 1 else labels.astype(np.float64)
    smoothed = 0.9 * targets + 0.1 / 3
    if loss == "BCE":
        positive, negative = -np.log1p(np.exp(-logits)), -np.log1p(np.exp(logits))
        return -(weights * (smoothed * positive + (1 - smoothed) * negative)).mean()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    each = -(weights * smoothed * log_p).sum(1)
    return each.sum() / weights[labels].sum() if labels.ndim == 1 else each.mean()


@pytest.mark.parametrize("mixup", [0.0, 0.8])
@pytest.mark.parametrize("loss", ["CE", "BCE"])
@pytest.mark.parametrize("source", ["balanced", "file"])
def test_class_weights_in_the_training_loss_only(source, loss, mixup, tmp_path):
    keys = _folder(tmp_path, {"cat": 6, "dog": 3, "ox": 1})
    if source == "file":
        (tmp_path / "weights.txt").write_text("ox,4\ncat,0.5\ndog,2\n")
    weights = np.array([10 / 18, 10 / 9, 10 / 3]) if source == "balanced" else np.array([0.5, 2, 4])
    cfg = Config(
        **{**keys, "batch_size": 10},
        model="resnet18",
        mode=1,
        loss=loss,
        label_smoothing=0.1,
        mixup=mixup,
        class_weights=source if source == "balanced" else str(tmp_path / "weights.txt"),
    )
    loader, num_classes = build_train_loader(cfg)
    given = build_class_weights(cfg, loader, num_classes)
    np.testing.assert_allclose(given, weights, rtol=1e-12)
    step = build_step(cfg, build_network(cfg, num_classes), num_classes, [0.1], given)
    images, labels = next(loader.create_tuple_iterator(num_epochs=1))
    assert labels.ndim == (2 if mixup else 1)
    logits = step.network.network(images)
    expected = _reference_loss(loss, logits.asnumpy().astype(np.float64), labels.asnumpy(), weights)
    assert float(step.network.loss(logits, labels).asnumpy()) == pytest.approx(expected, rel=1e-5)
    evaluated = build_loss(cfg)(logits, labels)
    plain = _reference_loss(loss, logits.asnumpy().astype(np.float64), labels.asnumpy(), np.ones(3))
    assert float(evaluated.asnumpy()) == pytest.approx(plain, rel=1e-5)


def test_class_weights_and_a_balanced_sampler_are_refused():
    with pytest.raises(ValueError, match="would both make up for rare classes"):
        Config(class_weights="balanced", sampler="balanced")


def test_training_on_soft_labels(tmp_path):
    """The loss is the cross entropy of the probabilities; accuracy counts the most probable class."""
    keys = _folder(tmp_path, {"cat": 2, "dog": 2})
    soft = [[0.4, 0.35, 0.25], [0.1, 0.2, 0.7], [0.3, 0.4, 0.3], [0.2, 0.5, 0.3]]
    files = ["cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png"]
    lines = [",".join(["train/" + file, *map(str, row)]) for file, row in zip(files, soft, strict=True)]
    for split in ("train", "val"):
        (tmp_path / f"{split}.csv").write_text("path,p:a,p:b,p:c\n" + "\n".join(lines) + "\n")
    cfg = Config(**{**keys, "batch_size": 4}, dataset="csv", model="resnet18", mode=1, shuffle=False)
    loader, num_classes = build_train_loader(cfg)
    assert num_classes == 3
    check_loss(cfg, loader)
    assert get_outputs(loader, num_classes).head == "single"
    network = build_network(cfg, num_classes)
    step = build_step(cfg, network, num_classes, [0.1])
    images, labels = next(loader.create_tuple_iterator(num_epochs=1))
    np.testing.assert_allclose(labels.asnumpy(), soft, rtol=1e-6)
    logits = network(images).asnumpy().astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    expected = -(np.array(soft) * log_p).sum(1).mean()
    assert float(step.network.loss(Tensor(logits.astype(np.float32)), labels).asnumpy()) == pytest.approx(
        expected, 1e-5
    )

    eval_loader, _ = build_eval_loader(cfg)
    result = build_evaluator(cfg, network, eval_loader, num_classes).run()
    evaluated = network.set_train(False)(next(eval_loader.create_tuple_iterator(num_epochs=1))[0]).asnumpy()
    right = (evaluated.argmax(1) == np.array([0, 2, 1, 1])).mean()
    assert (result["Top_1_Accuracy"], result["num_samples"]) == (right, 4)


def test_scores_of_soft_labels():
    scores = Scores(3)
    scores.add(np.array([[3.0, 1, 2], [0, 5, 1]]), np.array([[0.4, 0.35, 0.25], [0.4, 0.35, 0.25]]))
    assert scores.metric_values(2, scores.hits) == {"Top_1_Accuracy": 0.5}
