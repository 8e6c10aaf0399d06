"""Check parity: a lossless step must reproduce its own source, on real and extreme inputs, at every batch size."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, assert_never
from urllib.parse import quote

import numpy as np
from safetensors.numpy import load_file, save_file

from pipeline._handlers.compare import Comparison, compare
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.runtimes import RUNTIMES, RuntimeKind
from pipeline._handlers.tolerance import FLOAT32, Tolerance
from pipeline.checks.expectation import Expectation, first_rows, make_expectations, widest
from pipeline.checks.reference import Reference, evaluator
from pipeline.errors import ProofError
from pipeline.replay.start import Replayed, Run, replay, require_examples

SERVED = "as served"
UNOPTIMIZED = "with graph optimizations off"
EVALUATOR = "in onnx's reference evaluator"
# Each shape is called at least this often: two calls show that a file keeps no state.
_FEWEST_CALLS = 2
# The reference evaluator takes some 10 ms for a million multiply-accumulates, and a fault of an operator shows in any
# example.
_EVALUATOR_EXAMPLES = 4
# This tolerance decides whether an example gets the same answer alone and in a batch: sums may be taken in another
# order, nothing more. Dynamic int8 differs by a hundred times that, because the other examples shift its scale.
BATCH_INVARIANT = FLOAT32


@dataclass(frozen=True, kw_only=True)
class ParityCheck:
    """The comparison of one replay with the reference.

    Args:
        run: way in which the file ran: `SERVED`, `UNOPTIMIZED` or `EVALUATOR`.
        inputs: kind of inputs, such as real, zeros, maximum or noise.
        batch_size: examples per call.
        call: number of the call, from 1; a runtime may compile something else for the second call.
        comparison: comparison of the answers.
    """

    run: str = SERVED
    inputs: str
    batch_size: int
    call: int
    comparison: Comparison

    @property
    def strain(self) -> float:
        """The largest difference as a multiple of its limit; infinite where values cannot be compared."""
        return self.comparison.strain

    def to_json(self) -> dict[str, Any]:
        """The check as JSON values."""
        return {
            "run": self.run,
            "inputs": self.inputs,
            "batch_size": self.batch_size,
            "call": self.call,
            **self.comparison.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """The report on whether a candidate reproduces its reference.

    Args:
        candidate: name of the candidate.
        reference: name of what it was compared with.
        tolerance: tolerance, fitted to the answers of the reference.
        checks: one check per run, kind of inputs, batch size and call; empty if the file could not be replayed.
        error: one clause that says why it could not be replayed; empty if it could.
        batch_invariant: whether an example's answer is the same alone and in a batch. If not, it is served alone.
        batch_difference: largest difference between the answers alone and in a batch.
        environment: processor and library versions of the replay.
        not_run: reasons why a run was left out, by run.
        left_out: reasons why a kind of made-up inputs proves nothing, by kind: the reference itself has no steady
            answer to it.
        noise: largest difference between the reference's answers to real inputs in float32 and in float64; None where
            it is not known.
        empty: whether a file that gives the same answer to all real inputs would pass too.
    """

    candidate: str
    reference: str
    tolerance: Tolerance
    checks: tuple[ParityCheck, ...]
    error: str = ""
    batch_invariant: bool = True
    batch_difference: float = 0.0
    environment: str = ""
    not_run: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    noise: float | None = None
    empty: bool = False

    @property
    def passed(self) -> bool:
        """Whether every check passed, and there was at least one."""
        return not self.error and bool(self.checks) and all(check.comparison.passed for check in self.checks)

    @property
    def worst(self) -> ParityCheck | None:
        """The check nearest to or furthest beyond its limit, failed ones first; None if there is none."""
        return max(self.checks, key=lambda check: (not check.comparison.passed, check.strain), default=None)

    @property
    def max_absolute(self) -> float:
        """The largest absolute difference in any check; infinite where values cannot be compared, or none were."""
        return max((check.comparison.max_absolute for check in self.checks), default=math.inf)

    @property
    def max_relative(self) -> float:
        """The largest relative difference in any check; infinite where zero was expected and another value came."""
        return max((check.comparison.max_relative for check in self.checks), default=math.inf)

    @property
    def cosine(self) -> float:
        """The smallest cosine in any check; NaN where values cannot be compared, or none were."""
        values = [check.comparison.cosine for check in self.checks]
        return math.nan if not values or any(math.isnan(value) for value in values) else min(values)

    @property
    def argmax_agreement(self) -> float:
        """The smallest share of equal decisions in any check."""
        return min((check.comparison.argmax_agreement for check in self.checks), default=0.0)

    @property
    def runs(self) -> tuple[str, ...]:
        """The ways in which the file was run, in order."""
        return tuple(dict.fromkeys(check.run for check in self.checks))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; a number that JSON cannot express is null."""
        worst = self.worst
        return {
            "passed": self.passed,
            "candidate": self.candidate,
            "reference": self.reference,
            "tolerance": self.tolerance.to_json(),
            "error": self.error,
            "worst": worst and worst.to_json(),
            "max_absolute": _finite(self.max_absolute),
            "max_relative": _finite(self.max_relative),
            "cosine": _finite(self.cosine),
            "argmax_agreement": self.argmax_agreement,
            "runs": list(self.runs),
            "not_run": dict(self.not_run),
            "left_out": dict(self.left_out),
            "noise": self.noise,
            "empty": self.empty,
            "batch_invariant": self.batch_invariant,
            "batch_difference": _finite(self.batch_difference),
            "environment": self.environment,
            "checks": [check.to_json() for check in self.checks],
        }


def check_parity(
    *,
    candidate: str,
    file: Path,
    runtime: RuntimeSpec,
    reference: Reference,
    inputs: Sequence[InputSpec],
    samples: Path,
    tolerance: Tolerance,
    batch_sizes: Sequence[int] = (1, 2, 7, 32),
    calls: int | None = None,
    skip_evaluator: str = "",
    macs: int = 0,
    scratch: Path,
) -> ParityReport:
    """Replay a model file in a new process and compare it with its reference.

    Real samples, zeros, the largest values of the domain and noise go through the code that serves, in chunks of each
    batch size, several calls each. The reference answers the same chunks, so that a candidate whose answers depend on
    the batch is compared on the same batch. The report says whether they do depend on it. Made-up inputs to which the
    reference itself has no steady answer are left out. Where axes are free, real samples of other sizes are used too,
    alone and in one larger batch.

    An ONNX file runs at the optimization level that is served, with graph optimizations off, and, on a few examples, in
    onnx's reference evaluator. A fault of the file shows in all three runs, a fault of an optimization in the first.

    Args:
        candidate: name of the candidate, for messages.
        file: its model file.
        runtime: settings with which the file is served; it is always replayed in whole batches here.
        reference: reference that it must reproduce.
        inputs: specs of the inputs, in the order the model takes them.
        samples: safetensors file with `input.<name>` (N, *shape): real inputs, and groups of other sizes, if any.
        tolerance: tolerance for any network; the rounding of this network is added.
        batch_sizes: examples per call of the model.
        calls: replays of each kind at each batch size; by default three for TorchScript, two for ONNX.
        skip_evaluator: reason why an ONNX file does not run in the reference evaluator, which is for small networks;
            empty if it does.
        macs: multiply-accumulates of the network for one example; a costly one answers fewer examples.
        scratch: existing folder for temporary files.

    Returns:
        The report; a fault of the candidate raises nothing.

    Raises:
        DataError: there are no samples.
    """
    require_examples(samples, inputs)
    sizes = sorted({1, *batch_sizes})
    repeats = max(_FEWEST_CALLS, RUNTIMES[runtime.kind].settled_call) if calls is None else calls
    expectations, left_out = make_expectations(reference, inputs, load_file(samples), sizes, tolerance, macs=macs)
    runtimes = {SERVED: runtime}
    # If the reference is the same file without optimizations, this run would compare the file with itself.
    if _is_onnx(runtime.kind) and runtime.optimization != "none" and not reference.same_file:
        runtimes[UNOPTIMIZED] = replace(runtime, optimization="none")
    noise = expectations[0].noise
    report = ParityReport(
        candidate=candidate,
        reference=reference.name,
        tolerance=widest([expectation.tolerance for expectation in expectations]),
        checks=(),
        left_out=left_out,
        noise=max(noise) if isinstance(noise, tuple) else noise,
        empty=expectations[0].tells_nothing_apart,
    )
    with tempfile.TemporaryDirectory(prefix="parity-", dir=scratch) as name:
        jobs = [
            Run(
                name=f"{expectation.kind}.{size}",
                data=_write_inputs(expectation, len(answers), Path(name)),
                batch_size=size,
                calls=repeats,
            )
            for expectation in expectations
            for size, answers in expectation.expected.items()
        ]
        replays: dict[str, Replayed] = {}
        for run, settings in runtimes.items():
            try:
                replays[run] = replay(file=file, runtime=settings, inputs=inputs, runs=jobs, scratch=Path(name))
            except ProofError as error:
                return replace(report, error=str(error) if run == SERVED else f"{run}: {error}")
    checks = [
        ParityCheck(
            run=run,
            inputs=expectation.kind,
            batch_size=size,
            call=call + 1,
            comparison=expectation.hold(replayed.answers[f"{expectation.kind}.{size}", call], size),
        )
        for expectation in expectations
        for size in expectation.expected
        for run, replayed in replays.items()
        for call in range(repeats)
    ]
    not_run = {EVALUATOR: skip_evaluator} if skip_evaluator else {}
    if _is_onnx(runtime.kind) and not skip_evaluator:
        try:
            checks += _evaluator_checks(file, reference, expectations)
        except Exception as error:  # noqa: BLE001 - it raises many errors for what it cannot run, which prove nothing
            not_run[EVALUATOR] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    batch_comparisons = _batch_comparisons(replays[SERVED], expectations)
    return replace(
        report,
        checks=tuple(checks),
        batch_invariant=all(comparison.passed for comparison in batch_comparisons),
        batch_difference=max((comparison.max_absolute for comparison in batch_comparisons), default=0.0),
        environment=f"{replays[SERVED].cpu}; {replays[SERVED].libraries}",
        not_run=not_run,
    )


def _is_onnx(kind: RuntimeKind) -> bool:
    """Whether a file can also run without its runtime's graph optimizations and in onnx's reference evaluator."""
    match kind:
        case "onnxruntime":
            return True
        case "torchscript":
            return False
        case unreachable:
            assert_never(unreachable)


def failure(report: ParityReport, *, where: str = "") -> str:
    """One clause that names the candidate, the inputs, both values and the limit.

    Args:
        report: failed report on one candidate.
        where: layer at which it failed, as one clause; empty if it is not known.
    """
    worst = report.worst
    if report.error or worst is None:
        return f"{report.candidate}: parity with {report.reference}: {report.error or 'nothing was compared'}"
    failed = sum(not check.comparison.passed for check in report.checks)
    return (
        f"{report.candidate}: parity with {report.reference} failed on {worst.inputs} inputs at batch size "
        f"{worst.batch_size}, call {worst.call}, {worst.run}: {worst.comparison.reason} ({failed} of "
        f"{len(report.checks)} checks failed: {_who_differs(report)}){f'; {where}' if where else ''}"
    )


def _who_differs(report: ParityReport) -> str:
    """Words that say how many checks of each run failed, and on which calls if not on all."""
    parts = []
    for run in report.runs:
        checks = [check for check in report.checks if check.run == run]
        failed = [check for check in checks if not check.comparison.passed]
        calls = sorted({check.call for check in failed})
        all_failed = calls == sorted({check.call for check in checks})
        only = "" if not failed or all_failed else f", on call {_join(calls)} only"
        parts.append(f"{run} {len(failed)} of {len(checks)}{only}")
    return "; ".join(parts)


def _join(numbers: Sequence[int]) -> str:
    return " and ".join(str(number) for number in numbers)


def _write_inputs(expectation: Expectation, rows: int, folder: Path) -> Path:
    """Write the first inputs of one kind into a file unless it is there, and return the file."""
    file = folder / f"{quote(expectation.kind, safe='')}.{rows}.safetensors"  # an input's name may be part of it
    if not file.exists():
        arrays = first_rows(expectation.arrays, rows)
        save_file({f"input.{name}": np.ascontiguousarray(array) for name, array in arrays.items()}, file)
    return file


def _evaluator_checks(file: Path, reference: Reference, expectations: Sequence[Expectation]) -> list[ParityCheck]:
    """Run the first examples of each kind in onnx's reference evaluator, in one batch, and compare them."""
    model = evaluator(file)
    checks = []
    for expectation in expectations:
        batch = {name: array[:_EVALUATOR_EXAMPLES] for name, array in expectation.arrays.items()}
        size = len(next(iter(batch.values())))
        comparison = compare(reference.answer(batch), model(batch), expectation.tolerance)
        checks.append(
            ParityCheck(run=EVALUATOR, inputs=expectation.kind, batch_size=size, call=1, comparison=comparison)
        )
    return checks


def _batch_comparisons(replayed: Replayed, expectations: Sequence[Expectation]) -> list[Comparison]:
    """Compare each example's last answer alone with its last answer in every larger batch."""
    last = max(call for _, call in replayed.answers)
    comparisons = []
    for expectation in expectations:
        limit = replace(
            BATCH_INVARIANT,
            absolute=expectation.tolerance.absolute,
            usual_spread=expectation.tolerance.usual_spread,
            outputs=expectation.tolerance.outputs,
        )
        alone, *batches = (replayed.answers[f"{expectation.kind}.{size}", last] for size in expectation.expected)
        for batch in batches:
            rows = min(len(alone), len(batch))
            comparisons.append(compare(alone[:rows], batch[:rows], limit))
    return comparisons


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
