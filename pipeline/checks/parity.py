"""Check parity: a lossless step must reproduce its own source, on real and extreme inputs, at every batch size."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import assert_never
from urllib.parse import quote

import numpy as np
from safetensors.numpy import load_file, save_file

from pipeline._handlers.compare import Comparison, compare
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.runtimes import RUNTIMES, RuntimeKind
from pipeline._handlers.tolerance import FLOAT32, Tolerance
from pipeline.checks.expectation import Expectation, first_rows, make_expectations, widest
from pipeline.checks.parity_report import EVALUATOR, SERVED, UNOPTIMIZED, ParityCheck, ParityReport
from pipeline.checks.reference import Reference, evaluator
from pipeline.errors import ProofError
from pipeline.replay.start import PendingReplay, Replayed, Run, replaying, require_examples

# Each shape is called at least this often: two calls show that a file keeps no state.
_FEWEST_CALLS = 2
# The reference evaluator takes some 10 ms for a million multiply-accumulates, and a fault of an operator shows in any
# example.
_EVALUATOR_EXAMPLES = 4
# This tolerance decides whether an example gets the same answer alone and in a batch: sums may be taken in another
# order, nothing more. Dynamic int8 differs by a hundred times that, because the other examples shift its scale.
BATCH_INVARIANT = FLOAT32


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
    runtimes = _runtimes(runtime, reference)
    not_run = {EVALUATOR: skip_evaluator} if skip_evaluator else {}
    evaluated: list[ParityCheck] = []
    try:
        with _replaying(file, runtimes, inputs, expectations, calls=repeats, scratch=scratch) as pending:
            # The evaluator runs here, without the limits of a replay: what a replay cannot run does not come to it.
            replays = {SERVED: _finished(SERVED, pending.pop(SERVED))}
            if _is_onnx(runtime.kind) and not skip_evaluator:
                try:
                    evaluated = _evaluator_checks(file, reference, expectations)
                except Exception as error:  # noqa: BLE001 - it raises many errors for what it cannot run: no proof
                    not_run[EVALUATOR] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            replays |= {run: _finished(run, replay) for run, replay in pending.items()}
    except ProofError as error:
        return replace(report, error=str(error))
    checks = [*_replay_checks(replays, expectations, calls=repeats), *evaluated]
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


def _runtimes(runtime: RuntimeSpec, reference: Reference) -> dict[str, RuntimeSpec]:
    """Return the settings of each replay, by the way in which the file runs."""
    runtimes = {SERVED: runtime}
    # If the reference is the same file without optimizations, this run would compare the file with itself.
    if _is_onnx(runtime.kind) and runtime.optimization != "none" and not reference.same_file:
        runtimes[UNOPTIMIZED] = replace(runtime, optimization="none")
    return runtimes


@contextmanager
def _replaying(
    file: Path,
    runtimes: Mapping[str, RuntimeSpec],
    inputs: Sequence[InputSpec],
    expectations: Sequence[Expectation],
    *,
    calls: int,
    scratch: Path,
) -> Iterator[dict[str, PendingReplay]]:
    """Replay all inputs at each batch size, in a new process for each way in which the file runs, side by side."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parity-", dir=scratch)))
        jobs = [
            Run(
                name=f"{expectation.kind}.{size}",
                data=_write_inputs(expectation, len(answers), folder),
                batch_size=size,
                calls=calls,
            )
            for expectation in expectations
            for size, answers in expectation.expected.items()
        ]
        yield {
            run: stack.enter_context(replaying(file=file, runtime=settings, inputs=inputs, runs=jobs, scratch=folder))
            for run, settings in runtimes.items()
        }


def _finished(run: str, replay: PendingReplay) -> Replayed:
    """Wait for the answers of a replay.

    Raises:
        ProofError: the file cannot be replayed; the text names the way in which it runs, unless it is that of serving.
    """
    try:
        return replay.finished()
    except ProofError as error:
        raise ProofError(str(error) if run == SERVED else f"{run}: {error}") from error


def _replay_checks(
    replays: Mapping[str, Replayed], expectations: Sequence[Expectation], *, calls: int
) -> list[ParityCheck]:
    """Compare the answers of every call with those of the reference."""
    return [
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
        for call in range(calls)
    ]


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
