"""Record what an ONNX file computes, module by module: intermediate values become outputs, a few at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from pipeline._handlers.onnx_runtime_import import import_onnx_runtime
from pipeline.checks.locate.trace import Step
from pipeline.inspection.graph_runs import module_of, owner_of_weights

# These operators turn a product's input into int8.
_PREPARE = ("DynamicQuantizeLinear", "QuantizeLinear")


class OnnxTrace:
    """The steps of an ONNX file, whose nodes are grouped by the module they came from.

    A step is a run of neighbouring nodes of one module; its result is the result of its last node. Nodes inside the
    branches of `If` or the body of `Loop` are not examined.

    Args:
        file: ONNX file.
        inputs: arrays (B, *shape) by input name: one batch.
        optimization: level of the graph optimization before the graph runs. With "all", each value gets a run of its
            own, because an output in the middle keeps ONNX Runtime from fusing across it.
    """

    def __init__(
        self, file: Path, inputs: Mapping[str, NDArray[Any]], *, optimization: Literal["all", "none"] = "none"
    ) -> None:
        self._model = onnx.load(file)
        self._inputs = dict(inputs)
        self._optimization = optimization
        self._runs: list[list[onnx.NodeProto]] = []
        steps: list[Step] = []
        ahead: list[onnx.NodeProto] = []
        for node in self._model.graph.node:
            module, kind = module_of(node)
            if not kind:
                module = owner_of_weights(node)
            if not kind and not module:
                # A quantizer put this node in. What prepares a product belongs to it, all else to the step before.
                if node.op_type in _PREPARE or ahead or not self._runs:
                    ahead.append(node)
                else:
                    self._runs[-1].append(node)
                continue
            if steps and steps[-1].module == module:
                self._runs[-1] += [*ahead, node]
            else:
                self._runs.append([*ahead, node])
                steps.append(Step(module=module, kind=kind, operator=node.op_type))
            ahead = []
        if ahead and self._runs:
            self._runs[-1] += ahead
        self._steps = tuple(steps)

    @property
    def steps(self) -> Sequence[Step]:
        """The steps in the order in which they ran."""
        return self._steps

    def outputs(self, positions: Collection[int]) -> dict[int, NDArray[Any]]:
        """Run again and keep the results of some steps, by position."""
        groups = [[step] for step in positions] if self._optimization == "all" else [list(positions)]
        return {step: value for group in groups for step, value in self._run(group).items()}

    def logits(self) -> NDArray[Any]:
        """The file's own outputs (B, K), side by side, from a run without added outputs."""
        outputs: list[NDArray[Any]] = self._session(self._model).run(None, self._inputs)
        return np.concatenate([output.reshape(len(output), -1) for output in outputs], axis=1)

    def constants(self, step: int) -> dict[str, NDArray[Any]]:
        """The initializers that a step reads, by their name in the file."""
        tensors = {tensor.name: tensor for tensor in self._model.graph.initializer}
        names = [name for node in self._runs[step] for name in node.input if name in tensors]
        return {name: onnx.numpy_helper.to_array(tensors[name]) for name in names}

    def _run(self, positions: Sequence[int]) -> dict[int, NDArray[Any]]:
        if not positions:
            return {}
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        own = {output.name for output in model.graph.output}
        names = {step: self._runs[step][-1].output[0] for step in positions}
        for name in dict.fromkeys(names.values()):
            if name not in own:
                model.graph.output.append(onnx.ValueInfoProto(name=name))  # ONNX Runtime infers type and shape
        outputs = list(dict.fromkeys(names.values()))
        values = dict(zip(outputs, self._session(model).run(outputs, self._inputs), strict=True))
        return {step: np.asarray(values[name]) for step, name in names.items()}

    def _session(self, model: onnx.ModelProto) -> Any:
        onnxruntime = import_onnx_runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        levels = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if self._optimization == "all" else levels.ORT_DISABLE_ALL
        )
        options.log_severity_level = 3
        content = model.SerializeToString()
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
