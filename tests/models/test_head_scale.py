"""`head_init_scale`: a fresh classifier begins smaller; one that a file has is the file's."""

import mindspore as ms
import numpy as np
import pytest

from mindcv.build import build_network
from mindcv.config import Config
from mindcv.weights import write_ckpt

FACTOR = 0.001


@pytest.mark.parametrize(("name", "heads"), [("resnet18", ("classifier",)), ("crossvit_9", ("head.0", "head.1"))])
def test_fresh_heads_begin_smaller(name, heads):
    arrays = []
    for scale in (1.0, FACTOR):
        ms.set_seed(1)
        network = build_network(Config(model=name, head_init_scale=scale), 5)
        arrays.append({path: parameter.asnumpy() for path, parameter in network.parameters_dict().items()})
    plain, scaled = arrays
    for path, array in plain.items():
        if path.rpartition(".")[0] in heads and path.endswith("weight"):
            assert array.std() > 0
            assert scaled[path].std() == pytest.approx(FACTOR * array.std(), rel=0.3)
            assert np.abs(scaled[path]).max() < 10 * FACTOR * np.abs(array).max()
        else:
            assert scaled[path].std() == pytest.approx(array.std(), rel=0.3, abs=1e-3)


def test_heads_of_a_file_are_the_files(tmp_path, caplog):
    network = build_network(Config(model="resnet18"), 5)
    arrays = {name: parameter.asnumpy() for name, parameter in network.parameters_dict().items()}
    path = tmp_path / "net.ckpt"
    write_ckpt(path, arrays)
    for keys in ({"ckpt_path": str(path)}, {"pretrained": str(path)}):
        same = build_network(Config(model="resnet18", head_init_scale=FACTOR, **keys), 5)
        np.testing.assert_array_equal(same.classifier.weight.asnumpy(), arrays["classifier.weight"])
    assert [line for line in caplog.messages if "head_init_scale" in line] == [
        f"head_init_scale: 0.001 has no effect: {path} has a head of these classes"  # with pretrained: fine-tuning
    ]
    caplog.clear()
    other = build_network(Config(model="resnet18", head_init_scale=FACTOR, pretrained=str(path)), 7)
    assert 0 < np.abs(other.classifier.weight.asnumpy()).max() < 0.2 * FACTOR
    np.testing.assert_array_equal(other.conv1.weight.asnumpy(), arrays["conv1.weight"])
    assert not [line for line in caplog.messages if "head_init_scale" in line]
