"""Recipes and command line: precedence, forms of a flag, and the report of everything that is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from mindcv.config import (
    ConfigError,
    create_parser,
    find_recipe,
    load_recipe,
    parse,
    parse_args,
    read_config,
    recipe_folders,
)
from mindcv.config.schema import KEYS

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
        "command line: seed: got 'x'; allowed: an integer >= 0",
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


@pytest.mark.parametrize("name", ["resnext/resnext50_32x4d_cpu.yaml", "configs/resnext/resnext50_32x4d_cpu.yaml"])
def test_recipe_inside_the_wheel(wheel, name):
    assert find_recipe(name) == str(wheel)
    assert load_recipe(name).lr == 0.125


def test_unknown_recipe_lists_the_closest(wheel):
    with pytest.raises(ConfigError) as error:
        find_recipe("resnet/resnext50_cpu.yaml")
    assert str(error.value) == (
        "recipe 'resnet/resnext50_cpu.yaml' does not exist; closest packaged recipes: resnext/resnext50_32x4d_cpu.yaml"
    )


def test_given_path_comes_before_the_packaged_recipe(wheel, tmp_path):
    own = tmp_path / "resnext" / "resnext50_32x4d_cpu.yaml"
    own.parent.mkdir()
    own.write_text("lr: 0.5\n", encoding="utf-8")
    assert load_recipe("resnext/resnext50_32x4d_cpu.yaml").lr == 0.5


def test_clone_has_its_recipes_in_configs():
    assert recipe_folders()[0] == REPOSITORY / "configs"


@pytest.mark.parametrize("path", sorted(REPOSITORY.glob("configs/*/*_*.yaml")), ids=lambda path: path.stem)
def test_our_recipes_load_without_old_spellings(path, caplog):
    assert load_recipe(str(path)).config == str(path)
    assert caplog.messages == []


def test_parse_args_reports_on_stderr_and_leaves_with_2(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_args(["--lr", "x"])
    assert stop.value.code == 2
    assert capsys.readouterr() == ("", "command line: lr: got 'x'; allowed: a number >= 0\n")


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
        parse_args(["--help"], prog="mindcv train")
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: mindcv train [-c RECIPE] [--key value ...]")
    assert [f"--{name} " in text for name in KEYS if name != "config"].count(False) == 0
    assert "\nSchedule:\n" in text
    assert "unit: epochs; default: 90" in " ".join(text.split())


def test_parser_of_all_keys_reads_typed_values():
    _, parser = create_parser()
    found = parser.parse_args(["--lr", "1e-3", "--ema", "--scale", "0.2,1.0", "--opt", "SGD"])
    assert (found.lr, found.ema, found.scale, found.opt, found.batch_size) == (1e-3, True, (0.2, 1.0), "sgd", 128)


@pytest.mark.parametrize(
    ("words", "code", "out", "err"),
    [
        (["--help"], 0, "usage: ", ""),
        (["--lr", "0.5", "--print-config"], 0, "lr: 0.5\n", ""),
        (["--lr", "nan"], 2, "", "command line: lr: got 'nan'; allowed: a number >= 0\n"),
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
