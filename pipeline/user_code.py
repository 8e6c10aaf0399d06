"""The user's own modules: the one place that puts a recipe's folder on `sys.path` and imports from it."""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.artifacts import digest_file
from pipeline.errors import PipelineError, RecipeError
from pipeline.reads import observed

# A checkout of this project is a recipe folder too (the built-in recipes look in the working directory).
_OURS = ("pipeline", "handlers")

# Modules imported from each recipe folder, with the digest of their source; kept apart so that two folders may both
# have a `my_nets`. At most one folder's modules are in `sys.modules`.
_loaded: dict[Path, dict[str, tuple[ModuleType, str]]] = {}
_active: list[Path] = []


@contextmanager
def user_modules(folder: Path) -> Iterator[None]:
    """The folder comes first on `sys.path` inside; modules of other recipe folders are out of the way.

    A module stays in `sys.modules` afterwards, until another folder's turn, because scripting, exporting and data
    classes look their module up by name. A module whose source changed since is imported anew. May be nested.

    Args:
        folder: the recipe's.
    """
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
    spec: str, folder: Path, *, failure: type[PipelineError] = RecipeError, covered: Sequence[Path] = ()
) -> Callable[..., Any]:
    """Import a function that the recipe names.

    Args:
        spec: `module:function`.
        folder: the recipe's; its modules come before installed ones.
        failure: raised when the function itself raises.
        covered: what lies below is compared otherwise; of the rest, what the code reads is recorded.

    Returns:
        The function, which on each call has its folder on `sys.path` again, checks its arguments first, and turns
        an exception into one line with file and line number.

    Raises:
        RecipeError: there is no such module or function, or importing the module raised.
    """
    module_name, _, function_name = spec.partition(":")
    with user_modules(folder), observed(spec, folder, importing=True):
        module = _import(module_name, spec, folder)
    function = getattr(module, function_name, None)
    if not callable(function):
        names = ", ".join(sorted(name for name, value in vars(module).items() if inspect.isfunction(value))) or "none"
        raise RecipeError(
            f"factory {spec}: expected a function {function_name} in {module.__file__}, found these functions: {names}"
        )

    def call(**arguments: Any) -> Any:
        try:
            inspect.signature(function).bind(**arguments)
        except TypeError as error:
            signature = f"{function_name}{inspect.signature(function)}"
            raise RecipeError(f"factory {spec}: expected arguments of {signature}, found: {error}") from error
        with user_modules(folder), observed(spec, folder, covered=covered):
            try:
                return function(**arguments)
            except PipelineError:
                raise
            except Exception as error:
                raise failure(f"factory {spec}: {_one_line(error, folder)}") from error

    return call


def _import(name: str, spec: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise RecipeError(
                f"factory {spec}: expected a module {name} in {folder} or installed, found none"
            ) from error
        raise RecipeError(f"factory {spec}: importing {name}: {_one_line(error, folder)}") from error
    except Exception as error:
        raise RecipeError(f"factory {spec}: importing {name}: {_one_line(error, folder)}") from error


def _one_line(error: Exception, folder: Path) -> str:
    """What was raised, and where: the innermost line of the user's own files, or of any file."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder.resolve())]
    where = (own or frames)[-1]
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message} ({where.filename}:{where.lineno})"


def _remove_others(folder: Path) -> None:
    """Take other recipe folders' modules out of `sys.modules`."""
    for other, modules in _loaded.items():
        if other != folder:
            for name, (module, _) in modules.items():
                if sys.modules.get(name) is module:
                    del sys.modules[name]


def _put_back(folder: Path) -> None:
    """Put this folder's modules into `sys.modules`; where a source changed, none, so that all are imported anew."""
    mine = _loaded.get(folder, {})
    if any(_changed(module, digest) for module, digest in mine.values()):
        for name, (module, _) in mine.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        del _loaded[folder]
        return
    for name, (module, _) in mine.items():
        sys.modules[name] = module


def _hide_namesakes(folder: Path) -> dict[str, ModuleType]:
    """Take modules from elsewhere that bear the name of one in this folder out of `sys.modules`, for a while."""
    own = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    foreign = {
        top for top in own - set(_OURS) - sys.stdlib_module_names if top in sys.modules and not _lies_in(top, folder)
    }
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] in foreign}


def _remember(folder: Path, new: set[str]) -> None:
    known = _loaded.setdefault(folder, {})
    for name in new:
        module = sys.modules[name]
        top = name.partition(".")[0]
        # The first digest counts: it was taken right after the import.
        if top not in _OURS and _lies_in(top, folder) and (name not in known or known[name][0] is not module):
            known[name] = (module, _source_digest(module))


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


def _changed(module: ModuleType, digest: str) -> bool:
    if not module.__file__:
        return False
    path = Path(module.__file__)
    return not path.is_file() or digest_file(path) != digest
