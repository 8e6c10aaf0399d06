"""Stage `candidates`: it makes, proves and judges every candidate, then times all of them side by side."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from pipeline.engine.artifacts import Kind
from pipeline.engine.factories import user_factories
from pipeline.engine.stage import Inputs, Outputs, Reporter, Stage
from pipeline.formats import FormatName
from pipeline.recipe.candidates import Candidates, Export
from pipeline.recipe.limits import Measure, Verify
from pipeline.recipe.model import Model
from pipeline.recipe.names import DeviceName, MixedPrecision, SamplingName
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.section import Section
from pipeline.recipe.train import ClassWeights
from pipeline.search.settings import SearchSettings, search_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pipeline.candidates.context import Context
    from pipeline.candidates.eager import EagerSource
    from pipeline.candidates.report import CandidateReport
    from pipeline.data.dataset import DataInfo
    from pipeline.models.info import ModelInfo
    from pipeline.models.spec import ModelSpec
    from pipeline.search.make import MadeCandidates
    from pipeline.tasks.task import Task


class CandidatesSettings(Section):
    """What the stage sees of a recipe; the recipe's folder is left out of the cache key.

    From the `[train]` section the stage sees only the settings that fine-tuning uses too.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"mixed_precision", "class_weights", "sampling"})

    model: Model
    horizontal_flip: bool
    shift: int
    loss: str | None
    device: DeviceName
    mixed_precision: MixedPrecision = "off"
    class_weights: ClassWeights = None
    sampling: SamplingName = "shuffled"
    candidates: Candidates
    search: SearchSettings | None
    export: Export
    verify: Verify
    measure: Measure
    factories: dict[str, str] = Field(exclude=True)
    folder: Path = Field(exclude=True)
    # Only whether the build goes on without a candidate depends on these, not what is made.
    named_formats: tuple[FormatName, ...] = Field(exclude=True)
    named_candidate: str | None = Field(exclude=True)


def settings(recipe: Recipe) -> CandidatesSettings:
    """Return the stage's view of a recipe."""
    return CandidatesSettings(
        model=recipe.model,
        horizontal_flip=recipe.train.horizontal_flip,
        shift=recipe.train.shift,
        loss=recipe.train.loss,
        device=recipe.train.device,
        mixed_precision=recipe.train.mixed_precision,
        class_weights=recipe.train.class_weights,
        sampling=recipe.train.sampling,
        candidates=recipe.candidates,
        search=search_settings(recipe),
        export=recipe.export,
        verify=recipe.verify,
        measure=recipe.measure,
        factories=user_factories(recipe, "model", "task", "train"),
        folder=recipe.folder,
        named_formats=recipe.candidates.named_formats,
        named_candidate=recipe.select.candidate,
    )


def _model_key(settings: CandidatesSettings, data_info: Path) -> str:
    """Digest all that the model is made of besides its weights, and its loss. Both were loaded before."""
    from pipeline.engine.artifacts import digest_bytes, digest_file
    from pipeline.engine.reads import recorded
    from pipeline.models.outside import outside_digests

    model = settings.model.model_copy(update={"weights": None, "weights_key": None})
    parts = [
        model.model_dump(mode="json"),
        outside_digests(model, settings.factories, settings.folder),
        digest_file(data_info),
        recorded(),
        *([] if settings.loss is None else [settings.loss]),
        *([] if settings.class_weights is None else [settings.class_weights]),
    ]
    return digest_bytes(json.dumps(parts, sort_keys=True).encode())


def outside(settings: CandidatesSettings) -> dict[str, str]:
    """Return digests of the user's model factory and loss, and the CPU that the timings belong to."""
    from pipeline.measure.host import channel_block, computes_bfloat16, cpu_model, usable_cores
    from pipeline.models.outside import outside_digests

    model = settings.model.model_copy(update={"weights": None})
    sources = outside_digests(model, settings.factories, settings.folder)
    host = {"cpu": cpu_model(), "cores": str(usable_cores()), "channels at a time": str(channel_block())}
    host["bfloat16"] = str(computes_bfloat16())
    return {**sources, **host}


def make_context(
    settings: CandidatesSettings,
    files: Mapping[Kind, Path],
    *,
    model: ModelSpec,
    task: Task,
    scratch: Path,
    reporter: Reporter,
    cache: Path | None = None,
) -> Context:
    """Build the context of candidates. A caller that trains adds what only training needs.

    Args:
        settings: settings of the stage.
        files: files of which a run has one each, by kind: weights, splits and samples.
        model: the float model.
        task: the model's task.
        scratch: folder for temporary files.
        reporter: receives the progress.
        cache: folder for tuned weights; the scratch folder if None.
    """
    from pipeline.candidates.context import Context
    from pipeline.training.augment import Augmentation

    return Context(
        model=model,
        task=task,
        weights=files[Kind.WEIGHTS],
        train=files[Kind.TRAIN_DATA],
        validation=files[Kind.VALIDATION_DATA],
        samples=files[Kind.SAMPLES],
        opset=settings.export.opset,
        batch_sizes=settings.verify.batch_sizes,
        evaluator_macs=settings.verify.reference_evaluator_macs,
        augmentation=Augmentation(horizontal_flip=settings.horizontal_flip, shift=settings.shift),
        device=settings.device,
        mixed_precision=settings.mixed_precision,
        sampling=settings.sampling,
        scratch=scratch,
        cache=scratch if cache is None else cache,
        reporter=reporter,
    )


def run(settings: CandidatesSettings, inputs: Inputs, outputs: Outputs) -> None:
    """Write the samples, eager's timings, and per candidate a model file, a report and fine-tuned weights, if any."""
    from pipeline.candidates.requested import Maker
    from pipeline.candidates.timing import time_side_by_side
    from pipeline.candidates.tune import forget_others
    from pipeline.candidates.unproven import Named
    from pipeline.engine.documents import write_document
    from pipeline.search.make import make_candidates

    context, logits = _training_context(settings, inputs, outputs)
    named = Named(
        formats=settings.named_formats,
        variants=tuple(variant.name for variant in settings.candidates.variants or ()),
        candidate=settings.named_candidate,
    )
    maker = Maker(candidates=settings.candidates, named=named, float_logits=logits)
    result = make_candidates(maker, context, searched=settings.search, measure=settings.measure)
    reports, eager = time_side_by_side(
        [result.reports[spec.name] for spec in result.specs],
        _eager_source(settings, inputs, context),
        context,
        measure=settings.measure,
        threads=settings.candidates.threads,
    )
    _write(reports, context, outputs)
    write_document(outputs.path(Kind.EAGER_REPORT, "eager.json"), eager)
    forget_others(context, [spec.passes for spec in result.specs])
    _write_list(result, context, outputs)


def _training_context(
    settings: CandidatesSettings, inputs: Inputs, outputs: Outputs
) -> tuple[Context, NDArray[np.float32]]:
    """Load the float model, write the samples, and build the context of candidates with what training needs.

    Returns:
        The context, and the float network's outputs on validation, (N, K).
    """
    from pipeline.candidates.evaluate import float_logits, other_sizes, write_samples
    from pipeline.data.dataset import read_info, read_split
    from pipeline.engine.documents import read_document
    from pipeline.models.info import ModelInfo
    from pipeline.recipe.task import judged_by_labels
    from pipeline.tasks.table import task_of
    from pipeline.training.class_weights import class_weights
    from pipeline.training.loss import load_criterion

    data = read_info(inputs.one(Kind.DATA_INFO))
    info = read_document(inputs.one(Kind.MODEL_INFO), ModelInfo)
    model = _model(settings, data, info)
    task = task_of(data.task, outputs=model.outputs, folder=settings.folder)
    files = {kind: inputs.one(kind) for kind in (Kind.WEIGHTS, Kind.TRAIN_DATA, Kind.VALIDATION_DATA)}
    weights, validation = files[Kind.WEIGHTS], files[Kind.VALIDATION_DATA]
    _check_training(settings, model, task, weights=weights, validation=validation)
    logits = float_logits(model, weights, validation)
    sized = other_sizes(model, weights, validation)
    for line in sized.lines():
        outputs.reporter.log(f"candidates: {line}")
    files[Kind.SAMPLES] = outputs.path(Kind.SAMPLES, "samples.safetensors")
    write_samples(files[Kind.SAMPLES], validation=validation, logits=logits, count=settings.verify.samples, sized=sized)
    context = make_context(
        settings,
        files,
        model=model,
        task=task,
        scratch=outputs.scratch,
        cache=outputs.cache,
        reporter=outputs.reporter,
    )
    weights_K = class_weights(
        settings.class_weights,
        task=task.settings,
        targets=read_split(files[Kind.TRAIN_DATA]).labels,
        names=model.labels,
    )
    criterion = load_criterion(
        settings.loss,
        settings.folder,
        task=task,
        activation=model.outputs_are,
        weights_K=weights_K,
        outputs=model.outputs,
    )
    judged = data.labelled and judged_by_labels(data.task)
    return replace(
        context,
        criterion=criterion,
        decisions=None if judged else task.targets_of(logits, activation=model.outputs_are),
        model_key=_model_key(settings, inputs.one(Kind.DATA_INFO)),
    ), logits


def _model(settings: CandidatesSettings, data: DataInfo, info: ModelInfo) -> ModelSpec:
    """Load the float model, and check that the recipe's variants and the search can be made of it."""
    from pipeline.compress.layer_names import check_layer_names
    from pipeline.models.load import load_model_spec
    from pipeline.training.augment import Augmentation, require_pictures
    from pipeline.training.unlabelled import require_no_labels

    if not data.labelled:
        require_no_labels(data.name, loss=settings.loss, variants=settings.candidates.variants or ())
    model = load_model_spec(settings.model, settings.folder, data).as_called(info)
    if settings.candidates.variants:  # a factory may take long
        check_layer_names(model.build(), settings.candidates.variants)
    searched = settings.search
    if searched is not None:
        shift = settings.shift if searched.shift is None else searched.shift
        require_pictures(Augmentation(shift=shift), model.inputs, section="search")
    return model


def _check_training(
    settings: CandidatesSettings, model: ModelSpec, task: Task, *, weights: Path, validation: Path
) -> None:
    """Find out, before anything is made, whether a network that is to be fine-tuned answers in training mode."""
    from pipeline.data.dataset import read_split
    from pipeline.models.first_call import check_training_mode
    from pipeline.models.weights import load_network
    from pipeline.recipe.passes import FineTune

    passes = [step for variant in settings.candidates.variants or () for step in variant.passes]
    if settings.search is None and not any(isinstance(step, FineTune) for step in passes):
        return
    network = settings.model
    source = f"model.name {network.name}" if network.factory is None else f"model.factory {network.factory}"
    check_training_mode(
        model,
        load_network(model, weights),
        task=task,
        examples=read_split(validation),
        source=source,
    )


def _eager_source(settings: CandidatesSettings, inputs: Inputs, context: Context) -> EagerSource:
    from pipeline.candidates.eager import EagerSource

    return EagerSource(
        settings=settings.model,
        folder=settings.folder,
        data_info=inputs.one(Kind.DATA_INFO),
        model_info=inputs.one(Kind.MODEL_INFO),
        weights=context.weights,
        samples=context.samples,
    )


def _write(reports: Sequence[CandidateReport], context: Context, outputs: Outputs) -> None:
    """Write per candidate its report, and copy its model file and its tuned weights from the scratch folder."""
    from pipeline.candidates.evaluate import TUNED_FILE, folder_of
    from pipeline.engine.documents import write_document

    for report in reports:
        name, folder = report.name, folder_of(report, context)
        file = report.runtime.file
        shutil.copyfile(folder / file, outputs.path(Kind.CANDIDATE_MODEL, file, candidate=name))
        if report.tuned_sha256 is not None:
            shutil.copyfile(folder / TUNED_FILE, outputs.path(Kind.TUNED_WEIGHTS, TUNED_FILE, candidate=name))
        write_document(outputs.path(Kind.CANDIDATE_REPORT, "report.json", candidate=name), report)


def _write_list(result: MadeCandidates, context: Context, outputs: Outputs) -> None:
    from pipeline.candidates.unproven import CandidateList
    from pipeline.engine.documents import write_document

    decided: tuple[int, ...] = ()
    if context.decisions is not None:
        decided = context.task.counts(context.decisions, outputs=len(context.model.labels))
    listed = CandidateList(
        order=tuple(spec.name for spec in result.specs),
        compared=result.compared,
        unproven=tuple(result.rows),
        searched=result.networks,
        decided=decided,
    )
    write_document(outputs.path(Kind.CANDIDATE_ORDER, "order.json"), listed)


STAGE = Stage(
    name="candidates",
    reads=(Kind.DATA_INFO, Kind.MODEL_INFO, Kind.TRAIN_DATA, Kind.VALIDATION_DATA, Kind.WEIGHTS),
    writes=(Kind.SAMPLES, Kind.CANDIDATE_ORDER, Kind.CANDIDATE_MODEL, Kind.CANDIDATE_REPORT, Kind.EAGER_REPORT),
    settings=settings,
    run=run,
    outside=outside,
    may_write=(Kind.TUNED_WEIGHTS,),
)
