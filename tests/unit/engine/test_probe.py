"""A probe runs a program to see whether a library works."""

from __future__ import annotations

import sys

from pipeline.engine.probe import probe


def test_a_program_that_fails_gives_the_last_line_of_its_errors() -> None:
    assert probe(sys.executable, "print('fine')") == (True, "fine")
    ok, line = probe(sys.executable, "raise RuntimeError('operator torchvision::nms does not exist')")
    assert (ok, line) == (False, "RuntimeError: operator torchvision::nms does not exist")
    assert probe(sys.executable, "import sys; sys.exit(3)") == (
        False,
        "its process ended with code 3 and without a word",
    )
