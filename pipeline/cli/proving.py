"""Commands that prove: verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import Json, app
from pipeline.cli.run_check import verify_run_dir
from pipeline.errors import RecipeError


@app.command()
def verify(
    target: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="of a build whose candidates are done")],
    as_json: Json = False,
) -> None:
    """Hold every candidate of a run against its source again; names the layer where one differs."""
    if target.is_dir():
        verify_run_dir(target, as_json=as_json)
    else:
        raise RecipeError(f"{target}: expected a run directory, found no such folder")
