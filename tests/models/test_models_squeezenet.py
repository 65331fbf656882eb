"""SqueezeNet of torchvision: files of MindCV's names, which do not tell that their network is another one."""

import json
from pathlib import Path

import numpy as np
import pytest
from golden_weights import golden_arrays, golden_input
from mindspore import Tensor
from torch_writer import write_torch_file

from mindcv.models import create_model, get_pretrained_cfg

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "torchvision"


@pytest.mark.parametrize("name", ["squeezenet1_0", "squeezenet1_1"])
def test_torchvisions_files_need_the_argument(name: str, tmp_path: Path):
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    write_torch_file(tmp_path / "w.pth", golden_arrays(golden))
    assert get_pretrained_cfg(f"{name}.tv_in1k").model_args == {"pad": "torchvision"}
    errors = {}
    for pad in ("torchvision", "mindcv"):
        model = create_model(name, checkpoint_path=str(tmp_path / "w.pth"), pad=pad).set_train(False)
        logits = model(Tensor(golden_input(golden["input_size"]))).asnumpy()
        errors[pad] = np.abs(logits[:, :16] - np.array(golden["logits"])).max() / np.abs(golden["logits"]).max()
    assert errors["torchvision"] < 1e-4
    assert errors["mindcv"] > 0.01


def test_another_pad_or_version_is_refused():
    with pytest.raises(ValueError, match="pad is 'same'; give 'mindcv' or 'torchvision'"):
        create_model("squeezenet1_0", pad="same")
    with pytest.raises(ValueError, match="version is '1_2'; give '1_0' or '1_1'"):
        create_model("squeezenet1_0", version="1_2")
