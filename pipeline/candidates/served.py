"""Judges the winner on the test split, as it is served; the split is opened for this alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.candidates.judged import judge_on
from pipeline.candidates.report import CandidateReport
from pipeline.checks.outputs import predict_logits
from pipeline.data.dataset import read_split
from pipeline.engine.documents import read_document
from pipeline.models.info import ModelInfo
from pipeline.tasks.metrics import SplitMetrics
from pipeline.tasks.quality import QualityReport
from pipeline.tasks.table import task_of


@dataclass(frozen=True, kw_only=True)
class ServedQuality:
    """What was found out about the winner on the test split.

    Args:
        quality: comparison of its decisions with those of float.
        decided: number of examples by the class that float decides for, where the split has no labels; else empty.
        metrics: metrics of the winner and of float; None where the split has no labels to be judged by.
    """

    quality: QualityReport
    decided: tuple[int, ...]
    metrics: SplitMetrics | None


def served_quality(
    winner: CandidateReport,
    winner_file: Path,
    baseline: CandidateReport,
    baseline_file: Path,
    *,
    model_info: Path,
    data: Path,
    folder: Path,
    scratch: Path,
) -> ServedQuality:
    """Judge the winner against the float network on the test split, both as they are served.

    Args:
        winner: the candidate to judge.
        winner_file: its model file.
        baseline: the float network as a lossless candidate.
        baseline_file: its model file.
        model_info: file with the facts of the model: its inputs and labels.
        data: file of the split.
        folder: folder of the recipe, where the module of the user's score lies, if there is one.
        scratch: folder for temporary files.
    """
    info = read_document(model_info, ModelInfo)
    logits = [
        predict_logits(file=file, runtime=report.runtime, inputs=info.inputs, data=data, scratch=scratch)
        for report, file in ((winner, winner_file), (baseline, baseline_file))
    ]
    split, task = read_split(data), task_of(info.task, outputs=info.outputs, folder=folder)
    quality = judge_on(
        split,
        task,
        candidate=winner.name,
        outputs=logits[0],
        float_outputs=logits[1],
        names=info.labels,
        activation=info.activation,
    )
    targets = split.targets(task, logits[1], activation=info.activation)
    if split.judged(task).labels is None:
        return ServedQuality(quality=quality, decided=task.counts(targets, outputs=len(info.labels)), metrics=None)
    networks = {
        report.name: task.metrics(outputs, targets, names=info.labels, activation=info.activation)
        for report, outputs in zip((winner, baseline), logits, strict=True)
    }
    metrics = SplitMetrics(split="test", networks=networks, error_name=task.error_name)
    return ServedQuality(quality=quality, decided=(), metrics=metrics)
