"""Says where a command's answer goes: standard output, which it has for itself where a program reads it.

While user code runs, anything may print: a factory, a loss, a library in C, a program that they start. With `--json`,
and for a command whose whole answer is a path, all of that goes to standard error from the first moment to the last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

import typer

from pipeline.engine.process import reserve_stdout
from pipeline.visible import visible

# The command whose answer is a path: `train` prints that of the weights, for `$(pipeline train ...)`.
_ANSWERS_A_PATH = "train"
_HELP = "--help"
_reserved: list[TextIO] = []


def reserve_for(arguments: Sequence[str]) -> None:
    """Keep standard output for the answer alone, where the command line asks for one that a program reads.

    The text of `--help` is an answer too, though the parser writes it by itself; no user code runs for it. The stream
    is not given back: what is printed while the interpreter ends is no part of an answer either.

    Args:
        arguments: arguments of the command line.
    """
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    if sys.stdout is None or _HELP in arguments:
        return
    if "--json" in arguments or command == _ANSWERS_A_PATH:
        _reserved.append(reserve_stdout())


def say(*lines: object, error: bool = False) -> None:
    """Print lines for a person; nothing in them steers the terminal or adds a line.

    Args:
        lines: lines to print, one each.
        error: whether they go to standard error.
    """
    for line in lines:
        typer.echo(visible(str(line)), err=error)  # noqa: TID251 - the one place


def write_answer(text: str) -> None:
    """Write an answer that a program reads: a JSON document, or a path as it is."""
    _stream().write(f"{text}\n")


def flush_answer() -> None:
    """Hand over the answer that was written.

    Raises:
        BrokenPipeError: the reader is gone.
    """
    _stream().flush()


def drop_answer() -> None:
    """Let what is still to be written go nowhere, because the reader is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, _stream().fileno())
    os.close(nowhere)


def _stream() -> TextIO:
    return _reserved[-1] if _reserved else sys.stdout
