"""Digests of the files outside the run directory that a model is made from; no library of networks is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline.engine.argument_files import argument_digests
from pipeline.engine.artifacts import digest_file
from pipeline.engine.factories import named_digests
from pipeline.engine.source import library_versions
from pipeline.models.published_weights import weights_place
from pipeline.models.weight_index import find_weights
from pipeline.presets import read_preset
from pipeline.recipe.model import Model


def outside_digests(model: Model, factories: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Digests of what a build reads from outside its run directory to get its model.

    They cover the source of the user's functions, the files that the factory's arguments name, and every file of the
    weights. The runner compares other files that the functions read the last time.

    Args:
        model: section of the recipe.
        factories: the user's functions that make the model and the loss, by the setting that names each.
        folder: folder of the recipe.

    Raises:
        DataError: there is no such file of weights, it is of another kind, or one that its index names is missing.
    """
    return named_digests(factories, folder) | _file_digests(model, folder) | _package_facts(model)


def files_behind(model: Model, folder: Path, reads: Mapping[str, str]) -> dict[str, str]:
    """Digests, for the evidence, of the files that a model was made from, besides its source.

    Args:
        model: section of the recipe.
        folder: folder of the recipe.
        reads: digests of what the user's code read, by name; see `pipeline.engine.reads`.

    Returns:
        SHA-256 by name; places outside the recipe's folder are left out.
    """
    files: dict[str, str] = {}
    for name, digest in _file_digests(model, folder).items():
        setting, space, path = name.partition(" ")
        files[f"{setting}{space}{_portable(path)}"] = digest
    for name, digest in reads.items():
        if not name.endswith(("/", ".py")):
            files[_portable(name)] = digest
    return dict(sorted(files.items()))


def _package_facts(model: Model) -> dict[str, str]:
    """What installed packages say of a published network; another version of a package may say something else."""
    facts: dict[str, str] = {}
    if model.published is not None:
        versions = library_versions([model.published.partition(":")[0]])
        facts |= {f"model.name {package}": version for package, version in versions.items()}
    if model.preprocessing is not None and model.preprocessing.preset is not None:
        facts["model.preprocessing"] = read_preset(model.preprocessing.preset).to_json()
    return facts


def _portable(path: str) -> str:
    return Path(path).name if Path(path).is_absolute() else path


def _file_digests(model: Model, folder: Path) -> dict[str, str]:
    digests = argument_digests("model.arguments", model.arguments, folder)
    for setting, named in model.weights_by_setting.items():
        weights = weights_place(named, folder)
        for name, file in find_weights(weights).by_name(weights).items():
            digests[f"{setting} {name}" if name else setting] = digest_file(file)
    return digests
