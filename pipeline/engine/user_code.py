"""The user's own modules: the one place that puts a recipe's folder on `sys.path` and imports from it."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.engine.artifacts import digest_file
from pipeline.engine.reads import installed_folders, observed
from pipeline.errors import PipelineError, UsageError

# A checkout of this project can be a recipe folder too, because built-in recipes look in the working directory.
_OURS = "pipeline"
_ROOT = Path(__file__).resolve().parents[2]
# The modules there call the network, the user's or a built-in one, and do nothing else that could fail.
_CALLS_A_NETWORK = _ROOT / "pipeline" / "models" / "spec.py"
_LONGEST_MESSAGE = 300

# Modules imported from each recipe folder, with the digest of their source. They are kept apart so that two folders may
# both have a `my_nets`. At most one folder's modules are in `sys.modules`.
_loaded: dict[Path, dict[str, tuple[ModuleType, str]]] = {}
_active: list[Path] = []


@contextmanager
def user_modules(folder: Path) -> Iterator[None]:
    """Put a recipe's folder first on `sys.path` inside the block, and the modules of other recipe folders aside.

    A module stays in `sys.modules` after the block, until another folder's turn, because scripting, exporting and data
    classes look their module up by name. A module whose source has changed is imported anew. Blocks may be nested.

    Args:
        folder: folder of the recipe.
    """
    from pipeline._handlers.onnx_runtime_import import TELEMETRY_OFF

    # The user's modules may import ONNX Runtime before this package does.
    os.environ.update(TELEMETRY_OFF)
    folder = folder.resolve()
    before = list(sys.path)
    writes_bytecode = sys.dont_write_bytecode
    _remove_others(folder)
    hidden = _hide_namesakes(folder)
    _put_back(folder)
    _active.append(folder)
    sys.path.insert(0, str(folder))
    # Cached bytecode is matched by the second and the size: an edit within one second would go unnoticed.
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()
    earlier = set(sys.modules)
    try:
        yield
    finally:
        sys.path[:] = before
        sys.dont_write_bytecode = writes_bytecode
        _remember(folder, set(sys.modules) - earlier)
        sys.modules.update(hidden)
        _active.pop()
        if _active:
            _remove_others(_active[-1])
            _put_back(_active[-1])


def import_factory(
    spec: str,
    folder: Path,
    *,
    failure: type[PipelineError] = UsageError,
    covered: Sequence[Path] = (),
    then: Callable[[Any], Any] = lambda result: result,
) -> Callable[..., Any]:
    """Import a function that the recipe names.

    Args:
        spec: `module:function`.
        folder: folder of the recipe; its modules come before installed ones.
        failure: type of the error that is raised when the function itself raises one.
        covered: folders and files that are compared elsewhere; what the code reads from all others is recorded.
        then: function of what the user's function returns. It may call the user's code again: what that code reads
            and raises then counts as the function's own.

    Returns:
        The function, followed by `then`. On each call it has its folder on `sys.path` again, checks its arguments
        first, and turns an exception into one line with file and line number.

    Raises:
        UsageError: there is no such module or function, or importing the module raised.
    """
    module_name, _, function_name = spec.partition(":")
    with user_modules(folder), observed(spec, folder, importing=True):
        module = _import(module_name, spec, folder)
    function = getattr(module, function_name, None)
    if not callable(function):
        names = ", ".join(sorted(name for name, value in vars(module).items() if inspect.isfunction(value))) or "none"
        raise UsageError(
            f"factory {spec}: expected a function {function_name} in {module.__file__}, found these functions: {names}"
        )

    def call(*values: Any, **arguments: Any) -> Any:
        try:
            inspect.signature(function).bind(*values, **arguments)
        except TypeError as error:
            signature = f"{function_name}{inspect.signature(function)}"
            raise UsageError(f"factory {spec}: expected arguments of {signature}, found: {error}") from error
        with user_modules(folder), observed(spec, folder, covered=covered):
            try:
                return then(function(*values, **arguments))
            except PipelineError:
                raise
            except Exception as error:
                raise failure(f"factory {spec}: {one_line(error, folder)}") from error

    return call


def _import(name: str, spec: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(
                f"factory {spec}: expected a module {name} in {folder} or installed, found none"
            ) from error
        raise UsageError(f"factory {spec}: importing {name}: {one_line(error, folder)}") from error
    except Exception as error:
        raise UsageError(f"factory {spec}: importing {name}: {one_line(error, folder)}") from error


def one_line(error: BaseException, folder: Path | None = None) -> str:
    """An exception in one line: its type, its message and the innermost line of the user's own files, or of any file.

    Args:
        error: exception with its traceback.
        folder: folder of the user's own files; None for the folders of all recipes from which modules were imported.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})"
    frames = list(traceback.extract_tb(error.__traceback__))
    ours = _innermost_of_ours(frames)
    if ours >= 0 and Path(frames[ours].filename) == _CALLS_A_NETWORK:
        # It does not matter where a script of the user's in that folder called this package.
        frames = frames[ours + 1 :] or frames
    folders = tuple(_loaded) if folder is None else (folder.resolve(),)
    own = [frame for frame in frames if _is_own(frame.filename, folders)]
    where = (own or frames)[-1]
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = " ".join(lines)[:_LONGEST_MESSAGE]
    return f"{type(error).__name__}: {message} ({where.filename}:{where.lineno})"


def own_place(error: BaseException) -> str:
    """The innermost line of the user's own files in an exception's traceback, as ` (file:line)`; empty without one.

    It is for messages of libraries that say at length what went wrong, but not where.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame.filename, tuple(_loaded))]
    return f" ({own[-1].filename}:{own[-1].lineno})" if own else ""


@contextmanager
def faults_of_the_user(what: str) -> Iterator[None]:
    """Turn what the user's own code raises inside the block into one line with its file and line number.

    Args:
        what: name of the work in the block, for the message.

    Raises:
        UsageError: an exception came out of the user's own code, or out of a network that it made.
    """
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        if not _comes_from_the_user(error):
            raise
        raise UsageError(
            f"{what}: your own code raised {one_line(error)}; mend it there; --debug shows all of it"
        ) from error


def _comes_from_the_user(error: BaseException) -> bool:
    """Whether this package's innermost call went to the user's code, or to the network behind its preprocessing."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = _innermost_of_ours(frames)
    inner = frames[ours + 1 :]
    calls_a_network = ours >= 0 and Path(frames[ours].filename) == _CALLS_A_NETWORK
    return any(_is_own(frame.filename, tuple(_loaded)) for frame in inner) or (calls_a_network and bool(inner))


def _innermost_of_ours(frames: Sequence[traceback.FrameSummary]) -> int:
    """Index of the innermost frame of this package; -1 where there is none."""
    return max((place for place, frame in enumerate(frames) if _is_ours(frame.filename)), default=-1)


def _is_ours(file: str) -> bool:
    return Path(file).is_relative_to(_ROOT / _OURS)


def _is_own(file: str, folders: tuple[Path, ...]) -> bool:
    path = Path(file)
    inside = any(path.is_relative_to(folder) for folder in folders)
    # A recipe's folder may hold an environment, with Python's own modules in it, or be a checkout of this project.
    installed = "site-packages" in path.parts or any(map(path.is_relative_to, installed_folders()))
    return inside and not installed and not _is_ours(file)


def _remove_others(folder: Path) -> None:
    """Take other recipe folders' modules out of `sys.modules`."""
    for place, modules in _loaded.items():
        if place != folder:
            for name, (module, _) in modules.items():
                if sys.modules.get(name) is module:
                    del sys.modules[name]


def _put_back(folder: Path) -> None:
    """Put this folder's modules into `sys.modules`. If a source changed, forget all, so that all are imported anew."""
    mine = _loaded.get(folder, {})
    if any(_has_changed(module, digest) for module, digest in mine.values()):
        for name, (module, _) in mine.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        del _loaded[folder]
        return
    for name, (module, _) in mine.items():
        sys.modules[name] = module


def _hide_namesakes(folder: Path) -> dict[str, ModuleType]:
    """Take modules from elsewhere out of `sys.modules` for a while if this folder has one of the same name."""
    own = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    foreign = {
        top for top in own - {_OURS} - sys.stdlib_module_names if top in sys.modules and not _lies_in(top, folder)
    }
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in foreign}


def _remember(folder: Path, new: set[str]) -> None:
    modules = _loaded.setdefault(folder, {})
    for name in new:
        module = sys.modules[name]
        top = name.partition(".")[0]
        # The first digest counts: it was taken right after the import.
        if top != _OURS and _lies_in(top, folder) and (name not in modules or modules[name][0] is not module):
            modules[name] = (module, _source_digest(module))


def _lies_in(top: str, folder: Path) -> bool:
    """Whether a top-level module was imported from this very folder (not from a `.venv` inside it, say)."""
    module = sys.modules.get(top)
    file = getattr(module, "__file__", None)
    if file is not None:
        path = Path(file).resolve()
        return path.parent == folder or (path.name == "__init__.py" and path.parent.parent == folder)
    return any(Path(place).resolve().parent == folder for place in getattr(module, "__path__", ()))


def _source_digest(module: ModuleType) -> str:
    return digest_file(Path(module.__file__)) if module.__file__ else ""


def _has_changed(module: ModuleType, digest: str) -> bool:
    if not module.__file__:
        return False
    path = Path(module.__file__)
    return not path.is_file() or digest_file(path) != digest
