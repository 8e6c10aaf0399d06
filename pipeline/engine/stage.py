"""The only contract between the runner and the stages: a stage is a plain function over declared files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

from pipeline.engine.artifacts import Kind
from pipeline.errors import StageError
from pipeline.recipe.recipe import Recipe

S = TypeVar("S")
# What is shown in place while a build goes on: a line of repeated work (an epoch, a candidate), the candidate at work,
# and the best result so far.
Status = Literal["step", "candidate", "best"]


class Reporter(Protocol):
    """Receives what a stage says about its work. The command line draws it; nothing depends on it."""

    def log(self, message: str) -> None:
        """Show one finished line."""

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        """Show how far a task is, in whole steps; `detail` holds figures such as loss and accuracy."""


@runtime_checkable
class ScalarReporter(Reporter, Protocol):
    """A reporter that receives the figures of a training, too, such as one that writes curves for other tools."""

    def scalars(self, task: str, epochs: Sequence[Mapping[str, float]]) -> None:
        """Receive the figures of all epochs that a training has completed, by name, the first epoch first.

        They come after each epoch and when an interrupted training goes on, so the same ones come more than once.
        """


@runtime_checkable
class StatusReporter(Reporter, Protocol):
    """A reporter that shows where a build stands and draws it anew, such as one on a terminal."""

    def stage(self, names: Sequence[str], place: int) -> None:
        """Show which of the stages begins; `place` is their number when all are done."""

    def status(self, status: Status, text: str) -> None:
        """Show a text in the place of the last one with that status; an empty one ends it."""


def report_status(reporter: Reporter, status: Status, text: str) -> None:
    """Tell a reporter where a build stands. One that cannot draw anew gets a line of repeated work as a line."""
    if isinstance(reporter, StatusReporter):
        reporter.status(status, text)
    elif status == "step":
        reporter.log(text)


def report_stage(reporter: Reporter, names: Sequence[str], place: int) -> None:
    """Tell a reporter that can show it which of the stages begins."""
    if isinstance(reporter, StatusReporter):
        reporter.stage(names, place)


@dataclass(frozen=True)
class AsSteps:
    """A reporter for work that is a part of a build: its lines give way to the next where they can.

    Args:
        reporter: reporter that is told everything.
    """

    reporter: Reporter

    def log(self, message: str) -> None:
        """Show one finished line, until the next."""
        report_status(self.reporter, "step", message)

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        """Show how far a task is."""
        self.reporter.progress(task, completed, total, detail)


class Silent:
    """A reporter that shows nothing."""

    def log(self, message: str) -> None:
        """Drop the line."""

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        """Drop the step."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """The files that a stage receives: those of the kinds it declared under `reads`, and no others."""

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
        paths = {name: path for (k, name), path in self.files.items() if k is kind and name}
        return dict(sorted(paths.items()))

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
    """The paths to which a stage writes.

    Args:
        stage: name of the stage.
        folder: temporary folder; the runner renames it when the stage has ended.
        scratch: folder that outlives an interruption, under the stage's cache key. What a later call of the same stage
            finds there was written by the same code from the same inputs. It outlives the stage's end too, and a change
            of settings, where the stage says which settings do not count (`Stage.lasting`).
        cache: folder that outlives the stage and a change of its key. Each file in it is named by a digest of all that
            it was made from, code included, and the stage removes files that it no longer needs.
        reporter: receives what the stage says about its work.
        declared: paths of the artifacts; `path` fills it, and the runner reads it.
        resume: file that the user wants the stage to go on from; None to go on from what lies in the scratch folder.
    """

    stage: str
    folder: Path
    scratch: Path
    cache: Path
    reporter: Reporter
    declared: dict[tuple[Kind, str | None], Path]
    resume: Path | None = None

    def path(self, kind: Kind, name: str, *, candidate: str | None = None) -> Path:
        """The path to write one artifact to; its folder exists.

        Args:
            kind: kind of the file.
            name: file name; the file of a candidate lies in that candidate's own sub-folder.
            candidate: name of the candidate, for a kind with one file per candidate.

        Raises:
            StageError: the artifact is declared twice, or a candidate is named for a kind that has none.
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
    """Digests of nothing, for a stage that reads its declared inputs alone."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Stage(Generic[S]):
    """One step of a build.

    Args:
        name: name of the stage and of its folder in the run directory.
        reads: kinds of artifact that the stage receives.
        writes: kinds of artifact that it must leave behind.
        may_write: kinds of artifact that it leaves behind where there is something to leave.
        settings: function that picks the only settings that the stage sees.
        run: function that reads files and writes files.
        outside: function that digests, by name, what the stage reads from outside the run directory: the user's
            factories, data and weights, the CPU it is timed on. These digests are part of the cache key.
        lasting: function that returns the settings without those that a later call may change and still go on from what
            lies in the scratch folder, which then stays when the stage has ended; None where any change of settings
            begins anew.
    """

    name: str
    reads: tuple[Kind, ...]
    writes: tuple[Kind, ...]
    settings: Callable[[Recipe], S]
    run: Callable[[S, Inputs, Outputs], None]
    outside: Callable[[S], Mapping[str, str]] = nothing_outside
    may_write: tuple[Kind, ...] = ()
    lasting: Callable[[S], S] | None = None
