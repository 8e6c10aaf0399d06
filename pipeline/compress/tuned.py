"""Load the weights that fine-tuning gave a compressed network; their names and shapes must match exactly."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from pipeline.compress.pass_effect import PassReport, layer_macs, refuse_quantized, report, weighted_layers
from pipeline.errors import UsageError
from pipeline.models.spec import inner_network
from pipeline.models.weights import load_weights


def load(network: nn.Module, weights: Path | None, *, epochs: int, example: tuple[Tensor, ...]) -> PassReport:
    """Give a compressed network the weights that fine-tuning made, in place.

    Args:
        network: network as it was before fine-tuning, alone or with its preprocessing in front.
        weights: file of the weights of the network alone.
        epochs: number of epochs of the training, for the report.
        example: positional inputs of the network, each (B, ...), for counting multiply-accumulates.

    Returns:
        The report: every layer with weights was touched.

    Raises:
        UsageError: there are no weights, or the network is already quantized.
        DataError: the weights belong to another network.
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
