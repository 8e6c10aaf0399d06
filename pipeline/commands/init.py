"""`pipeline init`: it writes a worked example of one's own model and data, as a starting point."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from pipeline.errors import FileError, UsageError

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
