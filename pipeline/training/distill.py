"""Fine-tuning of a compressed network: it learns to answer as the float network does on the training inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from pipeline.data.dataset import Split
from pipeline.engine.deadline import UNLIMITED, TimeLimit
from pipeline.engine.stage import Reporter
from pipeline.models.spec import ModelSpec
from pipeline.recipe.names import DeviceName
from pipeline.tasks.loss import Criterion
from pipeline.tasks.task import Task
from pipeline.training.augment import Augmentation, require_pictures
from pipeline.training.device import choose_device
from pipeline.training.examples import predict, to_examples
from pipeline.training.layout import set_layout, to_layout
from pipeline.training.loop import Trained, train_network

# Nothing to regularise: the float network's answers say more than labels do, and few epochs cannot learn them by heart.
_WEIGHT_DECAY = 0.0


def teacher_logits(
    spec: ModelSpec, teacher: nn.Module, train: Split, *, augmentation: Augmentation, device: DeviceName
) -> Tensor:
    """The float network's answers on the training inputs, once for all epochs and all of its compressed networks.

    Args:
        spec: of the model.
        teacher: the float network, without its preprocessing; left on the CPU.
        train: raw inputs; labels are not looked at.
        augmentation: its copies of the training data are what is answered.
        device: where to run it.

    Returns:
        (V, N, K) float32 on the CPU, per copy.

    Raises:
        UsageError: there is no picture to move, or the device is not there.
    """
    require_pictures(augmentation, spec.inputs, section="fine-tune")
    target = choose_device(device)
    examples = to_examples(spec, train, target)
    model = spec.deployable(teacher).to(target)
    layout = set_layout(model, examples.take(torch.arange(min(2, len(examples)), device=target)))
    examples = replace(examples, layout=layout)
    answers_VNK = [predict(model, examples, moves_N3).cpu() for moves_N3 in augmentation.copies(len(train)).to(target)]
    to_layout(teacher.cpu(), torch.contiguous_format)
    return torch.stack(answers_VNK)


def distill(
    spec: ModelSpec,
    network: nn.Module,
    *,
    task: Task,
    teacher_VNK: Tensor,
    augmentation: Augmentation,
    train: Split,
    validation: Split,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    temperature: float,
    label_weight: float,
    criterion: Criterion,
    seed: int,
    device: DeviceName,
    scratch: Path,
    reporter: Reporter,
    limit: TimeLimit = UNLIMITED,
    purpose: str,
) -> Trained:
    """Train a compressed network in place; afterwards it is on the CPU in evaluation mode.

    All of it is trained, also what the user's factory froze for training: a trunk that was right before its channels
    went must adapt to those that stay.

    The same arguments give bitwise the same weights, also when the run was killed in between and called again with the
    same scratch folder.

    Args:
        spec: of the model; gives the preprocessing and the order of the inputs.
        network: the compressed network, without its preprocessing.
        task: what it is for.
        teacher_VNK: as `teacher_logits` gives it.
        augmentation: as it was given there; in each epoch, one copy of each example is looked at.
        train: raw inputs, and labels for `label_weight`.
        validation: evaluated after each epoch; never trained on.
        epochs: passes over the training data.
        batch_size: examples per step.
        learning_rate: peak of a one-cycle schedule.
        temperature: logits are divided by it before they are compared.
        label_weight: share of the labels' own loss in the whole.
        criterion: that loss.
        seed: of shuffling, and of which copies are looked at.
        device: where to train.
        scratch: folder of the checkpoint, which is written after each epoch.
        reporter: told loss and score while it runs.
        limit: asked whenever progress is told, but at the very end.
        purpose: what this is, for messages; begins with the pass's name.

    Raises:
        UsageError: the loss is no longer finite, or the device is not there.
        TimeIsUpError: the limit is reached.
    """
    answers_VNK = teacher_VNK.to(choose_device(device))
    with _without_dropout(network), _thawed(network):
        trained = train_network(
            spec,
            network,
            train=train,
            validation=validation,
            epochs=epochs,
            batch_size=batch_size,
            optimizer="adamw",
            learning_rate=learning_rate,
            weight_decay=_WEIGHT_DECAY,
            schedule="one-cycle",
            augmentation=augmentation,
            copies=True,
            seed=seed,
            device=device,
            scratch=scratch,
            reporter=reporter,
            limit=limit,
            task=task,
            loss=task.distillation(
                answers_VNK,
                temperature=temperature,
                label_weight=label_weight,
                criterion=criterion,
                activation=spec.outputs_are,
            ),
            criterion=None,  # the teacher answered no validation examples
            thaw=True,
            purpose=purpose,
        )
        _report_untrained(network, reporter, purpose)
    return trained


@contextmanager
def _without_dropout(network: nn.Module) -> Iterator[None]:
    """No dropout inside: the float network answered without it, and a network cut down has no units to spare.

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
def _thawed(network: nn.Module) -> Iterator[None]:
    """Every floating-point parameter takes a gradient inside; which ones did before is restored.

    Measured on the network of tests/unit/training/test_distill.py: accuracy 0.39 where the head alone is fine-tuned,
    0.97 with the frozen trunk behind it.
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
    """Say which layers a forward pass kept out of training by itself: no setting of a parameter can change that."""
    gradients = {name: one.grad is not None for name, one in network.named_parameters() if one.requires_grad}
    untrained = [name for name, has_gradient in gradients.items() if not has_gradient]
    # Without any, all epochs were done in an earlier run.
    if untrained and any(gradients.values()):
        more = f" and {len(untrained) - 1} more" if len(untrained) > 1 else ""
        reporter.log(
            f"{purpose}: {untrained[0]}{more} got no gradient and stayed as pruned; without torch.no_grad or detach in "
            "forward they would be fine-tuned too"
        )
