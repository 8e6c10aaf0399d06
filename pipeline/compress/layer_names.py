"""Check the names of layers that passes mention, before anything is trained for these passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from pipeline.compress.pass_effect import weighted_layers
from pipeline.errors import UsageError
from pipeline.recipe.names import meant
from pipeline.recipe.passes import ChannelPruning, StaticInt8, Variant


def check_layer_names(network: nn.Module, variants: Iterable[Variant]) -> None:
    """Stop where a pass names a layer that the network does not have.

    Whether the pass can act on that layer is checked by the pass itself, which traces the network for it.

    Args:
        network: float network without its preprocessing.
        variants: variants of the recipe.

    Raises:
        UsageError: there is no such layer.
    """
    modules = [name for name, _ in network.named_modules() if name]
    layers = list(weighted_layers(network))
    for variant in variants:
        for step in variant.passes:
            if isinstance(step, ChannelPruning):
                _require(step.layers, modules, layers, where=f"variant {variant.name!r}, {step.kind}: layers")
            elif isinstance(step, StaticInt8):
                _require(step.keep, modules, layers, where=f"variant {variant.name!r}, {step.kind}: keep")


def _require(names: Iterable[str], modules: Sequence[str], layers: Sequence[str], *, where: str) -> None:
    for name in names:
        # The name may be the user's own, or that in the exported graph, behind the preprocessing.
        if name.removeprefix("network.") not in modules:
            raise UsageError(
                f"{where}: expected names of modules of the network ({', '.join(layers) or 'none'}), found "
                f"{name}{meant(name, modules)}"
            )
