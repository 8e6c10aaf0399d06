"""All that changes while a network is trained, and so all that a checkpoint holds."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pipeline.training.checkpoint import Checkpoint
from pipeline.training.device import random_state, restore_random_state
from pipeline.training.history import Epoch
from pipeline.training.mixed_precision import Precision
from pipeline.training.schedule import Schedule
from pipeline.training.selection import best_epoch
from pipeline.training.settings import Selection


@dataclass(kw_only=True)
class TrainingState:
    """A training between two steps.

    Args:
        model: model with its preprocessing, which maps raw inputs to answers.
        network: the network in it.
        optimizer: optimizer of its parameters.
        schedule: schedule of the optimizer's learning rate.
        precision: number format of the forward pass, with the scale of the gradients.
        average: average of the model over the steps; None without.
        epochs: figures of the completed epochs.
        best: state dict of the network to keep as it was at its best epoch; empty where the last is kept.
        processes: number of processes that trained each of the completed epochs.
    """

    model: nn.Module
    network: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    precision: Precision
    average: AveragedModel | None = None
    epochs: tuple[Epoch, ...] = ()
    best: dict[str, Any] = field(default_factory=dict)
    processes: tuple[int, ...] = ()

    @property
    def judged_model(self) -> nn.Module:
        """The model that is validated, and whose weights are kept: the averaged one where there is an average."""
        return self.model if self.average is None else self.average.module

    @property
    def judged_network(self) -> nn.Module:
        """The network in the model that is validated."""
        name = next(name for name, module in self.model.named_modules() if module is self.network)
        return self.judged_model.get_submodule(name)

    @property
    def buffers(self) -> list[Tensor]:
        """What forward passes change in the model, such as the statistics of batch norms; in its average too."""
        averaged = () if self.average is None else self.average.module.buffers()
        return [*self.model.buffers(), *averaged]

    def add_epoch(self, epoch: Epoch, selection: Selection, *, processes: int) -> None:
        """Add the figures of an epoch, and remember its weights if they are the best so far and shall be kept.

        Args:
            epoch: figures of the epoch.
            selection: which epoch's weights are kept.
            processes: number of processes that trained it.
        """
        self.epochs = (*self.epochs, epoch)
        self.processes = (*self.processes, processes)
        if selection.keep == "best" and best_epoch(self.epochs, selection.monitor) == epoch.epoch:
            self.best = copy.deepcopy(self.judged_network.state_dict())

    def keep_weights(self) -> None:
        """Give the network the weights to keep: those of its best epoch, or the average, or those that it has."""
        if self.best:
            self.network.load_state_dict(self.best)
        elif self.average is not None:
            self.network.load_state_dict(self.judged_network.state_dict())

    def to_checkpoint(self, *, origin: Mapping[str, str], planned: int) -> Checkpoint:
        """The state, with torch's random state, as a checkpoint.

        Args:
            origin: what the training is made from, by name.
            planned: number of epochs of the whole run.
        """
        scaler, average = self.precision.scaler, self.average
        return Checkpoint(
            network=self.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            schedule=self.schedule.state_dict(),
            random=random_state(self.precision.device),
            epochs=self.epochs,
            scaler={} if scaler is None else scaler.state_dict(),
            average={} if average is None else average.state_dict(),
            best=self.best,
            origin=dict(origin),
            planned=planned,
            processes=self.processes,
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to the state of a checkpoint of the same training."""
        self.network.load_state_dict(checkpoint.network)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        self.schedule.load_state_dict(checkpoint.schedule)
        if self.precision.scaler is not None:
            self.precision.scaler.load_state_dict(checkpoint.scaler)
        if self.average is not None:
            self.average.load_state_dict(checkpoint.average)
        self.best = checkpoint.best
        self.epochs = checkpoint.epochs
        self.processes = checkpoint.processes or (1,) * len(checkpoint.epochs)
        restore_random_state(checkpoint.random, self.precision.device)
