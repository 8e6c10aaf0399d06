"""Text of strangers, as a person may see it."""

from __future__ import annotations

import re
import unicodedata

import pytest

from pipeline._handlers import description_checks
from pipeline.recipe import section
from pipeline.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\r\nb\tc\x7f", r"a\r\nb\tc\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("user\u202etxt.exe\u2066 \u200f\u061c", r"user\u202etxt.exe\u2066 \u200f\u061c"),
        ("wide\u200b\ufeff\u2028\U000e0041", r"wide\u200b\ufeff\u2028\U000e0041"),
        ("blank\u3164\uffa0\u115f\u034f\u2800\U000e0100", r"blank\u3164\uffa0\u115f\u034f\u2800\U000e0100"),
        ("undecodable \udcff", r"undecodable \udcff"),
        ("Ankle boot, na\u00efve, \u978b, \U0001f469\u200d\U0001f4bb \\x1b",) * 2,
    ],
)
def test_what_steers_a_terminal_is_escaped_and_scripts_stay(text: str, shown: str) -> None:
    assert visible(text) == shown
    shown.encode()


def test_every_control_character_is_covered() -> None:
    steering = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in ("Cc", "Cs", "Zl", "Zp")]
    steering += [chr(code) for code in range(0x110000) if unicodedata.bidirectional(chr(code)) in ("RLO", "LRI", "PDF")]
    assert len(steering) > 2100
    assert not [character for character in steering if visible(character) == character]
    assert visible("a\nb\n", lines=True) == "a\nb\n"
    assert visible("a\r\x0b\n", lines=True) == "a\\r\\x0b\n"


def test_names_of_recipes_and_of_strangers_follow_one_pattern() -> None:
    assert (section.NAME, section.LONGEST_NAME) == (description_checks.NAME, description_checks.LONGEST_NAME)
    assert re.fullmatch(section.NAME, "slim38.4")
