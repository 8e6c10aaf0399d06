"""Makes a float network as a recipe says: built, with weights to start from, checked, and trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import nn

from pipeline.checks.free_axes import require_free_axes
from pipeline.compress.layer_names import check_layer_names
from pipeline.data.dataset import DataInfo, Split
from pipeline.engine.artifacts import Kind
from pipeline.engine.cache_key import setting_parts
from pipeline.engine.stage import Outputs, Reporter
from pipeline.models.detect_activation import check_activation
from pipeline.models.first_call import check_first_call, check_first_step, check_network
from pipeline.models.head import find_head
from pipeline.models.load import load_model_spec
from pipeline.models.own_weights import require_own_weights, require_weights_made_here
from pipeline.models.published_weights import weights_place
from pipeline.models.spec import ModelSpec
from pipeline.models.weights import load_weights
from pipeline.recipe.model import Model
from pipeline.recipe.passes import FineTune
from pipeline.recipe.task import judged_by_labels
from pipeline.stages.train_settings import TrainSettings, lasting
from pipeline.tasks.loss import Criterion
from pipeline.tasks.table import task_of
from pipeline.tasks.task import Task
from pipeline.training.augment import Augmentation, require_pictures
from pipeline.training.augmentation_sheet import draw_augmentation
from pipeline.training.class_weights import class_weights
from pipeline.training.loop import Trained, build_network, train_network
from pipeline.training.loss import load_criterion, of_labels
from pipeline.training.processes import current_processes
from pipeline.training.resume import forget_what_cannot_go_on
from pipeline.training.settings import (
    Objective,
    Session,
    TrainingData,
    TrainingSettings,
    augmentation_of,
    freezing_of,
    settings_of,
)


@dataclass(frozen=True, kw_only=True)
class LoadedData:
    """What a network is trained and validated on, with its facts."""

    info: DataInfo
    train: Split
    validation: Split


@dataclass(frozen=True, kw_only=True)
class FloatNetwork:
    """A float network as the stage leaves it: with its specification, its loss, and how it was trained, if it was."""

    spec: ModelSpec
    network: nn.Module
    task: Task
    criterion: Criterion
    trained: Trained | None


@dataclass(frozen=True, kw_only=True)
class PreparedNetwork:
    """A network before its training: checked, with the weights to start from, its specification and its loss."""

    spec: ModelSpec
    network: nn.Module
    task: Task
    criterion: Criterion


def prepare_network(settings: TrainSettings, data: LoadedData, reporter: Reporter) -> PreparedNetwork:
    """Build a network, load the weights to start from, and find out whether it can be trained and served.

    Args:
        settings: what the stage sees of a recipe without an ensemble.
        data: what it is trained and validated on.
        reporter: receives what is assumed, and what cannot be checked.
    """
    info = data.info
    spec = load_model_spec(settings.model, settings.folder, info)
    network = _network(settings, spec, data.train, fitted=info.statistics is not None, reporter=reporter)
    spec = _first_call(
        settings,
        spec,
        network,
        task=task_of(info.task),
        examples=data.train,
        validation=data.validation,
        reporter=reporter,
    )
    task = task_of(info.task, outputs=spec.outputs, folder=settings.folder).trained_on(data.train.labels)
    criterion = _criterion(settings, spec, task=task, examples=data.train)
    _first_step(settings, spec, network, criterion, task=task, examples=data.train)
    return PreparedNetwork(spec=spec, network=network, task=task, criterion=criterion)


def make_network(settings: TrainSettings, data: LoadedData, outputs: Outputs, *, number: int = 0) -> FloatNetwork:
    """Make one network.

    Args:
        settings: what the stage sees of a recipe without an ensemble.
        data: what it is trained and validated on.
        outputs: where its checkpoints lie, and who is told.
        number: number of the member of an ensemble, from 1; 0 for a network by itself.
    """
    info, train = data.info, settings.train
    prepared = prepare_network(settings, data, outputs.reporter)
    spec, network, task, criterion = prepared.spec, prepared.network, prepared.task, prepared.criterion
    if number <= 1 and current_processes().leads:
        _sheet(settings, spec, data.train, outputs)
    trained = None
    if info.labelled and (train.epochs or judged_by_labels(info.task)):
        split = TrainingData(task=task, train=data.train, validation=data.validation)
        origin = _origin(settings, info)
        trained = _train(settings, spec, network, criterion, data=split, origin=origin, outputs=outputs, number=number)
    if trained is not None and trained.kept:
        which = f" of member {number}" if number else ""
        figure = task.metric if train.monitor == "metric" else "loss"
        outputs.reporter.log(
            f"train: epoch {trained.kept[0]} of {len(trained.epochs)}{which} is kept, the best on validation by the "
            f"{figure}: validation chose it, so its figures there are a little too good"
        )
    if train.epochs:  # the activation of a last layer that starts from zeros shows only now
        check_activation(spec, network, task=task, examples=data.train, source=_source(settings.model))
    return FloatNetwork(spec=spec, network=network, task=task, criterion=criterion, trained=trained)


def training_settings(settings: TrainSettings) -> TrainingSettings:
    """Return how a network is trained, as the recipe says."""
    untrained = settings.model.weights is None or settings.model.head == "replace"
    return replace(settings_of(settings.train, untrained=untrained), checkpoints=settings.checkpoints)


def _criterion(settings: TrainSettings, spec: ModelSpec, *, task: Task, examples: Split) -> Criterion:
    """Return the loss of outputs and labels that training minimises."""
    train = settings.train
    weights_K = class_weights(train.class_weights, task=task.settings, targets=examples.labels, names=spec.labels)
    return load_criterion(
        train.loss,
        settings.folder,
        task=task,
        activation=spec.outputs_are,
        label_smoothing=train.label_smoothing,
        weights_K=weights_K,
        outputs=spec.outputs,
    )


def _origin(settings: TrainSettings, data: DataInfo) -> dict[str, str]:
    """Return what a training is made from besides code, by name, for checkpoints that a person names."""
    parts = {name.removeprefix("setting "): value for name, value in setting_parts(lasting(settings)).items()}
    return parts | {f"the {name} data": digest for name, digest in data.digests.items()}


def _train(
    settings: TrainSettings,
    spec: ModelSpec,
    network: nn.Module,
    criterion: Criterion,
    *,
    data: TrainingData,
    origin: dict[str, str],
    outputs: Outputs,
    number: int,
) -> Trained:
    """Train the network in place, and evaluate it on validation; without epochs it is only evaluated."""
    training = training_settings(settings)
    scratch = outputs.scratch / f"member-{number}" if number else outputs.scratch
    scratch.mkdir(exist_ok=True)
    trained = train_network(
        spec,
        network,
        data=data,
        settings=training,
        objective=Objective(loss=of_labels(criterion), criterion=criterion),
        session=Session(
            scratch=scratch,
            reporter=outputs.reporter,
            resume=outputs.resume,
            origin=origin,
            processes=current_processes(),
        ),
    )
    if not number:  # the members of an ensemble are kept until all of them are there
        forget_what_cannot_go_on(training, scratch)
    return trained


def _sheet(settings: TrainSettings, spec: ModelSpec, examples: Split, outputs: Outputs) -> None:
    """Draw what augmentation makes of training pictures, before they are trained on."""
    augmentation = augmentation_of(settings.train)
    if settings.train.epochs and augmentation.keys:
        require_pictures(augmentation, spec.inputs, section="train")
        path = outputs.path(Kind.AUGMENTATION_SHEET, "augmentation.png")
        draw_augmentation(path, spec, examples, augmentation, seed=settings.train.seed)


def _source(model: Model) -> str:
    """Say where the network comes from, for messages."""
    return f"model.name {model.name}" if model.factory is None else f"model.factory {model.factory}"


def _network(
    settings: TrainSettings, spec: ModelSpec, examples: Split, *, fitted: bool, reporter: Reporter
) -> nn.Module:
    """Build the network with the weights to start from, and check that the recipe's variants and search suit it.

    Args:
        settings: what the stage sees of a recipe.
        spec: specification of the model.
        examples: training examples, with which the last layer is found where it is made anew.
        fitted: whether the statistics of the training split were fitted for a network that is trained here.
        reporter: receives what is assumed, and what cannot be checked.
    """
    model, train = settings.model, settings.train
    network = build_network(spec, seed=train.seed)
    check_network(network, source=_source(model))
    check_layer_names(network, settings.variants)
    shifts = [step.shift or 0 for variant in settings.variants for step in variant.passes if isinstance(step, FineTune)]
    for section, shift in (("fine-tune", max(shifts, default=0)), ("search", settings.search_shift)):
        require_pictures(Augmentation(shift=shift), spec.inputs, section=section)
    head = None
    if model.weights is not None:
        head = find_head(spec, network, examples, source=_source(model)) if model.head == "replace" else None
        place = weights_place(model.weights, settings.folder)
        for line in load_weights(place, network, key=model.weights_key, new_head=head):
            reporter.log(f"train: {line}")
    elif train.epochs == 0:
        require_own_weights(spec, network, seed=train.seed, reporter=reporter)
    elif fitted and model.factory is not None and spec.assumed:
        require_weights_made_here(spec, network, seed=train.seed)
    freezing = freezing_of(train)
    freezing.check(network)
    if head is not None:
        freezing.require_trained(network, head, why='model.head = "replace" makes it anew')
    freezing.start_epoch(network, 1)
    if spec.assumed and (fitted or model.weights is not None or train.epochs == 0):
        reporter.log(f"train: model.preprocessing is not given; assumed: {_assumption(spec, fitted=fitted)}")
    return network


def _assumption(spec: ModelSpec, *, fitted: bool) -> str:
    if fitted:
        return spec.assumed
    return f"{spec.assumed}, for nothing is fitted with given weights; if they were trained otherwise, say how"


def _first_call(
    settings: TrainSettings,
    spec: ModelSpec,
    network: nn.Module,
    *,
    task: Task,
    examples: Split,
    validation: Split,
    reporter: Reporter,
) -> ModelSpec:
    """Find out on a few examples, before any other work, whether the network can be served; name its outputs."""
    source, weights = _source(settings.model), settings.model.weights
    spec = check_first_call(
        spec, network, task=task, examples=examples, source=source, weights=weights, reporter=reporter
    )
    check_activation(spec, network, task=task, examples=examples, source=source)
    require_free_axes(spec, network, validation.inputs)
    return spec


def _first_step(
    settings: TrainSettings,
    spec: ModelSpec,
    network: nn.Module,
    criterion: Criterion,
    *,
    task: Task,
    examples: Split,
) -> None:
    """Find out whether a network that is to be trained can be."""
    train = settings.train
    if train.epochs:
        check_first_step(
            spec,
            network,
            criterion,
            task=task,
            examples=examples,
            batch_size=train.batch_size,
            source=_source(settings.model),
            loss=f"train.loss {train.loss or task.plain_loss_name}",
        )
