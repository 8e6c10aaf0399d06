"""The command line: parse, call, print, exit code. Nothing is decided here."""

from __future__ import annotations

import os
import sys
import traceback

from pipeline.cli import building, looking, measuring, proving, serving
from pipeline.cli.app import app
from pipeline.errors import EXIT_INTERRUPTED, EXIT_OK, FileError, PipelineError, RecipeError
from pipeline.process import terminated_as_interrupt

__all__ = ["app", "building", "looking", "main", "measuring", "proving", "serving"]


def main() -> None:
    """Run the command line; the exit code follows from the error's class."""
    # Read when torch is loaded. Its threads spin while they wait, by default: beside one other busy process, training
    # then took five times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    code = _run(sys.argv[1:])
    if code == EXIT_INTERRUPTED:
        # Every `finally` has run. Python would take torch apart object by object for seconds, and a person waits.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    if debug:
        # An option of every command, though the parser knows it in front of them only.
        arguments = ["--debug", *(one for one in arguments if one != "--debug")]
    try:
        with terminated_as_interrupt():
            code = app(arguments, standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
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
            # The parser leaves the words of the library that it checks values with.
            said = " ".join(message().replace("Value error, ", "").split()).rstrip(".")
            return _fail(f"{said}; see pipeline --help", RecipeError.exit_code, debug=debug)
        found = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
        return _fail(f"unexpected {found}; run again with --debug and report it", PipelineError.exit_code, debug=debug)
    if code == EXIT_INTERRUPTED:  # typer turns Ctrl-C inside a command into this code
        goes_on = "; it goes on from here when it is run again" if {"build", "train"} & set(arguments) else ""
        return _fail(f"interrupted{goes_on}", EXIT_INTERRUPTED)
    return code if isinstance(code, int) else EXIT_OK


def _fail(message: str, code: int, *, debug: bool = False) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"error: {message}\n")
    return code
