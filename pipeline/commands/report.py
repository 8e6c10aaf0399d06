"""`pipeline.report`: it reads the result of a finished build again, and makes its page."""

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


def report(
    run_dir: Path | str, *, model_store: Path | str | None = None, page: Path | str | None = None
) -> BuildResult:
    """Read the result of a finished build; its picture and its page are made again, where that may be written.

    Args:
        run_dir: run directory of a finished build.
        model_store: folder where the archive was put at the end; `model_store` by default.
        page: path of the page; `report.html` in the run directory by default.

    Returns:
        The table, the winner and the archive: the one in the model store, or else the one in the run directory.

    Raises:
        FileError: there is no finished build, or the picture or the page cannot be written.
    """
    from pipeline.commands.report_page.run import report_of_run
    from pipeline.commands.report_page.write import write_page

    folder = Path(run_dir)
    manifest = read_manifest(folder)
    unfinished = [stage.name for stage in BUILD] if manifest is None else outdated(BUILD, manifest)
    if manifest is None or unfinished:
        missing = ", ".join(unfinished)
        raise FileError(f"{folder}: expected a finished build, found {missing} still to run; run pipeline build first")
    packed = folder / manifest.one(Kind.ARCHIVE).path
    stored = (Path(model_store) if model_store is not None else DEFAULT_MODEL_STORE) / packed.name
    result = read_result(folder, manifest, stored if stored.is_file() else packed, ())
    writable = os.access(folder, os.W_OK)
    if writable:
        draw(result)
    if page is not None or writable:
        run_report = report_of_run(result, manifest)
        path, option = (result.page, "") if page is None else (Path(page), "--html")
        write_page(path, run_report.document, graph=run_report.graph, option=option)
    return result


def report_archive(archive: Path | str, *, page: Path | str | None = None) -> Path:
    """Make the page of an archive, from its evidence alone.

    Args:
        archive: a `.mar` made by `pipeline build`; every byte of it is checked, and nothing in it is run.
        page: path of the page; `<name>.report.html` beside the archive by default.

    Returns:
        The path of the page.

    Raises:
        FileError: a byte was altered, it holds no evidence, or the page cannot be written.
    """
    from pipeline.archive.mar import read_archive
    from pipeline.commands.report_page.archive import report_of_archive
    from pipeline.commands.report_page.write import write_page

    path = Path(archive)
    document = report_of_archive(read_archive(path))
    return write_page(path.with_suffix(".report.html") if page is None else Path(page), document, option="--html")
