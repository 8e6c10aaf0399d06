"""Takes a PyTorch model to the fastest artifact that is proven to be the same model, and serves it.

The public names are loaded when first used; importing this package does nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline._handlers.decode import ImageDecoding, InputSpec
    from pipeline.commands.build import build
    from pipeline.commands.build_result import BuildResult
    from pipeline.commands.clean import CleanResult, clean
    from pipeline.commands.inspect import inspect
    from pipeline.data.dataset import DataSet, Split
    from pipeline.models.spec import ModelSpec
    from pipeline.recipe.loading import load_recipe
    from pipeline.recipe.recipe import Recipe

# Of the release; the distribution takes it from here.
__version__ = "0.1.0"

_HOMES = {
    "BuildResult": "pipeline.commands.build_result",
    "CleanResult": "pipeline.commands.clean",
    "DataSet": "pipeline.data.dataset",
    "ImageDecoding": "pipeline._handlers.decode",
    "InputSpec": "pipeline._handlers.decode",
    "ModelSpec": "pipeline.models.spec",
    "Recipe": "pipeline.recipe.recipe",
    "Split": "pipeline.data.dataset",
    "build": "pipeline.commands.build",
    "clean": "pipeline.commands.clean",
    "inspect": "pipeline.commands.inspect",
    "load_recipe": "pipeline.recipe.loading",
}

__all__ = [
    "BuildResult",
    "CleanResult",
    "DataSet",
    "ImageDecoding",
    "InputSpec",
    "ModelSpec",
    "Recipe",
    "Split",
    "build",
    "clean",
    "inspect",
    "load_recipe",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
