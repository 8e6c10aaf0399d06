"""`pipeline init`: it writes a recipe for one's own model and data, or a worked example of both."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pipeline.commands.start.answers import Answers, Given, Person
from pipeline.errors import FileError, UsageError

RECIPE = "recipe.toml"
FILES = ("recipe.toml", "my_nets.py", "my_data.py", "README.md")


def init_project(folder: Path) -> tuple[Path, ...]:
    """Write the example into a folder.

    Args:
        folder: folder to write into. It is made if it is missing, and may hold other files.

    Returns:
        The files written, the recipe first.

    Raises:
        UsageError: one of the files is there already; none is written then.
        FileError: the folder cannot be written to.
    """
    paths = tuple(folder / name for name in FILES)
    there = [path.name for path in paths if path.exists()]
    if there:
        raise UsageError(
            f"{folder}: expected none of {', '.join(FILES)}, found {', '.join(there)}; give another folder"
        )
    example = resources.files("pipeline") / "example"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            path.write_bytes((example / path.name).read_bytes())
    except OSError as error:
        raise FileError(f"{folder}: expected a folder to write to, found: {error.strerror}") from error
    return paths


def init_recipe(folder: Path, given: Given, person: Person | None, *, file: str = RECIPE) -> Path:
    """Write a recipe for one's own model and data.

    Args:
        folder: folder to write into; the modules that are named lie there, or are installed.
        given: answers that were given as options.
        person: who is asked for the others; None where nobody is there.
        file: name of the recipe's file, which is not there yet.

    Raises:
        UsageError: an answer is missing or wrong, or the file is there already.
        FileError: the folder cannot be written to.
    """
    from pipeline.commands.start.interview import interview
    from pipeline.commands.start.write import recipe_name, write_recipe

    path = folder / file
    if path.suffix != ".toml":
        raise UsageError(f"--file {file}: expected a name that ends in .toml")
    if path.exists():
        raise UsageError(f"{path}: expected no such file, for nothing is overwritten; give another name: --file")
    name = given.name or recipe_name(folder)
    document, remarks = interview(Answers(given=given, person=person), folder, name=name)
    return write_recipe(document, path, remarks=remarks)
