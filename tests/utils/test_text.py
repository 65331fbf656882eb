"""What may go to a terminal, and where a list of names is cut."""

import json

import pytest

from mindcv.utils.text import escaped, harmless, json_text, line_of, lines_of, names_in, names_to_bytes

pytestmark = pytest.mark.no_mindspore


@pytest.mark.parametrize(
    ("text", "for_terminal", "for_a_line"),
    [
        ("Katze é 猫", "Katze é 猫", "Katze é 猫"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("one\r\ntwo\t3", "one\\r\ntwo\t3", "one\\r\\ntwo\\t3"),
        ("\x9b2J\x7f", "\\x9b2J\\x7f", "\\x9b2J\\x7f"),
        ("a\u2028b\u202ec", "a\u2028b\u202ec", "a\\u2028b\\u202ec"),
        ("not_utf8_\udcff.png", "not_utf8_\\udcff.png", "not_utf8_\\udcff.png"),
    ],
)
def test_control_characters_are_written_out(text, for_terminal, for_a_line):
    assert (harmless(text), escaped(text)) == (for_terminal, for_a_line)
    assert harmless(text).encode("utf-8")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a\nb\n", ["a", "b"]),
        ("a\r\nb\r\n\r\n", ["a", "b"]),
        ("\ufeffa\nb", ["a", "b"]),
        (
            "one\u2028name\nform\x0cfeed\nnext\x85line\nv\x0bt\nfile\x1csep",
            ["one\u2028name", "form\x0cfeed", "next\x85line", "v\x0bt", "file\x1csep"],
        ),
        ("mid\rdle\n", ["mid\rdle"]),
        ("  spaces \t\n\n\n", ["spaces"]),
        ("\x0c\n", ["\x0c"]),
        ("", []),
    ],
)
def test_lists_are_cut_at_line_feeds_only(text, lines):
    assert lines_of(text) == lines


NAMES = ["Katze", "one\u2028name", "form\x0cfeed", "latin1_\udce4", "mid\rdle", "=1"]


def test_list_of_names_reads_as_it_was_written():
    data = names_to_bytes(NAMES, "the class name")
    assert data.count(b"\n") == len(NAMES)
    assert names_in(data) == NAMES


@pytest.mark.parametrize("name", ["two\nlines", "", " cat", "cat\t", "cat\r", "\ufeffcat"])
def test_name_that_would_move_all_others_is_refused(name):
    with pytest.raises(ValueError, match=r"the class name .* cannot stand in a list") as error:
        names_to_bytes(["dog", name], "the class name")
    assert repr(name) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [NAMES, {"a": "\x1b\x9b\x7f\u202e"}, [1.5, None, True, "é猫\U0001f408"]])
def test_json_is_plain_and_loads_as_it_was(value):
    text = json_text(value)
    assert json.loads(text) == value
    assert text.encode("utf-8")
    assert harmless(text) == text


def test_line_of_a_list_has_one_line_and_the_bytes_of_names():
    line = line_of("a\tb\nc\r.png", "latin1_\udce4.png", "\x1b[31m \u2028")
    assert line == b"a\\tb\\nc\\r.png\tlatin1_\xe4.png\t\x1b[31m \xe2\x80\xa8\n"
