"""What the candidates of a build are made from and checked against. It is the same for all of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor, nn

from pipeline._handlers.sizes import size_groups
from pipeline.compress.pass_effect import layer_macs
from pipeline.data.free_axis_sizes import has_distinct_sizes, sizes_of
from pipeline.engine.deadline import UNLIMITED, TimeLimit
from pipeline.engine.stage import Reporter, Silent
from pipeline.models.spec import AnyDeployable, ModelSpec
from pipeline.models.weights import load_network
from pipeline.recipe.names import DeviceName, MixedPrecision, SamplingName
from pipeline.tasks.loss import Criterion
from pipeline.tasks.task import Task
from pipeline.training.augment import Augmentation

# Number of examples that the exporters trace on. It must be two or more, or the batch axis may freeze at 1.
_EXAMPLE_ROWS = 2


@dataclass(frozen=True, kw_only=True)
class Context:
    """What all candidates of a build share.

    Args:
        model: the float model.
        task: the model's task.
        weights: file with the weights of the float network.
        train: file of the training split, on which networks are trained and calibrated.
        validation: file of the validation split, on which candidates are judged.
        samples: file of real validation inputs, their labels and the float network's logits; parity is checked on them.
        opset: ONNX operator set version.
        batch_sizes: examples per call in the parity check.
        evaluator_macs: largest number of multiply-accumulates per example for which the reference evaluator runs too.
        augmentation: how training pictures are moved.
        decisions: the float network's decisions on the validation split, as targets; None where the data have labels.
        criterion: the user's own loss of outputs and labels; None for the task's.
        device: device to train on.
        scratch: folder for temporary files, and for candidates that an interrupted run finished.
        cache: folder for tuned weights. Several candidates share them, and so does a later search of other extent.
        model_key: digest of all that the model is made of besides its weights (source, arguments, preprocessing), and
            of the criterion.
        reporter: receives the progress of training.
        mixed_precision: number format of the forward pass while a network is trained.
        sampling: how the examples of an epoch are drawn while a network is trained.
        limit: time limit; it is checked whenever training reports its progress, and between two steps of a scan.
    """

    model: ModelSpec
    task: Task
    weights: Path
    train: Path
    validation: Path
    samples: Path
    opset: int
    batch_sizes: tuple[int, ...]
    evaluator_macs: int
    augmentation: Augmentation
    device: DeviceName
    scratch: Path
    cache: Path
    model_key: str = ""
    decisions: NDArray[Any] | None = None
    criterion: Criterion | None = None
    reporter: Reporter = field(default_factory=Silent)
    mixed_precision: MixedPrecision = "off"
    sampling: SamplingName = "shuffled"
    limit: TimeLimit = UNLIMITED

    def network(self) -> nn.Module:
        """Return the float network with its weights, in evaluation mode."""
        return load_network(self.model, self.weights)

    def deployable(self) -> AnyDeployable:
        """Return the float network behind its preprocessing, in evaluation mode."""
        return self.model.deployable(self.network())

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of the float network's layers for one example; 0 where they cannot be counted."""
        try:
            return sum(layer_macs(self.deployable(), self.example()).values())
        except Exception:  # noqa: BLE001 - a network may call its layers in ways of its own, and costs as it does then
            return 0

    def example(self) -> tuple[Tensor, ...]:
        """Return the first samples, (2, *shape) each, in the order of the model's inputs."""
        stored = load_file(self.samples)
        arrays: list[NDArray[np.generic]] = [stored[f"input.{spec.name}"] for spec in self.model.inputs]
        return tuple(torch.from_numpy(array[:_EXAMPLE_ROWS].copy()) for array in arrays)

    def other_sizes(self) -> list[dict[str, int]]:
        """Return sizes of free axes by axis name, besides the data's. Candidates are compared with float at them."""
        inputs = self.model.inputs
        groups = size_groups(load_file(self.samples), inputs)
        return [sizes_of(inputs, {name: array.shape[1:] for name, array in group.inputs.items()}) for group in groups]

    def traced_example(self) -> tuple[Tensor, ...]:
        """Return the samples that the exporters trace on, in sizes of the free axes that they mistake for nothing else.

        Exporters take a free axis of one element for one to broadcast, and sizes that are equal by chance for one size.
        """
        stored, inputs = load_file(self.samples), self.model.inputs
        originals = {spec.name: stored[f"input.{spec.name}"] for spec in inputs}
        choices = [originals, *(group.inputs for group in size_groups(stored, inputs))]
        distinct = next((arrays for arrays in choices if has_distinct_sizes(arrays, inputs, _EXAMPLE_ROWS)), originals)
        return tuple(torch.from_numpy(distinct[spec.name][:_EXAMPLE_ROWS].copy()) for spec in inputs)
