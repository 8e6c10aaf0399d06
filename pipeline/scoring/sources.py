"""What is to be scored: the pictures of a folder, the rows of a CSV table, or the rows of arrays in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

# Examples in one request, or the next multiple of the batch size: few enough that little is lost when a process is
# killed, and so many that passing them on costs nothing beside answering them.
EXAMPLES_PER_REQUEST = 128


@dataclass(frozen=True, kw_only=True)
class Request:
    """Consecutive examples that one process answers.

    Args:
        names: names of the examples, in order: files, or numbers of rows from 0 on.
        document: what the process is told, as JSON values.
        done: how far the whole is when these are answered, in the source's unit.
    """

    names: Sequence[str | int]
    document: Mapping[str, Any]
    done: int

    def __str__(self) -> str:
        """Name the first and the last example."""
        first, last = (
            str(name) if isinstance(name, str) else f"row {name}" for name in (self.names[0], self.names[-1])
        )
        return f"{first} to {last}"


class Source(Protocol):
    """Examples to score, in an order that never changes."""

    @property
    def key(self) -> Literal["file", "row"]:
        """What names an example."""

    @property
    def total(self) -> int:
        """The size of the whole, in files, rows or bytes."""

    @property
    def unit(self) -> str:
        """What `total` counts."""

    @property
    def job(self) -> Mapping[str, Any]:
        """What a process is told of the data before its first request, as JSON values."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells this data from other data, as JSON values; it changes where a file was changed."""

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know before the data are scored, a line each."""

    def requests(self, *, size: int, start: int = 0) -> Iterator[Request]:
        """Yield the requests for all examples from one on.

        Args:
            size: number of examples of each request; the last may have fewer.
            start: number of examples to leave out at the beginning.

        Raises:
            DataError: the data cannot be read on.
        """
