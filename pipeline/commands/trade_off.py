"""Draws the picture of a build's trade-off into its run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pipeline.commands.build_result import BuildResult
from pipeline.engine.manifest import MANIFEST_NAME, is_current, write_atomically
from pipeline.engine.places import no_room, os_error_text
from pipeline.errors import FileError

_FORMS: tuple[Literal["png", "svg"], ...] = ("png", "svg")


def is_drawn(run_dir: Path) -> bool:
    """Whether both pictures are there and no stage ran since; drawing takes a second or two."""
    return all(is_current(run_dir / f"pareto.{form}", run_dir / MANIFEST_NAME) for form in _FORMS)


def draw(result: BuildResult) -> tuple[Path, ...]:
    """Draw the trade-off between accuracy and latency or size into the run directory, as PNG and as SVG.

    Returns:
        The paths of the files; the same result gives the same bytes.

    Raises:
        FileError: they cannot be written.
    """
    from pipeline.pages.pareto import draw_pareto

    paths = []
    for form in _FORMS:
        path = result.run_dir / f"pareto.{form}"
        picture = draw_pareto(
            result.points(),
            metric=result.metric,
            drop=result.drop_name,
            title=f"{result.recipe}: what its candidates lose and gain",
            why=result.why,
            budget=result.limits.max_accuracy_drop,
            reference=result.baseline,
            form=form,
        )
        try:
            write_atomically(path, picture)
        except OSError as error:
            message = f"{path}: expected to write the picture there, found: {os_error_text(error)}"
            raise FileError(no_room(error, result.run_dir) or message) from error
        paths.append(path)
    return tuple(paths)
