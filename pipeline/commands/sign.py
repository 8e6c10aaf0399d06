"""`pipeline.sign`: sign an archive whose bytes are in order."""

from __future__ import annotations

from pathlib import Path

from pipeline.archive.evidence.signature import sign_file
from pipeline.archive.mar import read_archive


def sign(archive: Path | str, key: Path | str) -> Path:
    """Sign an archive with a local key (OpenSSF model-signing), after all of its bytes were checked.

    Args:
        archive: a `.mar` made by `pipeline build`.
        key: elliptic-curve private key, PEM without a password.

    Returns:
        The path of the signature, `<archive>.sig`.

    Raises:
        FileError: a byte was altered, or the key cannot be used.
        UsageError: model-signing is not installed.
    """
    path = Path(archive)
    read_archive(path)
    return sign_file(path, Path(key))
