"""The typer application and the options that several commands share."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.answer import say, write_answer
from pipeline.errors import UsageError

app = typer.Typer(
    name="pipeline",
    help="Takes a PyTorch model to the fastest artifact that is proven to be the same model, and serves it.",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RecipeArgument = Annotated[str, typer.Argument(metavar="RECIPE", help="a built-in recipe or the path of a TOML file")]
RunDir = Annotated[Path | None, typer.Option("--run-dir", help="where to work [default: runs/RECIPE]")]
ModelStore = Annotated[Path, typer.Option("--model-store", help="where archives lie")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="override a setting")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document and nothing else on standard output")]
Digest = Annotated[
    str | None,
    typer.Option("--digest", metavar="HEX", help="what it must be: the archive's digest or the file's SHA-256"),
]
PublicKey = Annotated[
    Path | None, typer.Option("--public-key", metavar="PEM", help="to check ARCHIVE.sig with, which must be there")
]
RequireSignature = Annotated[
    bool, typer.Option("--require-signature", help="nothing but a signature will do: refuse to go without a key")
]
AllowOperator = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-operator",
        metavar="NAME",
        help="that an archive's model may call although it may do more than compute; may be given again",
    ),
]
TensorBoard = Annotated[
    Path | None,
    typer.Option("--tensorboard", metavar="DIR", help="also write training's curves there, as event files"),
]
Force = Annotated[bool, typer.Option("--force", help="run every stage, whatever is up to date")]


@app.callback(help=app.info.help)
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="show tracebacks and the libraries' logs")] = False,
) -> None:
    """Options of every command."""
    if context.invoked_subcommand is None:
        say(*context.get_help().split("\n"))
        raise typer.Exit(UsageError.exit_code)
    logging.basicConfig(level=logging.DEBUG if debug else logging.ERROR, stream=sys.stderr)


def print_json(document: Any) -> None:
    """Print one JSON document on standard output."""
    write_answer(json.dumps(document, indent=1))
