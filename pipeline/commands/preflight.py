"""Refuses what can be refused of a recipe before any work: no library of networks is loaded, no user code is run."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from pipeline.candidates.spec import candidate_specs
from pipeline.engine.factories import user_factories
from pipeline.errors import DataError, FileError, UsageError
from pipeline.measure.host import computes
from pipeline.models.published_weights import weights_place, weights_to_fetch
from pipeline.models.weight_index import find_weights
from pipeline.precision import PRECISIONS
from pipeline.recipe.loading import load_recipe
from pipeline.recipe.names import SLIM, meant
from pipeline.recipe.recipe import Recipe

DEFAULT_RUNS = Path("runs")
# Names by which a module may get other names without a statement that says so.
_DYNAMIC = {"__getattr__", "globals", "setattr", "exec", "vars"}


def resolve(
    recipe: str | Path | Recipe,
    overrides: Sequence[str] = (),
    *,
    log: Callable[[str], None] = lambda _: None,
    fetch: bool = True,
) -> Recipe:
    """Load a recipe and check what can be checked before any work.

    Args:
        recipe: a built-in name, the path of a TOML file, or a recipe.
        overrides: `section.key=value` strings, for a recipe given by name or path.
        log: function that gets a line before published weights are fetched.
        fetch: whether published weights are fetched that are not on this machine yet.

    Raises:
        UsageError: it has problems.
        DataError: weights or data that it names are not there.
    """
    if isinstance(recipe, Recipe) and overrides:
        raise UsageError(f"overrides {', '.join(overrides)}: expected none for a recipe that is loaded already")
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    names = [spec.name for spec in candidate_specs(loaded.candidates)]
    named, searched = loaded.select.candidate, loaded.search_effort != "off"
    if named is not None and named not in names and not (searched and named.startswith(SLIM)):
        others = f", or one that the search makes ({SLIM}...)" if searched else ""
        needs = next((facts.needs for name, facts in PRECISIONS.items() if named.endswith(f".{name}")), None)
        lacks = f"; no build tries {needs} by itself on this processor, which does not compute in it"
        why = "" if computes(needs) else lacks
        raise UsageError(f"select.candidate: expected one of {', '.join(names)}{others}, found {named}{why}")
    check_recipe(loaded, log=log, fetch=fetch)
    return loaded


def run_folder(recipe: Recipe, run_dir: Path | str | None) -> Path:
    """Return the folder where a recipe is worked on: as asked, or else `runs/<recipe>`."""
    return Path(run_dir) if run_dir is not None else DEFAULT_RUNS / recipe.name


def check_recipe(recipe: Recipe, *, log: Callable[[str], None] = lambda _: None, fetch: bool = True) -> None:
    """Check that what a recipe names is there: files, the user's functions, the device.

    Args:
        recipe: recipe whose relative paths are looked up in its folder.
        log: function that gets a line before published weights are fetched.
        fetch: whether published weights are fetched that are not on this machine yet; else only their name is checked.

    Raises:
        UsageError: a function, the golden inputs or the device are not there.
        DataError: weights or data are not there.
    """
    for setting, factory in user_factories(recipe).items():
        _check_factory(setting, factory, recipe.folder)
    for weights in recipe.model.weights_by_setting.values():
        if fetch or weights_to_fetch(weights) is None:
            find_weights(weights_place(weights, recipe.folder, log=log))
    if recipe.data.path is not None and not (place := recipe.folder / recipe.data.path).exists():
        raise DataError(f"data.path {place}: expected a file or folder, found none; it is relative to the recipe")
    if recipe.data.folder is not None and not (place := recipe.folder / recipe.data.folder).is_dir():
        raise DataError(f"data.folder {place}: expected a folder of pictures, found none; it is relative to the recipe")
    if recipe.data.table is not None and not (place := recipe.folder / recipe.data.table).is_file():
        raise DataError(f"data.table {place}: expected a CSV or Parquet file, found none; it is relative to the recipe")
    _check_golden(recipe.package.golden, recipe.folder)
    _check_device(recipe.train.device)


def check_store(archive: Path) -> None:
    """Check that an archive may be written to its place at the end of a build.

    Raises:
        FileError: it may not be written there.
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
    """Check a device as far as it can be told without torch; training says the rest before its first step."""
    absent = device == "mps" and sys.platform != "darwin"
    if device == "cuda":
        try:
            absent = metadata.version("torch").endswith("+cpu")
        except metadata.PackageNotFoundError:
            absent = False  # a torch that was installed in another way may be of any kind
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
        return  # it is a package that finds its modules in its own way
    try:
        tree = ast.parse(files[0].read_bytes(), filename=str(files[0]))
    except SyntaxError as error:
        raise UsageError(f"{setting} {factory}: SyntaxError: {error.msg} ({files[0]}:{error.lineno})") from error
    names = set(_bound_names(tree))
    if function not in names and "*" not in names and not _DYNAMIC & {*names, *_mentioned_names(tree)}:
        raise UsageError(
            f"{setting} {factory}: expected a function {function} in {files[0]}, found none{meant(function, names)}"
        )


def _is_installed(top: str) -> bool:
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _bound_names(node: ast.AST) -> Iterator[str]:
    """Yield the names that running a module binds; `*` where another module says which."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name  # the names inside are bound there
                continue
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
        yield from _bound_names(child)


def _mentioned_names(tree: ast.AST) -> Iterator[str]:
    yield from (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
