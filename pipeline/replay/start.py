"""Starts a replay in a new process, which is confined where this system can, and reads its answers."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file

import pipeline
import pipeline.replay.child
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.runtimes import RuntimeKind
from pipeline.engine.array_files import fits_in_memory
from pipeline.engine.confine import confined_command
from pipeline.engine.out_of_memory import lacked_memory
from pipeline.engine.process import failure, finished_child, module_environment, running_child
from pipeline.errors import DataError, ProofError

_ANSWERS, _FACTS = "answers.safetensors", "facts.json"
# Replays that may go on at once: as served and without optimizations for the parity check, and of the whole split.
_AT_ONCE = 3


@dataclass(frozen=True, kw_only=True)
class Run:
    """Inputs to replay.

    Args:
        name: name of the run, under which its answers are returned.
        data: safetensors file with `input.<name>` (N, *shape) for each input.
        batch_size: examples per call of the model.
        calls: how often the whole file is replayed.
    """

    name: str
    data: Path
    batch_size: int
    calls: int = 1


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """The answers of a replay.

    Args:
        answers: logits (N, K) by name of the run and number of the call, from 0.
        cpu: processor, and the instruction sets that decide how sums are rounded.
        libraries: versions of the libraries that computed the answers.
        torch_imported: whether the process imported torch.
    """

    answers: Mapping[tuple[str, int], NDArray[Any]]
    cpu: str
    libraries: str
    torch_imported: bool


@dataclass(frozen=True, kw_only=True)
class PendingReplay:
    """A replay whose answers are still to come.

    Args:
        model: name of the model file, for messages.
        kind: runtime that runs it.
        runs: inputs that it answers.
        folder: folder into which it writes its answers.
        started: its process, where it goes on beside others; None where that starts when it is waited for.
        start: starts its process, again too.
    """

    model: str
    kind: RuntimeKind
    runs: tuple[Run, ...]
    folder: Path
    started: subprocess.Popen[str] | None
    start: Callable[[], subprocess.Popen[str]]

    def finished(self, *, timeout_s: float | None = None) -> Replayed:
        """Wait for its end, and return the answers; it has an end once.

        One that went on beside others begins again where memory was too little for all.

        Args:
            timeout_s: longest wait, in seconds; without limit if None.

        Raises:
            ProofError: the process failed: it cannot load the file, cannot answer such a batch, or took too long.
        """
        try:
            process = finished_child(self.started or self.start(), timeout_s=timeout_s)
            if self.started is not None and lacked_memory(process):
                process = finished_child(self.start(), timeout_s=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ProofError(f"{self.model}: expected answers within {timeout_s:g} s, found none") from error
        if process.returncode != 0:
            raise ProofError(
                f"{self.model} cannot be replayed ({self.kind}): {failure(process.returncode, process.stderr)}"
            )
        logits = load_file(self.folder / _ANSWERS)
        return Replayed(
            answers={(run.name, call): logits[f"{run.name}.{call}"] for run in self.runs for call in range(run.calls)},
            **json.loads((self.folder / _FACTS).read_text(encoding="utf-8")),
        )


def replay(
    *,
    file: Path,
    runtime: RuntimeSpec,
    inputs: Sequence[InputSpec],
    runs: Sequence[Run],
    scratch: Path,
    timeout_s: float | None = None,
) -> Replayed:
    """Answer inputs with a model file as it is served, in a new process.

    Args:
        file: path of the model file.
        runtime: how the file is run; its `file` is replaced by the name of `file`.
        inputs: specifications of the inputs, in the order in which the model takes them.
        runs: inputs to answer, in this order, in one process.
        scratch: folder for files that pass between the processes; they are removed afterwards.
        timeout_s: longest time for the process, in seconds; without limit if None.

    Raises:
        ProofError: the process failed: it cannot load the file, cannot answer such a batch, or took too long.
    """
    with replaying(file=file, runtime=runtime, inputs=inputs, runs=runs, scratch=scratch, alone=True) as pending:
        return pending.finished(timeout_s=timeout_s)


@contextmanager
def replaying(
    *,
    file: Path,
    runtime: RuntimeSpec,
    inputs: Sequence[InputSpec],
    runs: Sequence[Run],
    scratch: Path,
    alone: bool = False,
) -> Iterator[PendingReplay]:
    """Start a replay that goes on beside this process. At the end of the block it is killed, unless it has finished.

    Large files are not held in memory several times at once: such a replay starts when it is waited for.

    Args:
        file: as for `replay`.
        runtime: as for `replay`.
        inputs: as for `replay`.
        runs: as for `replay`.
        scratch: as for `replay`.
        alone: whether it starts when it is waited for, however small it is.
    """
    with tempfile.TemporaryDirectory(prefix="replay-", dir=scratch) as name:
        folder = Path(name).resolve()
        job = folder / "job.json"
        document = {
            "folder": str(file.resolve().parent),
            "runtime": replace(runtime, file=file.name).to_json(),
            "inputs": [spec.to_json() for spec in inputs],
            "runs": [
                {"name": run.name, "data": str(run.data.resolve()), "batch_size": run.batch_size, "calls": run.calls}
                for run in runs
            ],
            "answers": str(folder / _ANSWERS),
            "facts": str(folder / _FACTS),
        }
        job.write_text(json.dumps(document), encoding="utf-8")
        command = confined_command(pipeline.replay.child.__name__, str(job), writable=[folder])
        environment = module_environment(threads=runtime.threads)
        with ExitStack() as stack:

            def start() -> subprocess.Popen[str]:
                return stack.enter_context(running_child(command, environment=environment, cwd=folder))

            started = None if alone or not _fits_beside_others(file, runs) else start()
            yield PendingReplay(
                model=file.name, kind=runtime.kind, runs=tuple(runs), folder=folder, started=started, start=start
            )


def _fits_beside_others(file: Path, runs: Sequence[Run]) -> bool:
    """Whether memory is enough for several replays of a model file at once, each with its data."""
    files = {file, *(run.data for run in runs)}
    return fits_in_memory(_AT_ONCE * sum(path.stat().st_size for path in files if path.exists()))


def require_examples(data: Path, inputs: Sequence[InputSpec]) -> None:
    """Check that there are examples to replay, because a check of no examples proves nothing.

    Args:
        data: safetensors file with `input.<name>` (N, *shape) for each input.
        inputs: specifications of the model's inputs.

    Raises:
        DataError: an input is missing, or there are no examples.
    """
    with safe_open(data, framework="numpy") as stored:
        names = set(stored.keys())
        for spec in inputs:
            if f"input.{spec.name}" not in names:
                held = ", ".join(sorted(names)) or "nothing"
                raise DataError(f"{data.name}: expected input {spec.name}, found {held}")
            count = stored.get_slice(f"input.{spec.name}").get_shape()[0]
            if not count:
                raise DataError(f"{data.name}: expected at least 1 example of input {spec.name}, found none")
