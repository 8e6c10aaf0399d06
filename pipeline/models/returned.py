"""What a network returned, in the terms of its specification: outputs that are checked, named and flattened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline._handlers.answer_size import MOST_OUTPUT_VALUES
from pipeline._handlers.sizes import sizes_in_words
from pipeline.data.dataset import Split
from pipeline.data.free_axis_sizes import resized, size_plan
from pipeline.errors import UsageError
from pipeline.models.outputs import check_outputs, chosen_output, named_outputs
from pipeline.models.spec import AnyDeployable, DeployableOfOutputs, ModelSpec, of_two_classes, tensors_in
from pipeline.tasks.task import Task


def call_network(model: AnyDeployable, inputs: tuple[Tensor, ...]) -> object:
    """What the network itself returns to raw inputs."""
    return model.answers(*inputs) if isinstance(model, DeployableOfOutputs) else model(*inputs)


def checked_outputs(
    spec: ModelSpec, returned: object, *, rows: int, task: Task, where: str
) -> tuple[ModelSpec, list[Tensor]]:
    """Check what a network returned.

    Args:
        spec: specification of the model; outputs that it has already must be the same now.
        returned: what the network returned.
        rows: number of examples in the call.
        task: task of the network.
        where: name of the network, for messages.

    Returns:
        The specification, which names the outputs in the task `outputs` and knows a single one for two classes; and
        the outputs in float32.

    Raises:
        UsageError: the network returned something else.
    """
    if spec.task != "outputs":
        output = chosen_output(returned, spec.choice, where=where)
        if isinstance(output, Tensor) and _is_single(spec, output, rows=rows):
            check_outputs(output.reshape(rows, 1), rows=rows, classes=1, task=task, where=where)
            return replace(spec, single_output=True), [of_two_classes(output, spec.activation)]
        check_outputs(output, rows=rows, classes=len(spec.labels), task=task, where=where)
        assert isinstance(output, Tensor)
        return spec, [output]
    names = [feature.name for feature in spec.inputs]
    outputs = named_outputs(returned, spec.choice, rows=rows, inputs=names, where=where).specs
    found_names, expected_names = ([output.name for output in each] for each in (outputs, spec.outputs or outputs))
    if found_names != expected_names:
        raise UsageError(
            f"{where}: expected the outputs {', '.join(expected_names)}, as in the first call in evaluation mode, "
            f"found {', '.join(found_names)}; name those that count in model.output"
        )
    for output, earlier in zip(outputs, spec.outputs or outputs, strict=True):
        if output != earlier:
            raise UsageError(
                f"{where}: output {output.name}: expected one shape for any number of examples, found {output.shape} "
                f"for {rows} of them, {earlier.shape} before"
            )
    tensors = [tensor.to(torch.float32) for tensor in tensors_in(returned, spec.choice)]
    return spec.with_outputs(outputs), tensors


def _is_single(spec: ModelSpec, output: Tensor, *, rows: int) -> bool:
    """Whether one output, a logit or a probability, stands for two classes."""
    return spec.task == "classification" and len(spec.labels) == 2 and tuple(output.shape) in ((rows,), (rows, 1))


def require_servable(spec: ModelSpec, model: AnyDeployable, examples: Split, *, where: str) -> None:
    """Stop where outputs do not fit into an answer, or the shape of one follows the size of a free axis.

    Args:
        spec: specification of the model, with its outputs.
        model: network behind its preprocessing, in evaluation mode.
        examples: real examples, one or more.
        where: name of the network, for messages.

    Raises:
        UsageError: the message names the outputs, and says what to do.
    """
    if spec.columns > MOST_OUTPUT_VALUES:
        raise UsageError(
            f"{where}: expected outputs of at most {MOST_OUTPUT_VALUES} values an example, which fit into a server's "
            f"answer, found {spec.columns} ({', '.join(f'{output.name} {output.size}' for output in spec.outputs)}); "
            "pool them, or name those that clients need in model.output"
        )
    shapes = {name: values.shape[1:] for name, values in examples.inputs.items()}
    names = [feature.name for feature in spec.inputs]
    for sizes in size_plan(spec.inputs, shapes):
        arrays: Mapping[str, NDArray[Any]] = resized(examples.inputs, spec.inputs, sizes)
        rows = len(next(iter(arrays.values())))
        try:
            with torch.no_grad():
                returned = call_network(model, tuple(torch.from_numpy(arrays[name].copy()) for name in names))
        except Exception:  # noqa: BLE001, S112 - which sizes a network takes is found out later
            continue
        outputs = named_outputs(returned, spec.choice, rows=rows, inputs=names, where=where).specs
        for expected, output in zip(spec.outputs, outputs, strict=True):
            if output != expected:
                raise UsageError(
                    f"{where}: output {expected.name}: expected a fixed shape behind the axis of examples, found "
                    f"{expected.shape} for the data and {output.shape} with {sizes_in_words(arrays, spec.inputs)}; "
                    "pool it over that axis, name the other outputs in model.output, or take the axis out of "
                    "dynamic_axes"
                )


def outputs_in_words(spec: ModelSpec, returned: object, *, rows: int) -> str:
    """The names and shapes of the outputs, and what is cast.

    Args:
        spec: specification of the model, with its outputs.
        returned: what the network returned.
        rows: number of examples in the call.
    """
    casts = named_outputs(returned, spec.choice, rows=rows, inputs=(), where=spec.name).casts
    shown = [f"{output.name} {list(output.shape)}" for output in spec.outputs]
    cast = [f"{name} from {dtype}" for name, dtype in casts.items()]
    return f"outputs {', '.join(shown)}" + (f"; cast to float32: {', '.join(cast)}" if cast else "")
