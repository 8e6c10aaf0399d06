"""Stage `package`: it packs the winner with handler, description, evidence, and golden inputs and answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.archive.evidence.code import describe_code, portable_settings
from pipeline.engine.artifacts import Kind, digest_bytes, digest_file
from pipeline.engine.factories import user_factories
from pipeline.engine.stage import Inputs, Outputs, Reporter, Stage, report_status
from pipeline.errors import UsageError
from pipeline.recipe.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline._handlers.decode import InputSpec
    from pipeline.archive.evidence.document import SplitEvidence
    from pipeline.candidates.report import CandidateReport
    from pipeline.candidates.selection import Selection
    from pipeline.models.info import ModelInfo
    from pipeline.tasks.quality import QualityReport

GOLDEN_FILE = "golden.safetensors"
_TOP = 5
# Number of made-up inputs: zeros, the largest values of the domain, and noise.
_EXTREMES = 3


class PackageSettings(BaseModel):
    """What an archive depends on."""

    model_config = ConfigDict(frozen=True)

    name: str
    version: str
    golden: str
    golden_size: int
    batch_sizes: tuple[int, ...]
    max_pixels: int | None
    deadline_s: float
    recipe: dict[str, Any]  # the whole recipe, for the evidence
    # These are parts of the recipe, so they are left out of the cache key.
    seeds: dict[str, int] = Field(exclude=True)
    factories: tuple[str, ...] = Field(exclude=True)
    folder: Path = Field(default=Path(), exclude=True)  # where the recipe lies; its place does not matter

    @property
    def golden_path(self) -> Path | None:
        """The file of the user's own golden inputs; None if the recipe does not name one."""
        return None if self.golden in ("validation", "synthetic") else self.folder / self.golden


def settings(recipe: Recipe) -> PackageSettings:
    """Return the stage's view of a recipe."""
    return PackageSettings(
        name=recipe.model_name,
        version=recipe.package.version,
        golden=recipe.package.golden,
        golden_size=recipe.package.golden_size,
        batch_sizes=recipe.verify.batch_sizes,
        max_pixels=recipe.package.max_pixels,
        deadline_s=recipe.package.deadline_s,
        recipe=portable_settings(recipe),
        seeds={"data": recipe.data.seed, "train": recipe.train.seed},
        factories=tuple(user_factories(recipe).values()),
        folder=recipe.folder,
    )


def outside(settings: PackageSettings) -> Mapping[str, str]:
    """Return digests of the code that the evidence names, and of the user's own golden inputs."""
    code = describe_code(settings.factories, settings.folder).model_dump_json()
    path = settings.golden_path
    return {"code": digest_bytes(code.encode())} | ({} if path is None else {"golden": digest_file(path)})


def run(settings: PackageSettings, inputs: Inputs, outputs: Outputs) -> None:
    """Write `<name>.mar`."""
    from dataclasses import replace

    from pipeline._handlers.description import Golden, Serving
    from pipeline._handlers.limits import Limits, usual_pixels
    from pipeline.archive.mar import write_archive
    from pipeline.archive.pictures import PICTURES_FILE, make_pictures
    from pipeline.candidates.report import CandidateReport
    from pipeline.candidates.selection import Selection
    from pipeline.data.dataset import read_info
    from pipeline.engine.documents import read_document
    from pipeline.models.info import ModelInfo
    from pipeline.recipe.task import of_the_build

    selection = read_document(inputs.one(Kind.SELECTION), Selection)
    info = read_document(inputs.one(Kind.MODEL_INFO), ModelInfo)
    winner = read_document(inputs.of_candidate(Kind.CANDIDATE_REPORT, selection.selected), CandidateReport)
    model = inputs.of_candidate(Kind.CANDIDATE_MODEL, winner.name)
    batch_sizes, golden = _golden(settings, inputs, winner, model, info.inputs, reporter=outputs.reporter)
    # The pictures follow the data set's description of the inputs, not the model's. Decoded by another description,
    # they differ.
    pictures = make_pictures(read_info(inputs.one(Kind.DATA_INFO)).inputs)
    serving = Serving(
        name=settings.name,
        version=settings.version,
        candidate=winner.name,
        identity=winner.identity,
        precision=winner.precision,
        task=info.task.kind,
        inputs=info.inputs,
        labels=info.labels,
        runtime=replace(winner.runtime, file=model.name),
        top=min(_TOP, len(info.labels)),
        golden=Golden(file=GOLDEN_FILE, batch_sizes=batch_sizes, tolerance=winner.parity.tolerance),
        pictures=None if pictures is None else PICTURES_FILE,
        files={},
        activation=info.activation,
        task_settings=info.task.model_dump(mode="json", exclude={"kind", *of_the_build(info.task)}),
        limits=Limits(pixels=settings.max_pixels or usual_pixels(info.inputs), seconds=settings.deadline_s),
    )
    path = outputs.path(Kind.ARCHIVE, f"{settings.name}.mar")
    archive = write_archive(
        path,
        serving=serving,
        model=model.read_bytes(),
        golden=golden,
        pictures=pictures or b"",
        evidence=_evidence(settings, inputs, selection, info),
    )
    report_status(outputs.reporter, "step", f"{path.name}: {path.stat().st_size} bytes, SHA-256 {archive.sha256}")


def _golden(
    settings: PackageSettings,
    inputs: Inputs,
    winner: CandidateReport,
    model: Path,
    specs: Sequence[InputSpec],
    *,
    reporter: Reporter,
) -> tuple[tuple[int, ...], bytes]:
    """Return the batch sizes of the golden answers, and a file of golden inputs and the answers of the serving code."""
    from dataclasses import replace

    from safetensors.numpy import load_file

    from pipeline._handlers.sizes import size_groups
    from pipeline.archive.golden import answered, answers, pack_golden
    from pipeline.checks.expectation import sized_kind

    runtime, left_out = replace(winner.runtime, file=model.name), winner.parity.left_out
    arrays = _golden_inputs(settings, inputs, specs, leave_out=left_out)
    count = len(next(iter(arrays.values())))
    # An archive that answers examples one at a time has no other answers to prove, and few golden inputs fill no large
    # batch.
    batch_sizes = (1,) if runtime.one_by_one else tuple(sorted({min(size, count) for size in settings.batch_sizes}))
    report_status(reporter, "step", f"golden answers of {winner.name}, batch sizes {list(batch_sizes)}")
    logits = answers(model.parent, runtime, specs, arrays, batch_sizes)
    # Where the candidate's own network has no steady answer at a size, its file has none to repeat.
    sized_groups = [
        group
        for group in size_groups(load_file(inputs.one(Kind.SAMPLES)), specs)
        if sized_kind(group.sizes) not in left_out
    ]
    groups = answered(model.parent, runtime, specs, sized_groups, batch_sizes)
    return batch_sizes, pack_golden(arrays, logits, groups)


def _evidence(settings: PackageSettings, inputs: Inputs, selection: Selection, info: ModelInfo) -> dict[str, Any]:
    """Build the document `evidence.json` without the members' digests, which are known only when they are packed."""
    from pipeline.archive.evidence.document import (
        CandidateEvidence,
        DataEvidence,
        Evidence,
        Metrics,
        UnprovenEvidence,
    )
    from pipeline.candidates.report import CandidateReport
    from pipeline.candidates.unproven import CandidateList
    from pipeline.data.dataset import read_info
    from pipeline.engine.documents import read_document

    data = read_info(inputs.one(Kind.DATA_INFO)).decided(selection.decided)
    listed = read_document(inputs.one(Kind.CANDIDATE_ORDER), CandidateList)
    files = [inputs.of_candidate(Kind.CANDIDATE_REPORT, name) for name in listed.order]
    reports = {report.name: report for report in (read_document(file, CandidateReport) for file in files)}
    evidence = Evidence(
        model={"name": settings.name, "version": settings.version},
        candidate=selection.selected,
        why=selection.why,
        task=info.task.kind,
        activation=info.activation,
        inputs=tuple(spec.to_json() for spec in data.inputs),
        labels=info.labels if info.outputs else data.classes,
        parameters=info.parameters,
        recipe=settings.recipe,
        seeds=settings.seeds,
        code=describe_code(settings.factories, settings.folder),
        data=DataEvidence(
            name=data.name,
            sizes={**data.sizes},
            digests={**data.digests},
            sources=dict(sorted(data.sources.items())),
            class_counts={**data.class_counts},
            gaps=data.gaps,
        ),
        judged_by=selection.test.judged_by,
        weights_sha256=digest_file(inputs.one(Kind.WEIGHTS)),
        files=info.files,
        metrics=Metrics(
            validation=_with_interval(reports[selection.selected].quality), test=_with_interval(selection.test)
        ),
        candidates=tuple(
            CandidateEvidence.model_validate({**report.to_evidence(), "verdict": selection.verdicts[name].text})
            for name, report in reports.items()
        ),
        unproven=tuple(UnprovenEvidence.model_validate(row.model_dump(mode="json")) for row in listed.unproven),
    )
    return evidence.model_dump(mode="json")


def _with_interval(quality: QualityReport) -> SplitEvidence:
    from pipeline.archive.evidence.document import SplitEvidence

    lower, upper = quality.interval()
    return SplitEvidence.model_validate(
        {**quality.model_dump(mode="json"), "accuracy_lower": lower, "accuracy_upper": upper}
    )


def _golden_inputs(
    settings: PackageSettings, inputs: Inputs, specs: Sequence[InputSpec], *, leave_out: Mapping[str, str]
) -> dict[str, NDArray[Any]]:
    from pipeline.data.synthetic import synthetic_inputs

    if settings.golden == "synthetic":
        arrays = synthetic_inputs(specs, settings.golden_size, leave_out=leave_out)
        if not all(len(array) for array in arrays.values()):
            reasons = "; ".join(f"{kind}: {reason}" for kind, reason in leave_out.items()) or "inputs say none occur"
            raise UsageError(
                f"package.golden: expected made-up inputs that the network can answer, found none ({reasons}); set "
                "package.golden to validation"
            )
        return arrays
    if (path := settings.golden_path) is not None:
        return _read_golden(path, specs, settings.golden_size)
    return _validation_golden(settings.golden_size, inputs, specs, leave_out=leave_out)


def _validation_golden(
    size: int, inputs: Inputs, specs: Sequence[InputSpec], *, leave_out: Mapping[str, str]
) -> dict[str, NDArray[Any]]:
    """Return ordinary examples, then near ties of the float network (a quarter), then zeros, the maximum and noise.

    Made-up inputs that are left out make room for ordinary examples.
    """
    from dataclasses import replace

    import numpy as np
    from safetensors.numpy import load_file

    from pipeline.data.dataset import read_info, read_split
    from pipeline.data.synthetic import synthetic_inputs
    from pipeline.engine.documents import read_document
    from pipeline.models.info import ModelInfo
    from pipeline.tasks.table import task_of

    task = task_of(read_info(inputs.one(Kind.DATA_INFO)).task)
    split = read_split(inputs.one(Kind.VALIDATION_DATA))
    size = min(size, len(split))
    shaped = [replace(spec, shape=split.inputs[spec.name].shape[1:]) for spec in specs]
    ends = synthetic_inputs(shaped, min(_EXTREMES, size // 4), real=split.inputs, leave_out=leave_out)
    extremes = len(ends[specs[0].name])
    # The samples are the first rows of the split, with the float network's logits and any labels.
    samples = load_file(inputs.one(Kind.SAMPLES))
    activation = read_document(inputs.one(Kind.MODEL_INFO), ModelInfo).activation
    ties = task.near_ties(samples["logits"], size // 4, activation=activation, targets=samples.get("labels"))
    ordinary = np.setdiff1d(np.arange(len(split)), ties)
    # They are spread over the split, so that a sorted split gives more than its first class.
    easy = ordinary[np.linspace(0, len(ordinary) - 1, size - len(ties) - extremes).astype(np.int64)]
    chosen = split.take(np.concatenate([easy, ties])).inputs
    return {spec.name: np.concatenate([chosen[spec.name], ends[spec.name]]) for spec in specs}


def _read_golden(path: Path, specs: Sequence[InputSpec], count: int) -> dict[str, NDArray[Any]]:
    import numpy as np

    from pipeline._handlers.bad_request import BadRequest
    from pipeline._handlers.domain import check_values
    from pipeline._handlers.sizes import fits_shape, require_sizes

    spec = specs[0]
    shape = ("any" if axis in spec.dynamic_axes else str(size) for axis, size in enumerate(spec.shape))
    expected = f"{spec.dtype} of shape (N, {', '.join(shape)})"
    if len(specs) != 1:
        raise UsageError("package.golden: a .npy file holds one input; expected `validation` or `synthetic` here")
    try:
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UsageError(f"package.golden: {path}: expected a .npy file, {expected}, found: {error}") from error
    if array.dtype != np.dtype(spec.dtype) or not len(array) or not fits_shape(array.shape[1:], spec):
        raise UsageError(f"package.golden: {path}: expected {expected}, found {array.dtype} of shape {array.shape}")
    try:
        check_values(array, spec)
        for example in array[:count]:
            check_values(example, spec)  # no example may consist of a single value that never occurs
        require_sizes({spec.name: array.shape[1:]}, specs)
    except BadRequest as problem:
        raise UsageError(f"package.golden: {path}: {problem}") from problem
    return {spec.name: array[:count]}


STAGE = Stage(
    name="package",
    reads=(
        Kind.SELECTION,
        Kind.CANDIDATE_MODEL,
        Kind.CANDIDATE_ORDER,
        Kind.CANDIDATE_REPORT,
        Kind.DATA_INFO,
        Kind.MODEL_INFO,
        Kind.SAMPLES,
        Kind.VALIDATION_DATA,
        Kind.WEIGHTS,
    ),
    writes=(Kind.ARCHIVE,),
    settings=settings,
    run=run,
    outside=outside,
)
