"""What of a recipe can be refused before any work: no library of networks is loaded, and nobody's code is run."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from pipeline.engine.factories import user_factories
from pipeline.errors import DataError, FileError, UsageError
from pipeline.models.weight_files import check_weights_file
from pipeline.recipe.names import meant
from pipeline.recipe.recipe import Recipe

# Names that a module may get without a statement that says so.
_DYNAMIC = {"__getattr__", "globals", "setattr", "exec", "vars"}


def check_recipe(recipe: Recipe) -> None:
    """Check that what a recipe names is there: files, the user's functions, the device.

    Raises:
        UsageError: a function, the golden inputs or the device are not there.
        DataError: weights or data are not.
    """
    for setting, factory in user_factories(recipe).items():
        _check_factory(setting, factory, recipe.folder)
    if recipe.model.weights is not None:
        check_weights_file(recipe.folder / recipe.model.weights)
    if recipe.data.path is not None and not (place := recipe.folder / recipe.data.path).exists():
        raise DataError(f"data.path {place}: expected a file or folder, found none; it is relative to the recipe")
    _check_golden(recipe.package.golden, recipe.folder)
    _check_device(recipe.train.device)


def check_store(archive: Path) -> None:
    """Check that an archive may be written to its place at the end of a build.

    Raises:
        FileError: it may not.
    """
    place = archive.parent
    while not place.exists() and place != place.parent:
        place = place.parent
    if archive.is_dir() or not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        what = f"found a folder {archive}" if archive.is_dir() else f"found that {place} is none that may be written to"
        raise FileError(
            f"{archive}: expected to write the archive there at the end, {what}; give another --model-store"
        )


def _check_golden(golden: str, folder: Path) -> None:
    kinds = ("validation", "synthetic")
    if golden not in kinds and not (folder / golden).is_file():
        raise UsageError(
            f"package.golden: expected {', '.join(kinds)} or a .npy file, relative to the recipe, found no file "
            f"{folder / golden}{meant(golden, kinds)}"
        )


def _check_device(device: str) -> None:
    """As far as it can be told without torch; training says the rest before its first step."""
    absent = device == "mps" and sys.platform != "darwin"
    if device == "cuda":
        try:
            absent = metadata.version("torch").endswith("+cpu")
        except metadata.PackageNotFoundError:
            absent = False  # what installed it may say so in other ways
    if absent:
        raise UsageError(
            f'train.device: expected one of this machine, found {device}, which this torch cannot have; "auto" '
            "chooses one"
        )


def _check_factory(setting: str, factory: str, folder: Path) -> None:
    module, _, function = factory.partition(":")
    top, *inner = module.split(".")
    if not (folder / top).is_dir() and not (folder / f"{top}.py").is_file():
        if _is_installed(top):
            return
        mine = [path.stem for path in folder.glob("*.py")]
        raise UsageError(
            f"{setting} {factory}: expected a module {module} in {folder} or installed, found none{meant(top, mine)}"
        )
    base = folder.joinpath(top, *inner)
    files = [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]
    if not files:
        return  # a package that finds its modules in its own way
    try:
        tree = ast.parse(files[0].read_bytes(), filename=str(files[0]))
    except SyntaxError as error:
        raise UsageError(f"{setting} {factory}: SyntaxError: {error.msg} ({files[0]}:{error.lineno})") from error
    names = set(_bound(tree))
    if function not in names and "*" not in names and not _DYNAMIC & {*names, *_mentioned(tree)}:
        raise UsageError(
            f"{setting} {factory}: expected a function {function} in {files[0]}, found none{meant(function, names)}"
        )


def _is_installed(top: str) -> bool:
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _bound(node: ast.AST) -> Iterator[str]:
    """The names that running a module binds; `*` where another module says which."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name  # what is inside is bound there
                continue
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
        yield from _bound(child)


def _mentioned(tree: ast.AST) -> Iterator[str]:
    yield from (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
