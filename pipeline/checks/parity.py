"""Parity: a lossless step must reproduce its own source, on real and on extreme inputs, in every batch size."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, assert_never
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from pipeline._handlers.compare import Comparison, compare, turned_decisions
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.runtimes import RUNTIMES, RuntimeKind
from pipeline._handlers.tolerance import FLOAT32, Tolerance
from pipeline.checks.reference import Reference, evaluator
from pipeline.checks.ruler import Ruler, make_rulers, widest
from pipeline.errors import ProofError
from pipeline.replay.start import Replayed, Run, replay, require_examples

SERVED = "as served"
UNOPTIMIZED = "with graph optimizations off"
EVALUATOR = "in onnx's reference evaluator"
# Fewest calls of each shape: two show that a file keeps no state.
_FEWEST_CALLS = 2
# The reference evaluator takes some 10 ms for a million multiply-accumulates, and a fault of an operator shows in any
# example.
_EVALUATOR_EXAMPLES = 4
# Same answers for the same example alone and in a batch: sums may be taken in another order, nothing more. Dynamic
# int8 differs by a hundred times that, because the others in the batch shift its scale.
BATCH_INVARIANT = FLOAT32


@dataclass(frozen=True, kw_only=True)
class ParityCheck:
    """One replay held against the reference.

    Args:
        run: `SERVED`, or another way to run the same file: `UNOPTIMIZED`, `EVALUATOR`.
        inputs: which kind: real, zeros, maximum, noise.
        batch_size: examples per call.
        call: 1 for the first; a runtime may compile something else for the second.
        comparison: what came out.
    """

    run: str = SERVED
    inputs: str
    batch_size: int
    call: int
    comparison: Comparison

    @property
    def strain(self) -> float:
        """Largest difference as a multiple of its limit; infinite where values cannot be compared."""
        one = self.comparison
        strain = abs(one.found - one.expected) / one.limit if one.limit else math.inf
        return math.inf if math.isnan(strain) else strain

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "run": self.run,
            "inputs": self.inputs,
            "batch_size": self.batch_size,
            "call": self.call,
            **self.comparison.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """Whether a candidate reproduces its reference.

    Args:
        candidate: its name.
        reference: name of what it was held against.
        tolerance: the limit, fitted to the answers of the reference.
        checks: one per run, kind of inputs, batch size and call; empty if it could not be replayed.
        error: why it could not be replayed, in one clause; empty if it could.
        batch_invariant: whether an example's answer is the same alone and in a batch. If not, it is served alone.
        batch_difference: largest difference between both.
        environment: processor and library versions of the replay.
        not_run: what was left out, by run, and why.
        left_out: kinds of made-up inputs that prove nothing, because the reference itself has no steady answer to
            them, and why.
        noise: how far float32 takes the reference's answers to real inputs from those in float64; None where that is
            not known.
        empty: whether a file that gives all real inputs one and the same answer would pass too.
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
        """Whether every check passed, and there was one."""
        return not self.error and bool(self.checks) and all(one.comparison.passed for one in self.checks)

    @property
    def worst(self) -> ParityCheck | None:
        """The check nearest to or furthest beyond its limit, failed ones first; None if there is none."""
        return max(self.checks, key=lambda one: (not one.comparison.passed, one.strain), default=None)

    @property
    def max_absolute(self) -> float:
        """Largest absolute difference in any check; infinite where values cannot be compared, or none were."""
        return max((one.comparison.max_absolute for one in self.checks), default=math.inf)

    @property
    def max_relative(self) -> float:
        """Largest relative difference in any check; infinite where a zero was expected and something else found."""
        return max((one.comparison.max_relative for one in self.checks), default=math.inf)

    @property
    def cosine(self) -> float:
        """Smallest cosine in any check; NaN where values cannot be compared, or none were."""
        values = [one.comparison.cosine for one in self.checks]
        return math.nan if not values or any(math.isnan(one) for one in values) else min(values)

    @property
    def argmax_agreement(self) -> float:
        """Smallest share of equal decisions in any check."""
        return min((one.comparison.argmax_agreement for one in self.checks), default=0.0)

    @property
    def runs(self) -> tuple[str, ...]:
        """The ways in which the file was run, in order."""
        return tuple(dict.fromkeys(one.run for one in self.checks))

    def to_json(self) -> dict[str, Any]:
        """As JSON values; a number that JSON has no form for is null."""
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
            "checks": [one.to_json() for one in self.checks],
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
    scratch: Path,
) -> ParityReport:
    """Replay a model file in a new process and compare it with its reference.

    Real samples, zeros, the largest values of the domain and noise go through the code that serves, in chunks of each
    batch size, several calls each. The reference answers the same chunks, so that a candidate whose answers depend on
    the batch is held against the same batch. Whether they do depend on it is found out on the way. Made-up inputs to
    which the reference itself has no steady answer are left out. Where axes are free, real samples of other sizes are
    asked too, alone and in one larger batch.

    An ONNX file is run at the optimization level that is served, with graph optimizations off, and, on a few examples,
    in onnx's reference evaluator: a fault of the file differs in all of them, one of an optimization in the first.

    Args:
        candidate: its name, for messages.
        file: its model file.
        runtime: how the file is served; always replayed in whole batches here.
        reference: what it must reproduce.
        inputs: in the order the model takes them.
        samples: safetensors file with `input.<name>` (N, *shape): real inputs, and groups of other sizes, if any.
        tolerance: the limit, for any network; what rounding does to this one is added.
        batch_sizes: examples per call of the model.
        calls: replays of each kind in each batch size; by default three for TorchScript, two for ONNX.
        skip_evaluator: why an ONNX file is not run in the reference evaluator, which is for small networks; empty if it
            is.
        scratch: an existing folder for temporary files.

    Returns:
        The report; nothing about the candidate is raised.

    Raises:
        DataError: there are no samples.
    """
    require_examples(samples, inputs)
    sizes = sorted({1, *batch_sizes})
    repeats = max(_FEWEST_CALLS, RUNTIMES[runtime.kind].settled_call) if calls is None else calls
    rulers, left_out = make_rulers(reference, inputs, load_file(samples), sizes, tolerance)
    runtimes = {SERVED: runtime}
    # Its own file without optimizations reproduces itself: there is nothing to find out.
    if _is_onnx(runtime.kind) and runtime.optimization != "none" and not reference.same_file:
        runtimes[UNOPTIMIZED] = replace(runtime, optimization="none")
    report = ParityReport(
        candidate=candidate,
        reference=reference.name,
        tolerance=widest([ruler.tolerance for ruler in rulers]),
        checks=(),
        left_out=left_out,
        noise=rulers[0].noise,
        empty=rulers[0].tells_nothing_apart,
    )
    with tempfile.TemporaryDirectory(prefix="parity-", dir=scratch) as name:
        jobs = [
            Run(name=f"{ruler.kind}.{size}", data=_written(ruler, Path(name)), batch_size=size, calls=repeats)
            for ruler in rulers
            for size in ruler.expected
        ]
        found: dict[str, Replayed] = {}
        for run, one in runtimes.items():
            try:
                found[run] = replay(file=file, runtime=one, inputs=inputs, runs=jobs, scratch=Path(name))
            except ProofError as error:
                return replace(report, error=str(error) if run == SERVED else f"{run}: {error}")
    checks = [
        ParityCheck(
            run=run,
            inputs=ruler.kind,
            batch_size=size,
            call=call + 1,
            comparison=ruler.hold(replayed.answers[f"{ruler.kind}.{size}", call], size),
        )
        for ruler in rulers
        for size in ruler.expected
        for run, replayed in found.items()
        for call in range(repeats)
    ]
    not_run = {EVALUATOR: skip_evaluator} if skip_evaluator else {}
    if _is_onnx(runtime.kind) and not skip_evaluator:
        try:
            checks += _evaluator_checks(file, reference, rulers)
        except Exception as error:  # noqa: BLE001 - what it cannot run, it says in many ways; that proves nothing
            not_run[EVALUATOR] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    alone_or_not = _batch_comparisons(found[SERVED], rulers)
    return replace(
        report,
        checks=tuple(checks),
        batch_invariant=all(one.passed for one in alone_or_not),
        batch_difference=max((one.max_absolute for one in alone_or_not), default=0.0),
        environment=f"{found[SERVED].cpu}; {found[SERVED].libraries}",
        not_run=not_run,
    )


def _is_onnx(kind: RuntimeKind) -> bool:
    """Whether a file can be run without its runtime's graph optimizations, and in onnx's reference evaluator, too."""
    match kind:
        case "onnxruntime":
            return True
        case "torchscript":
            return False
        case unreachable:
            assert_never(unreachable)


def require_same_decisions(candidate: str, expected: NDArray[Any], found: NDArray[Any], tolerance: Tolerance) -> None:
    """Stop where a lossless file decides otherwise than its source on labelled data.

    Args:
        candidate: its name.
        expected: answers of its source, (N, K).
        found: its own, (N, K).
        tolerance: of its parity: a decision that leads by no more may turn.

    Raises:
        ProofError: one line with the example, both decisions and the limit.
    """
    turned = turned_decisions(expected, found, tolerance)
    if turned.size:
        row = int(turned[0])
        raise ProofError(
            f"{candidate}: parity on validation: expected the decisions of its torch module, found {len(turned)} of "
            f"{len(expected)} turned that are no near ties; the first is example {row}: expected class "
            f"{int(expected[row].argmax())}, found {int(found[row].argmax())}"
        )


def failure(report: ParityReport, *, where: str = "") -> str:
    """One clause naming the candidate, the inputs, both values and the limit.

    Args:
        report: of one candidate, which failed.
        where: the layer at which it failed, as one clause; empty if it is not known.
    """
    worst = report.worst
    if report.error or worst is None:
        return f"{report.candidate}: parity with {report.reference}: {report.error or 'nothing was compared'}"
    failed = sum(not one.comparison.passed for one in report.checks)
    return (
        f"{report.candidate}: parity with {report.reference} failed on {worst.inputs} inputs at batch size "
        f"{worst.batch_size}, call {worst.call}, {worst.run}: {worst.comparison.reason} ({failed} of "
        f"{len(report.checks)} checks failed: {_who_differs(report)}){f'; {where}' if where else ''}"
    )


def _who_differs(report: ParityReport) -> str:
    """How many checks of each run failed, and on which calls if not on all of them."""
    parts = []
    for run in report.runs:
        checks = [one for one in report.checks if one.run == run]
        failed = [one for one in checks if not one.comparison.passed]
        calls = sorted({one.call for one in failed})
        only = "" if not failed or calls == sorted({one.call for one in checks}) else f", on call {_listed(calls)} only"
        parts.append(f"{run} {len(failed)} of {len(checks)}{only}")
    return "; ".join(parts)


def _listed(numbers: Sequence[int]) -> str:
    return " and ".join(str(one) for one in numbers)


def _written(ruler: Ruler, folder: Path) -> Path:
    """The file of a kind of inputs, written once."""
    file = folder / f"{quote(ruler.kind, safe='')}.safetensors"  # an input's name may be part of it
    if not file.exists():
        save_file({f"input.{name}": np.ascontiguousarray(array) for name, array in ruler.arrays.items()}, file)
    return file


def _evaluator_checks(file: Path, reference: Reference, rulers: Sequence[Ruler]) -> list[ParityCheck]:
    """The first examples of each kind, in one batch."""
    model = evaluator(file)
    checks = []
    for ruler in rulers:
        batch = {name: array[:_EVALUATOR_EXAMPLES] for name, array in ruler.arrays.items()}
        size = len(next(iter(batch.values())))
        comparison = compare(reference.answer(batch), model(batch), ruler.tolerance)
        checks.append(ParityCheck(run=EVALUATOR, inputs=ruler.kind, batch_size=size, call=1, comparison=comparison))
    return checks


def _batch_comparisons(found: Replayed, rulers: Sequence[Ruler]) -> list[Comparison]:
    """Each example's last answer alone against its last answer in every larger batch."""
    last = max(call for _, call in found.answers)
    return [
        compare(
            found.answers[f"{ruler.kind}.1", last],
            found.answers[f"{ruler.kind}.{size}", last],
            replace(BATCH_INVARIANT, absolute=ruler.tolerance.absolute, usual_spread=ruler.tolerance.usual_spread),
        )
        for ruler in rulers
        for size in ruler.expected
        if size > 1
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
