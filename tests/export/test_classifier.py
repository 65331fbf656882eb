"""`Classifier`: every kind of image and of model, the same pixels as validation, and errors that stop nothing."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image
from small_networks import build

import mindcv
from mindcv.config import read_config, save_args
from mindcv.data import EvalPreprocess, create_dataset, create_loader
from mindcv.export import Classifier, export_model
from mindcv.export.images import ImageReader
from mindcv.models import create_model, to_timm_names
from mindcv.weights import write_weights

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
CHINA, FLOWER = str(PHOTOS / "china.jpg"), str(PHOTOS / "flower.jpg")
RECIPE = "resnet/resnet18_cpu.yaml"
NAMES = tuple("abcdefg")


@pytest.fixture
def preprocess() -> EvalPreprocess:
    return EvalPreprocess(32, crop_pct=0.9, interpolation="bicubic")


@pytest.fixture
def classifier(preprocess) -> Classifier:
    return Classifier(build("basic"), preprocess=preprocess, class_names=NAMES, batch_size=2)


def encoded(path: str, file_format: str) -> bytes:
    buffer = io.BytesIO()
    Image.open(path).save(buffer, file_format)
    return buffer.getvalue()


@pytest.mark.parametrize("normalise", [True, False])
def test_pixels_are_those_of_validation(normalise, tmp_path, preprocess):
    for index, path in enumerate((CHINA, FLOWER)):
        (tmp_path / "val" / str(index)).mkdir(parents=True)
        (tmp_path / "val" / str(index) / "a.jpg").write_bytes(Path(path).read_bytes())
        (tmp_path / "val" / str(index) / "b.png").write_bytes(encoded(path, "PNG"))
        turned = Image.Exif()
        turned[0x0112] = 6
        Image.open(path).save(tmp_path / "val" / str(index) / "c.jpg", exif=turned, progressive=bool(index))
    dataset = create_dataset("imagenet", str(tmp_path), "val", shuffle=False)
    loader = create_loader(dataset, 6, transform=preprocess.operations(normalise=normalise))
    ((images, labels),) = loader.create_tuple_iterator(num_epochs=1, output_numpy=True)
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    reader = ImageReader(preprocess, normalise)
    paths = [tmp_path / "val" / str(i) / name for i in (0, 1) for name in ("a.jpg", "b.png", "c.jpg")]
    for path, expected in zip(paths, images, strict=True):
        for image in (path, str(path), path.read_bytes()):
            result = reader(image)
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result, expected)
        if path.suffix == ".png":  # the pixels are known without a JPEG decoder
            picture = Image.open(path)
            np.testing.assert_array_equal(reader(picture), expected)
            np.testing.assert_array_equal(reader(np.asarray(picture)), expected)


def test_predictions_are_the_networks(classifier, preprocess):
    reader = ImageReader(preprocess)
    scores = build("basic")(Tensor(np.stack([reader(CHINA), reader(FLOWER)]))).asnumpy().astype(np.float64)
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    for prediction, row, path in zip(
        classifier.predict([CHINA, FLOWER], top_k=3), expected, (CHINA, FLOWER), strict=True
    ):
        order = np.argsort(-row)[:3]
        assert prediction.image == path
        assert [label.index for label in prediction.labels] == order.tolist()
        assert [label.name for label in prediction.labels] == [NAMES[i] for i in order]
        np.testing.assert_allclose([label.probability for label in prediction.labels], row[order], rtol=1e-5)


def test_kinds_of_images(classifier):
    jpeg = Path(CHINA).read_bytes()
    (expected,) = classifier.predict(CHINA)
    images = [Path(CHINA), jpeg, bytearray(jpeg), Image.open(CHINA), np.asarray(Image.open(CHINA))]
    results = classifier.predict(images)
    assert [result.image for result in results] == [CHINA, *(f"image {i}" for i in range(1, 5))]
    assert all(result.labels[0].name == expected.labels[0].name for result in results)
    for image in images:  # one alone as well
        assert classifier.predict(image)[0].labels[0].name == expected.labels[0].name
    batch = np.random.randint(0, 256, (3, 40, 30, 3)).astype(np.uint8)
    assert len(classifier.predict(batch)) == 3
    kinds = [Image.open(CHINA).convert("L"), np.zeros((5, 4), np.uint8), encoded(CHINA, "GIF"), encoded(CHINA, "WEBP")]
    assert len(classifier.predict(kinds)) == 4
    assert mindcv.Classifier is Classifier


BAD = {
    "missing": ("no.jpg", "there is no such file"),
    "a folder": (os.fspath(PHOTOS), "Is a directory"),
    "empty": (b"", "the file is empty"),
    "noise": (b"hello world", "this is no image file"),
    "headless": (Path(CHINA).read_bytes()[:300], "ends, or is damaged, before its picture begins"),
    "cut off": (Path(CHINA).read_bytes()[:90_000], "this JPEG is cut off"),
    "another type": (7, "an image is a path, bytes"),
    "floats": (np.zeros((4, 4, 3), np.float32), r"has to be uint8 \(height, width, 3\), RGB, got float32"),
    "channels first": (np.zeros((3, 4, 5), np.uint8), r"has to be uint8 .* got uint8 \(3, 4, 5\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_images_are_reported_and_the_rest_goes_on(name, classifier):
    image, reason = BAD[name]
    results = list(classifier.predict_each([CHINA, image, FLOWER, image]))
    assert [bool(result.labels) for result in results] == [True, False, True, False]
    assert [result.error is None for result in results] == [True, False, True, False]
    with pytest.raises(ValueError, match=reason):
        classifier.predict([CHINA, image])


def test_order_is_kept_and_images_are_taken_as_needed(preprocess):
    classifier = Classifier(build("basic"), preprocess=preprocess, batch_size=4, workers=3)
    taken = []

    def images():
        for index in range(100):
            taken.append(index)
            yield np.full((8, 8, 3), index, np.uint8)

    results = classifier.predict_each(images())
    assert [next(results).image for _ in range(4)] == [f"image {i}" for i in range(4)]
    assert len(taken) < 30
    assert [result.image for result in results] == [f"image {i}" for i in range(4, 100)]


@pytest.mark.parametrize("file_format", ["mindir", "onnx"])
@pytest.mark.parametrize("options", [{}, {"batch_size": "dynamic", "softmax": True, "uint8_input": True}])
def test_exported_files_predict_as_the_network(file_format, options, classifier, tmp_path, preprocess):
    path = tmp_path / f"m.{file_format}"
    export_model(build("basic"), path, preprocess=preprocess, class_names=NAMES, **options)
    exported = Classifier(path)
    assert (exported.preprocess, exported.class_names) == (preprocess, NAMES)
    for one, other in zip(exported.predict([CHINA, FLOWER]), classifier.predict([CHINA, FLOWER]), strict=True):
        assert [label.name for label in one.labels] == [label.name for label in other.labels]
        np.testing.assert_allclose(
            [label.probability for label in one.labels], [label.probability for label in other.labels], rtol=1e-3
        )
    with pytest.raises(ValueError, match="leave out recipe, preprocess and pretrained"):
        Classifier(path, recipe=RECIPE)


def test_a_checkpoint_with_its_recipe(tmp_path):
    network = create_model("resnet18", num_classes=10)
    path = tmp_path / "resnet18_best.ckpt"
    write_weights(path, {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()})
    with pytest.raises(ValueError, match="needs the recipe that it was trained with; give -c RECIPE"):
        Classifier(path)
    given = Classifier(path, RECIPE)
    assert given.class_names == tuple("0123456789")
    assert given.preprocess == EvalPreprocess.from_config(read_config(["-c", RECIPE]))
    save_args(read_config(["-c", RECIPE]), tmp_path / "config.yaml")
    assert Classifier(path).predict(CHINA) == given.predict(CHINA)
    # the recipe need not know the number of classes, nor the dataset be there
    (tmp_path / "r.yaml").write_text(f"model: resnet18\nimage_resize: 32\ndata_dir: {tmp_path / 'nowhere'}\n")
    unnamed = Classifier(path, str(tmp_path / "r.yaml"))
    assert unnamed.class_names is None
    assert len(unnamed.predict(CHINA, top_k=99)[0].labels) == 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet81",), "neither a file nor the name of a model; did you mean 'resnet18'"),
        (("m.ckpt", RECIPE), "there is no such weight file"),
        (("m.onnx",), "there is no such file"),
        (("seresnet101",), "no weights are published"),
    ],
)
def test_what_is_no_model(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Classifier(*arguments)


def test_wrong_arguments(preprocess):
    with pytest.raises(ValueError, match="batch_size is 0"):
        Classifier(build("basic"), preprocess=preprocess, batch_size=0)
    with pytest.raises(ValueError, match="top_k is 0"):
        Classifier(build("basic"), preprocess=preprocess).predict(CHINA, top_k=0)
    with pytest.raises(ValueError, match="got 2 class names for a network of 7 classes"):
        Classifier(build("basic"), preprocess=preprocess, class_names=["a", "b"]).predict(CHINA)


def test_one_channel():
    reader = ImageReader(EvalPreprocess(28, crop_pct=1.0, mean=(10.0,), std=(5.0,)))
    array = np.random.randint(0, 256, (28, 28)).astype(np.uint8)
    expected = (array.astype(np.float32)[None] - 10) / 5
    for image in (array, array[..., None], Image.fromarray(array), encoded_array(array)):
        np.testing.assert_allclose(reader(image), expected, atol=1e-5)


def encoded_array(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_registered_name(tmp_path, monkeypatch):
    network = create_model("resnet18")
    write_weights(tmp_path / "w.ckpt", {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()})
    monkeypatch.setattr("mindcv.models._create.fetch", lambda *args, **kwargs: tmp_path / "w.ckpt")
    classifier = Classifier("resnet18.mindcv_in1k")
    assert classifier.preprocess.image_size == (224, 224)
    np.testing.assert_allclose(classifier.preprocess.std, EvalPreprocess(224).std)
    assert classifier.class_names[:2] == ("tench", "goldfish")
    scores = network.set_train(False)(Tensor(ImageReader(EvalPreprocess(224))(CHINA)[None])).asnumpy()
    assert classifier.predict(CHINA)[0].labels[0].index == int(scores.argmax())


def test_a_folder_of_timms_form(tmp_path):
    """It names its classes, and says how images are prepared."""
    network = create_model("resnet18", num_classes=3, stem_pool_pad="both").set_train(False)
    arrays = to_timm_names(network, {p.name: p.asnumpy() for p in network.get_parameters()})
    write_weights(tmp_path / "model.safetensors", dict(arrays))
    shape = {"input_size": [3, 64, 64], "crop_pct": 0.9, "mean": [0.5] * 3, "std": [0.25] * 3}
    config = {"architecture": "resnet18", "num_classes": 3, "pretrained_cfg": shape, "label_names": ["a", "b", "c"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    name = f"local-dir:{tmp_path}"
    preprocess = EvalPreprocess(64, crop_pct=0.9, mean=(127.5,) * 3, std=(63.75,) * 3)
    scores = network(Tensor(ImageReader(preprocess)(CHINA)[None])).asnumpy()[0]
    got = Classifier(name).predict(CHINA)[0].labels
    assert [label.name for label in got] == ["abc"[index] for index in np.argsort(-scores)]
    np.testing.assert_allclose(got[0].probability, np.exp(scores).max() / np.exp(scores).sum(), atol=1e-5)
    with pytest.raises(ValueError, match="says itself how images are prepared; leave out the recipe"):
        Classifier(name, RECIPE)
    arrays = {key: array for key, array in arrays.items() if not key.startswith("fc.")}
    write_weights(tmp_path / "model.safetensors", arrays)
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_classes": 0}))
    with pytest.raises(ValueError, match="its weights have no classifier"):
        Classifier(name)


def test_an_image_whose_output_is_not_finite_has_an_error_and_no_classes(preprocess):
    """In place of a first class with the probability nan."""
    network = build("basic")
    plain = Classifier(network, preprocess=preprocess, batch_size=2)
    expected = plain.predict([CHINA, FLOWER])[0].labels
    run = plain._run
    # The second image of the batch alone is wild.
    plain._run = lambda images: run(images) * np.array([[1], [np.nan]], np.float32)
    good, bad = plain.predict_each([CHINA, FLOWER])
    assert good.labels == expected
    assert bad.labels == ()
    assert bad.error.startswith("the model's output for it is not finite")
