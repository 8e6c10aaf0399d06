"""Says which members an archive may hold, what its manifest must say, and which of them a server is given."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from pipeline._handlers import torchserve_handler
from pipeline._handlers.description import HANDLER_LIST, SERVING_FILE, SERVING_SCHEMA, Serving
from pipeline.archive.releases import made_elsewhere, release_of, this_release
from pipeline.engine.artifacts import digest_bytes
from pipeline.errors import DataError, FileError
from pipeline.recipe.task import of_the_build
from pipeline.tasks.table import task_named

# The module is imported, not only named: a stage that packs depends on the handler's source as on its own.
HANDLER_FILE = f"{torchserve_handler.__name__.rpartition('.')[2]}.py"
MANIFEST = "MAR-INF/MANIFEST.json"
EVIDENCE_FILE = "evidence.json"
# The oldest time that a zip can hold; the archive says nothing of when it was made.
CREATED_ON = "01/01/1980 00:00:00"
# Names of the handler's files in any release: one flat file and a package.
_SOURCE = re.compile(r"handlers/[a-z_][a-z0-9_]*\.py")
_RELATIVE = re.compile(rb"^( *)from \.(\w*) import", re.MULTILINE)
# The field of the manifest that may differ between releases.
_ARCHIVER = "archiverVersion"


def handler_sources() -> dict[str, bytes]:
    """Return the handler's files by member name: the adapter flat, as TorchServe wants it, the rest as a package."""
    package = resources.files("pipeline._handlers")
    files = sorted((entry for entry in package.iterdir() if entry.name.endswith(".py")), key=lambda entry: entry.name)
    sources = {f"handlers/{entry.name}": entry.read_bytes() for entry in files}
    # TorchServe imports the adapter by its name alone, outside of the package.
    adapter = _RELATIVE.sub(_in_package, sources.pop(f"handlers/{HANDLER_FILE}"))
    return {HANDLER_FILE: adapter, **sources}


def _in_package(relative: re.Match[bytes]) -> bytes:
    """Turn a relative import of the package into one that names it."""
    indent, module = relative.groups()
    return indent + b"from handlers" + (b"." + module if module else b"") + b" import"


def same_handler(members: Mapping[str, bytes]) -> bool:
    """Whether an archive's own handler is this installation's, byte for byte."""
    return handler_sources() == {name: content for name, content in members.items() if name.endswith(".py")}


def make_manifest(serving: Serving) -> bytes:
    """Return TorchServe's own description, as the archiver writes it but for the date."""
    return dump_manifest({**_manifest(serving), _ARCHIVER: metadata.version("torch-model-archiver")})


def dump_manifest(document: object) -> bytes:
    """Return a manifest as it is packed."""
    return (json.dumps(document, indent=2, sort_keys=True) + "\n").encode()


def read_serving(path: Path, members: Mapping[str, bytes]) -> Serving:
    """Read what an archive says of itself.

    Args:
        path: path of the archive, for messages.
        members: content of each member by name.

    Raises:
        FileError: it says nothing, or nothing that this release can read; both releases are named.
    """
    if SERVING_FILE not in members:
        raise FileError(f"{path}: expected a member {SERVING_FILE}, found none; was it made by `pipeline build`?")
    evidence = _evidence(members)
    try:
        document = json.loads(members[SERVING_FILE])
        schema = document.get("schema") if isinstance(document, dict) else None
        if isinstance(schema, int) and schema != SERVING_SCHEMA:
            theirs = release_of(evidence) or "another release"
            raise FileError(
                f"{path}: {SERVING_FILE}: expected schema {SERVING_SCHEMA}, which {this_release()} reads, found "
                f"schema {schema} of {theirs}; use that release, or build the archive anew"
            )
        serving = Serving.from_json(document)
        _require_task(serving)
    except (DataError, ValueError, RecursionError) as error:
        origin = made_elsewhere(evidence)
        raise FileError(f"{path}: {SERVING_FILE}: expected a valid description, found: {error}{origin}") from error
    return serving


def _require_task(serving: Serving) -> None:
    """Check the settings of the task.

    Raises:
        DataError: there is no such task, or it has other settings.
        ValueError: a setting names a function; an archive must not decide which code is imported.
    """
    task = task_named(serving.task, serving.task_settings)
    if ours := [name for name in of_the_build(task.settings) if name in serving.task_settings]:
        raise ValueError(
            f"task_settings: expected no {' or '.join(ours)}, which is for the build alone: nothing is imported "
            "because an archive names it"
        )


def require_known_members(path: Path, members: Mapping[str, bytes], serving: Serving) -> None:
    """Refuse a member that no release packs: TorchServe unpacks all of them into the folder that is imported from.

    Raises:
        FileError: names the first such member.
    """
    allowed = {HANDLER_FILE, MANIFEST, EVIDENCE_FILE, SERVING_FILE, *serving.needed}
    for name in members:
        if name not in allowed and _SOURCE.fullmatch(name) is None:
            raise FileError(
                f"{path}: {name!a}: expected only what `pipeline build` packs (the model, its golden answers and "
                f"pictures, {HANDLER_FILE} and handlers/), found one more; it could take the place of a library"
            )


def require_manifest(path: Path, content: bytes, serving: Serving) -> None:
    """Refuse a manifest that makes TorchServe run or install anything but the handler.

    Raises:
        FileError: names the first field that says otherwise.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: {MANIFEST}: expected JSON, found: {error}") from error
    expected = dict(_fields(_manifest(serving)))
    values = dict(_fields(document))
    values.pop(_ARCHIVER, None)
    if dump_manifest(document) != content:
        raise FileError(f"{path}: {MANIFEST}: expected it as `pipeline build` writes it, found other bytes")
    for field in {**expected, **values}:
        if values.get(field) != expected.get(field):
            raise FileError(
                f"{path}: {MANIFEST}: {field}: expected {_text(expected.get(field))}, as `pipeline build` writes it, "
                f"found {_text(values.get(field))}; the server would run something else"
            )


def served_members(members: Mapping[str, bytes], serving: Serving) -> dict[str, bytes]:
    """Return what a server is given of an archive: its data, and this installation's handler in place of its own.

    Args:
        members: members of a checked archive.
        serving: description that it gives of itself.

    Returns:
        Content by name. `serving.json` is the archive's own, and with it the digest in every answer.
    """
    sources = handler_sources()
    listed = {name: digest_bytes(content) for name, content in sorted(sources.items())}
    data = {name: members[name] for name in (SERVING_FILE, *serving.needed)}
    # Without the archiver's version, which a server does not need: the archiver need not be installed.
    manifest = dump_manifest(_manifest(serving))
    return {**data, **sources, HANDLER_LIST: json.dumps(listed).encode(), MANIFEST: manifest}


def _manifest(serving: Serving) -> dict[str, Any]:
    return {
        "createdOn": CREATED_ON,
        "runtime": "python",
        "model": {
            "modelName": serving.name,
            "serializedFile": serving.runtime.file,
            "handler": HANDLER_FILE,
            "modelVersion": serving.version,
        },
    }


def _fields(document: object, where: str = "") -> Iterator[tuple[str, object]]:
    """Yield every value by its dotted name; one level deep, as far as a manifest of ours goes."""
    if not isinstance(document, dict) or not document:
        yield where or "document", document
        return
    for name, value in document.items():
        if isinstance(value, dict) and not where:
            yield from _fields(value, str(name))
        else:
            yield f"{where}.{name}" if where else str(name), value


def _evidence(members: Mapping[str, bytes]) -> object:
    try:
        return json.loads(members[EVIDENCE_FILE])
    except (KeyError, ValueError, RecursionError):
        return None


def _text(value: object) -> str:
    return "none" if value is None else ascii(value)[:100]
