"""Exports a module to one ONNX file that takes raw inputs, returns logits and has a dynamic batch axis."""

from __future__ import annotations

import inspect
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.outputs import OutputSpec
from pipeline.engine.manifest import write_atomically
from pipeline.engine.user_code import own_place
from pipeline.errors import UsageError
from pipeline.export.mode import require_exportable

OUTPUT = "logits"
BATCH = "batch"
# This is the only node metadata with source paths. Name scopes and class hierarchy stay: they lead from a node back to
# the user's own module.
_STACK_TRACE = "pkg.torch.onnx.stack_trace"
_NO_WORD = re.compile(r"\W")


def export_onnx(
    module: nn.Module,
    path: Path,
    *,
    inputs: Sequence[InputSpec],
    outputs: Sequence[OutputSpec] = (),
    example: tuple[Tensor, ...],
    opset: int,
) -> None:
    """Write a module as one checked ONNX file; the same module gives the same bytes.

    Args:
        module: module in evaluation mode that maps positional raw inputs to logits (B, K), or to a tuple of several
            outputs. It is not changed.
        path: path of the file.
        inputs: names and dynamic axes, in the order in which the module takes the inputs.
        outputs: names of the outputs, in the order in which the module returns them; empty for logits alone.
        example: positional inputs, each (B, ...) with B of 2 or more.
        opset: version of the operator set.

    Raises:
        UsageError: torch cannot export this network, or the graph is not valid, or is fixed to one batch size or to one
            size of an axis that is declared free.
        ProofError: the module is in training mode.
    """
    require_exportable(module, example, "ONNX")
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                example,
                dynamo=True,
                opset_version=opset,
                input_names=[spec.name for spec in inputs],
                output_names=[spec.name for spec in outputs] or [OUTPUT],
                dynamic_shapes=_dynamic_shapes(module, inputs),
                external_data=False,
                verbose=False,
            )
    except Exception as error:
        raise UsageError(
            f"export to ONNX: expected a network that torch.onnx.export takes at opset {opset}, found "
            f"{_cause(error)}; change the network, or keep the batch axis out of its control flow"
        ) from error
    assert program is not None
    model = program.model_proto
    _require_dynamic_batch(model)
    _require_free_axes(model, inputs)
    _strip(model)
    content = model.SerializeToString(deterministic=True)
    try:
        onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UsageError(f"export to ONNX: expected a valid graph, found: {' '.join(str(error).split())}") from error
    write_atomically(path, content)


def _dynamic_shapes(module: nn.Module, inputs: Sequence[InputSpec]) -> tuple[Any, ...]:
    batch = torch.export.Dim(BATCH, min=1)
    names = list(dict.fromkeys(spec.size_name(axis) for spec in inputs for axis in spec.dynamic_axes))
    # The name of a dimension must be a Python identifier other than that of the batch.
    identifiers = [f"size{number}_{_NO_WORD.sub('_', name)}" for number, name in enumerate(names)]
    sizes = {name: torch.export.Dim(identifier, min=1) for name, identifier in zip(names, identifiers, strict=True)}
    shapes = tuple(
        {0: batch} | {axis + 1: sizes[spec.size_name(axis)] for axis in spec.dynamic_axes} for spec in inputs
    )
    # A module that takes `*raw` has one argument, a tuple.
    kinds = {parameter.kind for parameter in inspect.signature(module.forward).parameters.values()}
    return (shapes,) if inspect.Parameter.VAR_POSITIONAL in kinds else shapes


def _require_dynamic_batch(model: onnx.ModelProto) -> None:
    """Check the batch axis: the exporter silently takes a size for a constant if it cannot reason about it."""
    for value in [*model.graph.input, *model.graph.output]:
        axes = value.type.tensor_type.shape.dim
        if not axes or not axes[0].dim_param:
            size = axes[0].dim_value if axes else "unknown size"
            raise UsageError(
                f"export to ONNX: expected a dynamic batch axis on every input and output, found {value.name} with a "
                f"first axis of {size}; some operation in the network fixes it"
            )


def _require_free_axes(model: onnx.ModelProto, inputs: Sequence[InputSpec]) -> None:
    """Check the axes whose sizes a request may choose in the same way."""
    for spec, value in zip(inputs, model.graph.input, strict=True):
        axes = value.type.tensor_type.shape.dim
        for axis in spec.dynamic_axes:
            if not axes[axis + 1].dim_param:
                raise UsageError(
                    f"export to ONNX: expected axis {axis} of input {spec.name} to be free, as its dynamic_axes "
                    f"declares, found it fixed at {axes[axis + 1].dim_value}; some operation in the network fixes it, "
                    "such as math on a size: compute with tensors there, or take the axis out of dynamic_axes"
                )


def _strip(model: onnx.ModelProto) -> None:
    """Remove metadata that names files of this machine or symbols of this process."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for graph in _graphs(model.graph):
        graph.doc_string = ""
        for node in graph.node:
            node.doc_string = ""
            kept = [entry for entry in node.metadata_props if entry.key != _STACK_TRACE]
            del node.metadata_props[:]
            node.metadata_props.extend(kept)


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


def _cause(error: BaseException) -> str:
    """The innermost error, in one line: the exporter wraps it, and explains at length how to report it."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    place = own_place(error)
    return f"{type(error).__name__}: {lines[0]}{place}" if lines else f"{type(error).__name__}{place}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence known warnings during the exporter's call only."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # torch.export copies its own tree specs in a way that torch deprecates (seen in 2.13).
            warnings.filterwarnings("ignore", message=r"`isinstance\(treespec, LeafSpec\)`", category=FutureWarning)
            # torch warns of every input after the first that shares the batch axis or an axis of the same name. They
            # share it on purpose.
            warnings.filterwarnings("ignore", message=r"# The axis name: \w+ will not be used", category=UserWarning)
            yield
    finally:
        logger.setLevel(level)
