"""Where a stage writes that a test runs by itself, without the runner."""

from __future__ import annotations

from pathlib import Path

from pipeline.engine.stage import Outputs, Reporter, Silent


def outputs(folder: Path, stage: str, *, reporter: Reporter | None = None) -> Outputs:
    """A new folder for what a stage writes; scratch folder and cache are those of the folder it lies in."""
    (folder / stage).mkdir()
    return Outputs(
        stage=stage,
        folder=folder / stage,
        scratch=folder,
        cache=folder / "cache",
        reporter=reporter or Silent(),
        declared={},
    )
