"""Quantize a module to dynamic int8: weights are int8, and activations are quantized as they come."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from pipeline.compress.pass_effect import PassReport, layer_macs, refuse_quantized, report, weighted_layers
from pipeline.errors import UsageError

# Torch can quantize these layers dynamically; convolutions are not among them.
_KINDS = (nn.Linear, nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell, nn.RNNCell)


def quantize(network: nn.Module, *, example: tuple[Tensor, ...]) -> tuple[nn.Module, PassReport]:
    """Replace linear and recurrent layers by ones with int8 weights.

    Args:
        network: network with float weights; it is left as it is.
        example: positional inputs of the network, each (B, ...), for counting multiply-accumulates.

    Returns:
        A quantized copy in evaluation mode, and the report. The copy's answers depend on the rest of the batch, because
        the scale of the activations is taken over the whole batch.

    Raises:
        UsageError: the network is already quantized, has no such layer, or torch has no int8 engine on this CPU.
    """
    refuse_quantized(network, "dynamic-int8")
    touched = {name for name, layer in weighted_layers(network).items() if type(layer) in _KINDS}
    if not touched:
        raise UsageError(
            "dynamic-int8: expected at least one linear or recurrent layer, found none; leave the pass out"
        )
    if torch.backends.quantized.engine == "none":
        raise UsageError(
            "dynamic-int8 of a torch module: expected an int8 engine (x86, fbgemm, qnnpack), found none in this build "
            'of torch; set candidates.formats = ["onnx"]'
        )
    pass_report = report(
        kind="dynamic-int8",
        detail="int8 weights of linear and recurrent layers, per tensor (torch)",
        network=network,
        touched=touched,
        macs=layer_macs(network, example),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )
    with warnings.catch_warnings():
        # This is deprecated in favour of torchao, but TorchScript takes no other int8. It goes with that format.
        warnings.filterwarnings("ignore", message=r"torch\.ao\.quantization is deprecated", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r"torch\.quantize_per_tensor", category=UserWarning)
        quantized: nn.Module = torch.ao.quantization.quantize_dynamic(  # type: ignore[no-untyped-call]
            network, set(_KINDS), dtype=torch.qint8
        )
    return quantized.eval(), pass_report
