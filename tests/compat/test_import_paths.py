"""MindCV's module paths and names, each with what it does."""

import importlib
import inspect
import logging
import os
import shutil
import subprocess
import sys

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

import mindcv
from mindcv.models.registry import _model_pretrained_cfgs, get_pretrained_cfg, list_models
from mindcv.optim import create_optimizer

# MindCV 0.5: module -> its public names, as its own sources and users' scripts import them.
PATHS = {
    "mindcv": "create_dataset create_loader create_transforms create_loss create_model create_optimizer "
    "create_scheduler list_models list_modules is_model model_entrypoint is_model_in_modules is_model_pretrained "
    "get_pretrained_cfg get_pretrained_cfg_value has_pretrained_cfg_key Swish Pnasnet "
    "get_dataset_download_root MnistDownload Cifar10Download Cifar100Download resnet50 ResNet StateMonitor "
    "ValCallback CheckpointManager DownLoad set_logger set_seed AllReduceSum TrainStep GradientAccumulation "
    "get_metrics create_trainer auto_mixed_precision data loss models optim scheduler utils version",
    "mindcv.version": "__version__",
    "mindcv.data": "create_dataset create_loader create_transforms get_dataset_download_root DEFAULT_CROP_PCT "
    "IMAGENET_DEFAULT_MEAN IMAGENET_DEFAULT_STD auto_augment distributed_sampler mixup transforms_factory",
    "mindcv.data.auto_augment": "rand_augment_transform auto_augment_transform trivial_augment_wide_transform "
    "aug_mix_transform",
    "mindcv.data.constants": "DEFAULT_CROP_PCT IMAGENET_DEFAULT_MEAN IMAGENET_DEFAULT_STD",
    "mindcv.data.dataset_download": "MnistDownload Cifar10Download Cifar100Download get_dataset_download_root",
    "mindcv.data.dataset_factory": "create_dataset",
    "mindcv.data.distributed_sampler": "RepeatAugSampler",
    "mindcv.data.loader": "create_loader",
    "mindcv.data.mixup": "Mixup",
    "mindcv.data.transforms_factory": "create_transforms",
    "mindcv.loss": "create_loss",
    "mindcv.loss.asymmetric": "AsymmetricLossMultilabel AsymmetricLossSingleLabel",
    "mindcv.loss.binary_cross_entropy_smooth": "BinaryCrossEntropySmooth",
    "mindcv.loss.cross_entropy_smooth": "CrossEntropySmooth",
    "mindcv.loss.jsd": "JSDCrossEntropy",
    "mindcv.loss.loss_factory": "create_loss",
    "mindcv.models": "create_model list_models register_model is_model model_entrypoint layers registry helpers "
    "features model_factory resnet ResNet resnet50 get_pretrained_cfg_value has_pretrained_cfg_key Swish "
    "auto_map make_divisible ConfigDict get_checkpoint_download_root get_default_download_root",
    "mindcv.models.features": "FeatureExtractWrapper",
    "mindcv.models.helpers": "ConfigDict build_model_with_cfg load_pretrained load_model_checkpoint auto_map "
    "make_divisible get_checkpoint_download_root DownLoad FeatureExtractWrapper _ntuple",
    "mindcv.models.layers": "Conv2dNormActivation DropPath GlobalAvgPooling SelectiveKernel SelectiveKernelAttn Swish "
    "activation compatibility conv_norm_act drop_path format helpers identity mlp patch_dropout patch_embed pooling "
    "pos_embed selective_kernel squeeze_excite Identity PatchDropout Format FormatT nchw_to nhwc_to Split Dropout "
    "resample_abs_pos_embed RelativePositionBiasWithCLS SqueezeExcite SqueezeExciteV2 Interpolate",
    "mindcv.models.layers.activation": "Swish",
    "mindcv.models.layers.compatibility": "Dropout Interpolate ResizeBilinear Split",
    "mindcv.models.layers.conv_norm_act": "Conv2dNormActivation",
    "mindcv.models.layers.drop_path": "DropPath",
    "mindcv.models.layers.format": "Format FormatT nchw_to nhwc_to",
    "mindcv.models.layers.helpers": "to_1tuple to_2tuple to_3tuple to_4tuple to_ntuple _ntuple",
    "mindcv.models.layers.identity": "Identity",
    "mindcv.models.layers.mlp": "Mlp",
    "mindcv.models.layers.patch_dropout": "PatchDropout",
    "mindcv.models.layers.patch_embed": "PatchEmbed",
    "mindcv.models.layers.pooling": "GlobalAvgPooling",
    "mindcv.models.layers.pos_embed": "RelativePositionBiasWithCLS resample_abs_pos_embed",
    "mindcv.models.layers.selective_kernel": "SelectiveKernel SelectiveKernelAttn",
    "mindcv.models.layers.squeeze_excite": "SqueezeExcite SqueezeExciteV2",
    "mindcv.models.model_factory": "create_model",
    "mindcv.models.pnasnet": "Pnasnet pnasnet",
    "mindcv.models.registry": "list_models is_model model_entrypoint list_modules is_model_in_modules "
    "is_model_pretrained get_pretrained_cfg get_pretrained_cfg_value has_pretrained_cfg_key register_model "
    "_model_pretrained_cfgs",
    "mindcv.models.resnet": "ResNet resnet18 resnet34 resnet50 resnet101 resnet152",
    "mindcv.optim": "create_optimizer AdamW Adan Lion NAdam",
    "mindcv.optim.adamw": "AdamW",
    "mindcv.optim.adan": "Adan",
    "mindcv.optim.lion": "Lion",
    "mindcv.optim.nadam": "NAdam",
    "mindcv.optim.optim_factory": "create_optimizer",
    "mindcv.scheduler": "create_scheduler dynamic_lr scheduler_factory",
    "mindcv.scheduler.scheduler_factory": "create_scheduler",
    "mindcv.utils": "amp callbacks checkpoint_manager download logger path random reduce_manager train_step "
    "trainer_factory",
    "mindcv.utils.amp": "AMP_BLACK_LIST AMP_WHITE_LIST auto_mixed_precision",
    "mindcv.utils.callbacks": "StateMonitor ValCallback",
    "mindcv.utils.checkpoint_manager": "CheckpointManager",
    "mindcv.utils.download": "DownLoad get_default_download_root set_default_download_root",
    "mindcv.utils.logger": "set_logger",
    "mindcv.utils.path": "ARCHIVE_TYPE_SUFFIX COMPRESS_TYPE_SUFFIX FILE_TYPE_ALIASES detect_file_type",
    "mindcv.utils.random": "set_seed",
    "mindcv.utils.reduce_manager": "AllReduceSum",
    "mindcv.utils.train_step": "GradientAccumulation TrainStep",
    "mindcv.utils.trainer_factory": "add_loss_network create_trainer get_metrics require_customized_train_step",
}


@pytest.mark.parametrize("path", PATHS)
def test_names(path):
    module = importlib.import_module(path)
    for name in PATHS[path].split():
        assert getattr(module, name) is not None


@pytest.mark.no_mindspore
def test_the_package_is_imported_without_mindspore():
    code = "import sys, mindcv; mindcv.version, mindcv.utils.path, mindcv.config; sys.exit('mindspore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("name", "leading"),
    [
        ("DPN", "num_init_channel k_r g k_sec inc_sec in_channels num_classes"),
        ("DenseNet", "growth_rate block_config num_init_features bn_size drop_rate in_channels num_classes"),
        ("GhostNet", "num_classes width in_channels drop_rate"),
        ("ResNet", "block layers num_classes in_channels groups base_width norm"),
    ],
)
def test_networks_take_mindcvs_arguments_in_its_order(name, leading):
    names = list(inspect.signature(getattr(mindcv.models, name).__init__).parameters)[1:]
    assert names[: len(leading.split())] == leading.split()


def test_an_unknown_name_is_an_attribute_error():
    for module, name in (
        (mindcv, "creat_model"),
        (mindcv, "_nothing"),
        (mindcv.models, "nothing"),
        (mindcv.utils, "x"),
    ):
        with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute '{name}'"):
            getattr(module, name)
    with pytest.raises(AttributeError, match="did you mean 'create_model'"):
        mindcv.creat_model  # noqa: B018


def test_version():
    assert mindcv.version.__version__ == mindcv.__version__


def test_default_cfgs():
    """The fine-tuning example reads the classifier's name there."""
    assert dict(_model_pretrained_cfgs).keys() == set(list_models())
    assert len(_model_pretrained_cfgs) == len(list_models())
    cfg = _model_pretrained_cfgs["resnet50"]
    assert (cfg["classifier"], cfg["first_conv"]) == ("classifier", "conv1")
    assert cfg["url"] == get_pretrained_cfg("resnet50").url
    assert "resnet51" not in _model_pretrained_cfgs
    for name in ("resnet51", "resnet50.mindcv_in1k"):
        with pytest.raises(KeyError):
            _model_pretrained_cfgs[name]


def test_the_classifier_alone_is_trained():
    network = mindcv.create_model("resnet18", num_classes=4, channels=(4, 4, 8, 8))
    cell = _model_pretrained_cfgs["resnet18"]["classifier"]
    for parameter in network.trainable_params():
        if parameter.name not in (f"{cell}.weight", f"{cell}.bias"):
            parameter.requires_grad = False
    assert [parameter.name for parameter in network.trainable_params()] == ["classifier.weight", "classifier.bias"]


def test_path():
    path = mindcv.utils.path
    assert path.FILE_TYPE_ALIASES == {".tgz": (".tar", ".gz"), ".tbz": (".tar", ".bz2"), ".tbz2": (".tar", ".bz2")}
    assert path.ARCHIVE_TYPE_SUFFIX == [".tar", ".zip"]
    assert sorted(path.COMPRESS_TYPE_SUFFIX) == [".bz2", ".gz"]
    assert path.detect_file_type("a.tar.gz") == (".tar.gz", ".tar", ".gz")


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_download_unpacks(tmp_path, kind, monkeypatch):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("seven")
    archive = shutil.make_archive(str(tmp_path / "pack"), kind, tmp_path / "in")
    unpack = getattr(mindcv.utils.download.DownLoad(), f"extract_{kind}")
    unpack(archive, str(tmp_path / "out"))
    assert (tmp_path / "out" / "a.txt").read_text() == "seven"
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    unpack(archive)
    assert (tmp_path / "here" / "a.txt").read_text() == "seven"


def test_random():
    draws = []
    for _ in range(2):
        mindcv.utils.random.set_seed(seed=3, rank=None)
        draws.append((np.random.rand(), ms.get_seed()))
    assert draws[0] == draws[1]
    assert draws[0][1] == 3


def test_logger(tmp_path, capsys):
    logger = mindcv.utils.logger.set_logger("mindcv_of_a_script", str(tmp_path), rank=0, color=False)
    logger.info("a line")
    for handler in logger.handlers[:]:
        handler.flush()
    assert "INFO - a line" in capsys.readouterr().out
    assert "INFO - a line" in (tmp_path / "rank0.log").read_text()
    assert logger.level == logging.INFO


class _Small(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dense(2, 3)

    def construct(self, x):
        return self.fc(self.bn(self.conv(x)).mean((2, 3)))


def _batch():
    rng = np.random.default_rng(0)
    return Tensor(rng.standard_normal((4, 1, 6, 6)), ms.float32), Tensor(rng.integers(0, 3, 4), ms.int32)


def test_amp():
    amp = mindcv.utils.amp
    assert nn.Conv2d in amp.AMP_WHITE_LIST
    assert nn.Dense in amp.AMP_WHITE_LIST
    assert nn.BatchNorm2d in amp.AMP_BLACK_LIST
    network = _Small().set_train(False)
    x, _ = _batch()
    before = network(x).asnumpy()
    after = amp.auto_mixed_precision(network, "O1")(x)
    assert after.dtype == ms.float32
    assert 0 < np.abs(after.asnumpy() - before).max() < 1e-2  # in half precision, and right


def test_train_step_and_trainer_factory():
    trainer_factory, train_step = mindcv.utils.trainer_factory, mindcv.utils.train_step
    assert list(trainer_factory.get_metrics(4)) == ["Top_1_Accuracy"]
    assert list(trainer_factory.get_metrics(5)) == ["Top_1_Accuracy", "Top_5_Accuracy"]
    assert trainer_factory.require_customized_train_step(ema=True)
    assert not trainer_factory.require_customized_train_step()
    network, (x, y) = _Small(), _batch()
    with_loss = trainer_factory.add_loss_network(network, mindcv.create_loss(), "O0")
    np.testing.assert_allclose(with_loss(x, y).asnumpy(), mindcv.create_loss()(network(x), y).asnumpy(), rtol=1e-6)
    optimizer = create_optimizer(network.trainable_params(), "momentum", lr=0.1)
    step = train_step.TrainStep(with_loss, optimizer, scale_sense=Tensor(1, ms.float32), ema=True, ema_decay=0.5)
    losses = [float(step.set_train()(x, y).asnumpy()) for _ in range(6)]
    assert losses[-1] < losses[0]
    averages = [parameter.name for parameter in step.get_parameters() if parameter.name.startswith("ema.")]
    assert "ema.fc.weight" in averages


def test_gradient_accumulation():
    parameter = ms.Parameter(Tensor([1.0, 2.0], ms.float32), name="w")
    optimizer = create_optimizer([parameter], "sgd", lr=1.0, momentum=0.0)
    accumulate = mindcv.utils.train_step.GradientAccumulation(2, optimizer, nn.Identity())
    loss = Tensor(1.0, ms.float32)
    accumulate(loss, (Tensor([1.0, 0.0], ms.float32),))
    np.testing.assert_array_equal(parameter.asnumpy(), [1.0, 2.0])
    accumulate(loss, (Tensor([0.0, 1.0], ms.float32),))
    np.testing.assert_allclose(parameter.asnumpy(), [0.5, 1.5], atol=1e-6)


@pytest.mark.parametrize(
    ("policy", "kept"), [("top_k", ["net_2.ckpt", "net_3.ckpt"]), ("latest_k", ["net_3.ckpt", "net_4.ckpt"])]
)
def test_checkpoint_manager(tmp_path, policy, kept):
    manager, network = mindcv.utils.checkpoint_manager.CheckpointManager(ckpt_save_policy=policy), _Small()
    for index, accuracy in enumerate((0.1, 0.4, 0.3, 0.2), 1):
        files = manager.save_ckpoint(
            network, num_ckpt=2, metric=Tensor(accuracy, ms.float32), save_path=str(tmp_path / f"net_{index}.ckpt")
        )
    assert len(files) == 2
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == kept


def test_checkpoint_manager_by_its_parts(tmp_path):
    """The methods that scripts call themselves."""
    for index in range(1, 6):
        path = tmp_path / f"net-{index}_10.ckpt"
        path.write_bytes(b"x")
        os.utime(path, (1000 + 60 * index, 1000 + 60 * index))
    (tmp_path / "net-best.ckpt").write_bytes(b"x")
    (tmp_path / "other-1_10.ckpt").write_bytes(b"x")

    def left():
        return sorted(path.stem for path in tmp_path.glob("net-*_*.ckpt"))

    manager = mindcv.utils.checkpoint_manager.CheckpointManager()
    manager.update_ckpoint_filelist(str(tmp_path), "net")
    assert manager.ckpoint_num == 5
    assert [os.path.basename(path) for path in manager.ckpoint_filelist] == [f"net-{n}_10.ckpt" for n in range(1, 6)]
    manager.remove_oldest_ckpoint_file()
    assert left() == ["net-2_10", "net-3_10", "net-4_10", "net-5_10"]
    manager.keep_one_ckpoint_per_minutes(3, cur_time=1310)  # written at 1180, 1240 and 1300
    assert left() == ["net-2_10", "net-3_10"]
    assert manager.ckpoint_num == 2
    manager.latest_K_checkpoint(_Small(), K=2, save_path=str(tmp_path / "net-6_10.ckpt"))
    assert left() == ["net-3_10", "net-6_10"]
    manager.remove_ckpoint_file(str(tmp_path / "net-6_10.ckpt"))
    assert left() == ["net-3_10"]
    best = mindcv.utils.checkpoint_manager.CheckpointManager("top_k")
    for index, metric in enumerate((0.1, 0.3, 0.2), 7):
        best.top_K_checkpoint(_Small(), K=2, metric=metric, save_path=str(tmp_path / f"net-{index}_10.ckpt"))
    assert left() == ["net-3_10", "net-8_10", "net-9_10"]
    assert [metric for _, metric in best.ckpoint_filelist] == [0.3, 0.2]


def test_val_callback(caplog):
    x, y = _batch()
    data = ms.dataset.NumpySlicesDataset({"image": x.asnumpy(), "label": y.asnumpy()}, shuffle=False).batch(2)
    model = ms.Model(_Small(), loss_fn=mindcv.create_loss(), metrics={"accuracy", "loss"})
    with caplog.at_level(logging.INFO, "mindcv"):
        result = model.eval(data, callbacks=[mindcv.utils.callbacks.ValCallback(1)], dataset_sink_mode=False)
    assert 0 <= result["accuracy"] <= 1
    assert caplog.text.count("Batch: [") == 2
    assert "Batch: [2/2]" in caplog.text
