"""PVT's position tables.

MindCV makes them `ops.zeros(..., float16)`, and its golden filled entries of float32 only: the tables were nothing in
it, the class token was not. So the golden says nothing of them; what they do is proven here.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from golden_weights import golden_arrays, golden_input
from mindspore import Tensor

from mindcv.models import create_model
from mindcv.weights import write_weights

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "mindcv" / "pvt_tiny.json"


@pytest.mark.usefixtures("undrawn_weights")
def test_tables_are_added_behind_the_patches(tmp_path: Path):
    """Tables that are the same everywhere, taken away again from the norms in front and the class token: the golden."""
    golden = json.loads(GOLDEN.read_text())
    arrays = golden_arrays(golden)
    generator = np.random.default_rng(0)
    for stage in range(1, 5):
        table = arrays[f"pos_embed{stage}"]
        shift = generator.standard_normal(table.shape[2]).astype(np.float32)
        arrays[f"pos_embed{stage}"] = np.broadcast_to(shift, table.shape).copy()
        arrays[f"patch_embed{stage}.norm.beta"] -= shift
    arrays["cls_token"] -= shift
    write_weights(tmp_path / "w.ckpt", arrays)
    model = create_model("pvt_tiny", checkpoint_path=str(tmp_path / "w.ckpt")).set_train(False)
    logits = model(Tensor(golden_input(golden["input_size"]))).asnumpy()
    np.testing.assert_allclose(logits[:, :16], golden["logits"], atol=1e-4 * np.abs(golden["logits"]).max())


def test_each_place_has_its_own_row():
    """Row by row from the top left; the class token's comes first."""
    model = create_model(
        "pvt_tiny", image_size=64, embed_dims=(8, 8, 8, 8), num_heads=(1, 1, 1, 1), depths=(1, 1, 1, 1)
    )
    table = np.arange(16 * 16 * 8, dtype=np.float32).reshape(1, 256, 8)
    placed = model.place1(Tensor(np.zeros((2, 16, 16, 8), np.float32)), Tensor(table)).asnumpy()
    np.testing.assert_array_equal(placed[1, 3, 5], table[0, 3 * 16 + 5])
    table, token = np.arange(5 * 8, dtype=np.float32).reshape(1, 5, 8), np.full((1, 1, 8), 100, np.float32)
    placed = model.place4(Tensor(np.zeros((2, 2, 2, 8), np.float32)), Tensor(table), Tensor(token)).asnumpy()[:, :, 0]
    np.testing.assert_array_equal(placed[1, 0], 100 + table[0, 0])
    np.testing.assert_array_equal(placed[1, 1 + 2 * 1 + 0], table[0, 3])
