"""A file that a command writes is none of those that it reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.errors import UsageError


def require_own_file(out: Path, others: Mapping[str, Path]) -> None:
    """Check that an output file is none of the inputs, which writing would destroy.

    Args:
        out: file that is to be written.
        others: files or folders that are read, by what a message calls them.

    Raises:
        UsageError: it is one of them.
    """
    for what, path in others.items():
        if out.exists() and path.exists() and out.samefile(path):
            raise UsageError(f"--out: expected a file of its own, found {what}, {path}")
