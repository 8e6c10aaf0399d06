"""What candidates are made from and held against: the same for all of a build."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from torch import Tensor, nn

from pipeline._handlers.sizes import size_groups
from pipeline.data.free_axis_sizes import has_distinct_sizes, sizes_of
from pipeline.engine.deadline import UNLIMITED, TimeLimit
from pipeline.engine.stage import Reporter, Silent
from pipeline.models.spec import Deployable, DeployableOfSeveral, ModelSpec
from pipeline.models.weights import load_network
from pipeline.recipe.names import DeviceName
from pipeline.tasks.loss import Criterion
from pipeline.tasks.task import Task
from pipeline.training.augment import Augmentation

# What the exporters trace on: two or more, or the batch axis may freeze at 1.
_EXAMPLE_ROWS = 2


@dataclass(frozen=True, kw_only=True)
class Context:
    """What all candidates of a build share.

    Args:
        model: the float model.
        task: what it is for.
        weights: of the float network.
        train: the training split: what is trained and calibrated on.
        validation: the validation split: what candidates are judged on.
        samples: real validation inputs, their labels and the float network's logits: what parity is checked on.
        opset: ONNX operator set version.
        batch_sizes: examples per call in the parity check.
        evaluator_macs: multiply-accumulates up to which the reference evaluator is asked too.
        augmentation: how training pictures are moved.
        criterion: the user's own loss of outputs and labels; None for the task's.
        device: where to train.
        scratch: for temporary files, and for candidates that an interrupted run finished.
        cache: for tuned weights, which several candidates share, and a later search of other extent.
        model_key: digest of all that the model is made of besides its weights (source, arguments, preprocessing), and
            of the criterion.
        reporter: told how training goes.
        limit: asked while training tells its progress, and between two steps of a scan.
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
    criterion: Criterion | None = None
    reporter: Reporter = field(default_factory=Silent)
    limit: TimeLimit = UNLIMITED

    def network(self) -> nn.Module:
        """The float network with its weights, in evaluation mode."""
        return load_network(self.model, self.weights)

    def deployable(self) -> Deployable | DeployableOfSeveral:
        """The float network behind its preprocessing, in evaluation mode."""
        return self.model.deployable(self.network())

    def example(self) -> tuple[Tensor, ...]:
        """The first samples, positional in the order of the model's inputs, (2, *shape) each."""
        stored = load_file(self.samples)
        arrays: list[NDArray[np.generic]] = [stored[f"input.{one.name}"] for one in self.model.inputs]
        return tuple(torch.from_numpy(array[:_EXAMPLE_ROWS].copy()) for array in arrays)

    def other_sizes(self) -> list[dict[str, int]]:
        """Sizes of free axes, by the axes' names, besides the data's, at which candidates are held against float."""
        inputs = self.model.inputs
        groups = size_groups(load_file(self.samples), inputs)
        return [sizes_of(inputs, {name: array.shape[1:] for name, array in group.inputs.items()}) for group in groups]

    def traced_example(self) -> tuple[Tensor, ...]:
        """What the exporters follow: the first samples, in sizes of the free axes that are mistaken for nothing else.

        A free axis of one element is taken for one to broadcast, and sizes that are equal by chance for one size.
        """
        stored, inputs = load_file(self.samples), self.model.inputs
        datas = {one.name: stored[f"input.{one.name}"] for one in inputs}
        choices = [datas, *(group.inputs for group in size_groups(stored, inputs))]
        distinct = next((arrays for arrays in choices if has_distinct_sizes(arrays, inputs, _EXAMPLE_ROWS)), datas)
        return tuple(torch.from_numpy(distinct[one.name][:_EXAMPLE_ROWS].copy()) for one in inputs)
