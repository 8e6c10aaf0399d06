"""Calls a network on real examples before any work, so that its faults are reported at once, with their lines."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.data.dataset import Split
from pipeline.engine.stage import Reporter, Silent
from pipeline.engine.user_code import one_line
from pipeline.errors import DataError, PipelineError, UsageError
from pipeline.models.outputs import describe, short_dtype
from pipeline.models.returned import call_network, checked_outputs, outputs_in_words, require_servable
from pipeline.models.spec import AnyDeployable, ModelSpec, joined
from pipeline.tasks.task import Task

# Sizes of the two batches. The second shows that the batch axis of the outputs follows that of the inputs, also where
# there are two classes.
_ROWS = (2, 3)
_HALF = (torch.float16, torch.bfloat16)


def check_network(network: object, *, source: str) -> None:
    """Check the network of a factory before weights are loaded into it.

    Args:
        network: return value of the factory.
        source: source of the network, for messages: the key of the recipe and its value.

    Raises:
        UsageError: it is not a module, or its parameters are not in float32 on the CPU.
    """
    if not isinstance(network, nn.Module):
        raise UsageError(f"{source}: expected a torch.nn.Module to be built, found {type(network).__name__}")
    named = dict(network.named_parameters()) | dict(network.named_buffers())
    elsewhere = [name for name, tensor in named.items() if tensor.device.type != "cpu"]
    if elsewhere:
        raise UsageError(
            f"{source}: expected a network on the CPU, found {elsewhere[0]} on {named[elsewhere[0]].device}; build it "
            "there, and train.device says where it is trained"
        )
    half = [name for name, parameter in network.named_parameters() if parameter.dtype in _HALF]
    if half:
        raise UsageError(
            f"{source}: expected parameters in float32, found {len(half)} in {short_dtype(named[half[0]].dtype)}, such "
            f"as {half[0]}; end the factory with .float(): candidates in lower precision are made from float32"
        )


def check_first_call(
    spec: ModelSpec,
    network: nn.Module,
    *,
    task: Task,
    examples: Split,
    source: str,
    weights: str | None = None,
    reporter: Reporter | None = None,
) -> ModelSpec:
    """Call a network in evaluation mode on two examples, then on three, and check its outputs.

    Args:
        spec: specification of the model.
        network: network with its weights; its mode is restored.
        task: task of the network.
        examples: real examples, one or more.
        source: source of the network, for messages: the key of the recipe and its value.
        weights: name of the file that its weights come from; None if there is no file.
        reporter: reporter that is told the names and shapes of the outputs in the task `outputs`.

    Returns:
        The specification; in the task `outputs` it names the outputs, and it knows a single one for two classes.

    Raises:
        UsageError: the call raises, changes its inputs, or does not answer with one float32 tensor (B, K) on the CPU;
            in the task `outputs`, with floating-point tensors of fixed shapes.
        DataError: the answers are not finite with the weights from a file.
    """
    training = network.training
    network.eval()
    model = _deployable(spec, network, source)
    where = f"{source}: {_place(network)}"
    earlier: list[tuple[Tensor, Tensor]] = []
    returned: object = None
    rows = 0
    for rows in _ROWS:
        inputs = _tensors(spec, examples, rows)
        kept = [tensor.clone() for tensor in inputs]
        # This is not inference mode, because a network also trains with the tensors that it keeps from its first call.
        with torch.no_grad(), _faults_of(f"{where}: expected an answer for {_shown(spec, inputs)}", network):
            returned = call_network(model, inputs)
        if spec.choice and isinstance(returned, Tensor):
            _require_parts_in_training(spec, network, model, inputs, where=where)
        spec, outputs = checked_outputs(spec, returned, rows=rows, task=task, where=where)
        for feature, tensor, before in zip(spec.inputs, inputs, kept, strict=True):
            if not torch.equal(tensor, before):
                raise UsageError(
                    f"{where}: expected input {feature.name} to be left as it is, found it changed by the call; "
                    "clone it first, and beware of inplace=True in the first layer"
                )
        if not all(torch.equal(values, copy) for values, copy in earlier):
            raise UsageError(
                f"{where}: expected a new tensor from each call, found that a call overwrites what an earlier one "
                "returned; return a clone"
            )
        earlier += [(values, values.clone()) for values in outputs]
        _check_finite(joined(outputs), where, weights)
    if spec.outputs:
        require_servable(spec, model, examples, where=where)
        (reporter or Silent()).log(f"train: {outputs_in_words(spec, returned, rows=rows)}")
    if spec.single_output:
        kind = "probability" if spec.activation == "sigmoid" else "logit"
        (reporter or Silent()).log(f"train: the network's one output counts as the {kind} of class {spec.labels[1]}")
    network.train(training)
    return spec


def _require_parts_in_training(
    spec: ModelSpec, network: nn.Module, model: AnyDeployable, inputs: tuple[Tensor, ...], *, where: str
) -> None:
    """Stop where `model.output` chooses a part of a network that returns one tensor in training too."""
    with _as_it_was(network), torch.no_grad():
        network.train()
        try:
            returned = call_network(model, inputs)
        except Exception:  # noqa: BLE001 - a network that is never trained here need not run in training mode
            return
    if isinstance(returned, Tensor):
        raise UsageError(
            f"{where}: model.output: expected a network that returns several tensors, found {describe(returned)}; take "
            f"model.output out of the recipe (now {', '.join(spec.choice)})"
        )


def check_training_mode(spec: ModelSpec, network: nn.Module, *, task: Task, examples: Split, source: str) -> None:
    """Check that a network has the same outputs in training mode, in which fine-tuning calls it.

    Args:
        spec: specification of the model, which names any outputs.
        network: network with its weights; mode, buffers and torch's random state are left as they were.
        task: task of the network.
        examples: real examples, one or more.
        source: source of the network, for messages: the key of the recipe and its value.

    Raises:
        UsageError: it returns something else than in evaluation mode; the message says what to do.
    """
    where = f"{source}: in training mode, {_place(network)}"
    with _as_it_was(network), torch.no_grad():
        model, inputs = _deployable(spec, network.train(), source), _tensors(spec, examples, _ROWS[0])
        try:
            returned = call_network(model, inputs)
        except Exception:  # noqa: BLE001 - it may need a whole batch, which fine-tuning gives it
            return
        checked_outputs(spec, returned, rows=_ROWS[0], task=task, where=where)


def check_first_step(
    spec: ModelSpec,
    network: nn.Module,
    criterion: Callable[[Tensor, Tensor], Tensor],
    *,
    task: Task,
    examples: Split,
    batch_size: int,
    source: str,
    loss: str,
) -> None:
    """Take the first step of a training, without the update: forward in training mode, loss and gradients.

    It is taken on two examples, and if that fails on a whole batch, because a loss may need as many. The network and
    torch's random state are left as they were.

    Args:
        spec: specification of the model.
        network: network with the weights that training starts from.
        criterion: loss function from outputs (B, K) and labels (B, ...) to a scalar.
        task: task of the network.
        examples: examples of the training data.
        batch_size: examples per step of the training.
        source: source of the network, for messages: the key of the recipe and its value.
        loss: source of the loss, for messages: the key of the recipe and its value.

    Raises:
        UsageError: no parameter can be trained, or forward, loss or gradients cannot be computed.
    """
    parameters = list(network.parameters())
    if not any(parameter.requires_grad for parameter in parameters):
        frozen = f"all {len(parameters)} frozen (requires_grad is False)" if parameters else "none at all"
        raise UsageError(
            f"{source}: expected parameters to train, found {frozen}; let some learn, or train nothing: "
            "train.epochs = 0 and model.weights"
        )
    whole = min(batch_size, len(examples))
    for rows in sorted({min(*_ROWS, whole), whole}):
        try:
            with _as_it_was(network):
                _step(spec, network, criterion, examples.take(slice(rows)), task=task, source=source, loss=loss)
        except UsageError:
            if rows == whole:
                raise
        else:
            return


def _step(
    spec: ModelSpec,
    network: nn.Module,
    criterion: Callable[[Tensor, Tensor], Tensor],
    examples: Split,
    *,
    task: Task,
    source: str,
    loss: str,
) -> None:
    rows = len(examples)
    # These are copies, because a forward pass may change its inputs in training mode, and training needs the examples.
    inputs = tuple(torch.from_numpy(examples.inputs[feature.name].copy()) for feature in spec.inputs)
    assert examples.labels is not None  # nothing is trained without
    labels_B = torch.from_numpy(examples.labels.copy())
    where = f"{source}: in training mode, {_place(network)}"
    model = _deployable(spec, network.train(), source)
    with _faults_of(f"{where}: expected an answer for {_shown(spec, inputs)}, a batch of {rows}", network):
        returned = call_network(model, inputs)
    outputs_BK = joined(checked_outputs(spec, returned, rows=rows, task=task, where=where)[1])
    with _faults_of(
        f"{loss}: expected a loss for outputs {describe(outputs_BK)} and labels {describe(labels_B)}", network
    ):
        scalar = criterion(outputs_BK, labels_B)
    if not scalar.requires_grad:
        raise UsageError(
            f"{loss}: expected a loss that depends on what is trained, found one without a gradient; neither the loss "
            f"nor {_place(network)} may detach its values"
        )
    with _faults_of(f"{where}: expected gradients of {loss}", network):
        scalar.backward()  # type: ignore[no-untyped-call]


@contextmanager
def _as_it_was(network: nn.Module) -> Iterator[None]:
    """Restore mode, buffers, gradients and torch's random state after the block."""
    training, buffers = network.training, {name: buffer.clone() for name, buffer in network.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            network.train(training)
            for parameter in network.parameters():
                parameter.grad = None
            for name, buffer in network.named_buffers():
                if name in buffers:
                    buffer.detach().copy_(buffers[name])


def _check_finite(outputs_BK: Tensor, where: str, weights: str | None) -> None:
    broken = int((~outputs_BK.isfinite()).any(dim=1).sum())
    if broken:
        problem = f"{where}: expected finite outputs, found NaN or Inf for {broken} of {len(outputs_BK)} examples"
        if weights is None:
            raise UsageError(f"{problem}; mend its forward, or scale its inputs in model.preprocessing")
        raise DataError(f"{problem} with weights {weights}; give weights that fit, or mend model.preprocessing")


def _deployable(spec: ModelSpec, network: nn.Module, source: str) -> AnyDeployable:
    try:
        model = spec.deployable(network)
    except PipelineError:
        raise
    except Exception as error:
        raise UsageError(f"{source}: preprocess: expected it to make a module, found {one_line(error)}") from error
    if not isinstance(model.preprocess, nn.Module):
        raise UsageError(
            f"{source}: preprocess: expected it to make a torch.nn.Module, found {type(model.preprocess).__name__}"
        )
    return model


def _tensors(spec: ModelSpec, examples: Split, rows: int) -> tuple[Tensor, ...]:
    """Copies of inputs (rows, *shape) in the order of the spec. For another number they are of other examples."""
    chosen = np.arange(rows, 2 * rows) % len(examples)
    return tuple(torch.from_numpy(examples.inputs[feature.name][chosen]) for feature in spec.inputs)


@contextmanager
def _faults_of(what: str, network: nn.Module) -> Iterator[None]:
    """Turn every exception of the model's own code into a UsageError with its line."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        dtypes = {parameter.dtype for parameter in network.parameters()} - {torch.float32}
        hint = (
            f"; its parameters are in {', '.join(map(short_dtype, dtypes))}: build it with .float()" if dtypes else ""
        )
        raise UsageError(f"{what}, found {one_line(error)}{hint}") from error


def _place(network: nn.Module) -> str:
    """Class and line of a network's forward."""
    name = f"{type(network).__name__}.forward"
    forward = inspect.unwrap(type(network).forward)
    try:
        return f"{name} ({inspect.getsourcefile(forward)}:{inspect.getsourcelines(forward)[1]})"
    except (OSError, TypeError):  # the class does not come from a file
        return name


def _shown(spec: ModelSpec, inputs: tuple[Tensor, ...]) -> str:
    return ", ".join(f"{feature.name} {describe(tensor)}" for feature, tensor in zip(spec.inputs, inputs, strict=True))
