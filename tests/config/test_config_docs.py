"""The generated reference page and JSON schema are complete and up to date."""

import json

import pytest

from mindcv.config import docs
from mindcv.config.compat import NEW_KEYS, UNUSED
from mindcv.config.schema import KEYS

pytestmark = pytest.mark.no_mindspore


def test_generated_files_are_up_to_date():
    assert docs.main(["--check"]) == 0, "run: python -m mindcv.config.docs"


def test_check_finds_a_stale_and_a_missing_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(docs, "REFERENCE_PATH", tmp_path / "reference" / "configuration.md")
    monkeypatch.setattr(docs, "SCHEMA_PATH", tmp_path / "config.schema.json")
    assert docs.main(["--check"]) == 1
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0
    docs.REFERENCE_PATH.write_text("old", encoding="utf-8")
    assert docs.main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == f"stale: {docs.REFERENCE_PATH}"


def test_reference_has_a_row_for_every_key_and_old_spelling():
    rows = [line for line in docs.reference().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [*KEYS, *UNUSED]
    by_key = {row.split("`")[1]: row for row in rows}
    assert all(f"`{old}`" in by_key[new] for old, new in NEW_KEYS.items())
    assert "Goes on as `milestones`." in by_key["multi_step_decay_milestones"]


@pytest.mark.parametrize(
    ("key", "facts"),
    [
        ("lr", {"type": "number", "minimum": 0, "maximum": 1000, "default": 0.001}),
        ("momentum", {"minimum": 0, "exclusiveMaximum": 1}),
        ("weight_decay_filter", {"enum": ["disable", "auto", "norm_and_bias"]}),
        ("scale", {"type": "array", "minItems": 2, "maxItems": 2}),
        ("layer_decay", {"anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 1}, {"type": "null"}]}),
        ("num_samples", {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 2000000000}, {"type": "null"}]}),
        ("ema", {"type": "boolean", "default": False}),
        ("max_epoch", {"deprecated": True, "description": "Old spelling of epoch_size."}),
    ],
)
def test_json_schema(key, facts):
    schema = json.loads(docs.SCHEMA_PATH.read_text(encoding="utf-8"))
    assert schema["additionalProperties"] is False
    found = schema["properties"][key]
    assert {name: found.get(name) for name in facts} == facts
