"""Commands that take away: clean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.answer import say
from pipeline.cli.app import Json, app, print_json

if TYPE_CHECKING:
    from pipeline.commands.clean import CleanResult


@app.command()
def clean(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="of a build")],
    plan: Annotated[bool, typer.Option("--plan", help="say what would go, and change nothing")] = False,
    as_json: Json = False,
) -> None:
    """Remove what a finished build needs no more: the winner, the weights, the table and the evidence stay.

    What goes: the other candidates' model files and fine-tuned weights, caches, remains of killed builds.
    """
    from pipeline.commands.clean import clean as remove

    result = remove(run_dir, plan=plan)
    if as_json:
        print_json(result.to_json())
    else:
        say(*_lines(result))


def _lines(result: CleanResult) -> list[str]:
    would = "would go" if result.planned else "removed"
    lines = [f"{would}: {removal.path}, {_megabytes(removal.size)}" for removal in result.removed]
    lines += [f"left alone: {link} is a link, and leads elsewhere" for link in result.links]
    then = "then" if result.planned else "now"
    lines.append(
        f"{result.run_dir}: {_megabytes(result.before)} before, {_megabytes(result.after)} {then}; kept: "
        + (
            f"{' and '.join(result.kept)}, weights, data, reports, archive and evidence"
            if result.finished
            else "all that the unfinished build goes on from; delete the folder if it is not to go on"
        )
    )
    return lines


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
