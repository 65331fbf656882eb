"""Saved configurations and summaries."""

import pytest
import yaml

from mindcv.config import Config, load_recipe, read_config, save_args, summary, to_yaml

pytestmark = pytest.mark.no_mindspore

CONFIGS = [
    Config(),
    Config(config="configs/x.yaml", lr=1e-5, weight_decay=1 / 3, model="none", train_split="1e-5", data_dir="a: b # c"),
    Config(
        color_jitter=[0.4, 0.4, 0.4], re_value="random", num_classes=10, ckpt_save_policy=None, auto_augment="autoaug"
    ),
    Config(loss_scale_type="dynamic", mean=[25.1], std=[76.3], amp_cast_list="[nn.Dense, nn.Conv2d]", jit_level="O1"),
    Config(ckpt_path="/home/é/模型.ckpt", multi_step_decay_milestones=[1], layer_decay=0.65, mode=1),
]


@pytest.mark.parametrize("config", CONFIGS)
def test_saved_config_is_a_recipe_for_the_same_config(tmp_path, config):
    path = tmp_path / "run" / "config.yaml"
    save_args(config, path)
    assert load_recipe(str(path)) == config
    assert read_config(["-c", str(path)]) == config
    assert [file.name for file in path.parent.iterdir()] == ["config.yaml"]


def test_yaml_has_sections_and_all_keys():
    text = to_yaml(Config())
    assert text.startswith("# Run\nconfig: ''\nmode: 0\n")
    assert list(yaml.safe_load(text)) == list(Config.model_fields)


def test_other_ranks_save_nothing(tmp_path):
    save_args(Config(), tmp_path / "config.yaml", rank=1)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot write to the folder") as error:
        save_args(Config(), tmp_path / "file" / "config.yaml")
    assert "\n" not in str(error.value)


def test_summary_shows_what_matters_and_what_differs():
    text = summary(Config(model="resnet50", ema=True, scale=(0.2, 1.0), warmup_epochs=3))
    words = text.split()
    assert {"model=resnet50*", "ema=True*", "scale=0.2,1*", "lr=0.001", "batch_size=128"} <= set(words)
    assert not any(word.startswith(("warmup_epochs", "ema_decay", "vflip")) for word in words)
    assert max(len(line) for line in text.splitlines()) <= 118
    assert len(text.splitlines()) <= 14
