"""What the page on capabilities shows: its rows, and its commands in their order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "capabilities.md"
_SPAN = re.compile(r"`([^`]+)`")
_COMMANDS = ("pipeline ", "curl ", "torchrun ")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table.

    Args:
        name: what a person looks for.
        spans: what stands as code beside it: commands, lines of a recipe, or files of a run.
        page: cell of the page that explains it.
        test: cell of the test that holds it.
    """

    name: str
    spans: tuple[str, ...]
    page: str
    test: str


def rows() -> list[Row]:
    """All rows of the page, in order."""
    return [_row(line) for line in PAGE.read_text(encoding="utf-8").splitlines() if _is_row(line)]


def commands() -> list[str]:
    """The lines of shell of the page, in order."""
    lines: list[str] = []
    in_block = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            in_block = line == "```sh"
        elif in_block:
            lines.append(line)
        elif _is_row(line):
            lines += [span for span in _row(line).spans if span.startswith(_COMMANDS)]
    return lines


def _is_row(line: str) -> bool:
    return line.startswith("| ") and not line.startswith("| what ")


def _row(line: str) -> Row:
    name, shown, page, test = line.strip("|").split(" | ")
    return Row(name=name.strip(), spans=tuple(_SPAN.findall(shown)), page=page, test=test.strip())
