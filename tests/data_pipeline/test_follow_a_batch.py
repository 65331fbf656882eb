"""The page that follows a batch names the functions that a batch goes through, in their order."""

import importlib
import re
import sys
from pathlib import Path

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore import nn

import mindcv
from mindcv.data import create_dataset, create_loader, create_transforms, epoch_batches
from mindcv.engine import HostFeed, LossWithMixing, NormalizedNetwork, TrainStep
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer

PACKAGE = Path(mindcv.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "architecture.md"
SECTION = PAGE.read_text(encoding="utf-8").partition("\n## Follow a batch\n")[2].partition("\n## ")[0]
STOPS = re.findall(r"^\d+\. `([\w/]+\.py)`, `([\w.]+)`", SECTION, re.MULTILINE)
# What several stops ask, in the page's words "asked on the way".
ASKED = set(re.findall(r"`([\w/]+\.py)`", SECTION.partition("Asked on the way")[2]))


def code_of(file: str, function: str):
    found = importlib.import_module("mindcv." + file.removesuffix(".py").replace("/", "."))
    for name in function.split("."):
        found = getattr(found, name)
    return found.__code__


def test_no_file_is_entered_twice():
    assert len(STOPS) >= 12
    files = [file for file, _ in STOPS]
    assert len(set(files)) == len(files)
    assert not ASKED & set(files)


@pytest.fixture
def _in_one_thread():
    """MindSpore's pipeline and its networks run in Python, in this thread, where a profiler sees them."""
    mode = ms.get_context("mode")
    ds.config.set_debug_mode(True)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    yield
    ms.set_context(mode=mode)
    ds.config.set_debug_mode(False)


@pytest.mark.usefixtures("_in_one_thread")
def test_a_batch_goes_by_the_page(image_folder):
    transform = create_transforms(
        "imagenet", 16, True, auto_augment="randaug-m9-n8", re_prob=1.0, vflip=0.5, normalize_on_device=True
    )
    loader = create_loader(
        create_dataset("imagenet", str(image_folder)),
        *(8, True, True, 0.8),
        cutmix_prob=1.0,
        num_classes=2,
        transform=transform,
        mix_on_device=True,
    )
    network = nn.SequentialCell(nn.Flatten(), nn.Dense(3 * 16 * 16, 2))
    optimizer = create_optimizer(network, "momentum", 0.01)
    loss = LossWithMixing(NormalizedNetwork(network, (127.0,) * 3, (60.0,) * 3), create_loss("CE"), 2)
    before = network[1].weight.asnumpy().copy()
    feed = HostFeed(
        TrainStep(loss, optimizer).set_train(True), lambda epoch, step: epoch_batches(loader, epoch, step, 1)
    )
    found: list[tuple[str, str]] = []
    entered: list[str] = []
    stop_of = {code_of(*stop): stop for stop in STOPS}

    def profile(frame, event, _):
        if event == "call":
            stop = stop_of.get(frame.f_code)
            if stop is not None and stop not in found:
                found.append(stop)
            path = Path(frame.f_code.co_filename)
            if path.is_relative_to(PACKAGE):
                file = path.relative_to(PACKAGE).as_posix()
                if file not in entered:
                    entered.append(file)

    sys.setprofile(profile)
    try:
        feed.begin_epoch(0, 0)
        feed.run_step()
    finally:
        sys.setprofile(None)
    assert np.abs(network[1].weight.asnumpy() - before).max() > 0  # the batch has reached the weights
    assert found == STOPS
    assert {file for file in entered if file.startswith("data/")} <= {file for file, _ in STOPS} | ASKED
