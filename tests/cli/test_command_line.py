"""What the command line says of itself: errors that begin alike, descriptions, usage as it is typed."""

import importlib
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from mindcv.cli import _COMMANDS, main
from mindcv.weights import write_weights

SUB_COMMANDS = [
    ("data", "check"),
    ("data", "show"),
    ("config", "import"),
    ("benchmark", "train"),
    ("benchmark", "data"),
]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'? Commands: "),
        (["xyzxyz"], "unknown command 'xyzxyz'. Commands: "),
        (["infer"], "the following arguments are required: MODEL, INPUT; mindcv infer --help says what there is"),
        (["data"], "the following arguments are required: check|show"),
        (["data", "check", "a", "b"], "unrecognized arguments: b"),
        (["doctor", "--second", "x"], "argument --seconds: invalid float value: 'x'"),
        (["doctor", "--seconds", "-1"], "--seconds: got -1.0, it must be 0 or more"),
        (["infer", "net.onnx", "a.png", "--output_format", "xml"], "argument --output_format/--output-format: invalid"),
        (["train", "--lable", "1"], "command line: unknown key 'lable' (got '1')"),
        (["validate", "-c", "\x1b[31mno"], "recipe '\\x1b[31mno' does not exist"),
        (["config", "import", "no\x1b[31m.yaml"], "no\\x1b[31m.yaml: cannot be read (No such file or directory)"),
    ],
)
def test_all_errors_begin_alike(words, message, capsys):
    try:
        code = main(words)
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith(f"mindcv: error: {message}")
    assert err.count("\n") == 1
    assert "\x1b" not in err


@pytest.mark.parametrize("words", [(name,) for name in _COMMANDS] + SUB_COMMANDS, ids=" ".join)
def test_help_names_the_command_and_describes_it(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*words, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: mindcv {' '.join(words)} ")
    description = " ".join(text.split("\n\n")[1].split())
    assert re.match(r"[A-Z].{15,}\.$", description)
    if len(words) == 1:
        assert importlib.import_module(f"mindcv.cli.{words[0].replace('-', '_')}").HELP[1:] in description


def test_names_of_a_weight_file_reach_no_terminal(tmp_path, capsys):
    path = tmp_path / "hostile.safetensors"
    write_weights(path, {"\x1b[31mred\x1b]0;title\x07": np.ones(3, np.float32)})
    assert main(["weights", "check", str(path), "--model", "resnet18"]) == 1
    out, err = capsys.readouterr()
    assert r"\x1b[31mred\x1b]0;title\x07" in out
    assert "\x1b" not in out + err


def test_path_that_is_not_utf8_does_not_end_a_command(tmp_path):
    config = os.fsencode(tmp_path) + b"/latin1_\xe4.yaml"
    with open(config, "w") as file:
        file.write("lr: 0.1\nnetwork: resnet50\n")
    done = subprocess.run(
        [sys.executable, "-m", "mindcv", "config", "import", config, "-o", os.fsencode(tmp_path) + b"/out_\xe4.yaml"],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"latin1_\\udce4.yaml:2: network: resnet50" in done.stdout


def test_what_a_command_does_not_need_is_not_imported():
    code = "import mindcv.cli; mindcv.cli.main(['cache', '--help'])"
    done = subprocess.run(
        [sys.executable, "-c", f"import atexit, sys; atexit.register(lambda: print(*sorted(sys.modules))); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stdout.splitlines()[-1].split())
    assert "mindcv.cli.cache" in imported
    assert not imported & {"mindcv.config", "pydantic", "mindspore"}
