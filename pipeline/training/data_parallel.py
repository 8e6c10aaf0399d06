"""Train one network in several processes: each computes its part of every batch, and all take the same steps.

The loss is computed of the answers of all processes, so that it is the loss of the whole batch, whatever it is: with
weights of classes, mixed pictures, or a loss of the user's own. Each process has the gradient of its own answers, and
`DistributedDataParallel` adds these up while they are computed.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.errors import UsageError
from pipeline.models.spec import joined
from pipeline.training.device import random_state, restore_random_state
from pipeline.training.global_batch_norm import GlobalBatchNorm
from pipeline.training.processes import Processes, exchange


class DataParallel:
    """A model that several processes train.

    Args:
        model: model that maps raw inputs to answers.
        processes: processes that train it.
        device: device of this process.

    Raises:
        UsageError: part of the model is a TorchScript module, whose batch norms would see this process's part alone.
    """

    def __init__(self, model: nn.Module, processes: Processes, *, device: torch.device) -> None:
        scripted = [name for name, module in model.named_modules() if isinstance(module, torch.jit.ScriptModule)]
        if scripted:
            raise UsageError(
                f"model.factory: expected a network of plain modules for several processes, found {scripted[0]} as "
                "TorchScript, whose batch norms see the part of one process alone; return it unscripted, or start one "
                "process"
            )
        self.processes = processes
        self._model = model
        self._device = device
        self._wrapped: DistributedDataParallel | None = None
        self._next_seed = 0

    def start_epoch(self) -> None:
        """Connect the processes for an epoch, with the weights of process 0.

        It is done anew for each epoch: other parameters may be trained then, and an interrupted training goes on with
        the same sums as one in one go.
        """
        # The common random state stays as it is: one process draws nothing here.
        random = random_state(self._device)
        self._next_seed = int(torch.randint(1 << 62, ())) + self.processes.rank
        restore_random_state(random, self._device)
        with exchange():
            # Parameters that have no part in the answer are no fault: one process leaves them as they are.
            self._wrapped = DistributedDataParallel(self._model, find_unused_parameters=True)
        self._wrapped.register_comm_hook(None, _added_up)

    def end_epoch(self, buffers: Iterable[Tensor]) -> None:
        """Take the processes apart again.

        Args:
            buffers: values that no gradient changes; all processes then have those of process 0.
        """
        assert self._wrapped is not None
        self._wrapped._remove_autograd_hooks()  # type: ignore[no-untyped-call]  # noqa: SLF001 - nothing public does it
        self._wrapped = None
        self.processes.take_over(list(buffers))

    def draw_seed(self) -> int:
        """The seed of this process's dropout for the next batch; no other process and no other batch has it."""
        seed = self._next_seed
        self._next_seed += self.processes.count
        return seed

    def part(self, count: int) -> slice:
        """The examples of a batch that this process computes; the first where it has no part, for the exchange."""
        part = self.processes.part(count)
        return part if part.stop > part.start else slice(0, 1)

    def exchanging(self, *, gradients: bool) -> AbstractContextManager[Any]:
        """Whether the gradients inside the block are exchanged; those that are not add up until then."""
        assert self._wrapped is not None
        if gradients:
            return nullcontext()
        return self._wrapped.no_sync()

    def answers(self, raw: tuple[Tensor, ...], *, count: int, seed: int) -> Tensor:
        """The answers (B, K) to a whole batch, of which this process computes its part, with its gradient.

        Args:
            raw: raw inputs of this process's part.
            count: number of examples in the whole batch.
            seed: seed of this process's dropout.
        """
        assert self._wrapped is not None
        sizes = self.processes.sizes(count)
        size = sizes[self.processes.rank]
        random = random_state(self._device)
        torch.manual_seed(seed)
        try:
            with GlobalBatchNorm(counts=size > 0):
                rows_BK = joined(self._wrapped(*raw))
        finally:
            restore_random_state(random, self._device)
        return torch.cat(self.processes.gather(rows_BK[:size], sizes))


def _added_up(_state: Any, bucket):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - torch reads annotations
    """The gradients of all processes added up, where DistributedDataParallel would take their mean."""
    return dist.all_reduce(bucket.buffer(), async_op=True).get_future().then(lambda future: future.value()[0])
