"""What a model is: how to build its network, what goes in, what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from pipeline._handlers.activation import ACTIVATIONS, Activation
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
    """Preprocessing in front of a network of several inputs; apart because `*raw` cannot be scripted, only traced."""

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
        name: for people and files.
        build: makes the network alone, freshly initialised from torch's global random state.
        preprocess: makes the module in front of it. It takes the raw inputs positionally in the order of
            `inputs` and returns what the network takes: a tensor for one input, a tuple for several.
        inputs: what one example consists of.
        labels: names of the outputs, by index: of classification the classes.
        task: what the network is for.
        activation: what the network's outputs are already; None where nobody said so.
    """

    name: str
    build: Callable[[], nn.Module]
    preprocess: Callable[[], nn.Module]
    inputs: tuple[InputSpec, ...]
    labels: tuple[str, ...]
    task: TaskName = "classification"
    activation: Activation | None = None

    def __post_init__(self) -> None:
        """Check what a user's own spec may get wrong.

        Raises:
            UsageError: no inputs, inputs of the same name, fewer than two labels, or an unknown activation.
        """
        names = [one.name for one in self.inputs]
        if not names or len(set(names)) != len(names):
            raise UsageError(f"model {self.name}: inputs: expected one or more of different names, found {names}")
        try:
            task_named(self.task).check_names(f"model {self.name}", self.labels)
        except DataError as error:
            raise UsageError(str(error)) from error
        if self.activation is not None and self.activation not in ACTIVATIONS:
            raise UsageError(
                f"model {self.name}: activation: expected {', '.join(ACTIVATIONS)} or None, found {self.activation!r}"
            )

    @property
    def outputs_are(self) -> Activation:
        """What the network's outputs are: logits where nobody said otherwise.

        The first call of a build ends it where undeclared outputs look like probabilities.
        """
        return self.activation or "none"

    def deployable(self, network: nn.Module) -> Deployable | DeployableOfSeveral:
        """Put the preprocessing in front of a network.

        Args:
            network: as `build` makes it, trained or not, compressed or not.

        Returns:
            A module with submodules `preprocess` and `network`, in the network's training or evaluation mode.
            Raw inputs positional in the order of `inputs`, logits (B, K) out.
        """
        kind = Deployable if len(self.inputs) == 1 else DeployableOfSeveral
        return kind(preprocess=self.preprocess(), network=network).train(network.training)

    def to_info(self, network: nn.Module, *, task: Task, files: Mapping[str, str]) -> ModelInfo:
        """What MODEL_INFO says of a model.

        Args:
            network: as trained.
            task: what it is for.
            files: SHA-256 of the files that it was made from, by name.
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
    """The network alone, whose module names are its user's own, from behind its preprocessing if there is one."""
    if not isinstance(module, Deployable | DeployableOfSeveral):
        return module
    network: nn.Module = module.network
    return network


def count_parameters(network: nn.Module) -> int:
    """Number of values in a network's parameters, each shared tensor once; buffers not included."""
    return sum(parameter.numel() for parameter in network.parameters())
