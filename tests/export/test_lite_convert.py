"""scripts/lite_convert.sh: the commands that it would run; there is no converter here."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from time_limits import LIMIT_S

pytestmark = pytest.mark.no_mindspore

SCRIPT = Path(__file__).parents[2] / "scripts" / "lite_convert.sh"


def convert(folder: Path, batch_size: int | None, *words: str, encryption: str | None = None, dry: str = "1"):
    (folder / "m.mindir").write_bytes(b"")
    info = {"input_name": "image", "input_shape": [batch_size, 3, 224, 160], "encryption": encryption}
    (folder / "m.mindir.json").write_text(json.dumps(info))
    environment = {**os.environ, "DRY_RUN": dry, "LITE_HOME": "/nowhere/lite"}
    command = ["bash", str(SCRIPT), "m.mindir", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.mark.parametrize(
    ("batch_size", "words", "expected"), [(None, ("1", "8"), [1, 8]), (4, (), [4]), (None, (), [1]), (4, ("4",), [4])]
)
def test_commands(batch_size, words, expected, tmp_path):
    result = convert(tmp_path, batch_size, *words)
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.replace("\\", "").splitlines()
    assert lines == [
        "/nowhere/lite/tools/converter/converter/converter_lite --fmk=MINDIR --modelFile=m.mindir "
        f"--outputFile=m_lite_b{n} --inputShape=image:{n},3,224,160 --optimize=ascend_oriented --saveType=MINDIR "
        for n in expected
    ]


@pytest.mark.parametrize(
    ("batch_size", "words", "options", "message"),
    [
        (4, ("8",), {}, "takes batches of 4, not 8; export it with --batch_size 8, or dynamic"),
        (None, ("0",), {}, "got batch size '0'; give numbers from 1"),
        (None, ("1",), {"encryption": "AES-GCM"}, "is encrypted (AES-GCM)"),
        (None, ("1",), {"dry": "0"}, "there is no converter_lite; download MindSpore Lite"),
    ],
)
def test_errors(batch_size, words, options, message, tmp_path):
    result = convert(tmp_path, batch_size, *words, **options)
    assert result.returncode == 2
    assert message in result.stderr
