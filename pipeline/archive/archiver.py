"""Runs torch-model-archiver, which packs the members of a `.mar`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from pipeline._handlers.description import Serving
from pipeline.archive.members import CREATED_ON, HANDLER_FILE, MANIFEST, dump_manifest
from pipeline.engine.process import failure, run_child
from pipeline.errors import StageError

_TIMEOUT_S = 300.0


def run_archiver(folder: Path, serving: Serving, members: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the members as torch-model-archiver packs them, with its date replaced; it runs in a folder of its own.

    It stages in `<temp folder>/<model name>` and deletes what is there, hence the private temp folder.
    """
    extra, staging, export = folder / "extra", folder / "staging", folder / "export"
    for name, content in members.items():
        if name not in (HANDLER_FILE, serving.runtime.file, MANIFEST):
            (extra / name).parent.mkdir(parents=True, exist_ok=True)
            (extra / name).write_bytes(content)
    for name in (HANDLER_FILE, serving.runtime.file):
        (folder / name).write_bytes(members[name])
    staging.mkdir()
    export.mkdir()
    command = [sys.executable, "-m", "model_archiver.model_packaging"]
    command += ["--model-name", serving.name, "--version", serving.version, "--handler", HANDLER_FILE]
    command += ["--serialized-file", serving.runtime.file, "--extra-files", "extra", "--export-path", "export"]
    environment = {**os.environ, "TMPDIR": str(staging), "PYTHONWARNINGS": "ignore"}
    try:
        process = run_child(command, cwd=folder, environment=environment, timeout_s=_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StageError(f"torch-model-archiver: expected an archive, found: {error}") from error
    archive = export / f"{serving.name}.mar"
    if process.returncode != 0 or not archive.is_file():
        raise StageError(
            f"torch-model-archiver: expected an archive, found none: {failure(process.returncode, process.stderr)}"
        )
    with zipfile.ZipFile(archive) as packed:
        contents = {name: packed.read(name) for name in packed.namelist()}
    document = json.loads(contents[MANIFEST])
    contents[MANIFEST] = dump_manifest({**document, "createdOn": CREATED_ON})
    shutil.rmtree(export)
    return contents
