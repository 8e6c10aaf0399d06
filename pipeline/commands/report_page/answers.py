"""Answers of float and of the winner to validation examples, from their files as they are served."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.candidates.report import CandidateReport
from pipeline.checks.outputs import predict_logits
from pipeline.data.dataset import Split, read_split, write_split
from pipeline.engine.artifacts import Kind
from pipeline.engine.documents import read_document
from pipeline.engine.manifest import Manifest
from pipeline.models.info import ModelInfo
from pipeline.tasks.table import task_of
from pipeline.tasks.task import Task

# Longest time for the answers of one file, in seconds: a report must cost a build no more than a few seconds. More
# examples than that allows are not looked at, but always so many.
_SECONDS = 1.25
_FEWEST = 64
# Examples that are copied to be answered take no more memory than this, in bytes.
_MOST_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What two networks answer to the same examples.

    Args:
        info: facts of the model.
        task: its task.
        rows: rows of the examples in the validation split, (N,).
        whole: number of examples of the whole split.
        split: the examples.
        winner: outputs of the winner, (N, K).
        baseline: outputs of float, (N, K).
        targets: targets of the examples; float's decisions where there are no labels to judge by.
        labelled: whether the targets are labels.
    """

    info: ModelInfo
    task: Task
    rows: NDArray[np.int64]
    whole: int
    split: Split
    winner: NDArray[np.float32]
    baseline: NDArray[np.float32]
    targets: NDArray[Any]
    labelled: bool


def compare_answers(
    run_dir: Path, manifest: Manifest, winner: CandidateReport, baseline: CandidateReport, *, folder: Path
) -> Compared:
    """Let float and the winner answer validation examples, in processes that may do nothing else.

    Args:
        run_dir: run directory of the build.
        manifest: its manifest.
        winner: report on the winner.
        baseline: report on the float network's file.
        folder: folder of the recipe, where the user's score lies.

    Raises:
        PipelineError: a file is missing, or cannot answer.
    """
    info = read_document(run_dir / manifest.one(Kind.MODEL_INFO).path, ModelInfo)
    task = task_of(info.task, outputs=info.outputs, folder=folder)
    path = run_dir / manifest.one(Kind.VALIDATION_DATA).path
    split = read_split(path)
    whole = len(split)
    rows = _rows(split, max(_seconds_each(report) for report in (winner, baseline)))
    files = manifest.of_candidates(Kind.CANDIDATE_MODEL)
    with tempfile.TemporaryDirectory(prefix="report-") as name:
        scratch = Path(name)
        if len(rows) < whole:
            split, path = split.take(rows), scratch / "examples.safetensors"
            write_split(path, split)
        outputs = {
            report.name: predict_logits(
                file=run_dir / files[report.name].path,
                runtime=report.runtime,
                inputs=info.inputs,
                data=path,
                scratch=scratch,
            )
            for report in {report.name: report for report in (winner, baseline)}.values()
        }
    return Compared(
        info=info,
        task=task,
        rows=rows,
        whole=whole,
        split=split,
        winner=outputs[winner.name],
        baseline=outputs[baseline.name],
        targets=split.targets(task, outputs[baseline.name], activation=info.activation),
        labelled=split.judged(task).labels is not None,
    )


def _rows(split: Split, seconds: float) -> NDArray[np.int64]:
    """The rows of the examples that there is time for, spread over the split."""
    whole = len(split)
    count = min(whole, max(_FEWEST, int(_SECONDS / seconds)))
    if count < whole:
        bytes_each = sum(raw.nbytes for raw in split.inputs.values()) // whole or 1
        count = max(1, min(count, _MOST_BYTES // bytes_each))
    rows: NDArray[np.int64] = np.linspace(0, whole - 1, count).astype(np.int64)
    return np.unique(rows)


def _seconds_each(report: CandidateReport) -> float:
    """The time that one example takes as the file is served, in seconds."""
    timing = min(report.timings, key=lambda timing: timing.batch_size)
    if not report.runtime.one_by_one:
        timing = max(report.timings, key=lambda timing: timing.batch_size)
    return timing.median_ms / 1e3 / timing.batch_size
