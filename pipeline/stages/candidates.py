"""Stage `candidates`: every candidate made, proven and judged, then all of them timed side by side."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.artifacts import Kind
from pipeline.formats import FormatName
from pipeline.recipe import Budget, Candidates, Export, Goal, Measure, Model, Recipe, Verify
from pipeline.section import Section
from pipeline.stage import Inputs, Outputs, Reporter, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.candidates.ground import Ground
    from pipeline.candidates.report import CandidateReport
    from pipeline.candidates.spec import CandidateSpec
    from pipeline.candidates.unproven import Named, Unproven
    from pipeline.search.search import Searched


class Searching(Section):
    """What a search depends on besides."""

    effort: Literal["quick", "deep"]
    limit_s: float
    goal: Goal
    budget: Budget
    shift: int | None
    round_to: int | None
    seed: int


class CandidatesSettings(Section):
    """What the stage sees of a recipe; the recipe's folder is left out of the cache key.

    Of training, it is what fine-tuning does likewise.
    """

    model: Model
    horizontal_flip: bool
    shift: int
    loss: str | None
    device: Literal["auto", "cpu", "cuda", "mps"]
    candidates: Candidates
    search: Searching | None
    export: Export
    verify: Verify
    measure: Measure
    folder: Path = Field(exclude=True)
    # What is made does not depend on these, only whether the build goes on without it.
    named_formats: tuple[FormatName, ...] = Field(exclude=True)
    named_candidate: str | None = Field(exclude=True)


def settings(recipe: Recipe) -> CandidatesSettings:
    """The stage's view of a recipe."""
    return CandidatesSettings(
        model=recipe.model,
        horizontal_flip=recipe.train.horizontal_flip,
        shift=recipe.train.shift,
        loss=recipe.train.loss,
        device=recipe.train.device,
        candidates=recipe.candidates,
        search=_searching(recipe),
        export=recipe.export,
        verify=recipe.verify,
        measure=recipe.measure,
        folder=recipe.folder,
        named_formats=recipe.candidates.named_formats,
        named_candidate=recipe.select.candidate,
    )


def _model_key(settings: CandidatesSettings, data_info: Path) -> str:
    """Digest of all that the model is made of besides its weights, and of the user's loss; both were loaded before."""
    from pipeline.artifacts import digest_bytes, digest_file
    from pipeline.models.outside import outside_digests
    from pipeline.reads import recorded
    from pipeline.source import named_digests

    model = settings.model.model_copy(update={"weights": None, "weights_key": None})
    parts = [
        model.model_dump(mode="json"),
        outside_digests(model, settings.folder),
        named_digests("train.loss", settings.loss, settings.folder),
        digest_file(data_info),
        recorded(),
    ]
    return digest_bytes(json.dumps(parts, sort_keys=True).encode())


def _searching(recipe: Recipe) -> Searching | None:
    effort = recipe.search_effort
    if effort == "off":
        return None
    return Searching(
        effort=effort,
        limit_s=recipe.search_limit_s,
        goal=recipe.goal,
        budget=recipe.budget,
        shift=recipe.search.shift,
        round_to=recipe.search.round_to,
        seed=recipe.train.seed,
    )


def outside(settings: CandidatesSettings) -> dict[str, str]:
    """Digests of the user's model factory and loss, and the CPU that the timings belong to."""
    from pipeline.measure.host import channel_block, computes_bfloat16, cpu_model, usable_cores
    from pipeline.models.outside import outside_digests
    from pipeline.source import named_digests

    sources = outside_digests(settings.model.model_copy(update={"weights": None}), settings.folder)
    loss = named_digests("train.loss", settings.loss, settings.folder)
    host = {"cpu": cpu_model(), "cores": str(usable_cores()), "channels at a time": str(channel_block())}
    host["bfloat16"] = str(computes_bfloat16())
    return {**sources, **loss, **host}


def run(settings: CandidatesSettings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the samples; per candidate a model file, a report and fine-tuned weights, if any; and eager's timings."""
    from handlers.serving import RuntimeSpec
    from pipeline.candidates.eager import EagerSource, eager_subjects, fastest_eager
    from pipeline.candidates.evaluate import TUNED_FILE, float_logits, folder_of, other_sizes, write_samples
    from pipeline.candidates.ground import Ground
    from pipeline.candidates.report import TimingFigures, write_report
    from pipeline.candidates.tune import forget_others
    from pipeline.candidates.unproven import CandidateList, write_list
    from pipeline.compress.layer_names import check_layer_names
    from pipeline.data.dataset import read_info
    from pipeline.measure.latency import file_subject, measure_latency
    from pipeline.models.load import load_model_spec
    from pipeline.training.augment import Augmentation, require_pictures
    from pipeline.training.loss import load_criterion

    model = load_model_spec(settings.model, settings.folder, read_info(inputs.one(Kind.DATA_INFO)))
    if settings.candidates.variants:  # a factory may take long
        check_layer_names(model.build(), settings.candidates.variants)
    require_pictures(Augmentation(shift=_search_shift(settings)), model.inputs, section="search")
    weights, validation = inputs.one(Kind.WEIGHTS), inputs.one(Kind.VALIDATION_DATA)
    logits = float_logits(model, weights, validation)
    sized = other_sizes(model, weights, validation)
    for line in sized.lines():
        outputs.reporter.log(f"candidates: {line}")
    samples = outputs.path(Kind.SAMPLES, "samples.safetensors")
    write_samples(samples, validation=validation, logits=logits, count=settings.verify.samples, sized=sized)
    ground = Ground(
        model=model,
        weights=weights,
        train=inputs.one(Kind.TRAIN_DATA),
        validation=validation,
        samples=samples,
        opset=settings.export.opset,
        batch_sizes=settings.verify.batch_sizes,
        evaluator_macs=settings.verify.reference_evaluator_macs,
        augmentation=Augmentation(horizontal_flip=settings.horizontal_flip, shift=settings.shift),
        device=settings.device,
        scratch=outputs.scratch,
        cache=outputs.cache,
        criterion=load_criterion(settings.loss, settings.folder, activation=model.outputs_are),
        model_key=_model_key(settings, inputs.one(Kind.DATA_INFO)),
        reporter=outputs.reporter,
    )
    tried = _tried(settings, ground, logits)
    specs, reports = tried.specs, tried.reports
    batch_sizes = settings.measure.batch_sizes
    source = EagerSource(
        settings=settings.model,
        folder=settings.folder,
        data_info=inputs.one(Kind.DATA_INFO),
        weights=weights,
        samples=samples,
    )
    measured = measure_latency(
        [
            *eager_subjects(source, model, batch_sizes=batch_sizes, threads=settings.candidates.threads),
            *(
                file_subject(
                    spec.name,
                    folder_of(spec, ground),
                    RuntimeSpec.from_json(reports[spec.name].runtime),
                    inputs=model.inputs,
                    samples=samples,
                    batch_sizes=batch_sizes,
                )
                for spec in specs
            ),
        ],
        rounds=settings.measure.rounds,
        block_s=settings.measure.block_ms / 1e3,
        reporter=outputs.reporter,
    )
    for spec in specs:
        report, folder = reports[spec.name], folder_of(spec, ground)
        figures = tuple(TimingFigures.model_validate(one.to_json()) for one in measured[spec.name].timings)
        file = str(report.runtime["file"])
        shutil.copyfile(folder / file, outputs.path(Kind.CANDIDATE_MODEL, file, candidate=spec.name))
        if report.tuned_sha256 is not None:
            target = outputs.path(Kind.TUNED_WEIGHTS, TUNED_FILE, candidate=spec.name)
            shutil.copyfile(folder / TUNED_FILE, target)
        path = outputs.path(Kind.CANDIDATE_REPORT, "report.json", candidate=spec.name)
        write_report(path, report.model_copy(update={"timings": figures}))
    eager = fastest_eager(measured).model_dump_json(indent=1) + "\n"
    outputs.path(Kind.EAGER_REPORT, "eager.json").write_text(eager, encoding="utf-8")
    forget_others(ground, [spec.passes for spec in specs])
    listed = CandidateList(
        order=tuple(spec.name for spec in specs), compared=tried.compared, unproven=tuple(tried.rows)
    )
    write_list(outputs.path(Kind.CANDIDATE_ORDER, "order.json"), listed)


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """What was tried.

    Args:
        specs: of the candidates that are proven, in the order of the table.
        reports: of them, by name.
        rows: of the others.
        compared: lossy candidates that could have been selected, planned ones of a search included.
    """

    specs: list[CandidateSpec]
    reports: dict[str, CandidateReport]
    rows: list[Unproven]
    compared: int


def _tried(settings: CandidatesSettings, ground: Ground, logits: NDArray[np.float32]) -> _Tried:
    """Make, prove and judge what the recipe asks for, and what a search makes besides."""
    from pipeline.candidates.evaluate import evaluate_once, folder_of, keep_row, runtime_of
    from pipeline.candidates.spec import FALLBACK
    from pipeline.candidates.unproven import Named, Unproven, ending, way_on

    reports: dict[str, CandidateReport] = {}
    named = Named(
        formats=settings.named_formats,
        variants=tuple(variant.name for variant in settings.candidates.variants or ()),
        candidate=settings.named_candidate,
    )

    def make(spec: CandidateSpec, ground: Ground) -> CandidateReport | Unproven:
        found = evaluate_once(spec, ground, float_logits=logits)
        if isinstance(found, Unproven):
            if (way := way_on(found, named, settings.candidates.formats)) is not None:
                file = folder_of(spec, ground) / runtime_of(spec).file
                raise ending(found, way, kept=file if file.exists() else None)
            keep_row(spec, ground, found)
        else:
            reports[spec.name] = found
            ground.reporter.log(f"candidates: {_summary(found)}")
        return found

    specs, rows = make_asked(
        settings.candidates, make=lambda spec: make(spec, ground), named=named, reporter=ground.reporter
    )
    compared = sum(spec.lossy for spec in specs)
    if settings.search is not None:
        absent = next((row for row in rows if row.name == FALLBACK), None)
        if absent is None:
            searched, planned = _search(settings.search, settings, ground, make, specs=specs, reports=reports)
            specs += searched.specs
            rows += searched.rows
            compared += planned
        else:
            ground.reporter.log(f"search: none, for its networks are made in ONNX, and {FALLBACK} {absent.verdict}")
    return _Tried(specs=specs, reports=reports, rows=rows, compared=compared)


def _search_shift(settings: CandidatesSettings) -> int:
    """By how many pixels a search moves training pictures; 0 without one."""
    if settings.search is None:
        return 0
    return settings.shift if settings.search.shift is None else settings.search.shift


def make_asked(
    candidates: Candidates,
    *,
    make: Callable[[CandidateSpec], CandidateReport | Unproven],
    named: Named,
    reporter: Reporter,
) -> tuple[list[CandidateSpec], list[Unproven]]:
    """Make the candidates that a recipe asks for.

    In a format in which the float network cannot be had, nothing else is tried.

    Args:
        candidates: the recipe's section.
        make: makes, proves and judges one; raises where the build must not go on without it.
        named: what the recipe names.
        reporter: told what cannot be selected, and why.

    Returns:
        Those that are proven, and rows of the others.

    Raises:
        RecipeError: float, or what the recipe names, can be had in no format.
    """
    from pipeline.candidates.spec import candidate_specs
    from pipeline.candidates.unproven import Unproven, ending, require_float, require_variants, way_on, without_format

    asked = candidate_specs(candidates)
    proven: list[CandidateSpec] = []
    rows: list[Unproven] = []
    absent: dict[str, Unproven] = {}
    for done, spec in enumerate(asked):
        reporter.progress("candidates", done, len(asked), spec.name)
        if spec.format in absent:
            row = without_format(spec, absent[spec.format])
            if row.name == named.candidate:
                raise ending(row, way_on(row, named, candidates.formats) or "")
        else:
            found = make(spec)
            if not isinstance(found, Unproven):
                proven.append(spec)
                continue
            row = found
            reporter.log(f"candidates: {row.name}: {row.verdict}, and the build goes on: {row.reason}")
            if not spec.lossy:
                absent[spec.format] = row
        rows.append(row)
    reporter.progress("candidates", len(asked), len(asked))
    require_float([spec.name for spec in proven], rows)
    require_variants(candidates.variants or (), proven, rows)
    return proven, rows


def _search(
    wanted: Searching,
    settings: CandidatesSettings,
    ground: Ground,
    make: Callable[[CandidateSpec, Ground], CandidateReport | Unproven],
    *,
    specs: Sequence[CandidateSpec],
    reports: Mapping[str, CandidateReport],
) -> tuple[Searched, int]:
    """The candidates that a search makes besides those that the recipe asks for, and how many it might have made."""
    from dataclasses import replace

    from pipeline.candidates.spec import FALLBACK
    from pipeline.deadline import Deadline
    from pipeline.passes import FineTune
    from pipeline.search.comparison import Contest
    from pipeline.search.search import LABEL_WEIGHT, aim_for, planned, precisions_for, search

    tuning = FineTune(label_weight=LABEL_WEIGHT, shift=wanted.shift, seed=wanted.seed)
    ground.reporter.log(f"search: {wanted.effort}, for {wanted.goal}, {wanted.limit_s / 60:g} minutes at most")
    deadline = Deadline(ground.scratch / "search-seconds.kept", wanted.limit_s, ground.reporter.log)
    timed = replace(ground, limit=deadline)
    contest = Contest(ground=ground, goal=wanted.goal, measure=settings.measure)
    precisions = precisions_for([reports[spec.name] for spec in specs], gains=contest.gains, reporter=ground.reporter)
    found = search(
        timed,
        effort=wanted.effort,
        limits=wanted.budget,
        compared=sum(spec.lossy for spec in specs),
        tuning=tuning,
        baseline=next(spec for spec in specs if spec.name == FALLBACK),
        precisions=precisions,
        aim=aim_for(wanted.goal, settings.measure, round_to=wanted.round_to),
        evaluate=lambda spec: make(spec, timed),
        contest=contest,
        deadline=deadline,
    )
    return found, planned(wanted.effort, precisions)


def _summary(report: CandidateReport) -> str:
    quality = report.quality
    drop = f", drop {quality.drop * 100:+.2f} points" if report.lossy else ""
    return (
        f"{report.name} ({report.how}): parity {report.parity.nearest:.1e} of {report.parity.limit:.1e} allowed, "
        f"accuracy {quality.accuracy:.4f}{drop}, {report.size / 1000:,.0f} kB"
    )


STAGE = Stage(
    name="candidates",
    reads=(Kind.DATA_INFO, Kind.TRAIN_DATA, Kind.VALIDATION_DATA, Kind.WEIGHTS),
    writes=(Kind.SAMPLES, Kind.CANDIDATE_ORDER, Kind.CANDIDATE_MODEL, Kind.CANDIDATE_REPORT, Kind.EAGER_REPORT),
    settings=settings,
    run=run,
    outside=outside,
    may_write=(Kind.TUNED_WEIGHTS,),
)
