"""Commands that make something: build, train, report, init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.answer import say, write_answer
from pipeline.cli.app import Force, Json, ModelStore, Overrides, RecipeArgument, RunDir, TensorBoard, app, print_json
from pipeline.engine.launch import read_launch
from pipeline.engine.places import DEFAULT_MODEL_STORE


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
    from pipeline.cli.render import console
    from pipeline.commands import build as builder

    if plan:
        outcomes = builder.plan(recipe, run_dir=run_dir, overrides=overrides or ())
        if as_json:
            print_json([{"stage": step.stage, "action": step.action, "reason": step.reason} for step in outcomes])
        else:
            console.print_plan(outcomes)
        return
    with console.Terminal() as terminal:
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
        console.print_result(result)


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
    from pipeline.cli.render import console
    from pipeline.commands import train as trainer

    launch = read_launch()
    if launch is not None and launch.rank:  # process 0 speaks for all
        trainer.train(recipe, run_dir=run_dir, overrides=overrides or ())
        return
    with console.Terminal() as terminal:
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
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="of a finished build")],
    model_store: ModelStore = DEFAULT_MODEL_STORE,
    svg: Annotated[Path | None, typer.Option("--svg", help="also save the table as a picture")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="also save it as one page, with pictures")] = None,
    as_json: Json = False,
) -> None:
    """Show the table of a finished build again."""
    from pipeline.cli.render import console
    from pipeline.commands.report import report as read_report

    result = read_report(run_dir, model_store=model_store)
    if svg is not None:
        console.save_picture(result, svg)
    if html is not None:
        from pipeline.cli.render.page import save_page

        save_page(result, html)
    if as_json:
        print_json(result.to_json())
    else:
        console.print_result(result)


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder")]) -> None:
    """Write a worked example of your own model and data, as a starting point."""
    from pipeline.commands.init import init_project

    for path in init_project(folder):
        say(path)
