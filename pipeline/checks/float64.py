"""This module runs a float32 network in float64, which shows how far rounding alone moves its answers."""

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
from pipeline.models.spec import joined

# A function from one batch, arrays (B, *shape) by input name, to logits (B, K) in float64. It returns None where the
# network cannot be run in float64.
Exact = Callable[[Mapping[str, NDArray[Any]]], NDArray[np.float64] | None]

_SHORTER = (torch.float32, torch.float16, torch.bfloat16)


class _InFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A mode in which every operator reads and makes float64 tensors instead of shorter floating-point ones.

    Preprocessing casts to float32, and so do networks that call `float()`.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return tree_map(_widen, func(*tree_map(_widen, args), **tree_map(_widen, kwargs or {})))


def _widen(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return torch.float64 if value in _SHORTER else value
    return value.to(torch.float64) if isinstance(value, Tensor) and value.dtype in _SHORTER else value


def exact_answers(module: nn.Module, inputs: Sequence[InputSpec]) -> Exact:
    """A module's answers in float64.

    Args:
        module: module in evaluation mode that maps positional raw inputs to logits (B, K); it is left as it is.
        inputs: specs of the inputs, in the order the module takes them.

    Returns:
        A function that returns None where the module cannot be run in float64, or not to the end.
    """
    names = [spec.name for spec in inputs]
    copies: list[nn.Module] = []

    def answer(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
        try:
            if not copies:
                copies.append(copy.deepcopy(module).to(torch.float64))
            with torch.no_grad(), one_thread(), _InFloat64():  # type: ignore[no-untyped-call]
                tensors = [torch.from_numpy(np.require(arrays[name], requirements=["C", "W"])) for name in names]
                answers = joined(copies[0](*tensors))
                exact: NDArray[np.float64] = answers.to(torch.float64).numpy()
        except Exception:  # noqa: BLE001 - an operator may lack float64, a module may not be copied
            return None
        return exact

    return answer
