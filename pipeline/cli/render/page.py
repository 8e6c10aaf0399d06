"""Saves the report of a build as one page of HTML, with its pictures inside: a file to send to somebody."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.render.console import draw_result
from pipeline.cli.render.plain_console import PIPE_WIDTH, plain_console
from pipeline.engine.manifest import write_atomically
from pipeline.engine.places import no_room, os_error_text
from pipeline.errors import FileError
from pipeline.visible import visible

if TYPE_CHECKING:
    from pipeline.commands.build_result import BuildResult

# What the pictures show, by file name, in the order of the page. The text above them says the rest.
_CAPTIONS = {
    "pareto.png": "What the candidates lose and gain",
    "augmentation.png": "Training pictures as augmentation leaves them",
    "learning_curves.png": "Learning curves of the float network",
    "confusion_matrix.png": "Confusion matrix of the float network on validation",
    "worst_examples.png": "Examples of validation whose answers are most wrong",
}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #111; background: #fff; }}
pre {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: 0.8em; line-height: 1.35; }}
pre {{ overflow-x: auto; }}
img {{ max-width: 100%; }}
</style>
</head>
<body>
<h1>{title}</h1>
{report}
{pictures}
</body>
</html>
"""


def save_page(result: BuildResult, path: Path) -> None:
    """Save the report as a page of HTML, which loads nothing from elsewhere and runs no script.

    Raises:
        FileError: the page cannot be written.
    """
    console = plain_console(width=PIPE_WIDTH, record=True, file=io.StringIO(), force_terminal=True)
    draw_result(console, result)
    page = _PAGE.format(
        title=html.escape(visible(f"pipeline build {result.recipe}")),
        report=console.export_html(inline_styles=True, code_format="<pre>{code}</pre>"),
        pictures="\n".join(_pictures(result)),
    )
    try:
        write_atomically(path, page.encode())
    except OSError as error:
        message = f"--html {path}: expected to write the page there, found: {os_error_text(error)}"
        raise FileError(no_room(error, path.parent) or message) from error


def _pictures(result: BuildResult) -> Iterator[str]:
    """The pictures that are there, each as an element with its caption."""
    files = {path.name: path for path in (result.run_dir / "pareto.png", *result.pictures)}
    for name, caption in _CAPTIONS.items():
        if name in files and files[name].is_file():
            content = base64.b64encode(files[name].read_bytes()).decode()
            yield f'<h2>{caption}</h2>\n<img alt="{caption}" src="data:image/png;base64,{content}">'
