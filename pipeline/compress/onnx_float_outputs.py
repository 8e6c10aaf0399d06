"""Keep the outputs of a quantized ONNX file in float, as many as there are."""

from __future__ import annotations

import onnx

from pipeline.inspection.graph import all_nodes

# The quantizer removes these where a range of quantized values does the same. An output that skips that range would
# then lack them.
_REMOVED = ("Relu", "Clip")


def output_activations(model: onnx.ModelProto) -> list[str]:
    """The names of the nodes that the quantizer must leave alone: activations whose result is an output.

    Args:
        model: float model.
    """
    outputs = {output.name for output in model.graph.output}
    return [node.name for node in model.graph.node if node.op_type in _REMOVED and outputs & set(node.output)]


def leave_outputs_in_float(model: onnx.ModelProto) -> None:
    """Let the graph's outputs skip the quantizing and dequantizing that the quantizer put in front of them.

    What the network itself reads on of an output stays quantized.

    Args:
        model: quantized model, which is changed.
    """
    graph = model.graph
    for output in graph.output:
        pair = _pair_before(graph, output.name)
        if pair is not None:
            quantizer, dequantizer = pair
            values = quantizer.input[0]
            if any(output.name in node.input for node in graph.node):
                inside = f"{output.name}_dequantized"
                _rename_inputs(graph, output.name, inside)
                dequantizer.output[0] = inside
            else:
                graph.node.remove(dequantizer)
                graph.node.remove(quantizer)
            _rename(graph, values, output.name)
        maker = _maker(graph, output.name)
        if maker is not None and maker.op_type in _REMOVED:
            pair = _pair_before(graph, maker.input[0])
            if pair is not None:
                maker.input[0] = pair[0].input[0]
    _remove_unread(graph)


def _maker(graph: onnx.GraphProto, name: str) -> onnx.NodeProto | None:
    return next((node for node in graph.node if name in node.output), None)


def _pair_before(graph: onnx.GraphProto, name: str) -> tuple[onnx.NodeProto, onnx.NodeProto] | None:
    """The node that quantizes a value and the one that dequantizes it again; None where it is not quantized."""
    dequantizer = _maker(graph, name)
    if dequantizer is None or dequantizer.op_type != "DequantizeLinear":
        return None
    quantizer = _maker(graph, dequantizer.input[0])
    return None if quantizer is None or quantizer.op_type != "QuantizeLinear" else (quantizer, dequantizer)


def _rename(graph: onnx.GraphProto, name: str, new: str) -> None:
    """Give a value another name where it is made and wherever it is read."""
    for node in graph.node:
        node.output[:] = [new if output == name else output for output in node.output]
    _rename_inputs(graph, name, new)


def _rename_inputs(graph: onnx.GraphProto, name: str, new: str) -> None:
    for node in graph.node:
        node.input[:] = [new if value == name else value for value in node.input]


def _remove_unread(graph: onnx.GraphProto) -> None:
    """Remove pairs that quantize and dequantize what nothing reads, and constants that no node has as an input."""
    outputs = {output.name for output in graph.output}
    for kind in ("DequantizeLinear", "QuantizeLinear"):
        used = {name for node in all_nodes(graph) for name in node.input} | outputs
        for node in [node for node in graph.node if node.op_type == kind and not used & set(node.output)]:
            graph.node.remove(node)
    used = {name for node in all_nodes(graph) for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)
