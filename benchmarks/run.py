"""The steps of a comparison: let the others work, ask all of them the same questions, time them in the same rounds."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

import benchmarks.answers
import benchmarks.make
import benchmarks.worker
from benchmarks.contender import BATCH_SIZES, PEERS, Contender, Task
from benchmarks.ours import FLOAT, SPLITS, Benchmark
from pipeline.candidates.choose import Verdict, judge
from pipeline.candidates.eager import eager_subjects, fastest_eager
from pipeline.checks.outputs import predict_logits
from pipeline.engine.artifacts import Kind
from pipeline.engine.process import failure, module_command, module_environment, run_child
from pipeline.engine.stage import Reporter
from pipeline.errors import ProofError
from pipeline.measure.latency import Measurement, Subject, file_subject, measure_latency
from pipeline.tasks.quality import QualityReport

COPY = "its copy"
# Longest time for a tool's work, in seconds. A tool that takes longer has lost.
_PEER_S = 3600


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """How a contender answers on one split.

    Args:
        quality: quality against the float network in torch.
        verdict: verdict of the run's budget.
        right: mask (N,) of the examples that it answers rightly.
    """

    quality: QualityReport
    verdict: Verdict
    right: NDArray[np.bool_]


def let_work(
    benchmark: Benchmark, model: Path, scratch: Path, *, search_s: float, reporter: Reporter
) -> tuple[list[Contender], dict[str, str]]:
    """Let every peer work, each in a process of its own.

    Args:
        benchmark: what they are handed.
        model: the float network as ONNX.
        scratch: an existing folder for what they make.
        search_s: time for a tool that searches as long as it may, in seconds.
        reporter: reporter that is told what happens.

    Returns:
        The contenders that they made, and by peer why it made nothing.
    """
    contenders: list[Contender] = []
    left_out: dict[str, str] = {}
    for peer in PEERS:
        folder = scratch / peer
        folder.mkdir()
        job, result = scratch / f"{peer}.job.json", scratch / f"{peer}.made.json"
        task = Task(
            run_dir=benchmark.run.run_dir,
            model=model,
            input_name=benchmark.input.name,
            classes=len(benchmark.model.labels),
            train=benchmark.run.files[Kind.TRAIN_DATA, None],
            validation=benchmark.data["validation"],
            folder=folder,
            max_drop=benchmark.limits.max_accuracy_drop,
            search_s=search_s,
        )
        job.write_text(json.dumps(task.to_json()), encoding="utf-8")
        reporter.log(f"{peer}: at work")
        try:
            # It runs in the scratch folder, because some tools leave files where they are started.
            _run(benchmarks.make.__name__, peer, str(job), str(result), cwd=folder)
        except ProofError as error:
            left_out[peer] = str(error)
            reporter.log(f"{peer}: not run: {error}")
        else:
            contenders += [Contender.from_json(document) for document in json.loads(result.read_text(encoding="utf-8"))]
    return contenders, left_out


def decide(contender: Contender, benchmark: Benchmark, scratch: Path) -> dict[str, Decisions]:
    """Answer whole splits, as the contender is run when timed, and judge the answers as a build judges its candidates.

    Args:
        contender: the contender.
        benchmark: the splits, the float network's answers and the budget.
        scratch: an existing folder for temporary files.

    Returns:
        The decisions by split. On validation, the bound accounts for all that the run chose from; nothing was chosen on
        test.
    """
    logits = _logits(contender, benchmark, scratch)
    decisions = {}
    for split in SPLITS:
        quality = benchmark.task.judge(
            candidate=contender.name,
            outputs=logits[split],
            float_outputs=benchmark.float_logits[split],
            targets=benchmark.labels[split],
            names=benchmark.model.labels,
            activation=benchmark.model.outputs_are,
        )
        compared = benchmark.compared if split == "validation" else 1
        decisions[split] = Decisions(
            quality=quality,
            verdict=judge(quality, benchmark.limits, lossy=contender.lossy, compared=compared),
            right=logits[split].argmax(axis=1) == benchmark.labels[split],
        )
    return decisions


def time_all(
    contenders: Sequence[Contender],
    benchmark: Benchmark,
    scratch: Path,
    *,
    rounds: int,
    block_s: float,
    reporter: Reporter,
) -> dict[str, dict[int, tuple[float, ...]]]:
    """Time everything in the same rounds, eager and a copy of the float file among them.

    Args:
        contenders: contenders to time, the float file among them.
        benchmark: real inputs, and the network for eager.
        scratch: an existing folder for the copy.
        rounds: number of interleaved rounds.
        block_s: length of one timed block, in seconds.
        reporter: reporter that is told what happens.

    Returns:
        Seconds per call, a value per round, by name and batch size; `eager` in its faster memory format.
    """
    baseline = next(contender for contender in contenders if contender.name == FLOAT)
    (scratch / "copy").mkdir()
    copy = shutil.copy(baseline.file, scratch / "copy")
    subjects = [
        *eager_subjects(benchmark.eager, benchmark.model, batch_sizes=BATCH_SIZES, threads=1),
        *(_subject(contender, benchmark) for contender in (*contenders, replace(baseline, name=COPY, file=Path(copy)))),
    ]
    measured = measure_latency(subjects, rounds=rounds, block_s=block_s, reporter=reporter)
    eager = {
        timing.batch_size: tuple(value / 1e3 for value in timing.rounds_ms)
        for timing in fastest_eager(measured).timings
    }
    return {"eager": eager, **{subject.name: _seconds(measured[subject.name]) for subject in subjects}}


def _seconds(measured: Measurement) -> dict[int, tuple[float, ...]]:
    return {timing.batch_size: timing.rounds_s for timing in measured.timings}


def _subject(contender: Contender, benchmark: Benchmark) -> Subject:
    if contender.runtime is not None:
        return file_subject(
            contender.name,
            contender.file.parent,
            replace(contender.runtime, file=contender.file.name),
            inputs=benchmark.model.inputs,
            samples=benchmark.samples,
            batch_sizes=BATCH_SIZES,
        )
    job = {
        "engine": contender.engine,
        "file": str(contender.file),
        "input": benchmark.input.to_json(),
        "samples": str(benchmark.samples),
    }
    return Subject(
        name=contender.name,
        worker=benchmarks.worker.__name__,
        job=job,
        batch_sizes=BATCH_SIZES,
        threads=1,
        own_code=True,
    )


def _logits(contender: Contender, benchmark: Benchmark, scratch: Path) -> dict[str, NDArray[np.float32]]:
    if contender.runtime is not None:
        return {
            split: predict_logits(
                file=contender.file,
                runtime=contender.runtime,
                inputs=benchmark.model.inputs,
                data=benchmark.data[split],
                scratch=scratch,
            )
            for split in SPLITS
        }
    answers = scratch / "answers.safetensors"
    job = {
        "engine": contender.engine,
        "file": str(contender.file),
        "input_name": benchmark.input.name,
        "data": {split: str(path) for split, path in benchmark.data.items()},
        "answers": str(answers),
    }
    _run(benchmarks.answers.__name__, json.dumps(job), cwd=scratch)
    return load_file(answers)


def _run(module: str, *arguments: str, cwd: Path) -> None:
    try:
        command = module_command(module, *arguments)
        process = run_child(command, environment=module_environment(own_code=True), cwd=cwd, timeout_s=_PEER_S)
    except subprocess.TimeoutExpired as error:
        raise ProofError(f"it was stopped after {_PEER_S} s") from error
    if process.returncode != 0:
        raise ProofError(failure(process.returncode, process.stderr))
