"""Finds what there is to time in a run directory or an archive, and checks each file before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.archive.mar import Archive, read_archive
from pipeline.candidates.eager import EagerSource
from pipeline.candidates.selection import Selection
from pipeline.candidates.spec import FLOAT_NAMES, baseline_of
from pipeline.commands.opened import OpenedRun, open_run
from pipeline.data.dataset import read_info
from pipeline.engine.artifacts import Kind, digest_file
from pipeline.engine.documents import read_document
from pipeline.errors import FileError, UsageError
from pipeline.inspection.graph import graph_cost
from pipeline.model_code.require import require_safe_model
from pipeline.models.info import ModelInfo
from pipeline.models.load import load_model_spec
from pipeline.models.spec import ModelSpec

if TYPE_CHECKING:
    from pipeline._handlers.decode import InputSpec
    from pipeline._handlers.description import RuntimeSpec

NO_EAGER = "an archive holds neither the network's source nor its weights; bench the run directory"
NO_FLOAT = "an archive holds the packed candidate alone; bench the run directory"
REMOVED = "pipeline clean removed its file; pipeline build makes it again"
NO_ARCHIVE = "the build has packed none yet; run pipeline build"


@dataclass(frozen=True, kw_only=True)
class TimedFile:
    """A candidate's file, its digest checked.

    Args:
        name: name of the candidate.
        file: path of its model file.
        runtime: how it is served.
        macs: multiply-accumulates for one example; None if unknown.
    """

    name: str
    file: Path
    runtime: RuntimeSpec
    macs: int | None


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is timed.

    Args:
        files: files of the candidates, in the recipe's order.
        baseline: name of the file that ratios are over, and whose copy shows the noise.
        inputs: inputs that all of them take.
        samples: real inputs.
        selected: name of the packed candidate; None where a run has none yet.
        archive: archive to serve; None where a run has none yet.
        eager: what the float network is made from, and its specification; None for an archive.
        left_out: what is not there, and why.
    """

    files: tuple[TimedFile, ...]
    baseline: str
    inputs: tuple[InputSpec, ...]
    samples: Path
    selected: str | None
    archive: Archive | None
    eager: tuple[EagerSource, ModelSpec] | None
    left_out: Mapping[str, str] = field(default_factory=dict)


def open_target(target: Path | Archive, scratch: Path, *, allowed_operators: Sequence[str] = ()) -> Target:
    """Open a target and check it.

    Args:
        target: a run directory, or an archive that was read and checked.
        scratch: folder that an archive is unpacked into.
        allowed_operators: operators that an archive's model may call beside those that only compute; see
            `pipeline.model_code`.

    Raises:
        UsageError: operators are allowed of a run directory, whose model files are its owner's.
        FileError: a file is missing, altered, or out of date; or an archive's model could do more than compute.
    """
    if isinstance(target, Archive):
        runtime, members = target.serving.runtime, target.members
        require_safe_model(target.path, runtime, members, allowed_operators=allowed_operators)
        return _open_archive(target, scratch)
    if allowed_operators:
        raise UsageError(
            f"{target}: expected an archive with --allow-operator, found a run directory; leave the option out"
        )
    return _open_run(open_run(target))


def _open_run(run: OpenedRun) -> Target:
    recipe = run.recipe
    model = load_model_spec(recipe.model, recipe.folder, read_info(run.files[Kind.DATA_INFO, None]))
    model = model.as_called(read_document(run.files[Kind.MODEL_INFO, None], ModelInfo))
    checked = {report.name: run.require(run.models[report.name]) for report in run.reports}
    by_variant = {
        report.variant: macs
        for report in run.reports
        if report.format == "onnx" and (macs := _macs(checked[report.name])) is not None
    }
    files = tuple(
        TimedFile(
            name=report.name,
            file=checked[report.name],
            runtime=report.runtime,
            # TorchScript says nothing of its cost; the same network as ONNX does.
            macs=by_variant.get(report.variant),
        )
        for report in run.reports
    )
    archive, selected = _packed_archive(run)
    return Target(
        files=files,
        baseline=baseline_of(checked),
        inputs=model.inputs,
        samples=run.files[Kind.SAMPLES, None],
        selected=selected,
        archive=archive,
        eager=(
            EagerSource(
                settings=recipe.model,
                folder=recipe.folder,
                data_info=run.files[Kind.DATA_INFO, None],
                model_info=run.files[Kind.MODEL_INFO, None],
                weights=run.files[Kind.WEIGHTS, None],
                samples=run.files[Kind.SAMPLES, None],
            ),
            model,
        ),
        left_out={
            **{row.name: row.short for row in run.unproven},
            **({} if archive is not None else {"served": NO_ARCHIVE}),
            **dict.fromkeys(run.removed, REMOVED),
        },
    )


def _packed_archive(run: OpenedRun) -> tuple[Archive | None, str | None]:
    """Return the archive of these very candidates, and the name of the one that it holds."""
    if not {Kind.ARCHIVE, Kind.SELECTION} <= {artifact.kind for artifact in run.manifest.artifacts()}:
        return None, None
    selection = read_document(run.require(run.manifest.one(Kind.SELECTION)), Selection)
    archive = read_archive(run.require(run.manifest.one(Kind.ARCHIVE)))
    serving, selected = archive.serving, selection.selected
    model = run.models.get(serving.candidate)
    if serving.candidate != selected or model is None or serving.files[serving.runtime.file] != model.sha256:
        return None, None  # it is the archive of an earlier build
    return archive, selected


def _open_archive(archive: Archive, scratch: Path) -> Target:
    unpacked = scratch / "unpacked"
    archive.unpack(unpacked)
    serving = archive.serving
    file = unpacked / serving.runtime.file
    if digest_file(file) != serving.files[serving.runtime.file]:
        raise FileError(f"{file}: expected the member as it was checked, found it altered; run it again")
    left_out = {"eager": NO_EAGER}
    if serving.candidate not in FLOAT_NAMES:
        left_out["float"] = NO_FLOAT
    return Target(
        files=(
            TimedFile(
                name=serving.candidate,
                file=file,
                runtime=serving.runtime,
                macs=_macs(file) if file.suffix == ".onnx" else None,
            ),
        ),
        baseline=serving.candidate,
        inputs=serving.inputs,
        samples=unpacked / serving.golden.file,
        selected=serving.candidate,
        archive=archive,
        eager=None,
        left_out=left_out,
    )


def _macs(file: Path) -> int | None:
    import onnx

    return graph_cost(onnx.load(file)).macs
