"""Report what a pass really touched: the share of a network's weights and of its compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.rnn import RNNCellBase

from pipeline.errors import UsageError

_QUANTIZED_MODULES = "torch.ao.nn."


@dataclass(frozen=True, kw_only=True)
class LayerTouch:
    """One layer with weights, and whether a pass changed it.

    Args:
        name: name of the module (or of the ONNX node), as the user knows it.
        kind: class name of the module, or operator of the node.
        weights: number of values in its weights after the pass, biases not included.
        zeros: how many of them are zero after the pass.
        macs: multiply-accumulates for one example after the pass.
        touched: whether the pass acted on it.
        removed_weights: values of its weights that are gone.
        removed_macs: multiply-accumulates that are gone.
    """

    name: str
    kind: str
    weights: int
    zeros: int
    macs: int
    touched: bool
    removed_weights: int = 0
    removed_macs: int = 0


@dataclass(frozen=True, kw_only=True)
class PassReport:
    """The report on what one pass did to a network.

    Args:
        kind: kind of the pass, as recipes name it.
        detail: settings of the pass in words.
        layers: every layer with weights, touched or not, in the network's order.
        parameters: number of values in all parameters after the pass, biases and normalisation included.
        removed_parameters: number of values that are gone.
    """

    kind: str
    detail: str
    layers: tuple[LayerTouch, ...]
    parameters: int
    removed_parameters: int = 0

    @property
    def touched_weights(self) -> int:
        """The number of values in the weights that the pass acted on and left."""
        return sum(layer.weights for layer in self.layers if layer.touched)

    @property
    def weight_share(self) -> float:
        """The weights of the touched layers as a fraction of all parameters, both before the pass."""
        touched = sum(layer.weights + layer.removed_weights for layer in self.layers if layer.touched)
        return _fraction(touched, self.parameters + self.removed_parameters)

    @property
    def compute_share(self) -> float:
        """The multiply-accumulates of the touched layers as a fraction of those of all layers, both before the pass."""
        touched = sum(layer.macs + layer.removed_macs for layer in self.layers if layer.touched)
        return _fraction(touched, sum(layer.macs + layer.removed_macs for layer in self.layers))

    @property
    def removed_weight_share(self) -> float:
        """The parameters that are gone as a fraction of all parameters before the pass."""
        return _fraction(self.removed_parameters, self.parameters + self.removed_parameters)

    @property
    def removed_compute_share(self) -> float:
        """The multiply-accumulates that are gone as a fraction of all before the pass."""
        removed = sum(layer.removed_macs for layer in self.layers)
        return _fraction(removed, removed + sum(layer.macs for layer in self.layers))

    @property
    def sparsity(self) -> float:
        """The zero weights as a fraction of all parameters, both after the pass."""
        return _fraction(sum(layer.zeros for layer in self.layers), self.parameters)

    @property
    def touched_sparsity(self) -> float:
        """The zero weights as a fraction of the weights that the pass acted on."""
        return _fraction(sum(layer.zeros for layer in self.layers if layer.touched), self.touched_weights)


def weighted_layers(network: nn.Module) -> dict[str, nn.Module]:
    """The convolution, linear and recurrent layers by name, in the network's order; a shared layer appears once."""
    kinds = (_ConvNd, nn.Linear, nn.RNNBase, RNNCellBase)
    return {name: module for name, module in network.named_modules() if isinstance(module, kinds)}


def weights_of(layer: nn.Module) -> list[nn.Parameter]:
    """The weight matrices or kernels of one layer, without biases."""
    return [parameter for name, parameter in layer.named_parameters(recurse=False) if name.startswith("weight")]


def layer_macs(network: nn.Module, example: tuple[Tensor, ...]) -> dict[str, int]:
    """Count the multiply-accumulates per example of every layer with weights, on one forward pass.

    Only the work of these layers is counted: products between activations, as in attention, are not.

    Args:
        network: network, which runs once in evaluation mode; its mode is restored.
        example: positional inputs of the network, each (B, ...).

    Returns:
        The count by layer name; 0 for a layer that the forward pass does not reach.
    """
    layers = weighted_layers(network)
    counts = dict.fromkeys(layers, 0)
    batch = example[0].shape[0]

    def counter(name: str) -> Any:
        def count(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            counts[name] += _macs(layer, inputs[0], output)

        return count

    handles = [layer.register_forward_hook(counter(name)) for name, layer in layers.items()]
    try:
        with evaluation(network), torch.no_grad():
            network(*example)
    finally:
        for handle in handles:
            handle.remove()
    return {name: count // batch for name, count in counts.items()}


def report(
    *, kind: str, detail: str, network: nn.Module, touched: set[str], macs: dict[str, int], parameters: int
) -> PassReport:
    """Make the report on a pass from a network whose weights are still float."""
    layers = []
    for name, layer in weighted_layers(network).items():
        weights = weights_of(layer)
        layers.append(
            LayerTouch(
                name=name,
                kind=type(layer).__name__,
                weights=sum(weight.numel() for weight in weights),
                zeros=sum(int((weight == 0).sum()) for weight in weights),
                macs=macs[name],
                touched=name in touched,
            )
        )
    return PassReport(kind=kind, detail=detail, layers=tuple(layers), parameters=parameters)


def refuse_computed(network: nn.Module, action: str) -> None:
    """Stop before a pass that would change a weight that the network computes anew on each call.

    Raises:
        UsageError: a convolution or linear layer's weight is computed from other parameters.
    """
    for name, layer in weighted_layers(network).items():
        if isinstance(layer, _ConvNd | nn.Linear) and "weight" not in dict(layer.named_parameters(recurse=False)):
            raise UsageError(
                f"{action}: expected plain weights, found {name}.weight computed from other parameters; "
                "call torch.nn.utils.parametrize.remove_parametrizations in the factory"
            )


def refuse_quantized(network: nn.Module, action: str) -> None:
    """Stop before a pass that would silently do nothing.

    Raises:
        UsageError: the network holds quantized layers; they have no float weights to act on.
    """
    quantized = [
        name for name, layer in network.named_modules() if type(layer).__module__.startswith(_QUANTIZED_MODULES)
    ]
    if quantized:
        raise UsageError(
            f"{action} after quantization: expected float layers, found {quantized[0]} already quantized; quantized "
            f"layers hold no float weights, so {action} would silently do nothing: put it before dynamic-int8"
        )


@contextmanager
def evaluation(network: nn.Module) -> Iterator[None]:
    """Set evaluation mode inside the block, and restore each module's own mode after it."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def _macs(layer: nn.Module, values: Any, output: Any) -> int:
    if isinstance(layer, _ConvNd):
        # Every output value of a convolution, and every input value of a transposed one, meets one kernel slice:
        # weight is (out, in/groups, *kernel), or (in, out/groups, *kernel) when transposed.
        meets: Tensor = values if layer.transposed else output
        return meets.numel() * layer.weight[0].numel()
    if isinstance(layer, nn.Linear):
        return int(output.numel()) * layer.in_features
    # In a recurrent layer, each time step of each example meets every weight once. A packed sequence holds its steps in
    # `.data`.
    steps: Tensor = values if isinstance(values, Tensor) else values.data
    return steps.numel() // steps.shape[-1] * sum(weight.numel() for weight in weights_of(layer))


def _fraction(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
