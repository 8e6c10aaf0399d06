"""A network compiled for its training steps, by torch.compile."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.errors import UsageError


class Compiled(nn.Module):
    """A model compiled at its first call, with the faults of the compiler in one line."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        # All batches but the last have the same size, so that a program for each size is the fastest.
        self.model = torch.compile(model, dynamic=False)

    def forward(self, *raw: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map raw inputs to the model's answers."""
        from torch._dynamo.exc import TorchDynamoException

        try:
            answers: Tensor | tuple[Tensor, ...] = self.model(*raw)
        except TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            raise UsageError(
                f"train.compile: expected a network and a compiler that torch.compile can work with, found "
                f"{type(error).__name__}: {reason}; leave compile out"
            ) from error
        return answers
