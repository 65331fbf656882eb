"""docs/write-a-new-model.md, followed to the letter: its file and its table are a family like the others."""

import importlib.util
import re
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

from mindcv.engine import freeze
from mindcv.models import _registry, create_model, file_tells, get_pretrained_cfg, list_models
from mindcv.optim.param_groups import layer_depths
from mindcv.utils.registry import Registry
from mindcv.weights import write_weights

PAGE = Path(__file__).parents[2] / "docs" / "write-a-new-model.md"


def load(name: str, text: str, folder: Path, monkeypatch):
    """Imports a file of the page as the module that it says it is."""
    path = folder / f"{name.rpartition('.')[2]}_{name.count('.')}.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tinynet(tmp_path, monkeypatch):
    entrypoints: Registry = Registry("model")
    for name in _registry._entrypoints.keys() - {"tinynet_s", "tinynet_m"}:  # of who follows the page
        entrypoints.register(name, _registry._entrypoints[name])
    monkeypatch.setattr(_registry, "_entrypoints", entrypoints)
    for table in ("_module_of", "_weights"):
        monkeypatch.setattr(_registry, table, dict(getattr(_registry, table)))
    blocks = re.findall(r"## \d\. .*?`mindcv/(\S+)\.py`\n\n```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    files = {f"mindcv.{path.replace('/', '.')}": text for path, text in blocks}
    assert list(files) == ["mindcv.models.tinynet", "mindcv.models.published.tinynet"]
    for name in reversed(files):
        module = load(name, files[name], tmp_path, monkeypatch)
    return module


def image(channels: int = 3) -> Tensor:
    return Tensor(np.random.default_rng(0).standard_normal((2, channels, 32, 32)).astype(np.float32))


def test_the_page_adds_a_family(tinynet, tmp_path):
    assert list_models("tinynet*") == ["tinynet_m", "tinynet_s"]
    assert list_models("tinynet*", pretrained=True) == ["tinynet_s.example_in1k"]
    assert list_models(module="tinynet") == ["tinynet_m", "tinynet_s"]
    assert get_pretrained_cfg("tinynet_m").first_conv == "stem.0"
    model = create_model("tinynet_s", num_classes=5, width=8, drop_path_rate=0.1)
    assert model(image()).shape == (2, 5)
    assert [m.shape for m in create_model("tinynet_s", features_only=True, out_indices=(-1, 0))(image())] == [
        (2, 64, 4, 4),
        (2, 32, 8, 8),
    ]
    names = [parameter.name for parameter in model.get_parameters()]
    depths = layer_depths(names, model.group_matcher())
    assert [depths[name] for name in ("stem.0.weight", "stage1.0.conv.0.weight", "down.0.weight")] == [0, 1, 2]
    assert [depths[name] for name in ("stage2.0.conv.0.weight", "stage2.1.conv.0.weight", "classifier.bias")] == [
        2,
        3,
        4,
    ]
    freeze(model, "stem,stage1")
    assert {p.name.split(".")[0] for p in model.trainable_params()} == {"down", "stage2", "classifier"}

    path = str(tmp_path / "w.safetensors")
    write_weights(path, dict(model.to_torch({p.name: p.asnumpy() for p in model.get_parameters()})))
    other = create_model("tinynet_s", num_classes=3, in_channels=1, width=8, pretrained=path)
    assert other(image(1)).shape == (2, 3)
    np.testing.assert_array_equal(other.down[0].weight.asnumpy(), model.down[0].weight.asnumpy())
    arrays = dict(model.to_torch({p.name: p.asnumpy() for p in model.get_parameters()}))
    assert {"stem.conv.weight", "stem.bn.running_var", "head.fc.bias"} <= set(arrays)
    assert file_tells("tinynet_s", arrays) == {"num_classes": 5, "in_channels": 3}

    eager = model.set_train(False)(image()).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    np.testing.assert_allclose(model(image()).asnumpy(), eager, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('    reads_images = ("stem.0",)', "TinyNet.reads_images has no meaning here; did you mean 'reads_image'?"),
        ('    reads_image = "stem.0"', "TinyNet.reads_image is 'stem.0'; give a tuple of names"),
        (
            "    def forward_feature(self, x): ...",
            "TinyNet.forward_feature has no meaning here; did you mean",
        ),
    ],
)
def test_a_misspelt_fact_is_an_error(line, message, tinynet, tmp_path, monkeypatch):
    text = Path(tinynet.__file__).read_text().replace('    reads_image = ("stem.0",)', line)
    with pytest.raises(TypeError, match=re.escape(message)):
        load("mindcv.models.tinynet_again", text, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('("stem.0",)', '("stem.conv",)', "TinyNet has no cell 'stem.conv', which it names; it has ['classifier', "),
        ('("stem", "stage1"), width', '("stem", "stage9"), width', "TinyNet has no cell 'stage9'"),
    ],
)
def test_a_cell_that_is_not_there_is_an_error(old, new, message, tinynet, tmp_path, monkeypatch):
    text = Path(tinynet.__file__).read_text().replace(old, new).replace('"tinynet_', '"tinynet2_')
    load("mindcv.models.tinynet_again", text, tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=re.escape(message)):
        create_model("tinynet2_s")
