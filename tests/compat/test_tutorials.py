"""What MindCV's tutorials and examples do, on small images: factories, `mindspore.Model`, own data, own loops."""

import logging

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
import pytest
from image_files import write_images
from mindspore import Tensor, nn, ops
from mindspore.train import LossMonitor, TimeMonitor

from mindcv.config import ConfigError, parse_args, save_args
from mindcv.data import create_dataset, create_loader, create_transforms
from mindcv.loss import create_loss
from mindcv.models import create_model
from mindcv.optim import create_optimizer
from mindcv.scheduler import create_scheduler
from mindcv.train import train
from mindcv.utils.callbacks import StateMonitor, ValCallback
from mindcv.utils.logger import set_logger
from mindcv.utils.random import set_seed
from mindcv.utils.trainer_factory import create_trainer, get_metrics, require_customized_train_step
from mindcv.validate import validate

TINY = {"channels": (8, 8, 16, 16), "layers": (1, 1, 1, 1)}


@pytest.fixture(autouse=True)
def _quiet_logger():
    """What scripts do to the package's logger ends with the test."""
    yield
    logger = logging.getLogger("mindcv")
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="module")
def canidae(tmp_path_factory):
    """root/{train,val}/{dogs,wolves}, of two colours."""
    root = tmp_path_factory.mktemp("data") / "Canidae"
    for split, count in (("train", 6), ("val", 3)):
        for seed, name in enumerate(("dogs", "wolves")):
            write_images(root / split / name, count, seed=seed)
    return root


def loaders(root, side=16):
    found = []
    for split, batch_size in (("train", 4), ("val", 3)):
        dataset = create_dataset(root=str(root), split=split, num_parallel_workers=2, shuffle=split == "train")
        transform = create_transforms("ImageNet", side, is_training=split == "train")
        found.append(create_loader(dataset, batch_size, is_training=True, num_classes=2, transform=transform))
    return found


def test_fine_tuning_with_mindspores_model(canidae, capsys):
    """The tutorial of dogs and wolves: Model.train, eval and predict, then only the classifier."""
    loader_train, loader_val = loaders(canidae)
    images, labels = next(loader_train.create_tuple_iterator())
    assert (images.shape, labels.shape) == ((4, 3, 16, 16), (4,))
    network = create_model("resnet18", num_classes=2, **TINY)
    for options, count in (({"lr": 1e-2}, len(network.trainable_params())), ({"lr": 1e-3}, 2)):
        if count == 2:
            for parameter in network.get_parameters():
                if parameter.name not in ["classifier.weight", "classifier.bias"]:
                    parameter.requires_grad = False
            loader_train, _ = loaders(canidae)  # MindSpore's Model wants a new one, and so has the tutorial
        frozen = network.conv1.weight.asnumpy().copy()
        optimizer = create_optimizer(network.trainable_params(), opt="adam", **options)
        assert len(optimizer.parameters) == count
        before = network.classifier.weight.asnumpy().copy()
        model = ms.Model(network, loss_fn=create_loss(name="CE"), optimizer=optimizer, metrics={"accuracy"})
        model.train(1, loader_train, callbacks=[LossMonitor(3), TimeMonitor(3)], dataset_sink_mode=False)
        assert (network.classifier.weight.asnumpy() != before).any()
        assert (network.conv1.weight.asnumpy() != frozen).any() == (count > 2)
    assert capsys.readouterr().out.count("loss is") == 2
    accuracy = model.eval(loader_val, dataset_sink_mode=False)["accuracy"]
    network.set_train(False)
    hits = [
        (model.predict(images).asnumpy().argmax(1) == labels.asnumpy()).mean()
        for images, labels in loader_val.create_tuple_iterator()
    ]
    assert accuracy == pytest.approx(np.mean(hits))


def test_a_loop_of_ones_own(canidae):
    """The example `train_with_func_example.py`."""
    loader_train, _ = loaders(canidae)
    network, loss_fn = create_model("resnet18", num_classes=2, **TINY), create_loss(name="CE")
    optimizer = create_optimizer(network.trainable_params(), opt="adam", lr=1e-3)

    def forward_fn(data, label):
        logits = network(data)
        return loss_fn(logits, label), logits

    grad_fn = ops.value_and_grad(forward_fn, None, optimizer.parameters, has_aux=True)
    network.set_train()
    images, labels = next(loader_train.create_tuple_iterator())
    losses = []
    for _ in range(5):
        (loss, logits), grads = grad_fn(images, labels)
        optimizer(grads)
        losses.append(float(loss.asnumpy()))
    assert logits.shape == (4, 2)
    assert losses[-1] < losses[0]


class Pictures:
    """The example's own data set: encoded files with labels."""

    def __init__(self, root):
        self.files = sorted(root.rglob("*.jpg"))

    def __getitem__(self, index):
        return np.fromfile(self.files[index], np.uint8), int(self.files[index].parent.name == "wolves")

    def __len__(self):
        return len(self.files)


@pytest.mark.parametrize("is_training", [True, False])
def test_data_of_ones_own(canidae, is_training):
    source = ds.GeneratorDataset(Pictures(canidae / "train"), ["image", "label"], shuffle=False)
    loader = create_loader(source, 6, is_training=is_training, transform=create_transforms("imagenet", 16, is_training))
    rows = list(loader.create_tuple_iterator(num_epochs=1, output_numpy=True))
    assert [image.shape for image, _ in rows] == [(6, 3, 16, 16)] * 2
    assert np.concatenate([label for _, label in rows]).tolist() == [0] * 6 + [1] * 6
    if not is_training:
        ours, _ = next(
            create_loader(
                create_dataset(root=str(canidae), split="train", shuffle=False),
                *(6,),
                transform=create_transforms("imagenet", 16),
            ).create_tuple_iterator(output_numpy=True)
        )
        np.testing.assert_allclose(rows[0][0], ours, atol=1e-5)


def test_rates_by_layer():
    """The fine-tuning example gives groups of layers a schedule each."""
    network = create_model("resnet18", num_classes=2, **TINY)
    rates = create_scheduler(2, "constant", lr=0.1, num_epochs=2, warmup_epochs=0)
    last = [parameter for parameter in network.trainable_params() if "classifier" in parameter.name]
    others = [parameter for parameter in network.trainable_params() if "classifier" not in parameter.name]
    groups = [
        {"params": others, "lr": [rate * 0.5 for rate in rates]},
        {"params": last, "lr": rates},
        {"order_params": network.trainable_params()},
    ]
    optimizer = create_optimizer(groups, opt="sgd", lr=rates, momentum=0.0, weight_decay=0.0)
    before = {parameter.name: parameter.asnumpy().copy() for parameter in optimizer.parameters}
    optimizer(tuple(ops.ones_like(parameter) for parameter in optimizer.parameters))
    for parameter in optimizer.parameters:
        moved = 0.1 if "classifier" in parameter.name else 0.05
        np.testing.assert_allclose(before[parameter.name] - parameter.asnumpy(), moved, atol=1e-6)


@pytest.mark.parametrize("ema", [False, True])
def test_the_training_script(canidae, tmp_path, ema):
    """The body of MindCV's `train.py`, with what it writes."""
    args = parse_args(["--model", "resnet18", "--epoch_size", "2", "--batch_size", "4", "--image_resize", "16",
                       "--opt", "momentum", "--lr", "0.05", "--warmup_epochs", "0", "--seed", "7"])  # fmt: skip
    args.data_dir, args.ckpt_save_dir = str(canidae), str(tmp_path)
    args.ema, args.val_while_train, args.dataset_sink_mode = ema, True, False
    device_num = rank_id = None
    set_seed(args.seed)
    set_logger(name="mindcv", output_dir=args.ckpt_save_dir, rank=rank_id or 0, color=False)
    dataset_train = create_dataset(
        name=args.dataset,
        root=args.data_dir,
        split=args.train_split,
        shuffle=args.shuffle,
        num_samples=args.num_samples,
        num_shards=device_num,
        shard_id=rank_id,
        num_parallel_workers=args.num_parallel_workers,
        download=args.dataset_download,
        num_aug_repeats=args.aug_repeats,
    )
    num_classes = dataset_train.num_classes() if args.num_classes is None else args.num_classes
    transforms = create_transforms(
        dataset_name=args.dataset,
        is_training=True,
        image_resize=args.image_resize,
        scale=args.scale,
        ratio=args.ratio,
        hflip=args.hflip,
        vflip=args.vflip,
        color_jitter=args.color_jitter,
        interpolation=args.interpolation,
        auto_augment=args.auto_augment,
        mean=args.mean,
        std=args.std,
        re_prob=args.re_prob,
        re_scale=args.re_scale,
        re_ratio=args.re_ratio,
        re_value=args.re_value,
        re_max_attempts=args.re_max_attempts,
        separate=args.aug_splits > 0,
    )
    loader_train = create_loader(
        dataset=dataset_train,
        batch_size=args.batch_size,
        drop_remainder=args.drop_remainder,
        is_training=True,
        mixup=args.mixup,
        cutmix=args.cutmix,
        cutmix_prob=args.cutmix_prob,
        num_classes=num_classes,
        transform=transforms,
        num_parallel_workers=args.num_parallel_workers,
        separate=args.aug_splits > 0,
    )
    _, loader_eval = loaders(canidae)
    num_batches = loader_train.get_dataset_size()
    network = create_model(
        model_name=args.model,
        num_classes=num_classes,
        in_channels=args.in_channels,
        drop_rate=args.drop_rate,
        drop_path_rate=args.drop_path_rate,
        pretrained=args.pretrained,
        checkpoint_path=args.ckpt_path,
        ema=args.ema,
        **TINY,
    )
    loss = create_loss(
        name=args.loss,
        reduction=args.reduction,
        label_smoothing=args.label_smoothing,
        aux_factor=args.aux_factor,
    )
    rates = create_scheduler(
        num_batches,
        scheduler=args.scheduler,
        lr=args.lr,
        min_lr=args.min_lr,
        warmup_epochs=args.warmup_epochs,
        warmup_factor=args.warmup_factor,
        decay_epochs=args.decay_epochs,
        decay_rate=args.decay_rate,
        milestones=args.multi_step_decay_milestones,
        num_epochs=args.epoch_size,
        num_cycles=args.num_cycles,
        cycle_decay=args.cycle_decay,
        lr_epoch_stair=args.lr_epoch_stair,
    )
    customized = require_customized_train_step(
        args.ema, args.clip_grad, args.gradient_accumulation_steps, args.amp_cast_list
    )
    assert customized == ema
    optimizer = create_optimizer(
        network.trainable_params(),
        opt=args.opt,
        lr=rates,
        weight_decay=args.weight_decay,
        momentum=args.momentum,
        nesterov=args.use_nesterov,
        weight_decay_filter=args.weight_decay_filter,
        loss_scale=1.0 if customized else args.loss_scale,
        checkpoint_path="",
        eps=args.eps,
    )
    metrics = get_metrics(num_classes)
    trainer = create_trainer(
        *(network, loss, optimizer, metrics),
        amp_level=args.amp_level,
        amp_cast_list=args.amp_cast_list,
        loss_scale_type=args.loss_scale_type,
        loss_scale=args.loss_scale,
        drop_overflow_update=args.drop_overflow_update,
        ema=args.ema,
        ema_decay=args.ema_decay,
        clip_grad=args.clip_grad,
        clip_value=args.clip_value,
        gradient_accumulation_steps=args.gradient_accumulation_steps,
    )
    monitor = StateMonitor(
        trainer,
        model_name=args.model,
        model_ema=args.ema,
        last_epoch=0,
        dataset_sink_mode=args.dataset_sink_mode,
        dataset_val=loader_eval,
        metric_name=list(metrics.keys()),
        val_interval=args.val_interval,
        ckpt_save_dir=args.ckpt_save_dir,
        ckpt_save_interval=args.ckpt_save_interval,
        ckpt_save_policy=args.ckpt_save_policy,
        ckpt_keep_max=args.keep_checkpoint_max,
        summary_dir=f"{args.ckpt_save_dir}/summary",
        log_interval=args.log_interval,
        rank_id=rank_id,
        device_num=device_num,
    )
    assert (monitor.best_res, monitor.best_epoch) == (0.0, -1)
    save_args(args, f"{args.ckpt_save_dir}/{args.model}.yaml", rank_id)
    trainer.train(args.epoch_size, loader_train, callbacks=[monitor], dataset_sink_mode=args.dataset_sink_mode)
    assert num_batches == 3
    rows = [line.split() for line in (tmp_path / "result.log").read_text().splitlines()]
    accuracies = [float(row[2]) for row in rows[1:]]
    assert monitor.best_res == pytest.approx(max(accuracies), abs=1e-4)
    assert monitor.best_epoch == 1 + accuracies.index(max(accuracies))
    assert [row[0] for row in rows[1:]] == ["1", "2"]
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"resnet18-1_3.ckpt", "resnet18-2_3.ckpt", "resnet18_best.ckpt", "optim_resnet18.ckpt",
                     "resnet18.yaml", "rank0.log"}  # fmt: skip
    # What it wrote is read as it is: by create_model, and as a recipe.
    path = str(tmp_path / "resnet18-2_3.ckpt")
    again = create_model("resnet18", num_classes=2, checkpoint_path=path, ema=ema, **TINY)
    wanted = "ema.classifier.weight" if ema else "classifier.weight"
    state = {parameter.name: parameter for parameter in trainer.train_network.get_parameters()}
    np.testing.assert_array_equal(again.classifier.weight.asnumpy(), state[wanted].asnumpy())
    assert parse_args(["-c", str(tmp_path / "resnet18.yaml")]).lr == 0.05


def test_what_a_script_sets_counts(tmp_path):
    """`args` goes to `train` and `validate` as the script left it, and its keys are checked together."""
    args = parse_args(["--device_target", "CPU"])
    args.lr, args.min_lr, args.ckpt_save_dir = 0.01, 0.1, str(tmp_path)
    with pytest.raises(ConfigError, match=r"min_lr 0\.1 is above lr 0\.01"):
        train(args)
    args.min_lr = 0.0
    args.data_dir = str(tmp_path / "no_folder")
    with pytest.raises(FileNotFoundError, match="no_folder"):
        train(args)
    args.random_weights = True
    with pytest.raises(FileNotFoundError, match="no_folder"):
        validate(args)


def test_the_validation_script(canidae):
    """The body of MindCV's `validate.py`: a Model without an optimizer, three metrics, in inference."""
    _, loader = loaders(canidae)
    network = create_model("resnet18", num_classes=2, **TINY).set_train(False)
    metrics = {"Top_1_Accuracy": nn.Top1CategoricalAccuracy(), "loss": nn.metrics.Loss()}
    model = ms.Model(network, loss_fn=create_loss(), metrics=metrics)
    result = model.eval(loader, dataset_sink_mode=False, callbacks=[ValCallback(1)])
    batches = [(network(images), labels) for images, labels in loader.create_tuple_iterator()]
    losses = [float(create_loss()(logits, labels).asnumpy()) for logits, labels in batches]
    hits = np.concatenate([logits.asnumpy().argmax(1) == labels.asnumpy() for logits, labels in batches])
    assert result["Top_1_Accuracy"] == pytest.approx(hits.mean())
    assert result["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


def test_the_inference_script(canidae):
    """The body of MindCV's `infer.py`: transforms without decoding on a Pillow image, probabilities, the best ones."""
    from PIL import Image

    path = next((canidae / "val" / "dogs").iterdir())
    network = create_model("resnet18", num_classes=10, **TINY).set_train(False)
    image = Image.open(path).convert("RGB")
    operations = create_transforms(dataset_name="imagenet", is_training=False, image_resize=16)
    operations.pop(0)
    for operation in operations:
        image = operation(image)
    image = np.expand_dims(image, axis=0)
    probabilities = nn.Softmax()(network(Tensor(image)))[0].asnumpy()
    best = np.argsort(probabilities)[::-1][:5]
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert probabilities[best[0]] == probabilities.max()
