"""`pipeline.report`: it reads the result of a finished build again."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.commands.build_result import BuildResult, read_result
from pipeline.commands.trade_off import draw
from pipeline.engine.artifacts import Kind
from pipeline.engine.cache_key import outdated
from pipeline.engine.manifest import read_manifest
from pipeline.engine.places import DEFAULT_MODEL_STORE
from pipeline.errors import FileError
from pipeline.stages import BUILD


def report(run_dir: Path | str, *, model_store: Path | str | None = None) -> BuildResult:
    """Read the result of a finished build; its picture is drawn again in the run directory, where that may be written.

    Args:
        run_dir: run directory of a finished build.
        model_store: folder where the archive was put at the end; `model_store` by default.

    Returns:
        The table, the winner and the archive: the one in the model store, or else the one in the run directory.

    Raises:
        FileError: there is no finished build, or the picture cannot be written.
    """
    folder = Path(run_dir)
    manifest = read_manifest(folder)
    unfinished = [stage.name for stage in BUILD] if manifest is None else outdated(BUILD, manifest)
    if manifest is None or unfinished:
        missing = ", ".join(unfinished)
        raise FileError(f"{folder}: expected a finished build, found {missing} still to run; run pipeline build first")
    packed = folder / manifest.one(Kind.ARCHIVE).path
    stored = (Path(model_store) if model_store is not None else DEFAULT_MODEL_STORE) / packed.name
    result = read_result(folder, manifest, stored if stored.is_file() else packed, ())
    if os.access(folder, os.W_OK):
        draw(result)
    return result
