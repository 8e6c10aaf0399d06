"""A float32 network run in float64: how far rounding alone takes its answers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from pipeline._handlers.decode import InputSpec
from pipeline.engine.threads import one_thread

# From one batch, arrays (B, *shape) by input name, to logits (B, K) in float64; None where the network cannot be run
# like that.
Exact = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float64] | None]

_SHORTER = (torch.float32, torch.float16, torch.bfloat16)


class _InFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Every operator that would read or make a shorter floating-point tensor has one in float64 instead.

    Casts to float32 are in preprocessing, and in networks that call `float()`.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return tree_map(_widened, func(*tree_map(_widened, args), **tree_map(_widened, kwargs or {})))


def _widened(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return torch.float64 if value in _SHORTER else value
    return value.to(torch.float64) if isinstance(value, Tensor) and value.dtype in _SHORTER else value


def exact_answers(module: nn.Module, inputs: Sequence[InputSpec]) -> Exact:
    """A module's answers in float64.

    Args:
        module: raw inputs positional in, logits (B, K) out; in evaluation mode, and left as it is.
        inputs: in the order the module takes them.

    Returns:
        A function that answers None where the module cannot be run in float64, or not to the end.
    """
    names = [one.name for one in inputs]
    made: list[nn.Module] = []

    def answer(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
        try:
            if not made:
                made.append(copy.deepcopy(module).to(torch.float64))
            with torch.no_grad(), one_thread(), _InFloat64():  # type: ignore[no-untyped-call]
                tensors = [torch.from_numpy(np.require(arrays[name], requirements=["C", "W"])) for name in names]
                answers = made[0](*tensors)
                exact: NDArray[np.float64] = answers.to(torch.float64).numpy()
        except Exception:  # noqa: BLE001 - operators without float64, modules that cannot be copied: it is not known then
            return None
        return exact

    return answer
