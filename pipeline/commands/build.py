"""`pipeline.build`: it takes a recipe and makes a proven archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.candidates.choose import explain
from pipeline.commands.build_result import BuildResult, read_result, read_selection
from pipeline.commands.event_files import EventFiles
from pipeline.commands.graph_file import is_compared, write_graph
from pipeline.commands.preflight import check_store, resolve, run_folder
from pipeline.commands.trade_off import draw, is_drawn
from pipeline.engine.artifacts import Kind, digest_bytes, digest_file
from pipeline.engine.manifest import Manifest, write_atomically
from pipeline.engine.places import DEFAULT_MODEL_STORE, no_room, os_error_text, require_temp
from pipeline.engine.runner import Outcome, plan_stages, run_stages
from pipeline.engine.stage import Reporter, Silent
from pipeline.engine.user_code import user_modules
from pipeline.errors import FileError, ProofError
from pipeline.models.published_weights import weights_to_fetch
from pipeline.recipe.loading import DEFAULT_RECIPE
from pipeline.recipe.recipe import Recipe
from pipeline.serving.state import require_state_folder
from pipeline.stages import BUILD
from pipeline.stages.train import STAGE as TRAIN


def build(
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    run_dir: Path | str | None = None,
    model_store: Path | str | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    strict: bool = False,
    tensorboard: Path | str | None = None,
    reporter: Reporter | None = None,
) -> BuildResult:
    """Train or load, compress, export, verify, measure, select, package and try out.

    Args:
        recipe: a built-in name, the path of a TOML file, or a recipe.
        run_dir: folder to work in; `runs/<recipe>` by default.
        model_store: folder where the archive is put at the end; `model_store` by default.
        overrides: `section.key=value` strings, for a recipe given by name or path.
        force: whether to run every stage even if it is up to date.
        strict: whether to fail where the test set does not confirm that the winner is inside its limits, instead of
            saying so in the result.
        tensorboard: folder for event files of the figures of training and fine-tuning, which TensorBoard draws; none
            by default.
        reporter: reporter that is told what happens; silent by default.

    Returns:
        The table, the winner and the archive.

    Raises:
        PipelineError: see `pipeline.errors` for the tree; the archive is not put into the model store then.
    """
    say = reporter or Silent()
    loaded = resolve(recipe, overrides, log=say.log)
    folder = run_folder(loaded, run_dir)
    require_temp()
    require_state_folder()  # the server that tries the archive at the end needs it
    archive = (Path(model_store) if model_store is not None else DEFAULT_MODEL_STORE) / f"{loaded.model_name}.mar"
    check_store(archive)
    results: list[BuildResult] = []

    def publish(manifest: Manifest) -> None:
        """Publish while the run directory is held, or another build could replace what is read here."""
        if strict:
            _require_test(folder, manifest)
        packed = manifest.one(Kind.ARCHIVE)
        _publish(folder / packed.path, archive, packed.sha256)
        results.append(read_result(folder, manifest, archive, ()))
        if not is_drawn(folder):
            draw(results[0])
        if not is_compared(folder):
            write_graph(results[0], manifest, say)
        _write_page(results[0], manifest, say)

    events = None if tensorboard is None else EventFiles(Path(tensorboard), say)
    with user_modules(loaded.folder):
        manifest, outcomes = run_stages(BUILD, loaded, folder, events or say, force=force, finish=publish)
    if events is not None:
        events.complete(folder / manifest.one(Kind.TRAINING_HISTORY).path)
    return replace(results[0], stages=outcomes)


def plan(
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    run_dir: Path | str | None = None,
    overrides: Sequence[str] = (),
) -> tuple[Outcome, ...]:
    """Say what a build would run, and why; it changes and fetches nothing. The arguments are as for `build`."""
    loaded = resolve(recipe, overrides, fetch=False)
    return plan_stages(BUILD, loaded, run_folder(loaded, run_dir), known={TRAIN.name: _to_be_fetched(loaded)})


def _to_be_fetched(recipe: Recipe) -> str:
    """Say which published weights a build fetches first; empty where none are missing on this machine."""
    named = recipe.model.weights_by_setting
    missing = [(setting, weights, weights_to_fetch(weights)) for setting, weights in named.items()]
    return ", ".join(
        f"{setting} {weights} is not on this machine, and is fetched from {facts.url}"
        for setting, weights, facts in missing
        if facts is not None
    )


def _require_test(run_dir: Path, manifest: Manifest) -> None:
    selection = read_selection(run_dir, manifest)
    if not selection.test_verdict.allowed:
        why = explain(selection.selected, selection.test, selection.test_verdict, selection.limits)
        raise ProofError(f"test set: {why}; --strict: the archive was not put into the model store")


def _write_page(result: BuildResult, manifest: Manifest, reporter: Reporter) -> None:
    """Write the page of the report, unless it is there and nothing ran since. No fault of it fails a build."""
    from pipeline.commands.report_page.write import is_written, write_page

    if is_written(result.page):
        return
    try:
        from pipeline.commands.report_page.run import report_of_run

        run_report = report_of_run(result, manifest)
        write_page(result.page, run_report.document, graph=run_report.graph)
    except Exception as error:  # noqa: BLE001 - the archive is proven and published, whatever is wrong with a page
        text = " ".join(str(error).split()) or type(error).__name__
        reporter.log(f"{result.page.name} could not be made, and nothing else depends on it: {text}")


def _publish(packed: Path, stored: Path, sha256: str) -> None:
    """Copy the archive into the model store in one step, unless it is there already."""
    if stored.is_file() and digest_file(stored) == sha256:
        return
    content = packed.read_bytes()
    if digest_bytes(content) != sha256:
        raise FileError(f"{packed}: expected SHA-256 {sha256}, found other bytes; build again")
    try:
        stored.parent.mkdir(parents=True, exist_ok=True)
        for remains in stored.parent.glob(f".{stored.name}.*"):  # a build that was killed right here leaves them
            remains.unlink(missing_ok=True)
        write_atomically(stored, content)
    except OSError as error:
        message = f"{stored}: expected to write the archive there, found: {os_error_text(error)}"
        raise FileError(no_room(error, stored.parent) or message) from error
