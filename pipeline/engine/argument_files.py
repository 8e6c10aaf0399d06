"""Digests of the files and folders that a factory's arguments name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.engine.artifacts import digest_bytes, digest_file
from pipeline.engine.manifest import MANIFEST_NAME

# Largest number of files in one folder whose content is compared. To read more takes longer than a person waits for
# `--plan`.
MOST_FILES = 10_000


def argument_digests(setting: str, arguments: dict[str, Any], folder: Path) -> dict[str, str]:
    """Digests of the content of those arguments that are existing paths.

    A relative path is looked up in the working directory, as `open` does, and in the recipe's folder. If it is a
    folder, all files below it count, except hidden ones. If there are more than MOST_FILES, their sizes and times count
    instead of their content, and the name says so. A folder around the recipe or the working directory does not count
    as a whole; only the files in it that the factory opens count.

    Args:
        setting: name of the arguments in the recipe, such as `model.arguments`.
        arguments: arguments as TOML values.
        folder: folder of the recipe.

    Returns:
        SHA-256 by setting and path.
    """
    digests: dict[str, str] = {}
    for key, text in _texts(arguments, setting):
        for path in argument_paths(text, folder):
            shown = path if Path(text).is_absolute() else os.path.relpath(path, folder)
            if path.is_file():
                digests[f"{key} {shown}"] = digest_file(path)
                continue
            files = list(_files_below(path))
            if len(files) <= MOST_FILES:
                digests |= {f"{key} {shown}/{file.relative_to(path).as_posix()}": digest_file(file) for file in files}
                continue
            facts = [f"{file.relative_to(path)} {(s := file.stat()).st_size} {s.st_mtime_ns}" for file in files]
            digests[f"{key} {shown}, {len(files):,} files by size and time"] = digest_bytes("\n".join(facts).encode())
    return digests


def argument_paths(text: str, folder: Path) -> tuple[Path, ...]:
    """The files and folders that an argument may name, each once; see `argument_digests`."""
    around = (folder.resolve(), Path.cwd())
    paths: dict[Path, Path] = {}
    for base in (Path.cwd(), folder):
        path = base / text
        if not text or not _exists(path):
            continue
        real = Path(os.path.realpath(path))
        if not any(place.is_relative_to(real) for place in around):
            paths.setdefault(real, path)
    return tuple(paths.values())


def _exists(path: Path) -> bool:
    try:
        return path.is_file() or path.is_dir()
    except (OSError, ValueError):  # it is too long for a name, or cannot be one
        return False


def all_paths(arguments: dict[str, Any], folder: Path) -> tuple[Path, ...]:
    """Every file and folder that some arguments name."""
    return tuple(path for _, text in _texts(arguments, "") for path in argument_paths(text, folder))


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Every string in some TOML values, with its dotted key."""
    match value:
        case str():
            yield key, value
        case dict():
            for name, inner in value.items():
                yield from _texts(inner, f"{key}.{name}")
        case list() | tuple():
            for place, inner in enumerate(value):
                yield from _texts(inner, f"{key}.{place}")


def _files_below(root: Path) -> Iterator[Path]:
    """All files below a folder, sorted, without hidden files and without those of run directories."""
    for place, folders, files in os.walk(root, followlinks=False):
        if MANIFEST_NAME in files and ".lock" in files:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "__pycache__")
        yield from (Path(place, name) for name in sorted(files) if name[0] != "." and Path(place, name).is_file())
