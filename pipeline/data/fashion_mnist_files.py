"""Finds, fetches and checks the four files of Fashion-MNIST. The search imports no heavy library.

Xiao, Rasul, Vollgraf: "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms",
arXiv:1708.07747. MIT licence.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from pipeline.engine.download import CONNECT_TIMEOUT_S, download
from pipeline.engine.places import user_folder
from pipeline.engine.process import failure, run_child
from pipeline.errors import DataError

NAME = "fashion-mnist"
# SHA-256 and size of the contents of the .gz files, not of the .gz files themselves. Debian compresses the same
# contents with another gzip header (no file name, no time), so the digests of its files differ from the publisher's
# (MD5 8d4fb7e6..., 25c81989..., bef4ecab..., bb300cfd... in torchvision).
CONTENTS = {
    "train-images-idx3-ubyte.gz": ("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888", 47_040_016),
    "train-labels-idx1-ubyte.gz": ("bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9", 60_008),
    "t10k-images-idx3-ubyte.gz": ("5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b", 7_840_016),
    "t10k-labels-idx1-ubyte.gz": ("0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34", 10_008),
}
# The same digests by the names that a data set gives them.
SOURCES = {name.removesuffix(".gz"): sha256 for name, (sha256, _) in CONTENTS.items()}
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DEBIAN_PACKAGE = "dataset-fashion-mnist"

WEB_TIMEOUT_S = 120.0
DEBIAN_TIMEOUT_S = 180.0


def cache_folder() -> Path:
    """Folder of the data, in the environment's PIPELINE_DATA or in `~/.cache/pipeline/data`; see `user_folder`."""
    return user_folder("data", "PIPELINE_DATA") / NAME


def locate(folder: Path | None = None) -> Path | None:
    """The folder where the four files already lie intact; None if there is none. Nothing is fetched.

    Args:
        folder: searched instead of the cache folder and the system package's.
    """
    places = (folder,) if folder else (cache_folder(), SYSTEM_FOLDER)
    return next((place for place in places if not _faults(place)), None)


def remedy() -> str:
    """Advice for a person who does not have the files on this machine yet."""
    return (
        f"the build will try the web, then the Debian package {DEBIAN_PACKAGE}, and fail if it gets neither; try now "
        'with `python -c "from pipeline.data.fashion_mnist_files import ensure; ensure()"`, '
        f"or put its four .gz files into {cache_folder()}"
    )


def ensure(folder: Path | None = None, *, log: Callable[[str], None] = lambda _: None) -> Path:
    """Find the folder where the four files lie, or fetch them into the cache folder.

    The places are tried in this order: the cache folder, the system package's folder, the web, the Debian package
    without root.

    Args:
        folder: searched instead of all places; nothing is fetched then.
        log: called with a line of text for each attempt to fetch.

    Raises:
        DataError: none of the places worked; the message says which were tried and what to do.
    """
    place = locate(folder)
    if place is not None:
        return place
    if folder is not None:
        raise DataError(f"{folder}: expected the four files of Fashion-MNIST, found: {_faults(folder)}")
    cache = cache_folder()
    attempts = [f"{cache} ({_faults(cache)})", f"{SYSTEM_FOLDER} ({_faults(SYSTEM_FOLDER)})"]
    for name, fetch in (("the web", fetch_from_web), (f"the Debian package {DEBIAN_PACKAGE}", fetch_from_debian)):
        log(f"Fashion-MNIST: fetching from {name}")
        try:
            _place(fetch, cache)
        except (DataError, OSError) as error:
            attempts.append(f"{name} ({error})")
            continue
        return cache
    raise DataError(
        f"Fashion-MNIST: expected its four .gz files in one of these places, found none; tried {'; '.join(attempts)}; "
        f"copy them to {cache}, or set PIPELINE_DATA to a folder that holds them in {NAME}/"
    )


def fetch_from_web(folder: Path) -> None:
    """Download the four files from the mirrors that torchvision uses.

    Args:
        folder: existing folder; the files are written there, unchecked.

    Raises:
        DataError: no mirror answered in time.
    """
    try:
        from torchvision.datasets import FashionMNIST
    except (ImportError, RuntimeError) as error:  # RuntimeError: torch and torchvision of different builds
        raise DataError(f"torchvision, which knows the address, cannot be imported: {error}") from error
    deadline = time.monotonic() + WEB_TIMEOUT_S
    problems = []
    for mirror in FashionMNIST.mirrors:
        try:
            for name in CONTENTS:
                download(f"{mirror}{name}", folder / name, deadline=deadline, limit_s=WEB_TIMEOUT_S)
        except OSError as error:
            problems.append(f"{mirror}: {error}")
            continue
        return
    raise DataError("; ".join(problems))


def fetch_from_debian(folder: Path) -> None:
    """Download and unpack the Debian package without root and without touching the system's package lists.

    Args:
        folder: existing folder; the files are written there, unchecked.

    Raises:
        DataError: there is no apt, no such package, or it took too long.
    """
    missing = [tool for tool in ("apt-get", "dpkg") if shutil.which(tool) is None]
    if missing:
        raise DataError(f"{' and '.join(missing)} not on this machine")
    deadline = time.monotonic() + DEBIAN_TIMEOUT_S
    with tempfile.TemporaryDirectory(prefix="pipeline-apt-") as name:
        state = Path(name)
        for part in ("lists/partial", "cache/archives/partial", "download", "unpacked"):
            (state / part).mkdir(parents=True)
        apt = [
            "apt-get",
            "-q",
            *("-o", f"Dir::State::lists={state}/lists"),
            *("-o", f"Dir::Cache={state}/cache"),
            *("-o", "Acquire::Languages=none"),
            *("-o", "Acquire::Retries=1"),
            *("-o", f"Acquire::http::Timeout={CONNECT_TIMEOUT_S:g}"),
            *("-o", f"Acquire::https::Timeout={CONNECT_TIMEOUT_S:g}"),
        ]
        outdated = ""
        try:
            _command([*apt, "update"], state, deadline)
        except DataError as error:  # one source out of several may be down
            outdated = f"; {error}"
        try:
            _command([*apt, "download", DEBIAN_PACKAGE], state / "download", deadline)
        except DataError as error:
            raise DataError(f"{error}{outdated}") from error
        package = next((state / "download").glob("*.deb"), None)
        if package is None:
            raise DataError(f"apt-get download {DEBIAN_PACKAGE} left no file")
        _command(["dpkg", "-x", str(package), str(state / "unpacked")], state, deadline)
        for file in CONTENTS:
            shutil.copyfile(state / "unpacked" / SYSTEM_FOLDER.relative_to("/") / file, folder / file)


def read_checked(path: Path) -> bytes:
    """Read the content of one of the four .gz files, and check its checksum.

    Args:
        path: path of the file; its name says which of the four it is.

    Raises:
        DataError: the file is missing, not a gzip file, cut short, or does not hold the published content.
    """
    sha256, size = CONTENTS[path.name]
    try:
        with gzip.open(path, "rb") as stream:
            # The read is bounded, because a crafted file could unpack to any size.
            content = stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: expected a readable gzip file, found: {reason}") from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != sha256:
        raise DataError(
            f"{path}: expected contents with SHA-256 {sha256}, found {actual} ({len(content)} bytes, expected {size}); "
            "remove the file and it is fetched again"
        )
    return content


def _faults(folder: Path) -> str:
    """Why a folder does not hold the four files; empty when it does."""
    if not folder.is_dir():
        return "no such folder"
    missing = [name for name in CONTENTS if not (folder / name).is_file()]
    if missing:
        return f"no {', '.join(missing)}"
    try:
        for name in CONTENTS:
            read_checked(folder / name)
    except DataError as error:
        return str(error)
    return ""


def _place(fetch: Callable[[Path], None], folder: Path) -> None:
    """Fetch into a temporary folder inside the final one, check, then rename, so that every file there is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name:
        fresh = Path(name)
        fetch(fresh)
        fault = _faults(fresh)
        if fault:
            raise DataError(fault)
        for file in CONTENTS:
            (fresh / file).replace(folder / file)


def _command(arguments: list[str], folder: Path, deadline: float) -> None:
    """Run a program until it ends or the deadline has passed; its children end with it."""
    try:
        # The program runs in a session, so that apt-get's download processes end with it.
        process = run_child(
            arguments,
            cwd=folder,
            environment={**os.environ, "LC_ALL": "C.UTF-8"},
            timeout_s=max(deadline - time.monotonic(), 1.0),
            own_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{arguments[0]} not done after {DEBIAN_TIMEOUT_S:g} s") from error
    if process.returncode != 0:
        lines = [line for line in process.stderr.splitlines() if line.startswith("E:")]
        raise DataError(f"{arguments[0]}: {' '.join(lines) or failure(process.returncode, process.stderr)}")
