"""Digests of the files and folders that a factory's arguments name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.engine.artifacts import digest_bytes, digest_file
from pipeline.engine.manifest import MANIFEST_NAME

# Files in one folder whose content is compared. Reading more takes longer than a person waits for `--plan`.
MOST_FILES = 10_000


def argument_digests(setting: str, arguments: dict[str, Any], folder: Path) -> dict[str, str]:
    """What those arguments that are existing paths hold.

    A relative path counts from the working directory, as open files do, and from the recipe's folder. Of a folder, all
    files below count, hidden ones aside; of one with more than MOST_FILES, their sizes and times instead of their
    content, and the name says so. A folder around the recipe or the working directory does not count as a whole: of
    it, the files that the factory opens do.

    Args:
        setting: where they stand in the recipe, such as `model.arguments`.
        arguments: TOML values.
        folder: of the recipe.

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
    """The files and folders that one argument may name, each once; see `argument_digests`."""
    around = (folder.resolve(), Path.cwd())
    found: dict[Path, Path] = {}
    for base in (Path.cwd(), folder):
        path = base / text
        if not text or not _exists(path):
            continue
        real = Path(os.path.realpath(path))
        if not any(place.is_relative_to(real) for place in around):
            found.setdefault(real, path)
    return tuple(found.values())


def _exists(path: Path) -> bool:
    try:
        return path.is_file() or path.is_dir()
    except (OSError, ValueError):  # too long for a name, or none at all
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
    """All files below a folder, sorted; nothing hidden, and nothing in a run directory."""
    for place, folders, files in os.walk(root, followlinks=False):
        if MANIFEST_NAME in files and ".lock" in files:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if name[0] != "." and name != "__pycache__")
        yield from (Path(place, name) for name in sorted(files) if name[0] != "." and Path(place, name).is_file())
