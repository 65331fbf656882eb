"""Evaluation against numpy, for sizes that do not divide."""

import math

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
import pytest
from mindspore import nn

from mindcv.build import build_eval_loader, build_evaluator
from mindcv.config import Config
from mindcv.engine import Evaluator, count_correct, distributed
from mindcv.engine import evaluator as evaluator_module
from mindcv.loss import create_loss

BATCH, CLASSES, FEATURES = 4, 6, 5


class Net(nn.Cell):
    def __init__(self, outputs=1):
        super().__init__()
        random = np.random.RandomState(1)
        self.dense = nn.Dense(FEATURES, CLASSES, bias_init="zeros")
        self.dense.weight.set_data(ms.Tensor(random.standard_normal((CLASSES, FEATURES)).astype(np.float32)))
        self.outputs = outputs
        self.shapes = []

    def construct(self, x):
        self.shapes.append(x.shape)
        logits = self.dense(x)
        return logits if self.outputs == 1 else (logits,) + (logits * 0,) * (self.outputs - 1)


def samples(count):
    random = np.random.RandomState(2)
    return random.standard_normal((count, FEATURES)).astype(np.float32), random.randint(0, CLASSES, count).astype(
        np.int32
    )


def loader(x, y, batch=BATCH):
    return ds.NumpySlicesDataset((x, y), ["image", "label"], shuffle=False).batch(batch)


def evaluator(network, x, y, **loss):
    return Evaluator(network, create_loss("CE", reduction="none", **loss), loader(x, y), CLASSES, BATCH)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 11])
def test_every_sample_counts_once(count, outputs):
    network = Net(outputs)
    x, y = samples(count)
    result = evaluator(network, x, y).run()
    logits = network.dense(ms.Tensor(x)).asnumpy()
    exact = logits.astype(np.float64)
    losses = np.log(np.exp(exact).sum(1)) - exact[np.arange(count), y]
    assert result["num_samples"] == count
    assert result["Top_1_Accuracy"] == count_correct(logits, y, 1) / count
    assert result["Top_5_Accuracy"] == count_correct(logits, y, 5) / count
    assert result["loss"] == pytest.approx(losses.mean(), rel=1e-6)
    assert result["images_per_s"] > 0


@pytest.mark.parametrize("is_multi_label", [False, True])
def test_a_function_such_as_an_exported_network_gives_the_figures_of_the_cell(is_multi_label):
    """To the last digit, also for the last batch, which is not full; there is no loss among them."""
    network = Net()
    x, y = samples(11)
    y = (np.random.RandomState(3).random((11, CLASSES)) > 0.5).astype(np.float32) if is_multi_label else y
    loss = create_loss("BCE" if is_multi_label else "CE", reduction="none")
    sizes, kept = [], {}

    def run(images):
        sizes.append(len(images))
        return network.dense(ms.Tensor(images)).asnumpy()

    results = {}
    for name, model, own_loss in (("cell", network, loss), ("function", run, None)):
        one = Evaluator(model, own_loss, loader(x, y), CLASSES, BATCH, is_multi_label=is_multi_label)
        results[name] = one.run(on_batch=lambda logits, labels, name=name: kept.setdefault(name, []).append(logits))
        assert results[name].pop("images_per_s") > 0
        assert [len(rows) for rows in kept[name]] == [4, 4, 3]
    assert sizes == [4, 4, 3]
    assert results["cell"].pop("loss") > 0
    assert results["function"] == results["cell"]
    np.testing.assert_allclose(np.concatenate(kept["function"]), np.concatenate(kept["cell"]), rtol=1e-6)


def test_of_several_labels_a_probability_of_one_half_counts_as_found():
    x = np.array([[0.5, 0.1], [0.4, 0.9], [0.6, 0.2]], np.float32)
    y = np.array([[1, 0], [1, 1], [1, 0]], np.float32)
    options = {"is_multi_label": True, "are_probabilities": True}
    result = Evaluator(lambda images: images, None, loader(x, y), 2, BATCH, **options).run()
    assert result["Subset_Accuracy"] == 2 / 3
    assert result["mAP"] == 1.0


def test_the_network_sees_one_shape_so_that_graph_mode_compiles_once():
    network = Net()
    evaluator(network, *samples(11)).run()
    assert set(network.shapes) == {(BATCH, FEATURES)}


def test_figures_do_not_depend_on_the_order_of_the_samples():
    """To the last digit: losses are added without rounding."""
    x, y = samples(50)
    x *= 30
    results = [evaluator(Net(), x[order], y[order]).run() for order in (slice(None), slice(None, None, -1))]
    assert results[0]["loss"] == results[1]["loss"]


def test_label_smoothing_is_the_losses():
    x, y = samples(7)
    plain, smooth = evaluator(Net(), x, y).run(), evaluator(Net(), x, y, label_smoothing=0.1).run()
    assert plain["loss"] != smooth["loss"]
    assert plain["Top_1_Accuracy"] == smooth["Top_1_Accuracy"]


def test_half_precision_logits_are_counted_in_fp32():
    class Half(Net):
        def construct(self, x):
            return self.dense(x).astype(ms.float16)

    network = Half()
    x, y = samples(9)
    result = evaluator(network, x, y).run()
    logits = network(ms.Tensor(x)).asnumpy().astype(np.float32)
    assert result["Top_1_Accuracy"] == count_correct(logits, y, 1) / 9


def test_a_loss_that_is_not_finite_is_told():
    x, y = samples(6)
    x[4] = np.nan
    result = evaluator(Net(), x, y).run()
    assert math.isnan(result["loss"])
    assert result["num_samples"] == 6


def test_images_without_a_finite_output_are_told_and_count_as_wrong(caplog):
    x, y = samples(6)
    network = Net()
    hits = network.dense(ms.Tensor(x)).asnumpy().argmax(1) == y
    x[[1, 4]] = np.inf
    hits[[1, 4]] = False
    assert evaluator(network, x, y).run()["Top_1_Accuracy"] == hits.sum() / 6
    assert "the model's output is not finite for 2 of 6 images, which count as wrong" in caplog.text
    caplog.clear()
    evaluator(Net(), *samples(6)).run()
    assert not caplog.text


@pytest.mark.parametrize("is_multi_label", [False, True])
def test_an_evaluation_without_any_finite_output_is_refused(is_multi_label):
    """It would give an accuracy of 0."""
    x, y = samples(6)
    y = np.eye(CLASSES, dtype=np.float32)[y] if is_multi_label else y
    loss = create_loss("BCE" if is_multi_label else "CE", reduction="none")
    wild = Evaluator(Net(), loss, loader(x * np.inf, y), CLASSES, BATCH, is_multi_label=is_multi_label)
    with pytest.raises(ValueError, match="the model's output is not finite for all of the 6 images"):
        wild.run()


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_evaluated_in_evaluation_mode_and_left_as_it_was(training):
    network = nn.SequentialCell(Net(), nn.Dropout(p=0.9)).set_train(training)
    x, y = samples(8)
    results = [evaluator(network, x, y).run() for _ in range(2)]
    assert results[0]["loss"] == results[1]["loss"] == evaluator(Net(), x, y).run()["loss"]
    assert network.training is training


def test_it_stops_when_asked():
    asked = []
    x, y = samples(20)
    assert evaluator(Net(), x, y).run(should_stop=lambda: asked.append(0) or len(asked) == 2) is None
    assert len(asked) == 2


def test_nothing_to_evaluate_is_an_error():
    class Empty:
        def get_dataset_size(self):
            return 0

        def create_tuple_iterator(self, **options):
            return iter(())

    with pytest.raises(ValueError, match="there are no images to evaluate; look at val_split and data_dir"):
        Evaluator(Net(), create_loss("CE", reduction="none"), Empty(), CLASSES, BATCH).run()


def test_a_loss_that_is_a_mean_already_is_refused():
    with pytest.raises(ValueError, match=r"the loss for 4 samples has shape \(\); .* reduction 'none'"):
        Evaluator(Net(), create_loss("CE"), loader(*samples(8)), CLASSES, BATCH).run()


class Pixels(nn.Cell):
    """Scores ten classes by the pixels."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(3 * 8 * 8, 10, bias_init="zeros")
        weights = np.random.RandomState(1).standard_normal(self.dense.weight.shape)
        self.dense.weight.set_data(ms.Tensor(weights.astype(np.float32)))

    def construct(self, x):
        return self.dense(x.reshape(x.shape[0], -1))


# Of 360 images: 52 batches, 40, 4, 2 and 1. Where there are fewer batches than ranks, each evaluates all of them.
@pytest.mark.parametrize(
    ("batch", "shared_by"), [(7, (2, 3)), (9, (2, 3)), (100, (2, 3)), (200, (2,)), (360, ())], ids=str
)
def test_figures_are_the_same_to_the_last_digit_on_any_number_of_ranks(batch, shared_by, monkeypatch):
    """The ranks one after the other, their sums added by the test; real processes are in tests/scripts."""
    cfg = Config(dataset="digits", batch_size=batch, image_resize=8, num_parallel_workers=1, num_classes=10)
    network, figures = Pixels(), {}
    for world in (1, 2, 3):
        loaders = []
        for rank in range(world):
            monkeypatch.setattr(distributed, "_world", {"rank": rank, "size": world})
            loaders.append(build_eval_loader(cfg)[0])
        sizes = [[loader.get_dataset_size()] for loader in loaders]
        own_sums = []
        monkeypatch.setattr(evaluator_module, "gather_over_ranks", lambda own, sizes=sizes: np.array(sizes))
        monkeypatch.setattr(evaluator_module, "sum_integers", lambda own, into=own_sums: into.append(own) or own)
        results = [build_evaluator(cfg, network, loader, 10).run() for loader in loaders]
        assert bool(own_sums) == (world in shared_by)
        if world in shared_by:
            totals = np.array(own_sums, dtype=object).sum(0)
            monkeypatch.setattr(evaluator_module, "sum_integers", lambda own, totals=totals: list(totals))
            results = [build_evaluator(cfg, network, loaders[0], 10).run()]
        for result in results:
            assert result.pop("images_per_s") > 0
            assert figures.setdefault("one process", result) == result
    assert figures["one process"]["num_samples"] == 360
