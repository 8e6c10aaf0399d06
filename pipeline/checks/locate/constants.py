"""This module compares weights and other constants of a module with those that an exported file holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline._handlers.compare import compare
from pipeline._handlers.tolerance import Tolerance

# Exporters fold a batch norm in float32, and each has its own order of operations.
_FOLDED = Tolerance(relative=1e-4, steps=2.55e-3)


def named_constants(network: nn.Module, name: str) -> dict[str, NDArray[Any]]:
    """Parameters and buffers of one module, by the module's own names for them."""
    module = network.get_submodule(name)
    tensors = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    return {name: _array(tensor) for name, tensor in tensors}


def folded_constants(network: nn.Module, layer: str, norm: str) -> dict[str, NDArray[Any]]:
    """Fold a batch norm into a convolution, and return weight and bias; nothing where the layers are something else.

    Args:
        network: network in evaluation mode.
        layer: name of the convolution in the network.
        norm: name of the batch norm behind the convolution.
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
    expected: Mapping[str, NDArray[Any]], stored: Mapping[str, NDArray[Any] | None], *, exact: bool = True
) -> tuple[str, ...]:
    """Names of the constants that differ; constants that the file does not hold in the same form are left out.

    Args:
        expected: constants of the network, by name.
        stored: constants of the file, by the same names.
        exact: whether an export keeps every bit of them.
    """
    names = []
    for name, value in expected.items():
        file_value = stored.get(name)
        if file_value is None or file_value.size != value.size:
            continue
        same = file_value.reshape(value.shape).astype(value.dtype)
        if not (np.array_equal(value, same, equal_nan=True) if exact else compare(value, same, _FOLDED).passed):
            names.append(name)
    return tuple(names)


def _array(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = tensor.detach().cpu().numpy()
    return array
