"""The command line: parse, call, print, exit code. Nothing is decided here."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.errors import EXIT_INTERRUPTED, EXIT_OK, FileError, PipelineError, RecipeError

app = typer.Typer(
    name="pipeline",
    help="Takes a PyTorch model to the fastest artifact that is proven to be the same model, and serves it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="a built-in recipe or the path of a TOML file")]
RunDir = Annotated[Path | None, typer.Option("--run-dir", help="where to work [default: runs/RECIPE]")]
ModelStore = Annotated[Path, typer.Option("--model-store", help="where archives lie")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="override a setting")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document and nothing else on standard output")]
Force = Annotated[bool, typer.Option("--force", help="run every stage, whatever is up to date")]
Port = Annotated[int | None, typer.Option("--port", min=1, max=65535, help="of the server")]


@app.callback(help=app.info.help)
def options(
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks and library logs")] = False,
) -> None:
    """Options of every command."""
    logging.basicConfig(level=logging.DEBUG if debug else logging.ERROR, stream=sys.stderr)


@app.command()
def build(
    recipe: RecipeArgument = "fashion-cnn",
    run_dir: RunDir = None,
    model_store: ModelStore = Path("model_store"),
    overrides: Overrides = None,
    plan: Annotated[bool, typer.Option("--plan", help="say what would run, and change nothing")] = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train, compress, export, verify, measure, select, package, and try the archive in a real server."""
    from pipeline import builder, console  # noqa: PLC0415

    if plan:
        outcomes = builder.plan(recipe, run_dir=run_dir, overrides=overrides or ())
        if as_json:
            _print_json([{"stage": one.stage, "action": one.action, "reason": one.reason} for one in outcomes])
        else:
            console.print_plan(outcomes)
        return
    with console.Terminal() as terminal:
        result = builder.build(
            recipe, run_dir=run_dir, model_store=model_store, overrides=overrides or (), force=force, reporter=terminal
        )
    if as_json:
        _print_json(result.to_json())
    else:
        console.print_result(result)


@app.command()
def train(
    recipe: RecipeArgument = "fashion-cnn",
    run_dir: RunDir = None,
    overrides: Overrides = None,
    force: Force = False,
) -> None:
    """The data and training stages alone."""
    from pipeline import builder, console  # noqa: PLC0415

    with console.Terminal() as terminal:
        weights = builder.train(recipe, run_dir=run_dir, overrides=overrides or (), force=force, reporter=terminal)
    typer.echo(weights)


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="of a finished build")],
    model_store: ModelStore = Path("model_store"),
    as_json: Json = False,
) -> None:
    """Show the table of a finished build again."""
    from pipeline import builder, console  # noqa: PLC0415

    result = builder.report(run_dir, model_store=model_store)
    if as_json:
        _print_json(result.to_json())
    else:
        console.print_result(result)


@app.command()
def init(folder: Annotated[Path, typer.Argument(metavar="DIR", help="a new or empty folder")]) -> None:
    """Write a worked example of your own model and data, as a starting point."""
    from pipeline.init import init_project  # noqa: PLC0415

    for path in init_project(folder):
        typer.echo(path)


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=1))


def main() -> None:
    """Run the command line; the exit code follows from the error's class."""
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    if debug:
        # An option of every command, though the parser knows it in front of them only.
        arguments = ["--debug", *(one for one in arguments if one != "--debug")]
    try:
        code = app(arguments, standalone_mode=False)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command continues where it was", EXIT_INTERRUPTED)
    except PipelineError as error:
        return _fail(str(error), error.exit_code, debug=debug)
    except BrokenPipeError:
        # The reader of our output is gone, e.g. `pipeline report runs/x | head -1`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}", FileError.exit_code, debug=debug)
    except Exception as error:  # noqa: BLE001
        message = getattr(error, "format_message", None)
        if message is not None:
            return _fail(f"{message()}; see pipeline --help", RecipeError.exit_code, debug=debug)
        found = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        return _fail(f"unexpected {found}; run again with --debug and report it", PipelineError.exit_code, debug=debug)
    return code if isinstance(code, int) else EXIT_OK


def _fail(message: str, code: int, *, debug: bool = False) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {message}\n")
    return code
