"""Collects the source files that a module is made of, so that an edit in any of them is noticed."""

from __future__ import annotations

import ast
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from pipeline.engine.artifacts import digest_bytes

# The nodes that hold statements, and statements themselves.
_HOLDERS = (ast.stmt, ast.excepthandler, ast.match_case)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The files and libraries that a module imports, followed through one folder.

    Args:
        files: SHA-256 of each source file, by its path relative to the folder.
        libraries: top-level names imported from elsewhere, without the standard library.
    """

    files: dict[str, str]
    libraries: frozenset[str]


def factory_digests(factory: str, folder: Path) -> dict[str, str]:
    """Digests of what a user's factory is made of.

    Args:
        factory: `module:function`.
        folder: folder of the recipe; the module is looked up there first, then among installed packages.

    Returns:
        SHA-256 of its source files and of those it imports from the same place, and the versions of the libraries
        they use. Empty for a module that is found nowhere: the error of its import says so better.
    """
    sources = factory_sources(factory, folder)
    return {**sources.files, **library_versions(sources.libraries)}


def factory_sources(factory: str, folder: Path) -> Sources:
    """Source files and libraries of a user's factory; arguments as for `factory_digests`."""
    module = factory.partition(":")[0]
    top = module.partition(".")[0]
    sources = collect(module, folder)
    if not sources.files and (root := _installed_root(top)) is not None:
        sources = collect(module, root, within=(top,))
    own = {"pipeline"}  # a user's module imports our types; our own source is digested elsewhere
    return Sources(files=sources.files, libraries=sources.libraries - own)


def _installed_root(top: str) -> Path | None:
    """The folder on `sys.path` that holds a top-level module or package."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    origin = Path(spec.origin)
    return origin.parent.parent if origin.name == "__init__.py" else origin.parent


def collect(
    module: str,
    folder: Path,
    *,
    within: Collection[str] | None = None,
    leave_out: Collection[str] = (),
    beside: Collection[str] = (),
) -> Sources:
    """Follow a module's imports, those inside functions included.

    Args:
        module: dotted name.
        folder: folder in which the module is looked up; imports found elsewhere are libraries.
        within: only these top-level names count as lying in the folder; all by default.
        leave_out: packages whose own `__init__` does not count, nor does what it imports.
        beside: packages of which nothing counts: what is imported from them does not change what the module makes.
    """
    files: dict[str, str] = {}
    libraries: set[str] = set()
    waiting = [module]
    seen: set[str] = set()
    left_out = {folder.joinpath(*name.split("."), "__init__.py") for name in leave_out}
    while waiting:
        name = waiting.pop()
        if name in seen or any(name == package or name.startswith(f"{package}.") for package in beside):
            continue
        seen.add(name)
        top = name.partition(".")[0]
        paths = list(_locate(name, folder)) if within is None or top in within else []
        if not paths:
            if top not in sys.stdlib_module_names and not _locate_any(top, folder, within):
                libraries.add(top)
            continue
        for path in paths:
            if path in left_out:
                continue
            content = path.read_bytes()
            files[path.relative_to(folder).as_posix()] = digest_bytes(content)
            waiting.extend(_imports(content, ".".join(path.parent.relative_to(folder).parts)))
    return Sources(files=dict(sorted(files.items())), libraries=frozenset(libraries))


def library_versions(names: Collection[str]) -> dict[str, str]:
    """Installed version of the distributions that provide these top-level modules, by distribution."""
    owners = _owners()
    distributions = {owner for name in names for owner in owners.get(name, ())}
    return {name: metadata.version(name) for name in sorted(distributions)}


@lru_cache(maxsize=1)
def _owners() -> dict[str, list[str]]:
    return dict(metadata.packages_distributions())


def _locate(name: str, folder: Path) -> Iterator[Path]:
    """The files that run when `name` is imported from `folder`: its packages' `__init__` and its own file."""
    parts = name.split(".")
    base = folder.joinpath(*parts)
    own = [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]
    if not own:
        return
    yield from own[:1]
    for depth in range(1, len(parts)):
        init = folder.joinpath(*parts[:depth], "__init__.py")
        if init.is_file():
            yield init


def _locate_any(top: str, folder: Path, within: Collection[str] | None) -> bool:
    return (within is None or top in within) and any(_locate(top, folder))


@lru_cache(maxsize=1024)
def _imports(content: bytes, package: str) -> tuple[str, ...]:
    """Dotted names that a source file imports; `from a import b` gives both `a` and `a.b`."""
    try:
        tree = ast.parse(content)
    except SyntaxError:
        return ()
    names: list[str] = []
    for node in _runtime_statements(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name and name != "__future__")


def _runtime_statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Every statement except those that only a type checker sees, in order; expressions hold no statements."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            inner: list[ast.AST] = [*node.orelse]
        else:
            inner = [child for child in ast.iter_child_nodes(node) if isinstance(child, _HOLDERS)]
        waiting.extend(reversed(inner))
