"""The processes that train one network together, and what they exchange.

Every process draws from the same random state, so that all of them know the whole batch, and computes its own part of
it. What they decide by, they take from process 0. With one process nothing is exchanged, and nothing here is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import Store

from pipeline.engine.out_of_memory import no_memory
from pipeline.errors import JobError, UsageError

# The key under which process 0 leaves what the others shall do.
_CALL = "call"


class LostError(JobError):
    """An exchange failed, because another process has ended or is not reached any more."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """All processes of a training, as one of them sees them.

    Args:
        rank: number of this process, from 0.
        count: number of processes.
        local_rank: number of this process on its machine, from 0; so is its GPU.
        store: key-value store of these processes; None for a process by itself.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    store: Store | None = None

    @property
    def alone(self) -> bool:
        """Whether there is one process."""
        return self.count == 1

    @property
    def leads(self) -> bool:
        """Whether this is process 0, which alone writes files and speaks."""
        return self.rank == 0

    def sizes(self, count: int) -> tuple[int, ...]:
        """The number of examples that each process takes of a batch of `count`; they differ by one at most."""
        return tuple(count // self.count + (rank < count % self.count) for rank in range(self.count))

    def part(self, count: int) -> slice:
        """The examples that this process takes of a batch of `count`; all where it is alone."""
        sizes = self.sizes(count)
        start = sum(sizes[: self.rank])
        return slice(start, start + sizes[self.rank])

    def from_leader(self, content: bytes) -> bytes:
        """Return what process 0 passes; the argument of the others counts for nothing."""
        if self.alone:
            return content
        with exchange():
            size = torch.tensor([len(content)])
            dist.broadcast(size, 0)
            values = torch.empty(int(size), dtype=torch.uint8)
            if self.leads and content:
                values = torch.frombuffer(bytearray(content), dtype=torch.uint8)
            if len(values):
                dist.broadcast(values, 0)
        return values.numpy().tobytes()

    def take_over(self, tensors: Sequence[Tensor]) -> None:
        """Give tensors the values that they have in process 0, in place."""
        if self.alone:
            return
        with exchange(), torch.no_grad():
            for tensor in tensors:
                values = tensor.contiguous()
                dist.broadcast(values.reshape(-1).view(torch.uint8), 0)  # gloo knows numbers alone, no truth values
                tensor.copy_(values)

    def gather(self, rows_BK: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        """Rows of all processes, in their order; the own ones are the same tensor, with its gradient.

        Args:
            rows_BK: rows of this process, (B, K).
            sizes: number of rows of each process.
        """
        if self.alone:
            return [rows_BK]
        with exchange(), torch.no_grad():
            padded = rows_BK.new_zeros(max(sizes), *rows_BK.shape[1:])
            padded[: len(rows_BK)] = rows_BK
            gathered = [torch.empty_like(padded) for _ in sizes]
            dist.all_gather(gathered, padded)
        parts = [rows[:size] for rows, size in zip(gathered, sizes, strict=True)]
        parts[self.rank] = rows_BK
        return parts

    def call_others(self, content: str) -> None:
        """Tell the others what to do; they wait for it in `wait_for_call` of the job."""
        if self.store is not None:
            with exchange():
                self.store.set(_CALL, content)

    def called(self) -> str | None:
        """What process 0 has told the others; None as long as it has told nothing."""
        assert self.store is not None
        with exchange():
            return self.store.get(_CALL).decode() if self.store.check([_CALL]) else None


ALONE = Processes()
_current: list[Processes] = []


def current_processes() -> Processes:
    """The processes that this one trains with."""
    return _current[-1] if _current else ALONE


@contextmanager
def together(processes: Processes) -> Iterator[None]:
    """Let what is trained inside the block be trained by these processes."""
    _current.append(processes)
    try:
        yield
    finally:
        _current.pop()


@contextmanager
def exchange() -> Iterator[None]:
    """Tell apart an exchange that fails inside the block from all other faults.

    Raises:
        LostError: another process has ended or is not reached.
    """
    try:
        yield
    except RuntimeError as error:  # gloo raises nothing more special
        if no_memory(error) is not None:
            raise
        raise LostError(str(error).strip().partition("\n")[0]) from error


def require_settings(processes: Processes, *, batch_size: int, compiled: bool) -> None:
    """Refuse settings of a recipe that several processes cannot train with, by name.

    Args:
        processes: processes of the training.
        batch_size: examples in a batch, over all processes.
        compiled: whether the network is compiled.

    Raises:
        UsageError: there are more processes than examples in a batch, or the network is compiled.
    """
    if processes.alone:
        return
    _require_as_many(processes, "train.batch_size", batch_size)
    if compiled:
        raise UsageError(
            f"train.compile with {processes.count} processes: expected false, because batch norms exchange figures in "
            "the middle of the network; leave it out"
        )


def require_place(processes: Processes, *, examples: int, device: torch.device) -> None:
    """Refuse data and devices that several processes cannot train with.

    Args:
        processes: processes of the training.
        examples: number of training examples.
        device: device of this process.

    Raises:
        UsageError: there are more processes than examples or GPUs, or the device cannot exchange tensors.
    """
    if processes.alone:
        return
    _require_as_many(processes, "training examples", examples)
    if device.type == "cuda" and processes.local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"train.device: expected a GPU for each process of a machine, found {torch.cuda.device_count()} and "
            f'{processes.local_rank + 1} processes or more; lower --nproc-per-node, or set train.device to "cpu"'
        )
    if device.type == "mps":
        raise UsageError(
            f"train.device: expected cpu or cuda with {processes.count} processes, found mps, which cannot exchange "
            'tensors; set it to "cpu"'
        )


def _require_as_many(processes: Processes, name: str, number: int) -> None:
    count = processes.count
    if number < count:
        raise UsageError(
            f"{name} = {number}: expected {count} or more for {count} processes, each of which takes a part of every "
            "batch; start fewer processes"
        )
