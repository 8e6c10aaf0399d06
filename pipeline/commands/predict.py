"""`pipeline.predict`: it asks a running server about files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from pipeline.serving import client
from pipeline.serving.wire import Prediction


@dataclass(frozen=True, kw_only=True)
class FileAnswer:
    """The answer for a file, or its error.

    Args:
        file: path of the file that was asked about.
        predictions: an answer, or one per instance of a JSON document; empty where there is an error.
        error: error of a file that cannot be read (`FileError`), is no input of the model (`UsageError`), or that the
            server failed to answer (`ServerError`); None where it was answered.
    """

    file: Path
    predictions: tuple[Prediction, ...] = ()
    error: PipelineError | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        if self.error is not None:
            return {"file": str(self.file), "error": str(self.error)}
        return {"file": str(self.file), "predictions": [prediction.to_json() for prediction in self.predictions]}


def predict(files: Path | str | Iterable[Path | str], *, url: str | None = None) -> tuple[FileAnswer, ...]:
    """Ask a running server about files; a file that is refused stops no other.

    Args:
        files: a file or several: pictures (PNG, JPEG, WebP, GIF, BMP, TIFF), JSON documents (`.json`), or raw bytes.
        url: the server's address, with or without the path of predictions; by default the one server that `serve`
            started.

    Returns:
        The answer for each file, in order, or its error.

    Raises:
        UsageError: no server was named and none, or more than one, is known.
        ServerError: the server does not answer.
    """
    return tuple(answers([files] if isinstance(files, Path | str) else files, url=url))


def answers(files: Iterable[Path | str], *, url: str | None = None) -> Iterator[FileAnswer]:
    """Yield the same as `predict`, each file's answer as soon as it is there."""
    for file, outcome in client.predict([Path(file) for file in files], url):
        if isinstance(outcome, PipelineError):
            yield FileAnswer(file=file, error=outcome)
        else:
            yield FileAnswer(file=file, predictions=outcome)
