"""Decode picture files into rows of a mapped array, in a process of its own: `python -m pipeline.data.decode_pictures`.

Each finished row is noted in a journal at once, with a check sum: what a killed process left behind is found again, and
a row that was half written is not taken for a whole one. The process writes nowhere but beside the array.
"""

from __future__ import annotations

import hashlib
import json
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.decode import InputSpec, decode_image
from pipeline.engine.array_files import map_to_fill

ARRAY = "pictures"
# Beginning of the reasons that say nothing of the content: such a file is tried again.
_LOST = "file: "


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a store, as its journal holds it.

    Args:
        digest: SHA-256 of the picture file.
        index: place of the row.
        checksum: CRC-32 of the decoded pixels; None where the file cannot be decoded.
        reason: reason why it cannot be decoded; empty where it can.
    """

    digest: str
    index: int
    checksum: int | None
    reason: str = ""

    @property
    def lost(self) -> bool:
        """Whether the file was no longer there, or no longer the one whose digest is known."""
        return self.reason.startswith(_LOST)

    def to_line(self) -> str:
        """The row as a line of a journal."""
        return json.dumps([self.digest, self.index, self.checksum, self.reason])

    @classmethod
    def from_line(cls, line: str) -> Row:
        """Read what `to_line` wrote.

        Raises:
            ValueError: the line is not whole.
        """
        digest, index, checksum, reason = json.loads(line)
        return cls(digest=digest, index=index, checksum=checksum, reason=reason)


@dataclass(frozen=True, kw_only=True)
class DecodingTask:
    """Pictures to decode.

    Args:
        store: file of the array `pictures`, (N, C, H, W) uint8.
        journal: file to which a line is added for each row.
        spec: input whose decoding and size the pictures get.
        files: row, SHA-256 and path of each picture.
    """

    store: Path
    journal: Path
    spec: InputSpec
    files: tuple[tuple[int, str, str], ...]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            "store": str(self.store),
            "journal": str(self.journal),
            "spec": self.spec.to_json(),
            "files": [list(file) for file in self.files],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> DecodingTask:
        """Read what `to_json` wrote."""
        return cls(
            store=Path(document["store"]),
            journal=Path(document["journal"]),
            spec=InputSpec.from_json(document["spec"]),
            files=tuple((row, digest, path) for row, digest, path in document["files"]),
        )


def decode_rows(task: DecodingTask) -> Iterator[Row]:
    """Decode pictures one after the other; each is written and noted before the next one is read.

    Args:
        task: pictures to decode.
    """
    pictures = map_to_fill(task.store)[ARRAY]
    with task.journal.open("a", encoding="utf-8") as journal:
        for index, digest, path in task.files:
            row = _decode(task, pictures, index, digest, path)
            journal.write(f"{row.to_line()}\n")
            journal.flush()
            yield row


def checksum(pixels: NDArray[np.uint8]) -> int:
    """CRC-32 of the pixels of a row."""
    return zlib.crc32(np.ascontiguousarray(pixels).data)


def _decode(task: DecodingTask, pictures: NDArray[np.uint8], index: int, digest: str, path: str) -> Row:
    try:
        body = Path(path).read_bytes()
        if hashlib.sha256(body).hexdigest() != digest:
            return Row(digest=digest, index=index, checksum=None, reason=f"{_LOST}its content changed")
        pixels = decode_image(body, task.spec)
    except BadRequest as problem:
        return Row(digest=digest, index=index, checksum=None, reason=str(problem))
    except OSError as error:
        return Row(digest=digest, index=index, checksum=None, reason=f"{_LOST}{error.strerror or error}")
    pictures[index] = pixels
    return Row(digest=digest, index=index, checksum=checksum(pixels))


def main(arguments: Sequence[str]) -> int:
    """Run one task.

    Args:
        arguments: path of the task, a JSON file.

    Returns:
        0; an unexpected error ends the process with another code and its traceback.
    """
    for _ in decode_rows(DecodingTask.from_json(json.loads(Path(arguments[0]).read_text(encoding="utf-8")))):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
