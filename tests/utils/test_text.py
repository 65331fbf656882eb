"""What may go to a terminal, and where a list of names is cut."""

import pytest

from mindcv.utils.text import escaped, harmless, lines_of

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
