"""`pipeline.build`: a recipe in, a proven archive out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from pipeline.candidates.choose import explain
from pipeline.candidates.spec import candidate_specs
from pipeline.commands.build_result import BuildResult, read_result, read_selection
from pipeline.commands.preflight import check_recipe, check_store
from pipeline.engine.artifacts import Kind, digest_bytes, digest_file
from pipeline.engine.cache_key import outdated
from pipeline.engine.manifest import MANIFEST_NAME, Manifest, read_manifest, write_atomically
from pipeline.engine.places import DEFAULT_MODEL_STORE, no_room, os_error_text, require_temp
from pipeline.engine.runner import Outcome, plan_stages, run_stages
from pipeline.engine.stage import Reporter, Silent
from pipeline.engine.user_code import user_modules
from pipeline.errors import FileError, ProofError, UsageError
from pipeline.measure.host import computes
from pipeline.precision import PRECISIONS
from pipeline.recipe.loading import DEFAULT_RECIPE, load_recipe
from pipeline.recipe.names import SLIM
from pipeline.recipe.recipe import Recipe
from pipeline.serving.state import require_state_folder
from pipeline.stages import BUILD, TRAINING

DEFAULT_RUNS = Path("runs")
# Of the picture of the trade-off.
_FORMS: tuple[Literal["png", "svg"], ...] = ("png", "svg")


def build(
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    run_dir: Path | str | None = None,
    model_store: Path | str | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    strict: bool = False,
    reporter: Reporter | None = None,
) -> BuildResult:
    """Train or load, compress, export, verify, measure, select, package and try out.

    Args:
        recipe: a built-in name, the path of a TOML file, or a recipe.
        run_dir: where to work; `runs/<recipe>` by default.
        model_store: where the archive is put at the end; `model_store` by default.
        overrides: `section.key=value` strings, for a recipe given by name or path.
        force: run every stage, whatever is up to date.
        strict: fail where the test set does not confirm that the winner is inside its limits, instead of saying so in
            the result.
        reporter: told what happens; silent by default.

    Returns:
        The table, the winner and the archive.

    Raises:
        PipelineError: see `pipeline.errors` for the tree; the archive is not put into the model store then.
    """
    loaded = resolve(recipe, overrides)
    folder = _run_dir(loaded, run_dir)
    require_temp()
    require_state_folder()  # of the server that tries the archive at the end
    archive = (Path(model_store) if model_store is not None else DEFAULT_MODEL_STORE) / f"{loaded.model_name}.mar"
    check_store(archive)
    results: list[BuildResult] = []

    def publish(manifest: Manifest) -> None:
        """While the run directory is held, or another build could replace what is read here."""
        if strict:
            _require_test(folder, manifest)
        packed = manifest.one(Kind.ARCHIVE)
        _publish(folder / packed.path, archive, packed.sha256)
        results.append(read_result(folder, manifest, archive, ()))
        if not _is_drawn(folder):
            draw(results[0])

    with user_modules(loaded.folder):
        _, outcomes = run_stages(BUILD, loaded, folder, reporter or Silent(), force=force, finish=publish)
    return replace(results[0], stages=outcomes)


def train(
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    run_dir: Path | str | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    reporter: Reporter | None = None,
) -> Path:
    """The data and training stages alone; arguments as for `build`.

    Returns:
        The file of weights.
    """
    loaded = resolve(recipe, overrides)
    folder = _run_dir(loaded, run_dir)
    with user_modules(loaded.folder):
        manifest, _ = run_stages(TRAINING, loaded, folder, reporter or Silent(), force=force)
    return folder / manifest.one(Kind.WEIGHTS).path


def plan(
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    run_dir: Path | str | None = None,
    overrides: Sequence[str] = (),
) -> tuple[Outcome, ...]:
    """What a build would run, and why; changes nothing. Arguments as for `build`."""
    loaded = resolve(recipe, overrides)
    return plan_stages(BUILD, loaded, _run_dir(loaded, run_dir))


def report(run_dir: Path | str, *, model_store: Path | str | None = None) -> BuildResult:
    """The result of a finished build, read from its run directory; its picture is drawn there again, if that may be.

    Raises:
        FileError: there is no finished build, or the picture cannot be written.
    """
    folder = Path(run_dir)
    manifest = read_manifest(folder)
    unfinished = [stage.name for stage in BUILD] if manifest is None else outdated(BUILD, manifest)
    if manifest is None or unfinished:
        missing = ", ".join(unfinished)
        raise FileError(f"{folder}: expected a finished build, found {missing} still to run; run pipeline build first")
    packed = folder / manifest.one(Kind.ARCHIVE).path
    stored = (Path(model_store) if model_store is not None else DEFAULT_MODEL_STORE) / packed.name
    result = read_result(folder, manifest, stored if stored.is_file() else packed, ())
    if os.access(folder, os.W_OK):
        draw(result)
    return result


def _is_drawn(run_dir: Path) -> bool:
    """Whether both pictures are there and no stage ran since; drawing takes a second or two."""
    recorded = (run_dir / MANIFEST_NAME).stat().st_mtime_ns
    pictures = [run_dir / f"pareto.{form}" for form in _FORMS]
    return all(path.is_file() and path.stat().st_mtime_ns >= recorded for path in pictures)


def draw(result: BuildResult) -> tuple[Path, ...]:
    """Draw the trade-off between accuracy and latency or size into the run directory, as PNG and as SVG.

    Returns:
        The files; the same result gives the same bytes.

    Raises:
        FileError: they cannot be written.
    """
    from pipeline.pages.pareto import draw_pareto

    paths = []
    for form in _FORMS:
        path = result.run_dir / f"pareto.{form}"
        picture = draw_pareto(
            result.points(),
            metric=result.metric,
            title=f"{result.recipe}: what its candidates lose and gain",
            why=result.why,
            budget=result.limits.max_accuracy_drop,
            reference=result.baseline,
            form=form,
        )
        try:
            write_atomically(path, picture)
        except OSError as error:
            said = f"{path}: expected to write the picture there, found: {os_error_text(error)}"
            raise FileError(no_room(error, result.run_dir) or said) from error
        paths.append(path)
    return tuple(paths)


def resolve(recipe: str | Path | Recipe, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe and check what can be checked before any work.

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
    check_recipe(loaded)
    return loaded


def _run_dir(recipe: Recipe, run_dir: Path | str | None) -> Path:
    return Path(run_dir) if run_dir is not None else DEFAULT_RUNS / recipe.name


def _require_test(run_dir: Path, manifest: Manifest) -> None:
    selection = read_selection(run_dir, manifest)
    if not selection.test_verdict.allowed:
        why = explain(selection.selected, selection.test, selection.test_verdict, selection.limits)
        raise ProofError(f"test set: {why}; --strict: the archive was not put into the model store")


def _publish(packed: Path, stored: Path, sha256: str) -> None:
    """Copy the archive into the model store in one step, unless it is there already."""
    if stored.is_file() and digest_file(stored) == sha256:
        return
    content = packed.read_bytes()
    if digest_bytes(content) != sha256:
        raise FileError(f"{packed}: expected SHA-256 {sha256}, found other bytes; build again")
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        for remains in stored.parent.glob(f".{stored.name}.*"):  # of a build that was killed right here
            remains.unlink(missing_ok=True)
        write_atomically(stored, content)
    except OSError as error:
        said = f"{stored}: expected to write the archive there, found: {os_error_text(error)}"
        raise FileError(no_room(error, stored.parent) or said) from error
