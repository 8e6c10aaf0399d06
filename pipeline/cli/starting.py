"""The command that starts something: init."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.answer import say
from pipeline.cli.app import app
from pipeline.commands.init import RECIPE, init_project, init_recipe
from pipeline.commands.start.answers import Given, InputEndedError, Person
from pipeline.errors import UsageError
from pipeline.visible import visible


class _Terminal:
    """Somebody at a terminal."""

    def ask(self, question: str, default: str | None) -> str:
        """Ask until something is typed; Enter alone takes the default.

        Raises:
            InputEndedError: the input has ended.
        """
        shown = "" if default is None else f" [{default}]"
        while True:
            try:
                text = input(visible(f"{question}{shown}: ")).strip()
            except EOFError as error:
                say("")
                ended = "init: expected an answer, found the end of the input; nothing was written"
                raise InputEndedError(ended) from error
            except KeyboardInterrupt:
                say("")  # what is said then gets a line of its own
                raise
            if text or default is not None:
                return text or default or ""

    def tell(self, line: str) -> None:
        """Show a line."""
        say(line)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="where your modules lie, or a new folder")],
    *,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="MODULE:FUNCTION|NAME", help="your network, or a name as in model.name"),
    ] = None,
    from_torchvision: Annotated[
        str | None, typer.Option("--from-torchvision", metavar="NAME", help="start from this network and its weights")
    ] = None,
    from_timm: Annotated[
        str | None, typer.Option("--from-timm", metavar="NAME", help="start from this network and its weights")
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="PATH|none", help="a file of its weights, or none: trained anew")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="DIR|FILE|MODULE:FUNCTION", help="pictures, a table, or a DataSet")
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", metavar="FILE", help="a .csv, .tsv or .parquet file; the same as --data FILE"),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option("--target", metavar="COLUMN", help="to predict; may be given again")
    ] = None,
    labels: Annotated[str | None, typer.Option("--labels", metavar="FILE", help="CSV file beside the pictures")] = None,
    classes: Annotated[
        str | None,
        typer.Option("--classes", metavar="A,B,...|FILE", help="names of the outputs, where the data say none"),
    ] = None,
    size: Annotated[str | None, typer.Option("--size", metavar="HxW", help="of the network's input, in pixels")] = None,
    mode: Annotated[str | None, typer.Option("--mode", metavar="RGB|L", help="colour or grey pictures")] = None,
    preprocessing: Annotated[
        str | None,
        typer.Option("--preprocessing", metavar="raw|0-1|imagenet|torchvision:WEIGHTS", help="how it sees pixels"),
    ] = None,
    task: Annotated[str | None, typer.Option("--task", metavar="KIND", help="as in task.kind")] = None,
    tolerance: Annotated[
        str | None, typer.Option("--tolerance", metavar="NUMBER", help="how far off a number may be and still be right")
    ] = None,
    epochs: Annotated[str | None, typer.Option("--epochs", metavar="NUMBER", help="of training")] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="POINTS", help="what a smaller network may lose")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="of the recipe [default: DIR's]")] = None,
    file: Annotated[str, typer.Option("--file", metavar="FILE", help="to write in DIR")] = RECIPE,
    example: Annotated[bool, typer.Option("--example", help="write the worked example, and ask nothing")] = False,
) -> None:
    """Write a recipe for your own model and data, or a worked example of both.

    On a terminal it asks for what no option says. Without options and without a terminal it writes the example.
    """
    given = Given(
        model=_one({"--model": model, "--from-torchvision": from_torchvision, "--from-timm": from_timm}),
        weights=weights,
        data=_one({"--data": data, "--table": table}),
        targets=",".join(target) if target else None,
        labels=labels,
        classes=classes,
        size=size,
        mode=mode,
        preprocessing=preprocessing,
        task=task,
        tolerance=tolerance,
        epochs=epochs,
        budget=budget,
        name=name,
    )
    person: Person | None = _Terminal() if sys.stdin.isatty() and sys.stdout.isatty() else None
    if example and not given.empty:
        raise UsageError("--example: expected no answers beside it, for the example has its own network and data")
    if given.empty and (example or person is None or _wants_example(person)):
        for path in init_project(folder):
            say(path)
        return
    path = init_recipe(folder, given, person, file=file)
    if person is not None:
        say("", *path.read_text(encoding="utf-8").splitlines(), "", f"Written, and checked: pipeline build {path}")
    else:
        say(path)


_PACKAGES = {"--from-torchvision": "torchvision", "--from-timm": "timm"}


def _one(options: dict[str, str | None]) -> str | None:
    """The value of the one option that is given.

    Raises:
        UsageError: several are.
    """
    values = {option: value for option, value in options.items() if value is not None}
    if len(values) > 1:
        raise UsageError(f"{', '.join(values)}: expected one of them, for they answer the same question")
    for option, value in values.items():
        return f"{_PACKAGES[option]}:{value}" if option in _PACKAGES else value
    return None


def _wants_example(person: Person) -> bool:
    person.tell("This writes a recipe for your own model and data. Enter takes what stands in brackets.")
    while True:
        answer = person.ask("Your own model (own), or a worked example of one (example)", "own").lower()
        if answer in ("own", "example"):
            return answer == "example"
        person.tell(f"  expected own or example, found {answer!r}")
