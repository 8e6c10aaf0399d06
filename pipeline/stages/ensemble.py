"""Makes the members of an ensemble, each as a network by itself is made, and puts them together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.engine.stage import Outputs
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.stages.float_network import FloatNetwork, LoadedData
    from pipeline.stages.train_settings import TrainSettings
    from pipeline.training.loop import Trained


def make_ensemble(settings: TrainSettings, data: LoadedData, outputs: Outputs) -> FloatNetwork:
    """Make all members, one after the other. An interrupted call goes on with the member that it was at.

    Args:
        settings: what the stage sees of a recipe with an ensemble.
        data: what the members are trained and validated on.
        outputs: where their checkpoints lie, and who is told.

    Returns:
        The ensemble; its epochs have the means of its members' figures, and its last figures are its own.

    Raises:
        UsageError: the user names a checkpoint, members cannot be averaged, or there is no layer that a pass names.
    """
    from dataclasses import replace

    from pipeline.compress.layer_names import check_layer_names
    from pipeline.models.ensemble import assemble
    from pipeline.models.load import load_model_spec
    from pipeline.stages.float_network import make_network
    from pipeline.training.member_epochs import mean_epochs

    if outputs.resume is not None:
        raise UsageError(
            f"--resume {outputs.resume}: expected none with model.ensemble, because each member has checkpoints of its "
            "own; leave it out, and the training goes on where it was"
        )
    spec = load_model_spec(settings.model, settings.folder, data.info)
    check_layer_names(spec.build(), settings.variants)
    members = []
    for number, (name, member) in enumerate(members_of(settings), start=1):
        outputs.reporter.log(f"train: member {number}, {name}")
        members.append(make_network(member, data, outputs, number=number))
    first = members[0]
    spec = replace(first.spec, build=spec.build)  # the first calls of the members showed the same
    ensemble = replace(first, spec=spec, network=assemble([member.network for member in members], spec), trained=None)
    histories = [member.trained for member in members if member.trained is not None]
    if histories:
        trained = _evaluate(settings, ensemble, data, outputs)
        epochs = mean_epochs([history.epochs for history in histories])
        kept = tuple(number for history in histories for number in history.kept)
        processes = tuple(count for history in histories for count in history.processes)
        ensemble = replace(ensemble, trained=replace(trained, epochs=epochs, kept=kept, processes=processes))
    for folder in outputs.scratch.glob("member-*"):
        shutil.rmtree(folder)
    return ensemble


def members_of(settings: TrainSettings) -> Iterator[tuple[str, TrainSettings]]:
    """What the stage sees of each member, as of a network by itself, and what is its own, in words.

    A network without an ensemble is its own and only member, without words.
    """
    ensemble, model, train = settings.model.ensemble, settings.model, settings.train
    if ensemble is None:
        yield "", settings
        return
    # Passes name layers of the ensemble, and not of a member.
    alone = settings.model_copy(update={"variants": (), "model": model.member()})
    for seed in ensemble.seeds:
        yield f"from seed {seed}", alone.model_copy(update={"train": train.model_copy(update={"seed": seed})})
    for weights in ensemble.weights:
        yield f"from {weights}", alone.model_copy(update={"model": model.member(weights)})


def _evaluate(settings: TrainSettings, ensemble: FloatNetwork, data: LoadedData, outputs: Outputs) -> Trained:
    """Evaluate the ensemble on validation."""
    from dataclasses import replace

    from pipeline.training.loop import train_network
    from pipeline.training.loss import of_labels
    from pipeline.training.processes import current_processes
    from pipeline.training.settings import Objective, Session, TrainingData, settings_of

    return train_network(
        ensemble.spec,
        ensemble.network,
        data=TrainingData(task=ensemble.task, train=data.train, validation=data.validation),
        settings=replace(settings_of(settings.train, untrained=False), epochs=0),
        objective=Objective(loss=of_labels(ensemble.criterion), criterion=ensemble.criterion),
        session=Session(scratch=outputs.scratch, reporter=outputs.reporter, processes=current_processes()),
    )
