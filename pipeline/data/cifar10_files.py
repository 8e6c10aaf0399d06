"""Finds, fetches and checks the archive of CIFAR-10. The search imports no heavy library.

Krizhevsky: "Learning Multiple Layers of Features from Tiny Images", 2009. It is the publisher's binary version: the
same pictures as in the version for Python, which torchvision reads, without pickles.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pipeline.engine.download import download
from pipeline.engine.places import user_folder
from pipeline.errors import DataError

NAME = "cifar-10"
FILE = "cifar-10-binary.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{FILE}"
# The publisher's page gives this MD5. What is read are records of fixed size, so that nothing depends on who made them.
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
# SHA-256 of the same archive.
SOURCES = {FILE: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}
WEB_TIMEOUT_S = 900.0
_CHUNK_BYTES = 1 << 20


def cache_folder() -> Path:
    """Folder of the data, in the environment's PIPELINE_DATA or in `~/.cache/pipeline/data`; see `user_folder`."""
    return user_folder("data", "PIPELINE_DATA") / NAME


def locate() -> Path | None:
    """The folder where the archive already lies intact; None if there is none. Nothing is fetched."""
    return None if fault(cache_folder() / FILE) else cache_folder()


def remedy() -> str:
    """Advice for a person who does not have the archive on this machine yet."""
    return f"a build that uses it will try the web; or put {FILE} into {cache_folder()}"


def ensure(folder: Path | None = None, *, log: Callable[[str], None] = lambda _: None) -> Path:
    """Find the archive, or fetch it into the cache folder.

    Args:
        folder: searched instead of the cache folder; nothing is fetched then.
        log: called with a line of text before the archive is fetched.

    Returns:
        The path of the archive.

    Raises:
        DataError: it is not there and cannot be fetched; the message says what was tried and what to do.
    """
    place = (cache_folder() if folder is None else folder) / FILE
    problem = fault(place)
    if not problem:
        return place
    if folder is not None:
        raise DataError(f"{place}: expected the archive of CIFAR-10, found: {problem}")
    log(f"CIFAR-10: fetching {URL}")
    try:
        _fetch(place)
    except OSError as error:
        raise DataError(
            f"CIFAR-10: expected {FILE} on this machine or the web, found neither; tried {place} ({problem}); {URL} "
            f"({error}); download it elsewhere and copy it to {place.parent}, or set PIPELINE_DATA to a folder that "
            f"holds it in {NAME}/"
        ) from error
    return place


def _fetch(place: Path) -> None:
    """Fetch the archive, whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=place.parent) as name:
        fresh = Path(name, FILE)
        download(URL, fresh, deadline=time.monotonic() + WEB_TIMEOUT_S, limit_s=WEB_TIMEOUT_S)
        if problem := fault(fresh):
            raise OSError(problem)
        fresh.replace(place)


def fault(path: Path) -> str:
    """What is wrong with the archive; empty where it is whole."""
    if not path.is_file():
        return "no such file"
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    if digest.hexdigest() == MD5:
        return ""
    return f"MD5 {digest.hexdigest()}, expected {MD5}; remove the file and it is fetched again"
