"""What a training is told: how weights change, what is minimised, on which data, and where its files lie.

A stage makes these values from its recipe; fine-tuning makes its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.data.dataset import Split
from pipeline.engine.deadline import UNLIMITED, TimeLimit
from pipeline.engine.stage import Reporter
from pipeline.recipe.names import (
    DeviceName,
    KeepName,
    MixedPrecision,
    MonitorName,
    OptimizerName,
    SamplingName,
    ScheduleName,
)
from pipeline.recipe.train import EarlyStopping, Lbfgs, Plateau, StepDecay, Train
from pipeline.tasks.loss import Criterion, Loss
from pipeline.tasks.task import Task
from pipeline.training.augment import Augmentation
from pipeline.training.freeze import Freezing
from pipeline.training.mixing import Mixing
from pipeline.training.processes import ALONE, Processes
from pipeline.training.transforms import Transforms


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How the weights change at each step; a recipe explains the settings.

    Args:
        optimizer: update rule.
        learning_rate: peak learning rate.
        weight_decay: weight decay, decoupled for adamw, L2 otherwise.
        schedule: schedule of the learning rate.
        momentum: momentum; the optimizer's usual one if None.
        nesterov: whether sgd looks ahead by its momentum; if None, where it has momentum.
        lbfgs: settings of lbfgs.
        warm_up: epochs in which the learning rate rises to where the schedule begins.
        step: settings of the schedule `step`.
        plateau: settings of the schedule `reduce-on-plateau`.
        clip_norm: largest norm of all gradients together; None for any.
        accumulate: batches whose gradients are added up before each step.
    """

    optimizer: OptimizerName
    learning_rate: float
    weight_decay: float
    schedule: ScheduleName
    momentum: float | None = None
    nesterov: bool | None = None
    lbfgs: Lbfgs = field(default_factory=Lbfgs)
    warm_up: float = 0.0
    step: StepDecay | None = None
    plateau: Plateau = field(default_factory=Plateau)
    clip_norm: float | None = None
    accumulate: int = 1

    @property
    def spans_the_run(self) -> bool:
        """Whether the learning rate at a step depends on how many epochs follow it."""
        return self.schedule in ("cosine", "one-cycle")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which epoch's weights are kept, and when training ends early, both by the validation split.

    Args:
        keep: the last epoch's weights, or the best's.
        monitor: the figure that decides.
        early_stopping: when training ends early; None for never.
    """

    keep: KeepName = "last"
    monitor: MonitorName = "metric"
    early_stopping: EarlyStopping | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a network is trained.

    Args:
        epochs: number of passes over the training data; 0 only evaluates.
        batch_size: examples in a batch.
        optimization: how the weights change at each step.
        selection: which epoch's weights are kept.
        augmentation: ways in which training pictures are changed.
        freezing: modules that are not trained, or not at first.
        copies: whether each epoch draws one of the augmentation's fixed copies for each example, instead of any move.
        sampling: how the examples of an epoch are drawn.
        seed: seed of shuffling, augmentation and dropout.
        device: device to train on.
        mixed_precision: number format of the forward pass.
        activation_checkpointing: names of modules whose activations are computed again in the backward pass.
        compile: whether the network is compiled for its training steps.
        ema_decay: share that averaged weights keep of themselves at each step; None for no average.
        thaw: whether every batch norm follows its batches, even one that the network's own `train` keeps as it is.
        untrained: whether the network may not answer in the units of its targets yet, where a task has such.
        checkpoints: number of last epochs whose checkpoints are kept.
    """

    epochs: int
    batch_size: int
    optimization: Optimization
    selection: Selection = field(default_factory=Selection)
    augmentation: Augmentation = field(default_factory=Augmentation)
    freezing: Freezing = field(default_factory=Freezing)
    copies: bool = False
    sampling: SamplingName = "shuffled"
    seed: int = 0
    device: DeviceName = "auto"
    mixed_precision: MixedPrecision = "off"
    activation_checkpointing: tuple[str, ...] = ()
    compile: bool = False
    ema_decay: float | None = None
    thaw: bool = False
    untrained: bool = False
    checkpoints: int = 2


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What a network is trained on.

    Args:
        task: task of the network.
        train: training split with raw inputs and labels.
        validation: split for evaluation after each epoch; it is never trained on.
    """

    task: Task
    train: Split
    validation: Split


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a training minimises.

    Args:
        loss: loss that is minimised.
        criterion: the same loss as a function of answers and labels alone, for validation; None where it needs more.
        metric: name of the mean score, for messages; the task's if None.
    """

    loss: Loss
    criterion: Criterion | None = None
    metric: str | None = None


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where a training keeps its checkpoints, and whom it tells of its progress.

    Args:
        scratch: existing folder of the checkpoints, of which one is written after each epoch.
        reporter: reporter that gets loss and score during training.
        limit: time limit, which is checked at each report of progress except the last.
        purpose: purpose of this training, for messages; it begins with the recipe's name for it.
        resume: checkpoint to go on from, whatever lies in the folder; None to go on from what lies there.
        origin: what the training is made from, by name, such as its settings and the digests of its data; a checkpoint
            of another origin is not gone on from.
        processes: processes that train together; one of them keeps checkpoints and is told of progress.
    """

    scratch: Path
    reporter: Reporter
    limit: TimeLimit = UNLIMITED
    purpose: str = "train"
    resume: Path | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    processes: Processes = ALONE


def settings_of(train: Train, *, untrained: bool) -> TrainingSettings:
    """The settings of a recipe's section `[train]`.

    Args:
        train: section of the recipe.
        untrained: whether the network has no weights of its own yet.
    """
    return TrainingSettings(
        epochs=train.epochs,
        batch_size=train.batch_size,
        optimization=Optimization(
            optimizer=train.optimizer,
            learning_rate=train.learning_rate,
            weight_decay=train.weight_decay,
            schedule=train.schedule,
            momentum=train.momentum,
            nesterov=train.nesterov,
            lbfgs=train.lbfgs or Lbfgs(),
            warm_up=train.warm_up,
            step=train.step,
            plateau=train.plateau or Plateau(),
            clip_norm=train.clip_norm,
            accumulate=train.accumulate,
        ),
        selection=Selection(keep=train.keep, monitor=train.monitor, early_stopping=train.early_stopping),
        augmentation=augmentation_of(train),
        freezing=freezing_of(train),
        sampling=train.sampling,
        seed=train.seed,
        device=train.device,
        mixed_precision=train.mixed_precision,
        activation_checkpointing=train.activation_checkpointing,
        compile=train.compile,
        ema_decay=train.ema_decay,
        untrained=untrained,
        checkpoints=train.checkpoints,
    )


def augmentation_of(train: Train) -> Augmentation:
    """How a recipe's section `[train]` changes training pictures."""
    changes = train.augmentation
    return Augmentation(
        horizontal_flip=train.horizontal_flip,
        shift=train.shift,
        transforms=Transforms(**changes.model_dump(exclude={"mixup", "cutmix"})),
        mixing=Mixing(mixup=changes.mixup, cutmix=changes.cutmix),
    )


def freezing_of(train: Train) -> Freezing:
    """What a recipe's section `[train]` freezes."""
    return Freezing(names=train.freeze, unfreeze_after=train.unfreeze_after)
