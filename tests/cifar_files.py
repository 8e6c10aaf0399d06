"""A small archive of CIFAR-10 in its publisher's form."""

from __future__ import annotations

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import cifar10, cifar10_files

COUNT = 20


def records(seed: int, count: int = COUNT) -> bytes:
    """Records of the publisher's form: a byte of the class, then red, green and blue values, row by row."""
    values = np.random.default_rng(seed).integers(0, 256, (count, 3073), dtype=np.uint8)
    values[:, 0] = np.arange(count) % 10
    return values.tobytes()


def write_archive(folder: Path, *, last: bytes | None = None) -> Path:
    """Write the archive into a folder, which is made; `last` are other records of the test set."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / cifar10_files.FILE
    with tarfile.open(path, "w:gz") as tar:
        for seed, member in enumerate((*cifar10.TRAIN, *cifar10.TEST)):
            content = last if last is not None and member in cifar10.TEST else records(seed)
            facts = tarfile.TarInfo(member)
            facts.size = len(content)
            tar.addfile(facts, io.BytesIO(content))
    return path


def put_archive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the archive where a user's folder of data has it, in place of the publisher's."""
    path = write_archive(folder / "cifar-10")
    monkeypatch.setenv("PIPELINE_DATA", str(folder))
    monkeypatch.setattr(cifar10_files, "MD5", hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())
    return path
