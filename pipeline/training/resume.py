"""Go on from the checkpoints of a training, where that gives the same weights as training in one go."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UsageError
from pipeline.training.checkpoint import (
    adopt_checkpoint,
    check_origin,
    forget_checkpoints,
    load_checkpoint,
    plan_epochs,
    planned_epochs,
    read_checkpoint,
    save_checkpoint,
    sweep_checkpoints,
)
from pipeline.training.settings import Session, TrainingSettings
from pipeline.training.state import TrainingState


def save(state: TrainingState, settings: TrainingSettings, session: Session, *, metric: str) -> None:
    """Write a checkpoint of the state; `metric` is the name of the figure in its file's name."""
    checkpoint = state.to_checkpoint(origin=session.origin, planned=settings.epochs)
    save_checkpoint(session.scratch, checkpoint, metric=metric, keep=settings.checkpoints)


def go_on(state: TrainingState, settings: TrainingSettings, session: Session) -> None:
    """Restore the state of the last checkpoint, if there is one that this training may go on from.

    Raises:
        UsageError: the checkpoint that the user names is of another training, or of another number of epochs where the
            schedule spans them.
        FileError: it is damaged, or not there.
    """
    sweep_checkpoints(session.scratch)
    if session.resume is not None:
        _go_on_from_the_users(state, session.resume, settings, session)
        return
    folder, log, purpose = session.scratch, session.reporter.log, session.purpose
    checkpoint = load_checkpoint(folder, log, up_to=settings.epochs)
    planned = planned_epochs(folder, log)
    if checkpoint is not None:  # it says so itself, where the file beside it was lost
        planned = checkpoint.planned
    if planned not in (None, settings.epochs) and settings.optimization.spans_the_run:
        log(
            f"{purpose}: starts anew for {settings.epochs} epochs: the schedule {settings.optimization.schedule} spans "
            f"the whole run, so that the learning rates of {planned} epochs are others"
        )
        forget_checkpoints(folder)
        checkpoint = None
    if checkpoint is not None:
        state.restore(checkpoint)
        others = _other_processes(state, session)
        log(f"{purpose}: continues after epoch {len(state.epochs)} of {settings.epochs}{others}")
    elif planned is not None and planned > settings.epochs and not settings.optimization.spans_the_run:
        log(f"{purpose}: starts anew for {settings.epochs} epochs: no checkpoint of so few is kept")
    if planned != settings.epochs:
        plan_epochs(folder, settings.epochs)


def forget_what_cannot_go_on(settings: TrainingSettings, folder: Path) -> None:
    """Remove the checkpoints of a finished training, but the last one where more epochs may go on from it."""
    forget_checkpoints(folder, keep=0 if settings.optimization.spans_the_run else 1)


def _go_on_from_the_users(state: TrainingState, path: Path, settings: TrainingSettings, session: Session) -> None:
    file, checkpoint = read_checkpoint(path)
    check_origin(checkpoint, session.origin, path=path)
    completed, epochs, schedule = len(checkpoint.epochs), settings.epochs, settings.optimization.schedule
    if settings.optimization.spans_the_run and checkpoint.planned != epochs:
        raise UsageError(
            f"--resume {path}: expected a checkpoint of {epochs} epochs, found one of {checkpoint.planned}: the "
            f"schedule {schedule} spans the whole run; set {session.purpose}.epochs to {checkpoint.planned}"
        )
    if completed > epochs:
        raise UsageError(
            f"--resume {path}: expected at most {epochs} completed epochs, found {completed}; raise "
            f"{session.purpose}.epochs, or name an earlier checkpoint"
        )
    adopt_checkpoint(session.scratch, file)
    plan_epochs(session.scratch, epochs)
    state.restore(checkpoint)
    others = _other_processes(state, session)
    session.reporter.log(f"{session.purpose}: continues after epoch {completed} of {epochs}, from {file}{others}")


def _other_processes(state: TrainingState, session: Session) -> str:
    """What it means, in words, that the epochs so far were trained by another number of processes; empty if not so."""
    before, now = state.processes[-1], session.processes.count
    if before == now:
        return ""
    words = "1 process" if now == 1 else f"{now} processes"
    return f", with {words} instead of {before}: its weights will differ by rounding from those of training in one go"
