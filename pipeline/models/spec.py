"""The specification of a model: how its network is built, its inputs and its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pipeline._handlers.activation import Activation
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.outputs import OutputSpec
from pipeline.errors import DataError, UsageError
from pipeline.models.info import ModelInfo
from pipeline.models.parts import choose, leaves
from pipeline.recipe.task import TaskName
from pipeline.tasks.table import task_named
from pipeline.tasks.task import Task


class Deployable(nn.Module):
    """Preprocessing in front of a network of one input: raw values in, logits out."""

    def __init__(self, *, preprocess: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.network = network

    def forward(self, raw: Tensor) -> Tensor:
        """Map raw (B, *shape) values of the input's dtype to logits (B, K) in float32."""
        logits: Tensor = self.network(self.preprocess(raw))
        return logits


class DeployableOfSeveral(nn.Module):
    """Preprocessing in front of a network of several inputs. `*raw` cannot be scripted, so it is a class of its own."""

    def __init__(self, *, preprocess: nn.Module, network: nn.Module) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.network = network

    def forward(self, *raw: Tensor) -> Tensor:
        """Map raw (B, *shape) values, one tensor per input in the order of the spec, to logits (B, K) in float32."""
        logits: Tensor = self.network(*self.preprocess(*raw))
        return logits


class DeployableOfOutputs(nn.Module):
    """Preprocessing in front of a network that returns other things than one tensor, of which tensors come out.

    It is traced or exported, never scripted: it looks into tuples, dicts and objects of any class.

    Args:
        preprocess: module that maps raw inputs to the network's inputs.
        network: the network.
        choice: paths of the parts that count, in their order; empty for all.
    """

    def __init__(self, *, preprocess: nn.Module, network: nn.Module, choice: Sequence[str]) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.network = network
        self.choice = tuple(choice)

    def forward(self, *raw: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Map raw (B, *shape) values, in the order of the spec, to float32: a tensor, or a tuple of several."""
        tensors = [tensor.to(torch.float32) for tensor in tensors_in(self.answers(*raw), self.choice)]
        return tensors[0] if len(tensors) == 1 else tuple(tensors)

    def answers(self, *raw: Tensor) -> object:
        """Return what the network itself returns to raw values."""
        values = self.preprocess(*raw)
        return self.network(*values) if isinstance(values, tuple) else self.network(values)


class DeployableOfSingleOutput(DeployableOfOutputs):
    """Preprocessing in front of a network whose only output tells two classes apart: how certain the second one is.

    A column for each class comes out. With 0 beside a logit the softmax of both is the sigmoid of the logit, exactly.

    Args:
        preprocess: module that maps raw inputs to the network's inputs.
        network: the network.
        choice: path of the part that counts; empty for all.
        activation: activation that the network's output has already passed.
    """

    def __init__(
        self, *, preprocess: nn.Module, network: nn.Module, choice: Sequence[str], activation: Activation | None
    ) -> None:
        super().__init__(preprocess=preprocess, network=network, choice=choice)
        self.activation = activation

    def forward(self, *raw: Tensor) -> Tensor:
        """Map raw (B, *shape) values, in the order of the spec, to logits or probabilities (B, 2) in float32."""
        [output] = tensors_in(self.answers(*raw), self.choice)
        return of_two_classes(output, self.activation)


def of_two_classes(output: Tensor, activation: Activation | None) -> Tensor:
    """The logits or probabilities (B, 2) of two classes.

    Args:
        output: logit or probability of the second class, (B,) or (B, 1).
        activation: activation that the output has already passed.
    """
    second_B1 = output.to(torch.float32).reshape(-1, 1)
    first_B1 = 1 - second_B1 if activation == "sigmoid" else torch.zeros_like(second_B1)
    return torch.cat([first_B1, second_B1], dim=1)


AnyDeployable = Deployable | DeployableOfSeveral | DeployableOfOutputs


def tensors_in(answers: object, choice: Sequence[str] = ()) -> list[Tensor]:
    """The tensors in what a network returns.

    Args:
        answers: a tensor, a tuple, a dict or an object.
        choice: paths of the parts that count, in their order; empty for all. A network that returns one tensor has no
            parts: it may do so in evaluation mode, and return auxiliary outputs beside it in training.

    Raises:
        UsageError: there is no such part.
    """
    if isinstance(answers, Tensor):
        return [answers]
    try:
        chosen = [choose(answers, path) for path in choice] if choice else [answers]
    except KeyError as error:
        paths = ", ".join(path for path, _ in leaves(answers))
        raise UsageError(
            f"model.output: expected a part of what the network returns ({paths}), found {error}"
        ) from error
    return [leaf for part in chosen for _, leaf in leaves(part) if isinstance(leaf, Tensor)]


def joined(answers: Tensor | Sequence[Tensor]) -> Tensor:
    """The answers of a deployable network as one tensor (B, K): several outputs side by side, each flattened."""
    if isinstance(answers, Tensor):
        return answers if answers.ndim == 2 else answers.reshape(len(answers), -1)
    return torch.cat([joined(answer) for answer in answers], dim=1)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model that can be built, trained and deployed.

    Args:
        name: name in messages and files.
        build: function that makes the network alone, freshly initialised from torch's global random state.
        preprocess: function that makes the module in front of it. The module takes the raw inputs positionally in the
            order of `inputs` and returns the network's inputs: a tensor for one input, a tuple for several.
        inputs: specifications of the inputs of one example.
        labels: names of the outputs, by index; in classification these are the classes.
        task: name of the network's task.
        activation: activation that the network's outputs have already passed; None where it is not declared.
        choice: paths of those parts of what the network returns that count; empty for all.
        outputs: the outputs in the task of that name, known after the first call of the network; empty in other tasks,
            where the network has one output (B, K).
        single_output: whether the network tells two classes apart by one output, known after its first call: the logit
            or the probability of the second class.
        assumed: what `preprocess` assumes of raw values, in words; empty where the model, the recipe or the data set
            says it.
    """

    name: str
    build: Callable[[], nn.Module]
    preprocess: Callable[[], nn.Module]
    inputs: tuple[InputSpec, ...]
    labels: tuple[str, ...]
    task: TaskName = "classification"
    activation: Activation | None = None
    choice: tuple[str, ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    single_output: bool = False
    assumed: str = ""

    def __post_init__(self) -> None:
        """Check the fields that a user's own spec may get wrong.

        Raises:
            UsageError: there are no inputs, inputs of the same name or fewer than two labels, or the activation is
                unknown.
        """
        names = [spec.name for spec in self.inputs]
        if not names or len(set(names)) != len(names):
            raise UsageError(f"model {self.name}: inputs: expected one or more of different names, found {names}")
        task = task_named(self.task)
        try:
            task.check_names(f"model {self.name}", self.labels, key="labels")
        except DataError as error:
            raise UsageError(str(error)) from error
        if self.activation is not None and self.activation not in task.activations:
            raise UsageError(
                f"model {self.name}: activation: expected {', '.join(task.activations)} or None, which is what outputs "
                f"may be in {task.name}, found {self.activation!r}"
            )

    @property
    def outputs_are(self) -> Activation:
        """The activation that the outputs have already passed; `none`, for logits, where it is not declared.

        The probabilities of two classes are those of a softmax, also where a sigmoid made one of them.
        A build ends after its first call of the network if undeclared outputs look like probabilities.
        """
        return "softmax" if self.single_output and self.activation == "sigmoid" else self.activation or "none"

    @property
    def compared(self) -> tuple[OutputSpec, ...]:
        """The outputs that are compared each within limits of its own; empty where all answers have one unit."""
        if self.outputs or len(self.labels) == 1 or not task_named(self.task).has_units:
            return self.outputs
        return tuple(OutputSpec(name=label, shape=()) for label in self.labels)

    @property
    def columns(self) -> int:
        """Number of values in the answer to an example, K."""
        return sum(output.size for output in self.outputs) or len(self.labels)

    def as_called(self, info: ModelInfo) -> ModelSpec:
        """The specification that knows what the network's first call showed.

        Args:
            info: facts of the model that were written after that call.
        """
        return replace(self.with_outputs(info.outputs), single_output=info.single_output)

    def with_outputs(self, outputs: Sequence[OutputSpec]) -> ModelSpec:
        """The specification that names the outputs of the network's first call; the same one without any."""
        if not outputs:
            return self
        return replace(self, outputs=tuple(outputs), labels=tuple(output.name for output in outputs))

    def deployable(self, network: nn.Module) -> AnyDeployable:
        """Put the preprocessing in front of a network.

        Args:
            network: network of `build`, trained or not, compressed or not.

        Returns:
            A module with submodules `preprocess` and `network`, in the network's training or evaluation mode. It maps
            positional raw inputs in the order of `inputs` to logits (B, K); in the task `outputs`, to a tensor
            (B, *shape) or to a tuple of several.
        """
        if self.single_output:
            return DeployableOfSingleOutput(
                preprocess=self.preprocess(), network=network, choice=self.choice, activation=self.activation
            ).train(network.training)
        if self.choice or self.task == "outputs":
            return DeployableOfOutputs(preprocess=self.preprocess(), network=network, choice=self.choice).train(
                network.training
            )
        kind = Deployable if len(self.inputs) == 1 else DeployableOfSeveral
        return kind(preprocess=self.preprocess(), network=network).train(network.training)

    def to_info(self, network: nn.Module, *, task: Task, files: Mapping[str, str]) -> ModelInfo:
        """The facts of a model that the MODEL_INFO file holds.

        Args:
            network: trained network.
            task: task of the network.
            files: SHA-256 of the files that the network was made from, by name.
        """
        return ModelInfo(
            name=self.name,
            task=task.settings,
            inputs=self.inputs,
            labels=self.labels,
            outputs=self.outputs,
            single_output=self.single_output,
            activation=self.outputs_are,
            parameters=count_parameters(network),
            files=dict(files),
        )


def inner_network(module: nn.Module) -> nn.Module:
    """The network without the preprocessing in front of it, if there is any; its module names are the user's own."""
    if not isinstance(module, AnyDeployable):
        return module
    network: nn.Module = module.network
    return network


def count_parameters(network: nn.Module) -> int:
    """Number of values in a network's parameters. A shared tensor counts once, and buffers do not count."""
    return sum(parameter.numel() for parameter in network.parameters())
