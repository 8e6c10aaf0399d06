"""Looks at a network in a process of its own: the user's code runs there, and nothing of it stays here.

Run as a program, this module looks: `python -m pipeline.commands.start.look JOB`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.engine.process import failure, module_command, module_environment, run_child
from pipeline.errors import PipelineError, UsageError
from pipeline.recipe.loading import problems_in_words

if TYPE_CHECKING:
    from torch import nn

    from pipeline.models.spec import ModelSpec
    from pipeline.recipe.data import Data
    from pipeline.stages.float_network import LoadedData
    from pipeline.stages.train_settings import TrainSettings

# Of a folder with more pictures than this, about as many are looked at, and at least so many of each of its folders.
_MANY, _LEAST_OF_A_FOLDER = 1000, 20


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What was found.

    Args:
        parameters: number of the network's parameters.
        network: type of the network.
        output: what it returns to two examples, in words; empty where it was not called.
        outputs: number of values for an example, where it returns one tensor (B, K); else None.
        sizes: number of examples of each split; empty where the data were not read.
        classes: names of the outputs; empty where nothing says them.
        lines: what else a build would say.
    """

    parameters: int
    network: str
    output: str = ""
    outputs: int | None = None
    sizes: Mapping[str, int]
    classes: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def look_at_network(model: Mapping[str, Any], folder: Path, *, shape: tuple[int, ...] | None = None) -> Seen:
    """Build the user's own network, load its weights, and call it on two examples if their shape is known.

    Args:
        model: section `[model]` of the recipe to be, with a factory.
        folder: folder of the recipe to be.
        shape: shape of one example as the network sees it.

    Raises:
        UsageError: it cannot be imported, built, loaded or called; the message is that of a build.
    """
    return _ask({"model": dict(model), "shape": shape}, folder)


def look_at_recipe(document: Mapping[str, Any], folder: Path) -> Seen:
    """Read the data of a recipe, build its network, and take the first call and the first step of a training.

    Args:
        document: the recipe to be.
        folder: its folder.

    Raises:
        UsageError: a build of it would end before its training; the message is that of the build.
    """
    return _ask({"recipe": dict(document)}, folder)


def _ask(job: Mapping[str, Any], folder: Path) -> Seen:
    with tempfile.TemporaryDirectory(prefix="pipeline-look-") as name:
        file, answer = Path(name, "job.json"), Path(name, "answer.json")
        document = {**job, "folder": str(folder.resolve()), "answer": str(answer), "scratch": name}
        file.write_text(json.dumps(document), encoding="utf-8")
        # Relative paths in the user's code are looked up where the command was started.
        done = run_child(module_command(__name__, str(file)), environment=module_environment(own_code=True))
        if not answer.exists():
            raise UsageError(f"looking at the network: {failure(done.returncode, done.stderr)}")
        found = json.loads(answer.read_bytes())
    if "error" in found:
        raise UsageError(found["error"])
    return Seen(**{**found, "classes": tuple(found["classes"]), "lines": tuple(found["lines"])})


def main() -> None:
    """Look, and write what was found, or why nothing was."""
    job = json.loads(Path(sys.argv[1]).read_bytes())
    folder = Path(job["folder"])
    try:
        answer = _network(job, folder) if "model" in job else _recipe(job["recipe"], folder, Path(job["scratch"]))
    except PipelineError as error:
        answer = {"error": str(error)}
    except ValidationError as error:
        answer = {"error": f"recipe: {problems_in_words(error)}"}
    Path(job["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def _network(job: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    import torch
    from torch import nn
    from torch.nn.parameter import is_lazy

    from pipeline.engine.user_code import import_factory, one_line, user_modules
    from pipeline.models.first_call import check_network
    from pipeline.models.outputs import describe
    from pipeline.models.spec import ModelSpec
    from pipeline.models.weights import load_weights
    from pipeline.models.wrappers import unwrapped
    from pipeline.recipe.model import Model

    model = Model.model_validate(job["model"])
    assert model.factory is not None
    with user_modules(folder):
        made = import_factory(model.factory, folder)(**model.arguments)
        network = made.build() if isinstance(made, ModelSpec) else made
        network = unwrapped(network) if isinstance(network, nn.Module) else network
        check_network(network, source=f"model.factory {model.factory}")
        # A network with layers that take their sizes from the first call has no numbers to load into before it.
        lazy = any(is_lazy(tensor) for tensor in network.parameters())
        if model.weights is not None and not lazy:
            load_weights(folder / model.weights, network, key=model.weights_key)
        returned = None
        if job["shape"] is not None:
            try:
                with torch.no_grad():
                    returned = network.eval()(torch.rand(2, *job["shape"]))
            except Exception as error:
                shown = f"float32 {(2, *job['shape'])}"
                raise UsageError(
                    f"{model.factory}: expected an answer for {shown}, found {one_line(error, folder)}"
                ) from error
    count = 0 if lazy and returned is None else sum(parameter.numel() for parameter in network.parameters())
    flat = isinstance(returned, torch.Tensor) and returned.ndim == 2
    return {
        "parameters": count,
        "network": type(network).__name__,
        "output": "" if returned is None else describe(returned),
        "outputs": returned.shape[1] if isinstance(returned, torch.Tensor) and flat else None,
        "sizes": {},
        "classes": [],
        "lines": [],
    }


def _recipe(document: Mapping[str, Any], folder: Path, scratch: Path) -> dict[str, Any]:
    import torch

    from pipeline.data.dataset import describe as facts_of
    from pipeline.data.load import load_data_set
    from pipeline.engine.user_code import user_modules
    from pipeline.models.outputs import describe
    from pipeline.recipe.recipe import Recipe
    from pipeline.stages import data as data_stage
    from pipeline.stages.float_network import LoadedData
    from pipeline.stages.train_settings import settings as train_settings

    recipe = Recipe.model_validate({**document, "folder": folder})
    lines = _Lines()
    places = [scratch / name for name in ("splits", "decoded", "sample")]
    for place in places:
        place.mkdir()
    with user_modules(folder):
        settings = data_stage.settings(recipe)
        sample, share = _sample(settings.data, folder, places[2])
        data = load_data_set(
            sample,
            folder,
            task=settings.task,
            preset=settings.preset,
            scratch=places[0],
            cache=places[1],
            reporter=lines,
        )
        info = facts_of(data, settings.task, fit=settings.fit)
        loaded = LoadedData(info=info, train=data.train, validation=data.validation)
        spec, network = _prepared(train_settings(recipe), loaded, lines)
        two = [torch.from_numpy(data.train.inputs[spec.name][:2].copy()) for spec in spec.inputs]
        with torch.no_grad():
            returned = spec.deployable(network.eval())(*two)
    return {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "network": type(network).__name__,
        "output": describe(returned),
        "outputs": None,
        "sizes": {split: round(count / share) for split, count in info.sizes.items()},
        "classes": list(info.classes),
        "lines": lines.said,
    }


def _prepared(settings: TrainSettings, data: LoadedData, lines: _Lines) -> tuple[ModelSpec, nn.Module]:
    """Make the network as the training would; weights that a build has to fetch are left to it."""
    from pipeline.models.first_call import check_first_call
    from pipeline.models.load import load_model_spec
    from pipeline.models.published_weights import weights_to_fetch
    from pipeline.stages.float_network import prepare_network
    from pipeline.tasks.table import task_of
    from pipeline.training.loop import build_network

    model = settings.model
    absent = None if model.weights is None else weights_to_fetch(model.weights)
    if absent is None:
        prepared = prepare_network(settings, data, lines)
        return prepared.spec, prepared.network
    lines.log(f"a build fetches {model.weights} once, from {absent.url}")
    bare = model.model_copy(update={"weights": None, "head": "keep"})
    spec = load_model_spec(bare, settings.folder, data.info)
    network = build_network(spec, seed=settings.train.seed)
    task, source = task_of(data.info.task), f"model.name {model.name}"
    return check_first_call(spec, network, task=task, examples=data.train, source=source), network


def _sample(data: Data, folder: Path, place: Path) -> tuple[Data, float]:
    """Links to some pictures of each folder of many, where folders say their classes; their share of all.

    Nobody waits here until a hundred thousand pictures are decoded: the build decodes them, and names those that it
    cannot decode.
    """
    from itertools import groupby
    from pathlib import PurePosixPath

    from pipeline.data.picture_files import walk

    if data.folder is None or data.labels is not None:
        return data, 1.0
    names, _ = walk(folder / data.folder)
    if len(names) <= _MANY:
        return data, 1.0
    groups = [list(group) for _, group in groupby(names, key=lambda name: str(PurePosixPath(name).parent))]
    each = max(_LEAST_OF_A_FOLDER, _MANY // len(groups))
    taken = [name for group in groups for name in group[:: max(1, len(group) // each)][:each]]
    for name in taken:
        link = place / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((folder / data.folder / name).resolve())
    return data.model_copy(update={"folder": str(place)}), len(taken) / len(names)


class _Lines:
    """Keeps what a build would say."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def log(self, message: str) -> None:
        """Keep the line."""
        self.said.append(message)

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        """Drop the step."""


if __name__ == "__main__":
    main()
