"""Stage `train`: it trains the float network or takes the user's weights, and watches it on validation data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.engine.artifacts import Kind
from pipeline.engine.factories import user_factories
from pipeline.engine.stage import Inputs, Outputs, Reporter, Stage
from pipeline.recipe.model import Model
from pipeline.recipe.passes import FineTune, Variant
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.section import Section
from pipeline.recipe.train import Train

if TYPE_CHECKING:
    from torch import nn

    from pipeline.data.dataset import DataInfo, Split
    from pipeline.models.spec import ModelSpec
    from pipeline.tasks.loss import Criterion
    from pipeline.tasks.task import Task
    from pipeline.training.loop import Trained
    from pipeline.training.settings import TrainingData

# The number of checkpoints that are kept changes no weights: in the cache key it always stands as this.
_CHECKPOINTS = Train.model_fields["checkpoints"].default


class TrainSettings(Section):
    """What the stage sees of a recipe. Settings left out of the cache key are only checked, or do not matter."""

    model: Model
    train: Train
    checkpoints: int = Field(default=_CHECKPOINTS, exclude=True)
    variants: tuple[Variant, ...] = Field(default=(), exclude=True)
    search_shift: int = Field(default=0, exclude=True)
    factories: dict[str, str] = Field(exclude=True)
    folder: Path = Field(exclude=True)


def settings(recipe: Recipe) -> TrainSettings:
    """Return the stage's view of a recipe."""
    return TrainSettings(
        model=recipe.model,
        train=recipe.train.model_copy(update={"checkpoints": _CHECKPOINTS}),
        checkpoints=recipe.train.checkpoints,
        variants=recipe.candidates.variants or (),
        search_shift=0 if recipe.search_effort == "off" else recipe.search.shift or 0,
        factories=user_factories(recipe, "model", "task", "train"),
        folder=recipe.folder,
    )


def lasting(settings: TrainSettings) -> TrainSettings:
    """Return the settings without the number of epochs: a longer training may go on where a shorter one ended."""
    return settings.model_copy(update={"train": settings.train.model_copy(update={"epochs": 0})})


def outside(settings: TrainSettings) -> dict[str, str]:
    """Return digests of the user's model factory, weights and loss."""
    from pipeline.models.outside import outside_digests

    return outside_digests(settings.model, settings.factories, settings.folder)


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


def run(settings: TrainSettings, inputs: Inputs, outputs: Outputs) -> None:
    """Build the network, load the weights to start from if any, train, and write weights, facts and history."""
    from pipeline.data.dataset import read_info, read_split
    from pipeline.engine.documents import write_document
    from pipeline.engine.reads import recorded
    from pipeline.models.outside import files_behind
    from pipeline.models.weights import save_weights
    from pipeline.recipe.task import judged_by_labels
    from pipeline.stages.ensemble import make_ensemble
    from pipeline.stages.train_report import write_report
    from pipeline.training.unlabelled import require_no_labels

    model, train = settings.model, settings.train
    info = read_info(inputs.one(Kind.DATA_INFO))
    if not info.labelled:
        require_no_labels(info.name, loss=train.loss, variants=settings.variants, epochs=train.epochs)
    data = LoadedData(
        info=info,
        train=read_split(inputs.one(Kind.TRAIN_DATA)),
        validation=read_split(inputs.one(Kind.VALIDATION_DATA)),
    )
    make = make_network if model.ensemble is None else make_ensemble
    result = make(settings, data, outputs)
    save_weights(outputs.path(Kind.WEIGHTS, "weights.safetensors"), result.network)
    facts = result.spec.to_info(
        result.network, task=result.task, files=files_behind(model, settings.folder, recorded())
    )
    write_document(outputs.path(Kind.MODEL_INFO, "model.json"), facts)
    if result.trained is not None and judged_by_labels(info.task):
        write_report(
            outputs, result.spec, result.network, task=result.task, validation=data.validation, device=train.device
        )
    _write_history(settings, result.trained, task=result.task, labelled=info.labelled, outputs=outputs)


def make_network(settings: TrainSettings, data: LoadedData, outputs: Outputs, *, number: int = 0) -> FloatNetwork:
    """Make one network.

    Args:
        settings: what the stage sees of a recipe without an ensemble.
        data: what it is trained and validated on.
        outputs: where its checkpoints lie, and who is told.
        number: number of the member of an ensemble, from 1; 0 for a network by itself.
    """
    from pipeline.models.detect_activation import check_activation
    from pipeline.models.load import load_model_spec
    from pipeline.recipe.task import judged_by_labels
    from pipeline.tasks.table import task_of
    from pipeline.training.settings import TrainingData

    info, train = data.info, settings.train
    spec = load_model_spec(settings.model, settings.folder, info)
    network = _network(settings, spec, data.train, fitted=info.statistics is not None, reporter=outputs.reporter)
    spec = _first_call(
        settings,
        spec,
        network,
        task=task_of(info.task),
        examples=data.train,
        validation=data.validation,
        reporter=outputs.reporter,
    )
    task = task_of(info.task, outputs=spec.outputs, folder=settings.folder).trained_on(data.train.labels)
    criterion = _criterion(settings, spec, task=task, examples=data.train)
    _first_step(settings, spec, network, criterion, task=task, examples=data.train)
    if number <= 1:
        _sheet(settings, spec, data.train, outputs)
    trained = None
    if info.labelled and (train.epochs or judged_by_labels(info.task)):
        split = TrainingData(task=task, train=data.train, validation=data.validation)
        origin = _origin(settings, info)
        trained = _train(settings, spec, network, criterion, data=split, origin=origin, outputs=outputs, number=number)
    if train.epochs:  # the activation of a last layer that starts from zeros shows only now
        check_activation(spec, network, task=task, examples=data.train, source=_source(settings.model))
    return FloatNetwork(spec=spec, network=network, task=task, criterion=criterion, trained=trained)


def _criterion(settings: TrainSettings, spec: ModelSpec, *, task: Task, examples: Split) -> Criterion:
    """Return the loss of outputs and labels that training minimises."""
    from pipeline.training.class_weights import class_weights
    from pipeline.training.loss import load_criterion

    train, weights_K = settings.train, None
    if examples.labels is not None:
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
    from pipeline.engine.cache_key import setting_parts

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
    from dataclasses import replace

    from pipeline.training.loop import train_network
    from pipeline.training.loss import of_labels
    from pipeline.training.resume import forget_what_cannot_go_on
    from pipeline.training.settings import Objective, Session, settings_of

    untrained = settings.model.weights is None or settings.model.head == "replace"
    training = replace(settings_of(settings.train, untrained=untrained), checkpoints=settings.checkpoints)
    scratch = outputs.scratch / f"member-{number}" if number else outputs.scratch
    scratch.mkdir(exist_ok=True)
    trained = train_network(
        spec,
        network,
        data=data,
        settings=training,
        objective=Objective(loss=of_labels(criterion), criterion=criterion),
        session=Session(scratch=scratch, reporter=outputs.reporter, resume=outputs.resume, origin=origin),
    )
    if not number:  # the members of an ensemble are kept until all of them are there
        forget_what_cannot_go_on(training, scratch)
    return trained


def _write_history(
    settings: TrainSettings, trained: Trained | None, *, task: Task, labelled: bool, outputs: Outputs
) -> None:
    """Write the figures of all epochs and their curves, and say how the network does on validation."""
    from pipeline.training.curves import draw_learning_curves
    from pipeline.training.history import write_history
    from pipeline.training.loss import loss_name

    train = settings.train
    epochs, final, kept = ((), None, None) if trained is None else (trained.epochs, trained.final, trained.kept)
    write_history(outputs.path(Kind.TRAINING_HISTORY, "history.json"), epochs, final, task=task, kept=kept)
    name = loss_name(
        train.loss, task=task, label_smoothing=train.label_smoothing, weighted=train.class_weights is not None
    )
    curves = outputs.path(Kind.LEARNING_CURVES, "learning_curves.png")
    draw_learning_curves(curves, epochs, final, task=task, loss=name, kept=kept)
    if kept is not None:
        outputs.reporter.log(
            f"train: epoch {kept} of {len(epochs)} is kept, the best on validation by the "
            f"{task.metric if train.monitor == 'metric' else 'loss'}: validation chose it, so its figures there are a "
            "little too good"
        )
    further = (
        ""
        if final is None
        else "".join(f", {name} {value:.4f}" for name, value in final.others.items() if name == "macro F1")
    )
    outputs.reporter.log(
        "train: nothing is trained, and candidates are judged by agreement with float"
        if final is None and labelled
        else "train: nothing is trained, and without labels candidates are judged by agreement with float"
        if final is None
        else f"train: validation {task.metric} {final.score:.4f}{further}"
    )


def _sheet(settings: TrainSettings, spec: ModelSpec, examples: Split, outputs: Outputs) -> None:
    """Draw what augmentation makes of training pictures, before they are trained on."""
    from pipeline.training.augment import require_pictures
    from pipeline.training.augmentation_sheet import draw_augmentation
    from pipeline.training.settings import augmentation_of

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
    from pipeline.compress.layer_names import check_layer_names
    from pipeline.models.first_call import check_network
    from pipeline.models.head import find_head
    from pipeline.models.own_weights import require_own_weights, require_weights_made_here
    from pipeline.models.published_weights import weights_place
    from pipeline.models.weights import load_weights
    from pipeline.training.augment import Augmentation, require_pictures
    from pipeline.training.loop import build_network
    from pipeline.training.settings import freezing_of

    model, train = settings.model, settings.train
    network = build_network(spec, seed=train.seed)
    check_network(network, source=_source(model))
    check_layer_names(network, settings.variants)
    shifts = [step.shift or 0 for variant in settings.variants for step in variant.passes if isinstance(step, FineTune)]
    for section, shift in (("fine-tune", max(shifts, default=0)), ("search", settings.search_shift)):
        require_pictures(Augmentation(shift=shift), spec.inputs, section=section)
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
    from pipeline.checks.free_axes import require_free_axes
    from pipeline.models.detect_activation import check_activation
    from pipeline.models.first_call import check_first_call

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
    from pipeline.models.first_call import check_first_step

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


STAGE = Stage(
    name="train",
    reads=(Kind.DATA_INFO, Kind.TRAIN_DATA, Kind.VALIDATION_DATA),
    writes=(Kind.WEIGHTS, Kind.MODEL_INFO, Kind.TRAINING_HISTORY, Kind.LEARNING_CURVES),
    may_write=(Kind.AUGMENTATION_SHEET, Kind.VALIDATION_METRICS, Kind.CONFUSION_MATRIX, Kind.WORST_EXAMPLES),
    settings=settings,
    run=run,
    outside=outside,
    lasting=lasting,
)
