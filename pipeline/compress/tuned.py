"""What fine-tuning made of a compressed network: weights from a file, strictly."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from pipeline.compress.touched import PassReport, layer_macs, refuse_quantized, report, weighted_layers
from pipeline.errors import UsageError
from pipeline.models.spec import inner_network
from pipeline.models.weights import load_weights


def load(network: nn.Module, weights: Path | None, *, epochs: int, example: tuple[Tensor, ...]) -> PassReport:
    """Give a compressed network the weights that fine-tuning made, in place.

    Args:
        network: as it was before it was fine-tuned, alone or with its preprocessing in front.
        weights: of the network alone.
        epochs: of the training, for the report.
        example: positional inputs of the network, each (B, ...), to count multiply-accumulates on.

    Returns:
        What was touched: every layer with weights.

    Raises:
        UsageError: there are no weights, or the network is already quantized.
        DataError: they are those of another network.
    """
    refuse_quantized(network, "fine-tune")
    if weights is None:
        raise UsageError(
            "fine-tune: expected the weights that it made, found none; train them with pipeline.candidates.tune first"
        )
    load_weights(weights, inner_network(network))
    return report(
        kind="fine-tune",
        detail=f"{epochs} {'epoch' if epochs == 1 else 'epochs'} of distillation from float on training data",
        network=network,
        touched=set(weighted_layers(network)),
        macs=layer_macs(network, example),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )
