"""Recipes and command line: precedence, forms of a flag, and the report of everything that is wrong."""

import logging
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from mindcv.config import (
    Config,
    ConfigError,
    compat,
    create_parser,
    find_recipe,
    load_recipe,
    parse,
    parse_args,
    read_config,
    recipe_folders,
    save_args,
)
from mindcv.config.common import COMMON_KEYS
from mindcv.config.schema import KEYS
from mindcv.utils.log import set_logger

pytestmark = pytest.mark.no_mindspore

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def write(tmp_path):
    def write(text, name="recipe.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_default_then_recipe_then_command_line(write):
    path = write("lr: 0.1\nbatch_size: 32\n")
    config = read_config(["-c", path, "--lr", "0.2"])
    assert (config.lr, config.batch_size, config.epoch_size, config.config) == (0.2, 32, 90, path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--scale", "0.2,1.0"], {"scale": (0.2, 1.0)}),
        (["--scale", "[0.2, 1.0]"], {"scale": (0.2, 1.0)}),
        (["--scale", "0.2", "1.0"], {"scale": (0.2, 1.0)}),
        (["--scale=0.2,1.0"], {"scale": (0.2, 1.0)}),
        (["--multi_step_decay_milestones", "3", "6", "9"], {"multi_step_decay_milestones": (3, 6, 9)}),
        (["--color_jitter", "0.4", "0.4", "0.4"], {"color_jitter": (0.4, 0.4, 0.4)}),
        (["--color_jitter", "None"], {"color_jitter": None}),
        (["--ema"], {"ema": True}),
        (["--ema", "True"], {"ema": True}),
        (["--ema", "false"], {"ema": False}),
        (["--ema", "--lr", "0.1"], {"ema": True, "lr": 0.1}),
        (["--lr=1e-5"], {"lr": 1e-5}),
        (["--weight-decay", "1e-4"], {"weight_decay": 1e-4}),
        (["--lr", "0.1", "--lr", "0.2"], {"lr": 0.2}),
        (["--ckpt_path=a=b.ckpt"], {"ckpt_path": "a=b.ckpt"}),
        (["--amp_cast_list", "[nn.Dense, nn.Conv2d]"], {"amp_cast_list": "[nn.Dense, nn.Conv2d]"}),
        ([], {"lr": 0.001}),
    ],
)
def test_forms_of_a_flag(words, expected):
    config = read_config(words)
    assert {name: getattr(config, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--lr", "-1e-3"], "command line: lr: got '-1e-3'; allowed: a number >= 0"),
        (["--lr"], "command line: lr: got no value; allowed: a number >= 0"),
        (["--lr", "0.1", "0.2"], "command line: lr: got 0.1 0.2; allowed: a number >= 0"),
        (["recipe.yaml"], "command line: got 'recipe.yaml' without a key; allowed: -c RECIPE and --key value"),
        (
            ["--lable_smoothing", "0.1"],
            "command line: unknown key 'lable_smoothing' (got '0.1'); did you mean 'label_smoothing'?",
        ),
        (["--zzz"], "command line: unknown key 'zzz' (got 'True'); --help lists all keys"),
        (["--learning_rate", "0.1"], "command line: unknown key 'learning_rate' (got '0.1'); did you mean 'lr'?"),
        (["--optimizer", "sgd"], "command line: unknown key 'optimizer' (got 'sgd'); did you mean 'opt'?"),
        (["--ckpt_save_policy", "top_k"], "command line: ckpt_save_policy 'top_k' needs accuracies"),
        (["-c"], "command line: -c: got ''; allowed: one recipe"),
        (["-x", "1"], "command line: unknown key '-x' (got '1'); --help lists all keys"),
        (["--epochs", "many"], "command line: epochs (today's epoch_size): got 'many'; allowed: an integer >= 1"),
    ],
)
def test_one_problem_is_one_line(words, line):
    with pytest.raises(ConfigError) as error:
        read_config(words)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_all_problems_are_reported_together(write):
    path = write("# a recipe\nlable_smoothing: 0.1\nopt: adm\nscale: [1.0, 0.08]\nval_while_train: False\n")
    with pytest.raises(ConfigError) as error:
        read_config(["-c", path, "--seed", "x", "--warmup-epoch", "3"])
    assert error.value.problems == [
        f"{path}:2: unknown key 'lable_smoothing' (got 0.1); did you mean 'label_smoothing'?",
        "command line: unknown key 'warmup-epoch' (got '3'); did you mean 'warmup_epochs'?",
        "command line: seed: got 'x'; allowed: an integer >= 0 and <= 4294967295",
        f"{path}:4: scale: got [1.0, 0.08]; allowed: {KEYS['scale'].allowed}",
        f"{path}:3: opt: got 'adm'; allowed: {KEYS['opt'].allowed}; did you mean 'adam'?",
    ]
    assert str(error.value).splitlines()[0] == "5 problems:"


def test_two_contradictions_are_two_lines(write):
    path = write("resume_opt: True\nckpt_save_policy: top_k\n")
    with pytest.raises(ConfigError) as error:
        read_config(["-c", path])
    assert [line.split(" ")[0] for line in error.value.problems] == [f"{path}:2:", f"{path}:1:"]


def test_problems_of_an_unreadable_recipe_and_the_command_line_come_together():
    with pytest.raises(ConfigError) as error:
        read_config(["-c", "no_such.yaml", "--lr", "x"])
    assert [line.split(":")[0] for line in error.value.problems] == [
        error.value.problems[0].split(":")[0],
        "command line",
    ]
    assert "'no_such.yaml' does not exist" in error.value.problems[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; a recipe has lines"),
        (b"# only a comment\n", "is empty; a recipe has lines"),
        (b"- lr\n- 0.1\n", "is a list; a recipe has lines"),
        (b"lr\n", "is a single value; a recipe has lines"),
        (b"\x80\x81\xff\x00binary", "is not a text file"),
        (b"lr: 0.1\x00\n", "is not a text file"),
        (b"lr: [0.1\n", ":2: is not valid YAML"),
        (b"lr: 0.1\n\tseed: 1\n", ":2: is not valid YAML"),
        (b"lr: 0.1\n---\nlr: 0.2\n", ":2: is not valid YAML"),
        (b"lr: 0.1\nseed: 1\nlr: 0.2\n", ":3: lr: got 0.2, but it is already on line 1"),
        (b"lr: !!python/object:os.system x\n", ":1: lr: cannot be read"),
        (b"[a, b]: 1\n", ":1: a key must be a name"),
        (b"lr: {a: 1}\n", ":1: lr: got {'a': 1}; allowed: a number >= 0"),
    ],
)
def test_bad_recipe_file(write, content, message):
    path = write(content)
    with pytest.raises(ConfigError) as error:
        load_recipe(path)
    assert message in str(error.value)
    assert str(error.value).startswith(path)
    assert "\n" not in str(error.value)


# Ten lines that stand for 10**9 words.
BOMB = b"a: &a [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (letter, letter, b", ".join([b"*%c" % (letter - 1)] * 10)) for letter in b"bcdefghi"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, ":1: got &a: a recipe has no anchors and aliases; write the value out"),
        (b"lr: 0.1\nmodel: *x\n", ":2: got *x: a recipe has no anchors and aliases; write the value out"),
        (b"lr: 0.1\nscale: &s [0.1, 1]\n", ":2: got &s: a recipe has no anchors"),
        (b"seed: 1\nscale: " + b"[" * 5000 + b"]" * 5000, ":2: is nested more than 16 levels deep"),
        (b"{a: " * 5000, ":1: is nested more than 16 levels deep"),
        (b"lr: 0.1\n" * 40000, ": has more than 256 KiB; a recipe is a short YAML file"),
        (
            b"lr: 0.1\nbatch_size: 0100\n",
            ":2: batch_size: got 0100, which YAML reads as 64 (an octal number); write 100,",
        ),
        (
            b"seed: -017\n",
            ":1: seed: got -017, which YAML reads as -15 (an octal number); write -17, or '-017' in quotes",
        ),
        (b"train_split: 007\n", "write 7, or '007' in quotes for text"),
        (
            b"batch_size: 1:30\n",
            ":1: batch_size: got 1:30, which YAML reads as 90 (a number to the base 60); write '1:30'",
        ),
        (b"profile: 10:20\n", ":1: profile: got 10:20, which YAML reads as 620"),
        (b"lr: 1:30.5\n", ":1: lr: got 1:30.5, which YAML reads as 90.5"),
        (b"scale: [010, 1]\n", ":1: scale: got 010, which YAML reads as 8"),
        (b"model: no\n", ":1: model: got no, which YAML reads as False; write 'no' in quotes for text; allowed: text"),
        (b"arch: Off\n", ":1: arch: got Off, which YAML reads as False"),
        (b"epochs: yes\n", ":1: epochs: got yes, which YAML reads as True; write 'yes' in quotes"),
        (
            b"train_split: 2026-11-28\n",
            ":1: train_split: got 2026-11-28, which YAML reads as a date; write '2026-11-28'",
        ),
        (b"seed: 4294967296\n", ":1: seed: got 4294967296; allowed: an integer >= 0 and <= 4294967295"),
        (
            b"batch_size: 1000000000000000000\n",
            ":1: batch_size: got 1000000000000000000; allowed: an integer >= 1 and <=",
        ),
        (b"seed: " + b"9" * 5000, ":1: seed: got a number of 5000 characters; allowed are 64"),
        (b"seed: 0x" + b"f" * 100000, ":1: seed: got a number of 100002 characters; allowed are 64"),
        (b"lr: " + b"x" * 5000, "...; allowed: a number"),
        (b"k: ? [\n", "is not valid YAML"),
        (b"lr: !!int\n", ":1: lr: cannot be read"),
        (b"lr: !!float ''\n", ":1: lr: cannot be read"),
        (b"lr: !!bool x\n", ":1: lr: got x, which"),
        (b"lr: !!timestamp x\n", ":1: lr: got x, which YAML reads as a date"),
        (b"lr: !!int '[:'\n", ":1: lr: cannot be read"),
        (b"lr: !!int 'a: b'\n", ":1: lr: "),
        (b"".join(b"key_%d: 1\n" % index for index in range(15000)), ": has 15000 keys; there are "),
        (b"k" * 900 + b": 1\n", "... (got 1); --help lists all keys"),
    ],
)
def test_hostile_or_odd_yaml_is_refused_at_once_in_one_line(write, content, message):
    path = write(content)
    begin = time.process_time()
    with pytest.raises(ConfigError) as error:
        load_recipe(path)
    assert time.process_time() - begin < 5
    text = str(error.value)
    assert text.startswith(path)
    assert "\n" not in text
    assert len(text) < len(path) + 500
    assert message in text


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        (b"val_while_train: yes", "val_while_train", True),
        (b"ema: off", "ema", False),
        (b"run_distribute: on", "distribute", True),
        (b"is_save_on_master: no", "ckpt_save_on", "all"),
        (b"pretrained: no", "pretrained", False),
        (b"model: 'no'", "model", "no"),
        (b"profile: '10:20'", "profile", (10, 20)),
        (b"train_split: '2026-11-28'", "train_split", "2026-11-28"),
        (b"seed: 0", "seed", 0),
        (b"seed: 0x10", "seed", 16),
        (b"lr: 1_0.5", "lr", 10.5),
    ],
)
def test_plain_words_of_yaml_mean_what_they_say(write, line, key, value):
    assert getattr(load_recipe(write(line + b"\n")), key) == value


def test_anchors_that_python_writes_are_never_written(tmp_path):
    shared = (0.5, 1.0)
    config = Config.model_construct(**{**Config().model_dump(), "scale": shared, "ratio": shared, "re_scale": shared})
    save_args(config, tmp_path / "config.yaml")
    assert load_recipe(str(tmp_path / "config.yaml")).ratio == shared


def test_folder_is_no_recipe(tmp_path):
    with pytest.raises(ConfigError, match=r"is a folder; a recipe is a YAML file$"):
        load_recipe(str(tmp_path))


def test_address_with_an_unknown_scheme():
    with pytest.raises(ConfigError, match=r"^nope://x\.yaml: cannot be read"):
        load_recipe("nope://x.yaml")


def test_byte_order_mark_is_no_key(write):
    assert load_recipe(write(b"\xef\xbb\xbflr: 0.5\n")).lr == 0.5


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """An installed package with one recipe inside, outside a clone."""
    package = tmp_path / "site-packages" / "mindcv"
    recipe = package / "configs" / "resnext" / "resnext50_32x4d_cpu.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("lr: 0.125\n", encoding="utf-8")
    monkeypatch.setattr(parse, "_PACKAGE", package)
    monkeypatch.chdir(tmp_path)
    return recipe


@pytest.mark.parametrize(
    "name",
    [
        "resnext/resnext50_32x4d_cpu.yaml",
        "configs/resnext/resnext50_32x4d_cpu.yaml",
        "resnext50_32x4d_cpu",
        "resnext50_32x4d_cpu.yaml",
    ],
)
def test_recipe_inside_the_wheel(wheel, name):
    assert find_recipe(name) == str(wheel)
    assert load_recipe(name).lr == 0.125


def test_a_recipe_that_is_not_there_is_answered_with_what_to_use(wheel):
    for name in ("resnext50_32x4d", "resnext101_32x4d"):
        wheel.with_name(f"{name}_ascend.yaml").write_text(f"model: {name}\n")
    wheel.write_text("model: resnext50_32x4d\n")
    folder = wheel.parent.parent / "resnet"
    folder.mkdir()
    (folder / "resnet18_cpu.yaml").write_text("model: resnet18\n")
    (folder / "resnet_50_ascend.yaml").write_text("model: resnet50\n")
    assert (
        find_recipe("resnet50_ascend")
        == find_recipe("resnet/resnet50_ascend.yaml")
        == f"{folder}/resnet_50_ascend.yaml"
    )
    for name, answer in {
        "configs/resnext/resnext50_32x4d_gpu.yaml": "use resnext/resnext50_32x4d_ascend.yaml --device_target GPU",
        "resnext/resnext101_32x4d_cpu.yaml": "use resnext/resnext50_32x4d_cpu.yaml --model resnext101_32x4d",
        "resnet/resnext50_32x4d_cpu.yaml": "use resnext/resnext50_32x4d_cpu.yaml",
        "resnet50_gpu": "use resnet/resnet_50_ascend.yaml --device_target GPU",
        "resnext/resnet50_ascend.yaml": "use resnet/resnet_50_ascend.yaml",
        "resnet/resnet_50_gpu.yaml": "use resnet/resnet_50_ascend.yaml --device_target GPU",
        "resnet/resnet34_ascend.yaml": (
            "closest packaged recipes: resnet/resnet_50_ascend.yaml, resnext/resnext50_32x4d_ascend.yaml, "
            "resnext/resnext101_32x4d_ascend.yaml; --model changes a recipe's model"
        ),
        "nothing.like.it": "give a path to a YAML file",
    }.items():
        with pytest.raises(ConfigError) as error:
            find_recipe(name)
        assert str(error.value) == f"recipe {name!r} does not exist; {answer}"


def test_a_device_that_is_misspelt_is_not_taken_for_ascend():
    with pytest.raises(ConfigError, match=r"does not exist; closest packaged recipes: resnet/resnet18_cpu\.yaml, "):
        find_recipe("resnet18_cpuu")


def test_name_that_two_recipes_have_lists_both(wheel):
    other = wheel.parents[1] / "other" / wheel.name
    other.parent.mkdir()
    other.write_text("lr: 0.5\n", encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        find_recipe("resnext50_32x4d_cpu")
    assert str(error.value) == (
        "recipe 'resnext50_32x4d_cpu' is not the name of one alone; give one of other/resnext50_32x4d_cpu.yaml, "
        "resnext/resnext50_32x4d_cpu.yaml"
    )


def test_misspelt_name_lists_the_closest_recipe(wheel):
    with pytest.raises(ConfigError, match=r"closest packaged recipes: resnext/resnext50_32x4d_cpu\.yaml"):
        find_recipe("resnext50_32x4_cpu")


def test_folder_of_a_recipes_name_hides_no_recipe(wheel, tmp_path):
    (tmp_path / "resnext50_32x4d_cpu").mkdir()
    assert find_recipe("resnext50_32x4d_cpu") == str(wheel)


def test_given_path_comes_before_the_packaged_recipe(wheel, tmp_path):
    own = tmp_path / "resnext" / "resnext50_32x4d_cpu.yaml"
    own.parent.mkdir()
    own.write_text("lr: 0.5\n", encoding="utf-8")
    assert load_recipe("resnext/resnext50_32x4d_cpu.yaml").lr == 0.5


def test_clone_has_its_recipes_in_configs():
    assert recipe_folders()[0] == REPOSITORY / "configs"


def test_our_recipes_load_without_old_spellings(caplog):
    for path in REPOSITORY.glob("configs/*/*_*.yaml"):
        assert load_recipe(str(path)).config == str(path)
    assert caplog.messages == []


def test_parse_args_reports_on_stderr_and_leaves_with_2(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_args(["--lr", "x"])
    assert stop.value.code == 2
    assert capsys.readouterr() == (
        "",
        "mindcv: error: command line: lr: got 'x'; allowed: a number >= 0 and <= 1000\n",
    )


def test_parse_args_reads_sys_argv(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--lr", "0.5"])
    assert parse_args().lr == 0.5


def test_print_config_shows_yaml_that_loads_again(capsys, write):
    with pytest.raises(SystemExit) as stop:
        parse_args(["--lr", "0.5", "--print-config"])
    assert stop.value.code == 0
    assert load_recipe(write(capsys.readouterr().out)).lr == 0.5


def test_help_is_grouped_and_complete(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_args(["--help-all"], prog="mindcv train")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: mindcv train [-c RECIPE] [--key value ...]")
    assert [f"--{name} " in text for name in KEYS if name != "config"].count(False) == 0
    assert "\nSchedule:\n" in text
    assert "unit: epochs; default: 90" in " ".join(text.split())


@pytest.mark.parametrize(
    ("command", "shown", "hidden"),
    [
        ("train", ["data_dir", "epoch_size", "lr", "pretrained"], ["re_max_attempts", "val_amp_level"]),
        ("validate", ["ckpt_path", "random_weights", "val_split", "crop_pct"], ["epoch_size", "lr", "opt", "resume"]),
    ],
)
def test_help_shows_the_commands_common_keys(capsys, command, shown, hidden):
    with pytest.raises(SystemExit):
        parse_args(["--help"], prog=f"mindcv {command}", command=command)
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0] == f"usage: mindcv {command} [-c RECIPE] [--key value ...]"
    assert len(lines) <= 85
    names = [name for name in KEYS if name != "config"]
    assert [name for name in names if f"--{name} " in text] == [name for name in names if name in COMMON_KEYS[command]]
    assert [f"--{name} " in text for name in shown] == [True] * len(shown)
    assert [f"--{name} " in text for name in hidden] == [False] * len(hidden)
    assert lines[-1] == f"{len(KEYS) - len(COMMON_KEYS[command])} keys more: --help-all"


def test_common_keys_are_keys():
    assert [name for names in COMMON_KEYS.values() for name in names if name not in KEYS] == []


def test_usage_names_a_script_as_it_is_typed(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "--help"])
    with pytest.raises(SystemExit):
        parse_args()
    assert capsys.readouterr().out.startswith("usage: python train.py [-c RECIPE]")


def test_print_config_writes_nothing_but_yaml_to_stdout(capsys, write):
    set_logger("mindcv")
    try:
        with pytest.raises(SystemExit):
            parse_args(["-c", write("per_batch_size: 8\n"), "--print-config"])
    finally:
        logging.getLogger("mindcv").handlers.clear()
        logging.getLogger("mindcv").propagate = True
    out, err = capsys.readouterr()
    assert yaml.safe_load(out)["batch_size"] == 8
    assert [line for line in out.splitlines() if line and not re.match(r"# [A-Z]|[a-z_0-9]+: ", line)] == []
    assert "per_batch_size: 8 is read as batch_size: 8" in err


def test_parser_of_all_keys_reads_typed_values():
    _, parser = create_parser()
    found = parser.parse_args(["--lr", "1e-3", "--ema", "--scale", "0.2,1.0", "--opt", "SGD"])
    assert (found.lr, found.ema, found.scale, found.opt, found.batch_size) == (1e-3, True, (0.2, 1.0), "sgd", 128)


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (["--help"], 0, "usage: ", ""),
        (["--lr", "0.5", "--print-config"], 0, "lr: 0.5\n", ""),
        (["--lr", "nan"], 2, "", "mindcv: error: command line: lr: got 'nan'; allowed: a number >= 0 and <= 1000\n"),
    ],
)
def test_scripts_config_module_as_a_process_without_mindspore(words, code, out, err):
    script = (
        "import atexit, sys; from config import parse_args; "
        "atexit.register(lambda: sys.stderr.write('MINDSPORE' if 'mindspore' in sys.modules else '')); parse_args()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, err)
    assert out in done.stdout


def test_keys_that_are_meant_are_there():
    assert compat._ELSEWHERE.keys().isdisjoint([*KEYS, *compat.NEW_KEYS])
    assert set(compat._ELSEWHERE.values()) <= set(KEYS)
