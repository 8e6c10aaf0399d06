"""Weights and other constants of a module, and those that an exported file holds in their place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline._handlers.compare import compare
from pipeline._handlers.tolerance import Tolerance

# Exporters fold a batch norm in float32, each in its own order of operations.
_FOLDED = Tolerance(relative=1e-4, steps=2.55e-3)


def named_constants(network: nn.Module, module: str) -> dict[str, NDArray[Any]]:
    """Parameters and buffers of one module, by its own names for them."""
    one = network.get_submodule(module)
    found = (*one.named_parameters(recurse=False), *one.named_buffers(recurse=False))
    return {name: _array(tensor) for name, tensor in found}


def folded_constants(network: nn.Module, layer: str, norm: str) -> dict[str, NDArray[Any]]:
    """Weight and bias of a convolution with a batch norm folded into it; none where they are something else.

    Args:
        network: in evaluation mode.
        layer: name of the convolution in it.
        norm: name of the batch norm behind it.
    """
    first, second = network.get_submodule(layer), network.get_submodule(norm)
    if not isinstance(first, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return {}
    if not isinstance(second, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) or second.running_mean is None:
        return {}
    assert second.running_var is not None
    with torch.no_grad():
        weight, bias = nn.utils.fuse_conv_bn_weights(
            first.weight, first.bias, second.running_mean, second.running_var, second.eps, second.weight, second.bias
        )
    return {"weight": _array(weight), "bias": _array(bias)}


def differing_constants(
    expected: Mapping[str, NDArray[Any]], found: Mapping[str, NDArray[Any] | None], *, exact: bool = True
) -> tuple[str, ...]:
    """Names of the constants that differ; those that the file does not hold in the same form are left out.

    Args:
        expected: by name.
        found: in the file, by the same names.
        exact: whether an export keeps every bit of them.
    """
    names = []
    for name, value in expected.items():
        stored = found.get(name)
        if stored is None or stored.size != value.size:
            continue
        same = stored.reshape(value.shape).astype(value.dtype)
        if not (np.array_equal(value, same, equal_nan=True) if exact else compare(value, same, _FOLDED).passed):
            names.append(name)
    return tuple(names)


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array
