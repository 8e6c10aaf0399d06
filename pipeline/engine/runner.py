"""Runs stages in order: it skips those up to date, runs the rest and records them. It knows no particular stage."""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from filelock import FileLock, Timeout

from pipeline.engine.artifacts import Artifact, Kind, digest_bytes, digest_file
from pipeline.engine.cache_key import PartKind, setting_parts, stage_inputs, stage_parts, stale_parts
from pipeline.engine.manifest import Manifest, StageRecord, read_manifest, write_manifest
from pipeline.engine.out_of_memory import no_memory
from pipeline.engine.places import no_room, os_error_text
from pipeline.engine.reads import Recording, difference, recording
from pipeline.engine.stage import Inputs, Outputs, Reporter, Stage, report_stage, report_status
from pipeline.engine.user_code import faults_of_the_user
from pipeline.errors import FileError, StageError, UsageError
from pipeline.recipe.recipe import Recipe

SCRATCH = ".scratch"
CACHE = ".cache"
_KEY_DIGITS = 16
# This file in a scratch folder records what the user's code has read so far.
_READS = ".reads.json"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What happened to one stage.

    Args:
        stage: name of the stage.
        action: `ran`, `up to date`, or, when only planning, `would run`.
        reason: why it ran or would run; empty when up to date.
        seconds: time that it took now, in seconds.
    """

    stage: str
    action: Literal["ran", "up to date", "would run"]
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class _Need:
    """Whether a stage must run, the parts of its cache key, and the key of its scratch folder."""

    parts: dict[str, str]
    reason: str
    scratch_key: str

    @property
    def key(self) -> str:
        return _digest(self.parts)


def check_order(stages: Sequence[Stage[Any]]) -> None:
    """Check once, before any work, that each kind is written once and before it is read.

    Raises:
        StageError: a kind is written twice, or read before it is written.
    """
    written: dict[Kind, str] = {}
    for stage in stages:
        for kind in stage.reads:
            if kind not in written:
                raise StageError(f"stage {stage.name} reads {kind.value}, which no earlier stage writes")
        for kind in (*stage.writes, *stage.may_write):
            if kind in written:
                raise StageError(f"stage {stage.name} writes {kind.value}, which stage {written[kind]} writes already")
            written[kind] = stage.name


def run_stages(
    stages: Sequence[Stage[Any]],
    recipe: Recipe,
    run_dir: Path,
    reporter: Reporter,
    *,
    force: bool = False,
    resume: Mapping[str, Path] | None = None,
    finish: Callable[[Manifest], None] = lambda _manifest: None,
    wait_s: float = 0,
) -> tuple[Manifest, tuple[Outcome, ...]]:
    """Bring every stage of a run directory up to date.

    Args:
        stages: stages in the order in which they run.
        recipe: recipe of the build.
        run_dir: run directory, made if missing; it is locked while this function runs.
        reporter: receives log lines and progress.
        force: run every stage from its beginning, whatever is recorded or half done.
        resume: files to go on from, by the name of the stage, which then runs whatever is recorded.
        finish: called at the end, while the directory is still locked.
        wait_s: longest wait for another build that holds the directory, in seconds.

    Returns:
        The manifest, and an outcome per stage.

    Raises:
        StageError: a stage broke its contract, or another build holds the directory.
        PipelineError: a stage raised it.
    """
    check_order(stages)
    _make_directory(run_dir)
    with hold(run_dir, wait_s=wait_s):
        _sweep(run_dir)
        recorded = None if force else read_manifest(run_dir)
        manifest = recorded or Manifest(recipe=recipe.name, environment={})
        settled = {
            "settings": recipe.given(),
            "folder": str(recipe.folder.resolve()),
        }
        manifest = manifest.model_copy(update={"recipe": recipe.name, "environment": _environment(), **settled})
        outcomes = []
        gaps: set[str] = set()
        names = [stage.name for stage in stages]
        for place, stage in enumerate(stages):
            report_stage(reporter, names, place)
            settings = stage.settings(recipe)
            files = stage_inputs(stage, manifest)
            need = _need(stage, settings, manifest, run_dir, recipe.folder)
            from_file = (resume or {}).get(stage.name)
            if from_file is not None:
                need = replace(need, reason=f"goes on from {from_file}")
            if not need.reason:
                report_status(reporter, "step", f"{stage.name}: up to date")
                outcomes.append(Outcome(stage=stage.name, action="up to date"))
                continue
            report_status(reporter, "step", f"{stage.name}: {need.reason}")
            if force:
                _forget(run_dir, stage.name)
                shutil.rmtree(run_dir / CACHE / stage.name, ignore_errors=True)
            started = time.perf_counter()
            outputs = _outputs(stage, need, run_dir, reporter, resume=from_file)
            artifacts, reads = _run(stage, settings, files, outputs, run_dir, recipe.folder)
            seconds = time.perf_counter() - started
            record = StageRecord(
                key=need.key, parts=need.parts, artifacts=artifacts, seconds=round(seconds, 3), reads=reads.digests
            )
            manifest = manifest.with_stage(stage.name, record)
            write_manifest(run_dir, manifest)
            _forget(run_dir, stage.name, keep=None if stage.lasting is None else outputs.scratch)
            report_status(reporter, "step", f"{stage.name}: done in {seconds:.1f} s")
            outcomes.append(Outcome(stage=stage.name, action="ran", reason=need.reason, seconds=seconds))
            if reads.gap and reads.gap not in gaps:
                gaps.add(reads.gap)
                reporter.log(f"changes of files that libraries in C or Rust read may go unnoticed: {reads.gap}")
        report_stage(reporter, names, len(names))
        ran = any(outcome.action == "ran" for outcome in outcomes)
        if recorded is not None and not ran:
            # What reads the run later looks for the user's code in the recipe's folder, and for settings that no stage
            # sees, such as those of the report.
            moved = recorded.model_copy(update=settled)
            if moved != recorded:
                write_manifest(run_dir, moved)
        finish(manifest)
    return manifest, tuple(outcomes)


def plan_stages(
    stages: Sequence[Stage[Any]], recipe: Recipe, run_dir: Path, *, known: Mapping[str, str] | None = None
) -> tuple[Outcome, ...]:
    """What `run_stages` would do, without changing anything.

    A stage whose inputs are yet to be made counts as `would run`, though it may turn out up to date when those inputs
    come out the same.

    Args:
        stages: stages in the order in which they run.
        recipe: recipe of the build.
        run_dir: run directory; it need not exist.
        known: reasons, by the name of the stage, why it would run whatever is recorded; empty where there is none.
    """
    check_order(stages)
    manifest = read_manifest(run_dir) or Manifest(recipe=recipe.name, environment={})
    outcomes: list[Outcome] = []
    pending: dict[Kind, str] = {}
    for stage in stages:
        reason = (known or {}).get(stage.name, "")
        waits_for = [pending[kind] for kind in stage.reads if kind in pending]
        if not reason and waits_for:
            reason = f"{waits_for[0]} runs before it"
        elif not reason:
            settings = stage.settings(recipe)
            reason = _need(stage, settings, manifest, run_dir, recipe.folder).reason
        if reason:
            pending.update(dict.fromkeys((*stage.writes, *stage.may_write), stage.name))
            outcomes.append(Outcome(stage=stage.name, action="would run", reason=reason))
        else:
            outcomes.append(Outcome(stage=stage.name, action="up to date"))
    return tuple(outcomes)


def _need(stage: Stage[Any], settings: Any, manifest: Manifest, run_dir: Path, folder: Path) -> _Need:
    parts = stage_parts(stage, settings, manifest)
    need = _Need(parts=parts, reason="", scratch_key=_digest(_lasting_parts(stage, settings, parts)))
    record = manifest.stages.get(stage.name)
    if record is None:
        return replace(need, reason="not built yet")
    if record.key != need.key:
        stale = stale_parts(record, parts, kinds=get_args(PartKind))
        more = f" and {len(stale) - 1} more" if len(stale) > 1 else ""
        return replace(need, reason=f"{stale[0]} changed{more}")
    if record.reads is None:
        return replace(need, reason="not known which files the recipe's code read")
    if changed := difference(record.reads, folder):
        return replace(need, reason=changed)
    for artifact in record.artifacts:
        path = run_dir / artifact.path
        if not path.is_file():
            how = "was removed by `pipeline clean`" if artifact.path in manifest.removed else "is missing"
            return replace(need, reason=f"{artifact.path} {how}")
        if path.stat().st_size != artifact.size or digest_file(path) != artifact.sha256:
            return replace(need, reason=f"{artifact.path} was altered")
    return need


def _digest(parts: Mapping[str, str]) -> str:
    return digest_bytes(json.dumps(parts, sort_keys=True).encode())


def _lasting_parts(stage: Stage[Any], settings: Any, parts: Mapping[str, str]) -> Mapping[str, str]:
    """The parts of a stage's cache key without the settings by which half-done work does not change."""
    if stage.lasting is None:
        return parts
    others = {name: value for name, value in parts.items() if not name.startswith("setting ")}
    return others | setting_parts(stage.lasting(settings))


def _outputs(stage: Stage[Any], need: _Need, run_dir: Path, reporter: Reporter, *, resume: Path | None) -> Outputs:
    return Outputs(
        stage=stage.name,
        folder=run_dir / f".{stage.name}.{os.getpid()}.tmp",
        scratch=run_dir / SCRATCH / f"{stage.name}-{need.scratch_key[:_KEY_DIGITS]}",
        cache=run_dir / CACHE / stage.name,
        reporter=reporter,
        declared={},
        resume=resume,
    )


def _run(
    stage: Stage[Any], settings: Any, files: Sequence[Artifact], outputs: Outputs, run_dir: Path, folder: Path
) -> tuple[tuple[Artifact, ...], Recording]:
    temporary, scratch = outputs.folder, outputs.scratch
    temporary.mkdir()
    if outputs.resume is None and _read_otherwise(scratch, folder):
        shutil.rmtree(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    inputs = {(artifact.kind, artifact.candidate): run_dir / artifact.path for artifact in files}
    try:
        try:
            with (
                recording(folder, leave_out=[run_dir], file=scratch / _READS) as reads,
                faults_of_the_user(f"stage {stage.name}"),
            ):
                stage.run(settings, Inputs(stage=stage.name, files=inputs), outputs)
        except Exception as error:
            if (full := no_room(error, run_dir)) is not None:
                raise FileError(f"stage {stage.name}: {full}; it goes on from here when it is run again") from error
            if (short := no_memory(error)) is not None:
                raise UsageError(f"stage {stage.name}: {short}") from error
            raise
        artifacts = _collect(stage, outputs)
        final = run_dir / stage.name
        former = run_dir / f".{stage.name}.{os.getpid()}.old"
        if final.exists():
            final.rename(former)
        temporary.rename(final)
        shutil.rmtree(former, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return artifacts, reads


def _read_otherwise(scratch: Path, folder: Path) -> bool:
    """Whether a file differs now from what the user's code read in the interrupted run that used the scratch folder."""
    path = scratch / _READS
    if not path.exists():
        return False  # killed before it read anything
    try:
        return bool(difference(json.loads(path.read_bytes()), folder))
    except ValueError:  # killed while it was written
        return True


def _collect(stage: Stage[Any], outputs: Outputs) -> tuple[Artifact, ...]:
    """Check the files that a stage left behind against those that it declared."""
    artifacts = []
    for (kind, candidate), path in outputs.declared.items():
        if kind not in (*stage.writes, *stage.may_write):
            raise StageError(f"stage {stage.name}: wrote {kind.value}, which it does not declare under `writes`")
        if not path.is_file():
            raise StageError(f"stage {stage.name}: declared {kind.value} as {path.name}, but there is no such file")
        name = f"{stage.name}/{path.relative_to(outputs.folder).as_posix()}"
        size = path.stat().st_size
        artifacts.append(Artifact(kind=kind, path=name, sha256=digest_file(path), size=size, candidate=candidate))
    missing = [kind.value for kind in stage.writes if kind not in {artifact.kind for artifact in artifacts}]
    if missing:
        raise StageError(f"stage {stage.name}: expected it to write {', '.join(missing)}, found nothing")
    declared = set(outputs.declared.values())
    stray = [path for path in outputs.folder.rglob("*") if path.is_file() and path not in declared]
    if stray:
        raise StageError(f"stage {stage.name}: left an undeclared file {stray[0].relative_to(outputs.folder)}")
    return tuple(sorted(artifacts, key=lambda artifact: artifact.path))


def _make_directory(run_dir: Path) -> None:
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"{run_dir}: expected a folder to write to, found: {error.strerror}") from error


def hold(run_dir: Path, *, wait_s: float = 0) -> Any:
    """Lock a run directory for a `with` block.

    Args:
        run_dir: run directory, which exists.
        wait_s: longest wait for another that holds it, in seconds.

    Raises:
        StageError: another build holds it.
        FileError: nothing can be written there.
    """
    try:
        return FileLock(run_dir / ".lock").acquire(timeout=wait_s)
    except Timeout as error:
        raise StageError(
            f"{run_dir}: another build is running there; wait for it to end, or give another --run-dir"
        ) from error
    except OSError as error:
        raise FileError(f"{run_dir}: expected a folder to write to, found: {os_error_text(error)}") from error


def _sweep(run_dir: Path) -> None:
    """Remove what a killed build left half-written."""
    for pattern in (".*.tmp", ".*.old"):
        for folder in run_dir.glob(pattern):
            shutil.rmtree(folder, ignore_errors=True)


def _forget(run_dir: Path, stage: str, *, keep: Path | None = None) -> None:
    """Remove a stage's scratch folders, but one that it may go on from later."""
    for folder in (run_dir / SCRATCH).glob(f"{stage}-*"):
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)


def _environment() -> dict[str, str]:
    return {"python": platform.python_version(), "system": platform.system(), "machine": platform.machine()}
