"""Write a statically quantized graph so that a default session of ONNX Runtime runs it as it stands.

Two steps of ONNX Runtime's optimizer change more than the way a graph runs (read in its source, 1.31):

- `QDQPropagationTransformer` carries QuantizeLinear up across MaxPool, Reshape, Transpose, Squeeze, Unsqueeze and
  Slice. In `Conv > Relu > MaxPool > QuantizeLinear` this also quantizes all values that the pooling drops, and the
  pooling leaves the fast layout of the convolution in front of it. A Clip to exactly the range of the QuantizeLinear,
  which saturates there in any case, stops it; a later step removes the Clip again, so it costs nothing.
- `WeightBiasQuantization` (its pull request 22969) quantizes, at load, the weights of a Conv or Gemm that was left in
  float between quantized layers: the session then runs another network than the file holds. It looks for
  DequantizeLinear in front of the layer and QuantizeLinear behind it, with nothing but Relu or Clip between; a
  LeakyRelu of slope 1, which changes no value and is fused into the layer, stops it.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from pipeline._handlers.onnx_runtime_import import import_onnx_runtime

_CARRIED_ACROSS = ("MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
# Among these, the result of these operators is smaller than their input.
_DROPPING = ("MaxPool", "Slice")
_LAYERS = ("Conv", "ConvTranspose", "Gemm")
_LOOKED_THROUGH = ("Clip", "Relu")


def hold_against_defaults(model: onnx.ModelProto) -> None:
    """Change a quantized graph, in place, so that the optimizer's defaults do it no harm; its answers stay the same.

    Args:
        model: model from ONNX Runtime's quantizer, in QDQ form.
    """
    graph = _Graph(model.graph)
    for node in list(model.graph.node):
        if node.op_type == "QuantizeLinear" and graph.has_range(node) and graph.would_be_carried(node):
            graph.put_clip_before(node)
    for node in list(model.graph.node):
        if graph.would_be_quantized(node):
            graph.put_identity_behind(node)


def changed_by_defaults(model: onnx.ModelProto) -> tuple[str, ...]:
    """Describe what a default session changes in a quantized graph, in one clause for each step.

    Args:
        model: model in QDQ form.

    Returns:
        Clauses that name the nodes; there should be none.
    """
    try:
        optimized = _optimize(model)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime raises any; whether it loads the file is checked elsewhere
        return (f"what a default session changes could not be asked: {' '.join(str(error).split())[:200]}",)
    own = {name for node in model.graph.node for name in node.output}
    makers = {name: node for node in optimized.graph.node for name in node.output}
    layers, poolings = [], []
    for node in optimized.graph.node:
        for place, name in enumerate(node.input):
            if name in own or name not in makers or makers[name].op_type != "DequantizeLinear":
                continue
            quantizer = makers.get(makers[name].input[0])
            if node.op_type in _LAYERS and place == 1:
                layers.append(node.name)
            elif node.op_type in _DROPPING and quantizer is not None and quantizer.input[0] in makers:
                poolings.append(node.name)
    clauses = {"quantizes the weights of": layers, "quantizes in front of": poolings}
    return tuple(f"a default session {what} {', '.join(names)}" for what, names in clauses.items() if names)


def _optimize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Run the steps of the optimizer that do not depend on the host, and return the resulting graph."""
    onnxruntime = import_onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory(prefix="pipeline-defaults-") as folder:
        options.optimized_model_filepath = str(Path(folder) / "optimized.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(options.optimized_model_filepath)


class _Graph:
    """A graph with an index of its edges."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._uses = Counter(name for node in graph.node for name in node.input)
        self._uses.update(output.name for output in graph.output)

    def has_range(self, quantizer: onnx.NodeProto) -> bool:
        """Whether scale and zero point of a QuantizeLinear are constants of the file, as the quantizer writes them."""
        return len(quantizer.input) > 2 and all(name in self._constants for name in quantizer.input[1:])

    def would_be_carried(self, quantizer: onnx.NodeProto) -> bool:
        """Whether the optimizer would carry a QuantizeLinear to a place where there is more to quantize."""
        dropping = False
        name = quantizer.input[0]
        while self._uses[name] == 1 and name in self._makers and self._makers[name].op_type in _CARRIED_ACROSS:
            dropping |= self._makers[name].op_type in _DROPPING
            name = self._makers[name].input[0]
        # Behind DequantizeLinear, all of these nodes run in int8 already.
        return dropping and not self._is_dequantized(name)

    def would_be_quantized(self, layer: onnx.NodeProto) -> bool:
        """Whether the optimizer would quantize the weights of a float layer."""
        if layer.op_type == "Add":  # the optimizer first turns a MatMul and the Add of its bias into a Gemm
            products = [self._makers[name] for name in layer.input if name in self._makers]
            biases = [name for name in layer.input if name in self._constants]
            product = products[0] if len(products) == len(biases) == 1 else layer
            if product.op_type != "MatMul" or not self._takes_int8(product):
                return False
        elif layer.op_type not in _LAYERS or not self._takes_int8(layer):
            return False
        follower = self._only_follower(layer)
        # The second kind of step gets the graph as the first one left it.
        for operators in (_LOOKED_THROUGH, _CARRIED_ACROSS):
            while follower is not None and follower.op_type in operators:
                follower = self._only_follower(follower)
        return follower is not None and follower.op_type == "QuantizeLinear"

    def put_clip_before(self, quantizer: onnx.NodeProto) -> None:
        """Clip the input of a QuantizeLinear to the range at whose ends it saturates."""
        values, scale, zero_point = quantizer.input[:3]
        step = numpy_helper.to_array(self._constants[scale]).astype(np.float32)
        zero = numpy_helper.to_array(self._constants[zero_point])
        limits = np.iinfo(zero.dtype)
        bounds = [(np.float32(end) - zero.astype(np.float32)) * step for end in (limits.min, limits.max)]
        names = [f"{values}_lowest", f"{values}_highest"]
        for name, bound in zip(names, bounds, strict=True):
            self._graph.initializer.append(numpy_helper.from_array(np.asarray(bound, np.float32).reshape(()), name))
        clip = helper.make_node("Clip", [values, *names], [f"{values}_clipped"], name=f"{values}_Clip")
        self._insert(clip, before=quantizer)
        quantizer.input[0] = clip.output[0]

    def put_identity_behind(self, layer: onnx.NodeProto) -> None:
        """Put an activation that changes no value behind a layer."""
        name = layer.output[0]
        follower = self._only_follower(layer)
        assert follower is not None
        identity = helper.make_node("LeakyRelu", [name], [f"{name}_same"], name=f"{name}_LeakyRelu", alpha=1.0)
        self._insert(identity, before=follower)
        follower.input[:] = [identity.output[0] if used == name else used for used in follower.input]

    def _takes_int8(self, layer: onnx.NodeProto) -> bool:
        return self._is_dequantized(layer.input[0]) and layer.input[1] in self._constants

    def _is_dequantized(self, name: str) -> bool:
        return name in self._makers and self._makers[name].op_type == "DequantizeLinear"

    def _only_follower(self, node: onnx.NodeProto) -> onnx.NodeProto | None:
        name = node.output[0]
        followers = [follower for follower in self._graph.node if name in follower.input]
        return followers[0] if len(followers) == self._uses[name] == 1 else None

    def _insert(self, node: onnx.NodeProto, *, before: onnx.NodeProto) -> None:
        place = next(place for place, candidate in enumerate(self._graph.node) if before.output[0] in candidate.output)
        self._graph.node.insert(place, node)
