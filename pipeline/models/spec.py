"""The specification of a model: how its network is built, its inputs and its outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from pipeline._handlers.activation import Activation
from pipeline._handlers.decode import InputSpec
from pipeline.errors import DataError, UsageError
from pipeline.models.info import ModelInfo
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
    """

    name: str
    build: Callable[[], nn.Module]
    preprocess: Callable[[], nn.Module]
    inputs: tuple[InputSpec, ...]
    labels: tuple[str, ...]
    task: TaskName = "classification"
    activation: Activation | None = None

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

        A build ends after its first call of the network if undeclared outputs look like probabilities.
        """
        return self.activation or "none"

    def deployable(self, network: nn.Module) -> Deployable | DeployableOfSeveral:
        """Put the preprocessing in front of a network.

        Args:
            network: network of `build`, trained or not, compressed or not.

        Returns:
            A module with submodules `preprocess` and `network`, in the network's training or evaluation mode. It maps
            positional raw inputs in the order of `inputs` to logits (B, K).
        """
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
            activation=self.outputs_are,
            parameters=count_parameters(network),
            files=dict(files),
        )


def inner_network(module: nn.Module) -> nn.Module:
    """The network without the preprocessing in front of it, if there is any; its module names are the user's own."""
    if not isinstance(module, Deployable | DeployableOfSeveral):
        return module
    network: nn.Module = module.network
    return network


def count_parameters(network: nn.Module) -> int:
    """Number of values in a network's parameters. A shared tensor counts once, and buffers do not count."""
    return sum(parameter.numel() for parameter in network.parameters())
