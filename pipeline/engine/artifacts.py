"""The files that one stage leaves for another: kind, path, digest and size of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

from pipeline.errors import FileError

_CHUNK_BYTES = 1 << 20


class Kind(Enum):
    """What a file is. A stage declares the kinds it reads and writes."""

    DATA_INFO = "data-info"
    TRAIN_DATA = "train-data"
    VALIDATION_DATA = "validation-data"
    TEST_DATA = "test-data"
    WEIGHTS = "weights"
    MODEL_INFO = "model-info"
    TRAINING_HISTORY = "training-history"
    LEARNING_CURVES = "learning-curves"
    VALIDATION_METRICS = "validation-metrics"
    CONFUSION_MATRIX = "confusion-matrix"
    WORST_EXAMPLES = "worst-examples"
    AUGMENTATION_SHEET = "augmentation-sheet"
    SAMPLES = "samples"
    CANDIDATE_ORDER = "candidate-order"
    CANDIDATE_MODEL = "candidate-model"
    CANDIDATE_REPORT = "candidate-report"
    TUNED_WEIGHTS = "tuned-weights"
    EAGER_REPORT = "eager-report"
    SELECTION = "selection"
    TEST_METRICS = "test-metrics"
    ARCHIVE = "archive"
    SMOKE_REPORT = "smoke-report"

    @property
    def per_candidate(self) -> bool:
        """Whether there is one file of this kind per candidate rather than one per run."""
        return self in (Kind.CANDIDATE_MODEL, Kind.CANDIDATE_REPORT, Kind.TUNED_WEIGHTS)


# Pictures of a training, which a person looks at.
TRAINING_PICTURES = (Kind.AUGMENTATION_SHEET, Kind.LEARNING_CURVES, Kind.CONFUSION_MATRIX, Kind.WORST_EXAMPLES)


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """One file in a run directory.

    Args:
        kind: kind of the file.
        path: path relative to the run directory, with forward slashes.
        sha256: hexadecimal digest of its bytes.
        size: bytes.
        candidate: name of the candidate where there is one file of the kind per candidate, else None.

    Raises:
        ValueError: the path leads out of the run directory.
    """

    kind: Kind
    path: str
    sha256: str
    size: int
    candidate: str | None = None

    def __post_init__(self) -> None:
        path = PurePosixPath(self.path)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in self.path:
            raise ValueError(f"path: expected one inside the run directory, found {self.path!a}")


def digest_bytes(content: bytes) -> str:
    """Hexadecimal SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes.

    Raises:
        FileError: the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise FileError(f"{path}: expected a readable file, found: {reason}") from error
    return digest.hexdigest()
