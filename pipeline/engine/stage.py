"""The only contract between the runner and the work: a stage is a plain function over declared files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pipeline.engine.artifacts import Kind
from pipeline.errors import StageError
from pipeline.recipe.recipe import Recipe

S = TypeVar("S")


class Reporter(Protocol):
    """Where a stage says what it is doing. The command line draws it; nothing depends on it."""

    def log(self, message: str) -> None:
        """One finished line."""

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        """How far a task is, in whole steps; `detail` holds figures such as loss and accuracy."""


class Silent:
    """A reporter that says nothing."""

    def log(self, message: str) -> None:
        """Drop the line."""

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        """Drop the step."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The files a stage is handed: those of the kinds it declared under `reads`, and no others."""

    stage: str
    files: Mapping[tuple[Kind, str | None], Path]

    def one(self, kind: Kind) -> Path:
        """The file of a kind that exists once per run.

        Raises:
            StageError: the stage did not declare that kind.
        """
        return self._find(kind, None)

    def of_candidate(self, kind: Kind, candidate: str) -> Path:
        """One candidate's file of a kind that exists per candidate.

        Raises:
            StageError: the stage did not declare that kind, or there is no such candidate.
        """
        return self._find(kind, candidate)

    def candidates(self, kind: Kind) -> dict[str, Path]:
        """All files of a kind that exists per candidate, by candidate name, sorted."""
        found = {name: path for (k, name), path in self.files.items() if k is kind and name}
        return dict(sorted(found.items()))

    def _find(self, kind: Kind, candidate: str | None) -> Path:
        try:
            return self.files[kind, candidate]
        except KeyError:
            whose = f" of candidate {candidate}" if candidate else ""
            raise StageError(
                f"stage {self.stage}: expected an input {kind.value}{whose}, found none; "
                "declare the kind under the stage's `reads`"
            ) from None


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Where a stage writes.

    Args:
        stage: the stage's name.
        folder: a temporary folder; the runner renames it when the stage is done.
        scratch: a folder that outlives an interruption, under the stage's cache key; what a later
            call of the same stage finds there was written by the same code from the same inputs.
        cache: a folder that outlives the stage and a change of its key: what lies there is named by a digest of all
            that it was made from, code included, and the stage removes what it has no more use for.
        reporter: where to say what is going on.
        declared: filled by `path`; read by the runner.
    """

    stage: str
    folder: Path
    scratch: Path
    cache: Path
    reporter: Reporter
    declared: dict[tuple[Kind, str | None], Path]

    def path(self, kind: Kind, name: str, *, candidate: str | None = None) -> Path:
        """The path to write one artifact to; its folder exists.

        Args:
            kind: what the file is.
            name: file name, placed in the candidate's own sub-folder where it belongs to one.
            candidate: the candidate's name for a kind that is one per candidate.

        Raises:
            StageError: the same artifact twice, or a candidate given for a kind that has none.
        """
        if kind.per_candidate is not (candidate is not None):
            raise StageError(
                f"stage {self.stage}: {kind.value} is one per {'candidate' if kind.per_candidate else 'run'}"
            )
        if (kind, candidate) in self.declared:
            raise StageError(f"stage {self.stage}: artifact {kind.value} written twice")
        path = self.folder / candidate / name if candidate else self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.declared[kind, candidate] = path
        return path


def nothing_outside(_settings: object) -> dict[str, str]:
    """For a stage that reads nothing but its declared inputs."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Stage(Generic[S]):
    """One step of a build.

    Args:
        name: also its folder in the run directory.
        reads: the kinds of artifact it is handed.
        writes: the kinds it must leave behind.
        may_write: the kinds it leaves behind where there is something to leave.
        settings: the only settings it sees.
        run: reads files, writes files.
        outside: digests, by name, of what the stage reads from outside the run directory: the
            user's factories, data and weights, the CPU it is timed on. Part of the cache key.
    """

    name: str
    reads: tuple[Kind, ...]
    writes: tuple[Kind, ...]
    settings: Callable[[Recipe], S]
    run: Callable[[S, Inputs, Outputs], None]
    outside: Callable[[S], Mapping[str, str]] = nothing_outside
    may_write: tuple[Kind, ...] = ()
