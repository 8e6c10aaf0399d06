"""Text as a person may see it in a terminal: whatever would steer the terminal, or hide, is shown escaped.

Labels, names and messages come from archives, recipes and servers that others made. All that `pipeline` prints for a
person goes through here: by `pipeline.cli.answer.say`, as an error, or through `pipeline.cli.render.plain_console`.
"""

from __future__ import annotations

import re

# C0, DEL and C1; line and paragraph separators; marks, overrides and isolates of direction (Trojan Source,
# CVE-2021-42574); what has no width or no ink, but for the two joiners that scripts need and what picks an emoji;
# tags; halves of surrogate pairs.
_UNSEEN = (
    r"\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_ONE_LINE = re.compile(f"[{_UNSEEN}]")
_LINES = re.compile(f"(?!\n)[{_UNSEEN}]")


def visible(text: str, *, lines: bool = False) -> str:
    r"""The same text with control characters written as Python writes them, such as `\x1b`.

    Args:
        text: of anyone's.
        lines: whether it may have several lines; else a line end is escaped like all else.
    """
    return (_LINES if lines else _ONE_LINE).sub(lambda found: found[0].encode("unicode_escape").decode(), text)
