"""What a run directory brings to the comparison: its winner and its front, as they are, and the float network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.contender import Contender
from pipeline._handlers.decode import InputSpec
from pipeline.candidates.choose import OVERTURNS, judge
from pipeline.candidates.eager import EagerSource
from pipeline.candidates.evaluate import float_logits
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.selection import Selection
from pipeline.candidates.spec import baseline_of
from pipeline.commands.opened import OpenedRun, open_run
from pipeline.data.dataset import read_info, read_split
from pipeline.engine.artifacts import Kind
from pipeline.engine.documents import read_document
from pipeline.errors import FileError
from pipeline.models.info import ModelInfo
from pipeline.models.load import load_model_spec
from pipeline.models.spec import ModelSpec
from pipeline.pages.front import Point, pareto_front
from pipeline.recipe.limits import Budget
from pipeline.tasks.table import task_of
from pipeline.tasks.task import Task

OURS = "pipeline: "
FLOAT = "ONNX Runtime"
SPLITS = ("validation", "test")


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What all contenders are measured on.

    Args:
        run: the opened run directory.
        model: specification of the network.
        task: task of the network.
        eager: what eager is made from.
        samples: path of real inputs, to time on.
        data: path of the file of each split.
        labels: labels (N,) by split.
        float_logits: logits (N, K) of the float network in torch, by split.
        limits: budget of the run.
        compared: number of candidates that the run chose from, which its bounds account for.
    """

    run: OpenedRun
    model: ModelSpec
    task: Task
    eager: EagerSource
    samples: Path
    data: Mapping[str, Path]
    labels: Mapping[str, NDArray[np.int64]]
    float_logits: Mapping[str, NDArray[np.float32]]
    limits: Budget
    compared: int

    @property
    def input(self) -> InputSpec:
        """The network's one input."""
        return self.model.inputs[0]


def open_benchmark(run_dir: Path) -> Benchmark:
    """Open a finished build.

    Args:
        run_dir: run directory of the build.

    Raises:
        FileError: it is not finished, something in it was altered, or its network takes several inputs.
    """
    run = open_run(run_dir)
    recipe, benchmark = run.recipe, run.files
    info = read_info(benchmark[Kind.DATA_INFO, None])
    model = load_model_spec(recipe.model, recipe.folder, info)
    model = model.as_called(read_document(benchmark[Kind.MODEL_INFO, None], ModelInfo))
    if len(model.inputs) != 1:
        raise FileError(f"{run_dir}: expected a network of one input, found {len(model.inputs)}; others take one here")
    weights = benchmark[Kind.WEIGHTS, None]
    data = {"validation": benchmark[Kind.VALIDATION_DATA, None], "test": run.require(run.manifest.one(Kind.TEST_DATA))}
    task = task_of(info.task)
    logits = {split: float_logits(model, weights, data[split]) for split in SPLITS}
    return Benchmark(
        run=run,
        model=model,
        task=task,
        eager=EagerSource(
            settings=recipe.model,
            folder=recipe.folder,
            data_info=benchmark[Kind.DATA_INFO, None],
            model_info=benchmark[Kind.MODEL_INFO, None],
            weights=weights,
            samples=benchmark[Kind.SAMPLES, None],
        ),
        samples=benchmark[Kind.SAMPLES, None],
        data=data,
        labels={
            split: read_split(data[split]).targets(task, logits[split], activation=model.outputs_are)
            for split in SPLITS
        },
        float_logits=logits,
        limits=recipe.budget,
        compared=run.compared,
    )


def float_file(benchmark: Benchmark) -> Contender:
    """Return the float network as ONNX, with ONNX Runtime's defaults: every other tool starts from it."""
    return _contender(
        benchmark, _report(benchmark, _baseline(benchmark)), FLOAT, seconds=None, note="float, default session options"
    )


def our_files(benchmark: Benchmark) -> list[Contender]:
    """Return the winner first, then what else is on the front of latency or of size, inside the budget."""
    selected = read_document(benchmark.run.require(benchmark.run.manifest.one(Kind.SELECTION)), Selection).selected
    allowed = [point for point in (_point(benchmark, report) for report in benchmark.run.reports) if point.allowed]
    front = {*pareto_front(allowed, "latency"), *pareto_front(allowed, "size")} - {selected, _baseline(benchmark)}
    stages = benchmark.run.manifest.stages
    seconds = stages["candidates"].seconds + stages["select"].seconds
    return [
        _contender(
            benchmark,
            _report(benchmark, name),
            f"{OURS}{name}",
            seconds=seconds,
            note="selected" if name == selected else "on the front",
        )
        for name in (selected, *(point.name for point in allowed if point.name in front))
    ]


def _point(benchmark: Benchmark, report: CandidateReport) -> Point:
    verdict = judge(report.quality, benchmark.limits, lossy=report.lossy, compared=benchmark.compared)
    return Point(
        name=report.name,
        drop=report.quality.drop,
        drop_low=report.quality.interval_lower,
        drop_high=verdict.adjusted_drop_upper,
        latency_ms=report.timing(1).rounds_ms,
        size=report.size,
        allowed=verdict.allowed,
        overturns=verdict.text == OVERTURNS,
        selected=False,
    )


def _contender(
    benchmark: Benchmark, report: CandidateReport, name: str, *, seconds: float | None, note: str
) -> Contender:
    runtime = report.runtime
    alone = "; the answer depends on the batch: one by one, as it is served" if runtime.one_by_one else ""
    return Contender(
        name=name,
        engine="handlers",
        file=benchmark.run.require(benchmark.run.models[report.name]),
        seconds=seconds,
        size=report.size,
        note=note + alone,
        runtime=runtime,
        lossy=report.lossy,
    )


def _baseline(benchmark: Benchmark) -> str:
    return baseline_of([report.name for report in benchmark.run.reports])


def _report(benchmark: Benchmark, name: str) -> CandidateReport:
    return next(report for report in benchmark.run.reports if report.name == name)
