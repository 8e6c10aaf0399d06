"""Batch norm over the whole batch while several processes compute a part of it each.

Mean and variance are those of all processes' examples, so that a network learns what it learns in one process.
`torch.nn.SyncBatchNorm` does the same on GPUs alone, and only for layers that are replaced by it; here it is the
function that all layers call, those of timm and of the user too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from pipeline.training.processes import exchange


class GlobalBatchNorm(TorchFunctionMode):
    """Let batch norms that train inside the block see the examples of all processes.

    Args:
        counts: whether the examples of this process count. They do not where it has no part of a batch, and computes
            with an example of another's for the exchange alone.
    """

    def __init__(self, *, counts: bool) -> None:
        super().__init__()
        self.counts = counts

    def __enter__(self) -> Self:
        """Begin the block."""
        _entered.append(self)
        return super().__enter__()  # type: ignore[no-any-return, no-untyped-call]

    def __exit__(self, *error: object) -> None:
        """End the block."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        _entered.pop()

    @staticmethod
    def again() -> AbstractContextManager[Any]:
        """The block that runs now, for what is computed again after its end; an empty one where none runs."""
        return GlobalBatchNorm(counts=_entered[-1].counts) if _entered else nullcontext()

    def __torch_function__(
        self,
        function: Callable[..., Any],
        _types: Any,
        arguments: tuple[Any, ...] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute a batch norm that trains over all processes, and everything else as it is."""
        if function is F.batch_norm:
            return _batch_norm(*arguments, **(keywords or {}), counts=self.counts)
        return function(*arguments, **(keywords or {}))


_entered: list[GlobalBatchNorm] = []


def _batch_norm(
    values: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,  # noqa: FBT001, FBT002 - as in torch
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    counts: bool,
) -> Tensor:
    """Normalize (B, C, ...) by all processes' mean and variance; arguments as `torch.nn.functional.batch_norm` has."""
    result: Tensor
    if not training:
        return F.batch_norm(values, running_mean, running_var, weight, bias, training, momentum, eps)
    result, mean_C, variance_C, count = _Normalize.apply(values, eps, counts)  # type: ignore[no-untyped-call]
    if running_mean is not None and running_var is not None:
        with torch.no_grad():
            running_mean.lerp_(mean_C.to(running_mean.dtype), momentum)
            # As in torch, what is remembered is the estimate for all there is, not the variance of the batch.
            estimate_C = variance_C * (count / (count - 1).clamp(min=1))
            running_var.lerp_(estimate_C.to(running_var.dtype), momentum)
    shape = (1, -1, *[1] * (values.ndim - 2))
    if weight is not None:
        result = result * weight.view(shape)
    if bias is not None:
        result = result + bias.view(shape)
    return result.to(values.dtype)


class _Normalize(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) over all processes, in float32."""

    @staticmethod
    def forward(context: Any, values: Tensor, eps: float, counts: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: FBT001 - torch passes it so
        values = values.float()
        axes, shape = [0, *range(2, values.ndim)], (1, -1, *[1] * (values.ndim - 2))
        number = values.numel() // values.shape[1]
        sums = torch.cat([values.sum(dim=axes), values.new_tensor([float(number)])]) * float(counts)
        _add_up(sums)
        count, mean_C = sums[-1], sums[:-1] / sums[-1]
        centred = values - mean_C.view(shape)
        # The variance from differences to the mean, in a second exchange: from sums of squares it would lose digits.
        variance_C = centred.square().sum(dim=axes) * float(counts)
        _add_up(variance_C)
        variance_C = variance_C / count
        scale_C = (variance_C + eps).rsqrt()
        result = centred * scale_C.view(shape)
        context.save_for_backward(result, scale_C, count)
        context.counts = counts
        context.mark_non_differentiable(mean_C, variance_C, count)
        return result, mean_C, variance_C, count

    @staticmethod
    def backward(context: Any, gradient: Tensor, *_others: Tensor) -> tuple[Tensor, None, None]:
        result, scale_C, count = context.saved_tensors
        axes, shape = [0, *range(2, result.ndim)], (1, -1, *[1] * (result.ndim - 2))
        sums = torch.stack([gradient.sum(dim=axes), (gradient * result).sum(dim=axes)])
        _add_up(sums)
        mean_C, product_C = (sums / count).unbind()
        through = gradient - mean_C.view(shape) - result * product_C.view(shape)
        # Examples that do not count have no part in mean and variance, so that nothing comes back through these.
        return (through if context.counts else gradient) * scale_C.view(shape), None, None


def _add_up(values: Tensor) -> None:
    with exchange():
        dist.all_reduce(values)
