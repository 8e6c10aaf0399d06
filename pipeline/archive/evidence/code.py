"""The code and settings that an archive was made with, as far as evidence may say it."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from pipeline import __version__
from pipeline.engine.artifacts import digest_bytes
from pipeline.engine.documents import Document
from pipeline.engine.source import collect, factory_sources, library_versions
from pipeline.recipe.recipe import Recipe

_PACKAGES = ("pipeline",)
_ROOT = Path(__file__).resolve().parents[3]
# The module that runs a build; the command line and the terminal are not part of what makes an archive.
_BUILD_MODULE = "pipeline.commands.build"
# What looks at the finished archive is no part of what makes it, though a build ends with it.
_AFTERWARDS = ("pipeline.commands.graph_file", "pipeline.commands.report_page")


class Code(Document):
    """The code that made the archive.

    Args:
        name: name of the package.
        version: version of the package.
        source_sha256: over path and SHA-256 of each of its source files that a build runs.
        python: version of the interpreter.
        libraries: versions of the distributions that this source and the user's import, by name.
        user_sources: SHA-256 of the user's own modules that model, data and loss are made of, by path relative to the
            recipe, or to where an installed package lies.
    """

    name: str
    version: str
    source_sha256: str
    python: str
    libraries: dict[str, str]
    user_sources: dict[str, str]


def portable_settings(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe's settings as JSON values, without those of the smoke test and the report, and without places.

    Both look at the finished archive, so that nothing in the archive may depend on them.
    """
    settings = recipe.model_dump(mode="json", exclude={"smoke", "report"})
    portable: dict[str, Any] = _without_places(settings)
    return portable


def describe_code(factories: Iterable[str], folder: Path) -> Code:
    """Return the code that a build runs: ours, the libraries', the user's.

    Args:
        factories: the user's own functions that the recipe names.
        folder: folder of the recipe, where the user's modules lie.
    """
    ours = collect(_BUILD_MODULE, _ROOT, within=_PACKAGES, beside=_AFTERWARDS)
    users: dict[str, str] = {}
    libraries = ours.libraries
    for factory in factories:
        theirs = factory_sources(factory, folder)
        users |= theirs.files
        libraries |= theirs.libraries
    return Code(
        name=_PACKAGES[0],
        version=__version__,
        source_sha256=digest_bytes(json.dumps(ours.files, sort_keys=True).encode()),
        python=platform.python_version(),
        libraries=library_versions(libraries),
        user_sources=dict(sorted(users.items())),
    )


def _without_places(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_places(inner) for key, inner in value.items()}
        case list():
            return [_without_places(inner) for inner in value]
        case str() if PurePosixPath(value).is_absolute() or value.startswith("~"):
            return PurePosixPath(value).name
        case str() if PureWindowsPath(value).is_absolute():
            return PureWindowsPath(value).name
        case _:
            return value
