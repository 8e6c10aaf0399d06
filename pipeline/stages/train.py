"""Stage `train`: it trains the float network or takes the user's weights, and watches it on validation data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.engine.artifacts import Kind
from pipeline.engine.stage import Inputs, Outputs, Stage
from pipeline.stages.train_settings import TrainSettings, lasting, settings

if TYPE_CHECKING:
    from pipeline.stages.float_network import FloatNetwork, LoadedData
    from pipeline.tasks.task import Task
    from pipeline.training.loop import Trained


def outside(settings: TrainSettings) -> dict[str, str]:
    """Return digests of the user's model factory, weights and loss."""
    from pipeline.models.outside import outside_digests

    return outside_digests(settings.model, settings.factories, settings.folder)


def run(settings: TrainSettings, inputs: Inputs, outputs: Outputs) -> None:
    """Build the network, load the weights to start from if any, train, and write weights, facts and history."""
    from pipeline.engine.documents import write_document
    from pipeline.engine.reads import recorded
    from pipeline.models.outside import files_behind
    from pipeline.models.weights import save_weights
    from pipeline.recipe.task import judged_by_labels
    from pipeline.stages.train_report import write_report
    from pipeline.training.processes import current_processes

    model, train = settings.model, settings.train
    data = load(settings, inputs)
    info = data.info
    if not current_processes().alone:
        current_processes().call_others(_call(settings, inputs))
    result = take_part(settings, data, outputs)
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


def _call(settings: TrainSettings, inputs: Inputs) -> str:
    """What process 0 tells the others: the digest of the data's facts, and what must be the same in all of them."""
    import json

    from pipeline.engine.artifacts import digest_file

    return json.dumps({"data": digest_file(inputs.one(Kind.DATA_INFO)), "parts": shared_parts(settings)})


def shared_parts(settings: TrainSettings) -> dict[str, str]:
    """What must be the same in all processes that train together, by name: settings, the user's files, versions."""
    import torch

    import pipeline
    from pipeline.engine.cache_key import setting_parts

    versions = {"version of torch": torch.__version__, "version of pipeline": pipeline.__version__}
    return setting_parts(settings) | outside(settings) | versions


def take_part(settings: TrainSettings, data: LoadedData, outputs: Outputs) -> FloatNetwork:
    """Make the network, or the members of an ensemble: alone, or together with the other processes of a job.

    Args:
        settings: what the stage sees of a recipe.
        data: what it is trained and validated on.
        outputs: where checkpoints lie, and who is told.
    """
    from pipeline.stages.ensemble import make_ensemble
    from pipeline.stages.float_network import make_network

    make = make_network if settings.model.ensemble is None else make_ensemble
    return make(settings, data, outputs)


def load(settings: TrainSettings, inputs: Inputs) -> LoadedData:
    """Read what the stage trains on.

    Raises:
        UsageError: something needs labels that there are not.
    """
    from pipeline.data.dataset import read_info, read_split
    from pipeline.stages.float_network import LoadedData
    from pipeline.training.unlabelled import require_no_labels

    info, train = read_info(inputs.one(Kind.DATA_INFO)), settings.train
    if not info.labelled:
        require_no_labels(info.name, loss=train.loss, variants=settings.variants, epochs=train.epochs)
    return LoadedData(
        info=info,
        train=read_split(inputs.one(Kind.TRAIN_DATA)),
        validation=read_split(inputs.one(Kind.VALIDATION_DATA)),
    )


def _write_history(
    settings: TrainSettings, trained: Trained | None, *, task: Task, labelled: bool, outputs: Outputs
) -> None:
    """Write the figures of all epochs and their curves, and say how the network does on validation."""
    from pipeline.training.curves import draw_learning_curves
    from pipeline.training.history import write_history
    from pipeline.training.loss import loss_name

    train = settings.train
    epochs, final, kept = ((), None, ()) if trained is None else (trained.epochs, trained.final, trained.kept)
    processes = () if trained is None else trained.processes
    write_history(
        outputs.path(Kind.TRAINING_HISTORY, "history.json"), epochs, final, task=task, kept=kept, processes=processes
    )
    name = loss_name(
        train.loss, task=task, label_smoothing=train.label_smoothing, weighted=train.class_weights is not None
    )
    curves = outputs.path(Kind.LEARNING_CURVES, "learning_curves.png")
    draw_learning_curves(curves, epochs, final, task=task, loss=name, kept=kept)
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
