"""The command line: it parses, calls, prints, and sets the exit code. Nothing is decided here."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Sequence

from pipeline.cli import building, cleaning, looking, measuring, proving, recipe_keys, scoring, serving, starting
from pipeline.cli.answer import drop_answer, flush_answer, reserve_for
from pipeline.cli.app import app
from pipeline.engine.launch import read_launch
from pipeline.engine.out_of_memory import no_memory
from pipeline.engine.places import no_room, os_error_text
from pipeline.engine.process import terminated_as_interrupt
from pipeline.engine.user_code import faults_of_the_user
from pipeline.errors import EXIT_INTERRUPTED, EXIT_OK, ElsewhereError, FileError, PipelineError, UsageError
from pipeline.visible import visible

__all__ = [
    "app",
    "building",
    "cleaning",
    "looking",
    "main",
    "measuring",
    "proving",
    "recipe_keys",
    "scoring",
    "serving",
    "starting",
]

# These options give up a proof, or work that was done: who wants one of them knows its name.
_NEVER_SUGGESTED = ("--accept-host", "--force", "--no-auth", "--no-served")


def main() -> None:
    """Run the command line; the exit code follows from the error's class."""
    from pipeline._handlers.onnx_runtime_import import TELEMETRY_OFF

    # OMP_WAIT_POLICY is read when torch is loaded. By default its threads spin while they wait: beside one other
    # busy process, training then took five times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.update(TELEMETRY_OFF)
    if os.environ.get("RANK"):
        # Else torch's C++ code writes lines of its own in every process of a job, and more where one has ended.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
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
        # It is an option of every command, though the parser knows it only in front of them.
        arguments = ["--debug", *(argument for argument in arguments if argument != "--debug")]
    try:
        with terminated_as_interrupt(), faults_of_the_user("this command"):
            reserve_for(arguments)
            _check_launch(arguments)
            code = app(arguments, prog_name="pipeline", standalone_mode=False)
        flush_answer()
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except ElsewhereError as error:
        return error.exit_code
    except PipelineError as error:
        return _fail(str(error), error.exit_code, debug=debug)
    except BrokenPipeError:
        # The reader of our output is gone, as in `pipeline report runs/x | head -1`.
        drop_answer()
        return EXIT_OK
    except Exception as error:  # noqa: BLE001
        text, code = _other_fault(error, arguments)
        return code if _speaks_elsewhere() else _fail(text, code, debug=debug)
    if code == EXIT_INTERRUPTED:  # typer turns Ctrl-C inside a command into this code
        return code if _speaks_elsewhere() else _fail(f"interrupted{_goes_on(arguments)}", EXIT_INTERRUPTED)
    return code if isinstance(code, int) else EXIT_OK


def _other_fault(error: Exception, arguments: Sequence[str]) -> tuple[str, int]:
    """Say in one line what is no error of ours, and give its exit code."""
    if (full := no_room(error)) is not None:
        return f"{full}{_goes_on(arguments)}", FileError.exit_code
    if (short := no_memory(error)) is not None:
        return short, UsageError.exit_code
    if (failed := _system_error(error)) is not None:
        return f"{failed.filename or 'a file'}: {os_error_text(failed)}", FileError.exit_code
    message = getattr(error, "format_message", None)
    if message is not None:
        return _usage(error, message()), UsageError.exit_code
    fault = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    return f"unexpected {fault}; run again with --debug and report it", PipelineError.exit_code


def _speaks_elsewhere() -> bool:
    """Whether this is one of several processes with the same command, of which the first of each machine speaks."""
    try:
        launch = read_launch()
    except UsageError:
        return False
    return launch is not None and launch.local_rank > 0


def _check_launch(arguments: Sequence[str]) -> None:
    """Refuse to run a command several times at once, which torchrun would do with it.

    Raises:
        UsageError: several processes run a command that is for one.
    """
    command = next((argument for argument in arguments if not argument.startswith("-")), "")
    if command == "train" or "--help" in arguments or not (os.environ.get("RANK") and os.environ.get("WORLD_SIZE")):
        return
    launch = read_launch()
    if launch is not None:
        if launch.local_rank:
            raise ElsewhereError(UsageError.exit_code)
        raise UsageError(
            f"pipeline {command} in {launch.world_size} processes: expected one; several processes train alone: "
            "`torchrun ... -m pipeline train RECIPE`, then `pipeline build RECIPE` by itself goes on from there; where "
            "this process is by itself, unset RANK and WORLD_SIZE"
        )


def _usage(error: Exception, message: str) -> str:
    """Return what the parser says, without the words of the library that it checks values with.

    A slip of the pen must not lead to an option that gives up a proof or work that was done.
    """
    possibilities = getattr(error, "possibilities", None)
    if possibilities:
        possibilities[:] = [name for name in possibilities if name not in _NEVER_SUGGESTED]
        message = str(error.format_message())  # type: ignore[attr-defined]
    message = " ".join(message.replace("Value error, ", "").split()).rstrip(".")
    return f"{message}; see pipeline --help"


def _goes_on(arguments: Sequence[str]) -> str:
    scores = "predict" in arguments and any(argument.partition("=")[0] == "--data" for argument in arguments)
    kept = scores or {"build", "train"} & set(arguments)
    return "; it goes on from here when it is run again" if kept else ""


def _system_error(error: Exception) -> OSError | None:
    """Return the operating system's error behind an error; libraries in Rust put its number into their own text."""
    if isinstance(error, OSError):
        return error
    number = re.search(r"\(os error (\d+)\)", str(error))
    return None if number is None else OSError(int(number[1]), os.strerror(int(number[1])))


def _fail(message: str, code: int, *, debug: bool = False) -> int:
    if debug:
        sys.stderr.write(visible(traceback.format_exc(), lines=True))
    sys.stderr.write(f"error: {visible(message)}\n")
    return code
