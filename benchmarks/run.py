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
from benchmarks.ours import FLOAT, SPLITS, Ground
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
# A tool that takes longer has lost.
_PEER_S = 3600


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """How a contender answers on one split.

    Args:
        quality: against the float network in torch.
        verdict: of the run's budget.
        right: which examples (N,) it answers rightly.
    """

    quality: QualityReport
    verdict: Verdict
    right: NDArray[np.bool_]


def let_work(
    ground: Ground, model: Path, scratch: Path, *, search_s: float, reporter: Reporter
) -> tuple[list[Contender], dict[str, str]]:
    """Every peer in a process of its own.

    Args:
        ground: what they are handed.
        model: the float network as ONNX.
        scratch: an existing folder for what they make.
        search_s: for a tool that searches as long as it may.
        reporter: told what happens.

    Returns:
        What they made, and by peer why it made nothing.
    """
    made: list[Contender] = []
    left_out: dict[str, str] = {}
    for peer in PEERS:
        folder = scratch / peer
        folder.mkdir()
        job, result = scratch / f"{peer}.job.json", scratch / f"{peer}.made.json"
        task = Task(
            run_dir=ground.run.run_dir,
            model=model,
            input_name=ground.input.name,
            classes=len(ground.model.labels),
            train=ground.run.ground[Kind.TRAIN_DATA, None],
            validation=ground.data["validation"],
            folder=folder,
            max_drop=ground.limits.max_accuracy_drop,
            search_s=search_s,
        )
        job.write_text(json.dumps(task.to_json()), encoding="utf-8")
        reporter.log(f"{peer}: at work")
        try:
            # In the scratch folder: some leave files where they are started.
            _run(benchmarks.make.__name__, peer, str(job), str(result), cwd=folder)
        except ProofError as error:
            left_out[peer] = str(error)
            reporter.log(f"{peer}: not run: {error}")
        else:
            made += [Contender.from_json(one) for one in json.loads(result.read_text(encoding="utf-8"))]
    return made, left_out


def decide(one: Contender, ground: Ground, scratch: Path) -> dict[str, Decisions]:
    """Answer whole splits, as it is run when timed, and judge the answers as a build judges its candidates.

    Args:
        one: the contender.
        ground: the splits, the float network's answers and the budget.
        scratch: an existing folder for temporary files.

    Returns:
        By split. On validation, the bound accounts for all that the run chose from; nothing was chosen on test.
    """
    logits = _logits(one, ground, scratch)
    found = {}
    for split in SPLITS:
        quality = ground.task.judge(
            candidate=one.name,
            outputs=logits[split],
            float_outputs=ground.float_logits[split],
            targets=ground.labels[split],
            names=ground.model.labels,
            activation=ground.model.outputs_are,
        )
        compared = ground.compared if split == "validation" else 1
        found[split] = Decisions(
            quality=quality,
            verdict=judge(quality, ground.limits, lossy=one.lossy, compared=compared),
            right=logits[split].argmax(axis=1) == ground.labels[split],
        )
    return found


def time_all(
    contenders: Sequence[Contender], ground: Ground, scratch: Path, *, rounds: int, block_s: float, reporter: Reporter
) -> dict[str, dict[int, tuple[float, ...]]]:
    """Everything in the same rounds, eager and a copy of the float file among them.

    Args:
        contenders: what to time, the float file among them.
        ground: real inputs, and the network for eager.
        scratch: an existing folder for the copy.
        rounds: interleaved rounds.
        block_s: length of one timed block, in seconds.
        reporter: told what happens.

    Returns:
        Seconds per call, a value per round, by name and batch size; `eager` in its faster memory format.
    """
    baseline = next(one for one in contenders if one.name == FLOAT)
    (scratch / "copy").mkdir()
    copy = shutil.copy(baseline.file, scratch / "copy")
    subjects = [
        *eager_subjects(ground.eager, ground.model, batch_sizes=BATCH_SIZES, threads=1),
        *(_subject(one, ground) for one in (*contenders, replace(baseline, name=COPY, file=Path(copy)))),
    ]
    measured = measure_latency(subjects, rounds=rounds, block_s=block_s, reporter=reporter)
    eager = {one.batch_size: tuple(value / 1e3 for value in one.rounds_ms) for one in fastest_eager(measured).timings}
    return {"eager": eager, **{one.name: _seconds(measured[one.name]) for one in subjects}}


def _seconds(measured: Measurement) -> dict[int, tuple[float, ...]]:
    return {one.batch_size: one.rounds_s for one in measured.timings}


def _subject(one: Contender, ground: Ground) -> Subject:
    if one.runtime is not None:
        return file_subject(
            one.name,
            one.file.parent,
            replace(one.runtime, file=one.file.name),
            inputs=ground.model.inputs,
            samples=ground.samples,
            batch_sizes=BATCH_SIZES,
        )
    job = {
        "engine": one.engine,
        "file": str(one.file),
        "input": ground.input.to_json(),
        "samples": str(ground.samples),
    }
    return Subject(
        name=one.name, worker=benchmarks.worker.__name__, job=job, batch_sizes=BATCH_SIZES, threads=1, own_code=True
    )


def _logits(one: Contender, ground: Ground, scratch: Path) -> dict[str, NDArray[np.float32]]:
    if one.runtime is not None:
        return {
            split: predict_logits(
                file=one.file, runtime=one.runtime, inputs=ground.model.inputs, data=ground.data[split], scratch=scratch
            )
            for split in SPLITS
        }
    answers = scratch / "answers.safetensors"
    job = {
        "engine": one.engine,
        "file": str(one.file),
        "input_name": ground.input.name,
        "data": {split: str(path) for split, path in ground.data.items()},
        "answers": str(answers),
    }
    _run(benchmarks.answers.__name__, json.dumps(job), cwd=scratch)
    return load_file(answers)


def _run(module: str, *arguments: str, cwd: Path) -> None:
    try:
        command = module_command(module, *arguments)
        done = run_child(command, environment=module_environment(own_code=True), cwd=cwd, timeout_s=_PEER_S)
    except subprocess.TimeoutExpired as error:
        raise ProofError(f"it was stopped after {_PEER_S} s") from error
    if done.returncode != 0:
        raise ProofError(failure(done.returncode, done.stderr))
