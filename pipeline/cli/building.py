"""Commands that make something: build, train, report."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.answer import say, write_answer
from pipeline.cli.app import Force, Json, ModelStore, Overrides, RecipeArgument, RunDir, TensorBoard, app, print_json
from pipeline.engine.launch import read_launch
from pipeline.engine.places import DEFAULT_MODEL_STORE
from pipeline.errors import UsageError


@app.command()
def build(
    recipe: RecipeArgument = "fashion-cnn",
    run_dir: RunDir = None,
    model_store: ModelStore = DEFAULT_MODEL_STORE,
    overrides: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="say what would run, and change nothing")] = False,
    force: Force = False,
    strict: Annotated[bool, typer.Option("--strict", help="exit 5 where the test set denies the budget")] = False,
    *,
    tensorboard: TensorBoard = None,
    as_json: Json = False,
) -> None:
    """Train, compress, export, verify, measure, select, package, and try the archive in a real server."""
    from pipeline.cli.render.terminal import Terminal
    from pipeline.commands import build as builder

    if plan:
        outcomes = builder.plan(recipe, run_dir=run_dir, overrides=overrides or ())
        if as_json:
            print_json([{"stage": step.stage, "action": step.action, "reason": step.reason} for step in outcomes])
        else:
            say(*(f"{step.stage}: {step.action}{f': {step.reason}' if step.reason else ''}" for step in outcomes))
        return
    with Terminal() as terminal:
        result = builder.build(
            recipe,
            run_dir=run_dir,
            model_store=model_store,
            overrides=overrides or (),
            force=force,
            strict=strict,
            tensorboard=tensorboard,
            reporter=terminal,
        )
    if as_json:
        print_json(result.to_json())
    else:
        from pipeline.cli.render.summary import print_result

        print_result(result)


@app.command()
def train(
    recipe: RecipeArgument = "fashion-cnn",
    run_dir: RunDir = None,
    overrides: Overrides = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="PATH", help="go on from this checkpoint, or from the last in a folder"),
    ] = None,
    force: Force = False,
    tensorboard: TensorBoard = None,
) -> None:
    """The data and training stages alone."""
    from pipeline.cli.render.terminal import Terminal
    from pipeline.commands import train as trainer

    launch = read_launch()
    if launch is not None and launch.rank:  # process 0 speaks for all
        trainer.train(recipe, run_dir=run_dir, overrides=overrides or ())
        return
    with Terminal() as terminal:
        result = trainer.train(
            recipe,
            run_dir=run_dir,
            overrides=overrides or (),
            force=force,
            resume=resume,
            tensorboard=tensorboard,
            reporter=terminal,
        )
    write_answer(str(result.weights))


@app.command()
def report(
    target: Annotated[
        Path, typer.Argument(metavar="RUN_DIR|ARCHIVE", help="of a finished build, or the .mar that it made")
    ],
    model_store: ModelStore = DEFAULT_MODEL_STORE,
    svg: Annotated[Path | None, typer.Option("--svg", help="also save the table as a picture")] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="another place for the page [default: report.html in the run directory]"),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="open the page in the browser")] = False,
    tables: Annotated[
        bool, typer.Option("--tables", help="print all tables on a terminal too, as anywhere else")
    ] = False,
    *,
    as_json: Json = False,
) -> None:
    """Show the result of a finished build again, and make its page, report.html; of an archive, the page alone."""
    from pipeline.cli.render import console
    from pipeline.cli.render.summary import print_result
    from pipeline.commands.report import report as read_report
    from pipeline.commands.report import report_archive

    if not target.is_dir():
        if svg is not None or as_json or tables:
            raise UsageError(
                "--svg, --json, --tables: expected a run directory, because an archive holds no table of a build"
            )
        page = report_archive(target, page=html)
        say(page)
    else:
        result = read_report(target, model_store=model_store, page=html)
        page = html or result.page
        if svg is not None:
            console.save_picture(result, svg)
        if as_json:
            print_json(result.to_json())
        else:
            print_result(result, tables=tables)
    if open_it and not page.is_file():
        raise UsageError(f"--open: expected {page} to be there, found a run directory without it; give --html FILE")
    if open_it:
        webbrowser.open(page.resolve().as_uri())
