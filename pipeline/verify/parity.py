"""Parity: a lossless step must reproduce its own source, on real and on extreme inputs, in every batch size."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from handlers.compare import FLOAT32, Comparison, Tolerance, compare
from handlers.decode import InputSpec
from handlers.runtime import run_chunks
from handlers.serving import RuntimeSpec
from pipeline.errors import ProofError
from pipeline.verify.process import Replayed, Run, replay
from pipeline.verify.reference import Reference

REAL = "real"
# Same answers for the same example alone and in a batch: sums may be taken in another order, nothing more. Dynamic
# int8 differs by a hundred times that, because the others in the batch shift its scale.
BATCH_INVARIANT = FLOAT32


@dataclass(frozen=True, kw_only=True)
class ParityCheck:
    """One replay held against the reference.

    Args:
        inputs: which kind: real, zeros, maximum, noise.
        batch_size: examples per call.
        call: 1 for the first; a runtime may compile something else for the second.
        comparison: what came out.
    """

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
        tolerance: the limit.
        checks: one per kind of inputs, batch size and call; empty if it could not be replayed.
        error: why it could not be replayed, in one clause; empty if it could.
        batch_invariant: whether an example's answer is the same alone and in a batch. If not, it is served alone.
        batch_difference: largest difference between both.
        environment: processor and library versions of the replay.
    """

    candidate: str
    reference: str
    tolerance: Tolerance
    checks: tuple[ParityCheck, ...]
    error: str = ""
    batch_invariant: bool = True
    batch_difference: float = 0.0
    environment: str = ""

    @property
    def passed(self) -> bool:
        """Whether every check passed, and there was one."""
        return not self.error and bool(self.checks) and all(one.comparison.passed for one in self.checks)

    @property
    def worst(self) -> ParityCheck | None:
        """The check nearest to or furthest beyond its limit, failed ones first; None if there is none."""
        return max(self.checks, key=lambda one: (not one.comparison.passed, one.strain), default=None)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        worst = self.worst
        return {
            "passed": self.passed,
            "candidate": self.candidate,
            "reference": self.reference,
            "tolerance": self.tolerance.to_json(),
            "error": self.error,
            "worst": worst and worst.to_json(),
            "batch_invariant": self.batch_invariant,
            "batch_difference": self.batch_difference if math.isfinite(self.batch_difference) else None,
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
    calls: int = 2,
    scratch: Path,
) -> ParityReport:
    """Replay a model file in a new process and compare it with its reference.

    Real samples, zeros, the largest values of the domain and noise go through the code that serves, in chunks of each
    batch size, several calls each. The reference answers the same chunks, so that a candidate whose answers depend on
    the batch is held against the same batch. Whether they do depend on it is found out on the way.

    Args:
        candidate: its name, for messages.
        file: its model file.
        runtime: how the file is served; always replayed in whole batches here.
        reference: what it must reproduce.
        inputs: in the order the model takes them.
        samples: safetensors file with `input.<name>` (N, *shape): real inputs.
        tolerance: the limit.
        batch_sizes: examples per call of the model.
        calls: replays of each kind in each batch size.
        scratch: an existing folder for temporary files.

    Returns:
        The report; nothing about the candidate is raised.
    """
    sizes = sorted({1, *batch_sizes})
    with tempfile.TemporaryDirectory(prefix="parity-", dir=scratch) as name:
        files = {REAL: samples} | _write_synthetic(inputs, load_file(samples), max(sizes), Path(name))
        runs = [
            Run(name=f"{kind}.{size}", data=data, batch_size=size, calls=calls)
            for kind, data in files.items()
            for size in sizes
        ]
        try:
            found = replay(file=file, runtime=runtime, inputs=inputs, runs=runs, scratch=Path(name))
        except ProofError as error:
            return ParityReport(
                candidate=candidate, reference=reference.name, tolerance=tolerance, checks=(), error=str(error)
            )
        checks: list[ParityCheck] = []
        for kind, data in files.items():
            stored = load_file(data)
            arrays = {one.name: stored[f"input.{one.name}"] for one in inputs}
            for size in sizes:
                expected = run_chunks(reference.answer, arrays, size)
                for call in range(calls):
                    comparison = compare(expected, found.answers[f"{kind}.{size}", call], tolerance)
                    checks.append(ParityCheck(inputs=kind, batch_size=size, call=call + 1, comparison=comparison))
    alone_or_not = _batch_comparisons(found, tuple(files), sizes)
    return ParityReport(
        candidate=candidate,
        reference=reference.name,
        tolerance=tolerance,
        checks=tuple(checks),
        batch_invariant=all(one.passed for one in alone_or_not),
        batch_difference=max((one.max_absolute for one in alone_or_not), default=0.0),
        environment=f"{found.cpu}; {found.libraries}",
    )


def require(report: ParityReport, *, where: str = "") -> None:
    """Stop where parity failed.

    Args:
        report: of one candidate.
        where: the layer at which it failed, as one clause; empty if it is not known.

    Raises:
        ProofError: one line naming the candidate, the inputs, both values and the limit.
    """
    if not report.passed:
        raise ProofError(f"{failure(report, where=where)}; this artifact is not the same model: nothing was packed")


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
        f"{worst.batch_size}, call {worst.call}: {worst.comparison.reason} ({failed} of {len(report.checks)} checks "
        f"failed){f'; {where}' if where else ''}"
    )


def synthetic_inputs(
    inputs: Sequence[InputSpec], real: Mapping[str, NDArray[Any]], count: int
) -> dict[str, dict[str, NDArray[Any]]]:
    """Inputs that no data set holds: zeros, the largest values of the domain, and noise.

    Args:
        inputs: what one example consists of. Where a domain has no end, the real values' own is taken.
        real: real inputs (N, *shape) by name.
        count: examples of each kind.

    Returns:
        Arrays (count, *shape) by input name, by kind; the same on every call.
    """
    random = np.random.default_rng(0)
    kinds: dict[str, dict[str, NDArray[Any]]] = {"zeros": {}, "maximum": {}, "noise": {}}
    for one in inputs:
        shape, dtype = (count, *one.shape), np.dtype(one.dtype)
        low = one.low if math.isfinite(one.low) else float(real[one.name].min())
        high = one.high if math.isfinite(one.high) else float(real[one.name].max())
        kinds["zeros"][one.name] = np.full(shape, min(max(0.0, low), high), dtype)
        kinds["maximum"][one.name] = np.full(shape, high, dtype)
        kinds["noise"][one.name] = (
            random.integers(math.ceil(low), math.floor(high), shape, dtype=dtype, endpoint=True)
            if dtype.kind in "iu"
            else random.uniform(low, high, shape).astype(dtype)
        )
    return kinds


def _write_synthetic(
    inputs: Sequence[InputSpec], samples: Mapping[str, NDArray[Any]], count: int, folder: Path
) -> dict[str, Path]:
    real = {one.name: samples[f"input.{one.name}"] for one in inputs}
    files = {}
    for kind, arrays in synthetic_inputs(inputs, real, count).items():
        files[kind] = folder / f"{kind}.safetensors"
        save_file({f"input.{name}": array for name, array in arrays.items()}, files[kind])
    return files


def _batch_comparisons(found: Replayed, kinds: Sequence[str], sizes: Sequence[int]) -> list[Comparison]:
    """Each example's last answer alone against its last answer in every larger batch."""
    last = max(call for _, call in found.answers)
    return [
        compare(found.answers[f"{kind}.1", last], found.answers[f"{kind}.{size}", last], BATCH_INVARIANT)
        for kind in kinds
        for size in sizes
        if size > 1
    ]
