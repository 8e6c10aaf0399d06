"""Every error this package raises on purpose, one tree, an exit code per class.

    PipelineError                1  unexpected
    ├── UsageError               2  usage, recipe, or an input: what was asked for cannot be
    ├── FileError                3  a file is missing or was altered
    ├── StageError               4  a stage broke its contract
    ├── ProofError               5  parity or quality failed
    ├── ServerError              6  the server, or a port
    ├── DataError                7  data or weights not to be had
    ├── JobError                 8  one of several processes that train together has ended
    └── ElsewhereError           -  another of these processes says what happened, and with which code

A message is one line: what, expected, found, what to do next. `Interrupted` is not an error of
the tree: Ctrl-C ends with 130.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_INTERRUPTED = 130


class PipelineError(Exception):
    """Base of all errors of this package; shown as one line."""

    exit_code = 1


class UsageError(PipelineError):
    """The recipe, the command line or a file to predict asks for something that does not exist or cannot be."""

    exit_code = 2


class FileError(PipelineError):
    """A file is missing, unreadable, or differs from its recorded digest."""

    exit_code = 3


class StageError(PipelineError):
    """A stage broke its contract: an undeclared, missing or duplicate artifact, a taken lock."""

    exit_code = 4


class ProofError(PipelineError):
    """A lossless step did not reproduce its source, or a named candidate is over its budget."""

    exit_code = 5


class ServerError(PipelineError):
    """The server did not start, stop or answer as it must, or a port is taken."""

    exit_code = 6


class DataError(PipelineError):
    """Data or weights could not be had, or are not what they should be."""

    exit_code = 7


class JobError(PipelineError):
    """One of several processes that train together has ended, or is not reached any more."""

    exit_code = 8


class ElsewhereError(PipelineError):
    """The work failed, and another of several processes says why; this one ends in silence with the same exit code."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process says what happened")
        self.exit_code = exit_code
