"""Golden inputs as one request, and whether an answer to it is the golden one."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.compare import compare
from pipeline._handlers.description import Serving

QUESTION_FILE = "question.json"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A request whose answer is known.

    Args:
        body: the body.
        content_type: its content type.
        expected: the golden logits (n, K).
        accepted: whether an operator accepted a host whose answers differ.
    """

    body: bytes
    content_type: str
    expected: NDArray[np.float32]
    accepted: bool = False

    def is_right(self, answer: bytes, serving: Serving, digest: str) -> bool:
        """Whether the body of a response with logits is the golden answer of this very archive.

        Args:
            answer: the body.
            serving: the archive's description.
            digest: digest of this description.
        """
        try:
            document = json.loads(answer)
            answers = document.get("predictions", [document])
            values = np.array([one["logits"] for one in answers], dtype=np.float32)
            digests = {one["digest"] for one in answers}
        except (ValueError, KeyError, TypeError, AttributeError):
            return False
        if values.shape != self.expected.shape or digests != {digest}:
            return False
        return self.accepted or compare(self.expected, values, serving.golden.tolerance, batch_size=1).passed

    def write(self, folder: Path) -> None:
        """Write the file; float32 values come back exactly."""
        document: dict[str, Any] = {
            "body": base64.b64encode(self.body).decode("ascii"),
            "content_type": self.content_type,
            "expected": self.expected.tolist(),
            "accepted": self.accepted,
        }
        (folder / QUESTION_FILE).write_text(json.dumps(document), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Question:
        """Read the file."""
        document = json.loads((folder / QUESTION_FILE).read_bytes())
        return cls(
            body=base64.b64decode(document["body"]),
            content_type=document["content_type"],
            expected=np.array(document["expected"], dtype=np.float32),
            accepted=document["accepted"],
        )
