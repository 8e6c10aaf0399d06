"""Fine-tune a compressed network: it learns to answer as the float network does on the training inputs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from pipeline.data.dataset import Split
from pipeline.engine.array_files import create_arrays, read_arrays
from pipeline.engine.stage import Reporter
from pipeline.models.spec import ModelSpec
from pipeline.recipe.names import DeviceName, MixedPrecision, SamplingName
from pipeline.tasks.loss import Criterion
from pipeline.training.answers import on_device
from pipeline.training.augment import Augmentation, require_pictures
from pipeline.training.device import choose_device
from pipeline.training.examples import predict
from pipeline.training.loop import Trained, train_network
from pipeline.training.settings import Objective, Optimization, Session, TrainingData, TrainingSettings

# There is nothing to regularise: the float network's answers say more than labels do, and a network cannot learn them
# by heart in a few epochs.
_WEIGHT_DECAY = 0.0
_LOGITS = "logits"


def write_teacher_logits(
    file: Path, spec: ModelSpec, teacher: nn.Module, train: Split, *, augmentation: Augmentation, device: DeviceName
) -> None:
    """Write the float network's answers to the training inputs, once for all epochs and all its compressed networks.

    Args:
        file: file to write: `logits` (V, N, K) per copy, float32. They never lie in memory together.
        spec: spec of the model.
        teacher: float network without its preprocessing; it is left on the CPU.
        train: training split; only its raw inputs are used.
        augmentation: augmentation whose copies of the training data the teacher answers.
        device: device to run on.

    Raises:
        UsageError: there is no picture to move, or the device is not there.
    """
    require_pictures(augmentation, spec.inputs, section="fine-tune")
    with on_device(spec, teacher, train, device=device) as (model, examples):
        copies_VN3 = augmentation.copies(len(train)).to(examples.device)
        shape = (len(copies_VN3), len(train), spec.columns)
        logits_VNK = create_arrays(file, {_LOGITS: (np.dtype(np.float32), shape)})[_LOGITS]
        for copy, moves_N3 in enumerate(copies_VN3):
            start = 0
            for logits_BK in predict(model, examples, moves_N3):
                logits_VNK[copy, start : start + len(logits_BK)] = logits_BK.numpy()
                start += len(logits_BK)


def read_teacher_logits(file: Path) -> Tensor:
    """Read what `write_teacher_logits` wrote: answers (V, N, K), mapped from the file where they are too large."""
    with warnings.catch_warnings():
        # Torch warns of arrays that may not be written to, and these answers are only read.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(read_arrays(file)[_LOGITS])


@dataclass(frozen=True, kw_only=True)
class Teaching:
    """What a compressed network learns.

    Args:
        answers: answers of the teacher, (V, N, K), as `read_teacher_logits` returns them.
        temperature: number by which logits are divided before they are compared.
        label_weight: share of the labels' own loss in the whole loss.
        criterion: loss of the labels.
        metric: name of the mean score against the labels.
    """

    answers: Tensor
    temperature: float
    label_weight: float
    criterion: Criterion
    metric: str


def fine_tuning(
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    augmentation: Augmentation,
    seed: int,
    device: DeviceName,
    mixed_precision: MixedPrecision = "off",
    sampling: SamplingName = "shuffled",
) -> TrainingSettings:
    """The settings by which a compressed network is trained.

    Args:
        epochs: number of passes over the training data.
        batch_size: examples per step.
        learning_rate: peak of a one-cycle schedule.
        augmentation: the same augmentation as for `write_teacher_logits`; an epoch uses one copy of each example.
        seed: seed of the shuffling and of the choice of copies.
        device: device to train on.
        mixed_precision: number format of the forward pass.
        sampling: how the examples of an epoch are drawn.
    """
    return TrainingSettings(
        epochs=epochs,
        batch_size=batch_size,
        optimization=Optimization(
            optimizer="adamw", learning_rate=learning_rate, weight_decay=_WEIGHT_DECAY, schedule="one-cycle"
        ),
        augmentation=augmentation,
        copies=True,
        seed=seed,
        device=device,
        mixed_precision=mixed_precision,
        sampling=sampling,
        thaw=True,
    )


def distill(
    spec: ModelSpec,
    network: nn.Module,
    *,
    data: TrainingData,
    teaching: Teaching,
    settings: TrainingSettings,
    session: Session,
) -> Trained:
    """Train a compressed network in place; afterwards it is on the CPU in evaluation mode.

    All of it is trained, even what the user's factory froze for training: a trunk that fitted before pruning must adapt
    to the channels that stay.

    The same arguments give bitwise the same weights, even when the run was killed in between and called again with the
    same scratch folder.

    Args:
        spec: spec of the model, with the preprocessing and the order of the inputs.
        network: compressed network without its preprocessing.
        data: data with labels for `label_weight` and the figures of progress.
        teaching: what the network learns.
        settings: settings, as `fine_tuning` makes them.
        session: where the checkpoints lie, and who is told; the purpose begins with the pass's name.

    Raises:
        UsageError: the loss is no longer finite, or the device is not there.
        TimeIsUpError: the limit is reached.
    """
    loss = data.task.distillation(
        teaching.answers.to(choose_device(settings.device)),
        temperature=teaching.temperature,
        label_weight=teaching.label_weight,
        criterion=teaching.criterion,
        activation=spec.outputs_are,
    )
    # There is no criterion: the teacher answered no validation examples.
    objective = Objective(loss=loss, metric=teaching.metric)
    with _without_dropout(network), _thaw(network):
        trained = train_network(spec, network, data=data, settings=settings, objective=objective, session=session)
        _report_untrained(network, session.reporter, session.purpose)
    return trained


@contextmanager
def _without_dropout(network: nn.Module) -> Iterator[None]:
    """Turn dropout off inside: the float network answered without it, and a pruned network has no units to spare.

    Measured on fashion-cnn with half of its channels, two epochs on 10,000 examples: accuracy 0.9115 without, 0.9058
    with it.
    """
    layers = {module: module.p for module in network.modules() if isinstance(module, _DropoutNd)}
    try:
        for layer in layers:
            layer.p = 0.0
        yield
    finally:
        for layer, probability in layers.items():
            layer.p = probability


@contextmanager
def _thaw(network: nn.Module) -> Iterator[None]:
    """Let every floating-point parameter take a gradient inside; each parameter's own setting is restored afterwards.

    Measured on the network of tests/unit/training/test_distill.py: accuracy 0.39 where only the head is fine-tuned,
    0.97 where the frozen trunk behind it is too.
    """
    before = {parameter: parameter.requires_grad for parameter in network.parameters()}
    try:
        for parameter in before:
            parameter.requires_grad_(parameter.is_floating_point())
        yield
    finally:
        for parameter, required in before.items():
            parameter.requires_grad_(required)


def _report_untrained(network: nn.Module, reporter: Reporter, purpose: str) -> None:
    """Report the layers that the forward pass itself kept out of training; no setting of a parameter changes that."""
    trainable = {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}
    gradients = {name: parameter.grad is not None for name, parameter in trainable.items()}
    untrained = [name for name, has_gradient in gradients.items() if not has_gradient]
    # Without any gradient, an earlier run completed all epochs.
    if untrained and any(gradients.values()):
        more = f" and {len(untrained) - 1} more" if len(untrained) > 1 else ""
        reporter.log(
            f"{purpose}: {untrained[0]}{more} got no gradient and stayed as pruned; without torch.no_grad or detach in "
            "forward they would be fine-tuned too"
        )
