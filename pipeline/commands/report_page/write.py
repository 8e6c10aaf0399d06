"""Writes the report's page."""

from __future__ import annotations

from pathlib import Path

from pipeline.engine.manifest import MANIFEST_NAME, is_current, write_atomically
from pipeline.engine.places import no_room, os_error_text
from pipeline.errors import FileError
from pipeline.inspection.graph_comparison import GRAPH_NAME
from pipeline.pages.report.document import ReportDocument
from pipeline.pages.report.render import render


def is_written(page: Path) -> bool:
    """Whether the page of a run directory is there and nothing that it shows changed since; making it takes seconds."""
    return is_current(page, page.parent / MANIFEST_NAME, page.parent / GRAPH_NAME)


def write_page(path: Path, document: ReportDocument, *, graph: str = "", option: str = "") -> Path:
    """Write the page in one step; the same document gives the same bytes.

    Args:
        path: path of the page.
        document: what it shows.
        graph: markup of the section on the graph.
        option: option that named the path, for messages; empty where none did.

    Raises:
        FileError: it cannot be written.
    """
    try:
        write_atomically(path, render(document, graph=graph))
    except OSError as error:
        message = (
            f"{f'{option} ' * bool(option)}{path}: expected to write the page there, found: {os_error_text(error)}"
        )
        raise FileError(no_room(error, path.parent) or message) from error
    return path
