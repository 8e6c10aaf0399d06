"""The log of a server: one JSON object a line, in a file that is turned over before it grows large."""

from __future__ import annotations

import json
import logging
import os
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path

from pipeline.serving.front.plan import EVENTS_FILE

_BYTES, _FILES = 5_000_000, 3


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """Write time, level, process and message."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        document = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": getattr(record, "child", "server"),
            "message": record.getMessage(),
        }
        return json.dumps(document)


class Events:
    """What a server's first process says of its children, as it comes.

    Args:
        folder: the server's private folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / EVENTS_FILE
        self._read = 0

    def new(self) -> list[str]:
        """Return the warnings since the last call, in their order."""
        try:
            with self._path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._read:  # it was turned over
                    self._read = 0
                file.seek(self._read)
                content = file.read()
        except OSError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        events = [json.loads(line) for line in whole.splitlines()]
        return [event["message"] for event in events if event["level"] in ("warning", "error")]


def log_to(path: Path) -> None:
    """Log what this process says, and passes on of others, to a file; with its elders it takes 15 MB at most."""
    handler = RotatingFileHandler(path, maxBytes=_BYTES, backupCount=_FILES - 1, encoding="utf-8")
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
