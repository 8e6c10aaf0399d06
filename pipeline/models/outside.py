"""What a model is read from outside the run directory. No library of networks is loaded to see that nothing changed."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifacts import digest_file
from pipeline.errors import DataError
from pipeline.recipe import Model
from pipeline.source import named_digests

SUFFIXES = (".safetensors", ".pt", ".pth")


def outside_digests(model: Model, folder: Path) -> dict[str, str]:
    """Digests of what a build reads from outside its run directory to get its model: factory source and weights.

    Args:
        model: the recipe's section.
        folder: of the recipe.

    Raises:
        DataError: there is no such file of weights.
    """
    digests = named_digests("model.factory", model.factory, folder)
    if model.weights is not None:
        digests["model.weights"] = digest_file(check_weights_file(folder / model.weights))
    return digests


def check_weights_file(path: Path) -> Path:
    """The same path, once it names a file that may hold weights.

    Raises:
        DataError: no such file, or another ending.
    """
    if path.suffix not in SUFFIXES:
        raise DataError(
            f"weights {path}: expected a file ending in {', '.join(SUFFIXES)}, found {path.suffix or 'none'}"
        )
    if not path.is_file():
        raise DataError(f"weights {path}: expected a file, found none; model.weights is relative to the recipe")
    return path
