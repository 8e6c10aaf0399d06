"""`pipeline.diff`: it puts two model files side by side, layer by layer."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.engine.manifest import write_atomically
from pipeline.engine.places import no_room, os_error_text
from pipeline.errors import FileError, UsageError
from pipeline.inspection.graph_comparison import GraphComparison

if TYPE_CHECKING:
    from pipeline.graphs.opened import Arrays, GraphSource

_ARCHIVE = ".mar"
_INPUT = "input."


def diff(
    before: Path | str, after: Path | str, *, samples: Path | str | None = None, run: bool = True
) -> GraphComparison:
    """Say how two model files differ, from the input down: layers, widths, number formats, time and outputs.

    A file that could do more than compute is never run, and no archive's own code is.

    Args:
        before: an `.onnx` or `.pt` file, or an archive.
        after: another one.
        samples: file with inputs to run both on, `input.<name>` (N, *shape) each, as `samples.safetensors` of a build;
            by default the golden inputs of an archive, else noise.
        run: whether the files are run, to time layers and to compare outputs.

    Returns:
        The comparison; what could not be measured is said in it.

    Raises:
        FileError: a file is missing, damaged, or of another kind.
        UsageError: samples are given where nothing is to be run.
    """
    from pipeline.graphs.comparison import compare_graphs
    from pipeline.graphs.opened import open_graph

    if samples is not None and not run:
        raise UsageError("--samples: expected it without --no-run, found both; nothing would be run on them")
    paths = (Path(before), Path(after))
    sources = [_source(path, label) for path, label in zip(paths, _labels(*paths), strict=True)]
    examples, words = (
        _examples(sources) if samples is None else (_read_samples(Path(samples)), f"of {Path(samples).name}")
    )
    with tempfile.TemporaryDirectory(prefix="diff-") as scratch:
        first, second = (open_graph(source) for source in sources)
        return compare_graphs(first, second, scratch=Path(scratch), examples=examples, inputs=words, run=run)


def save_page(comparison: GraphComparison, path: Path, *, others: Mapping[str, Path]) -> None:
    """Save a comparison as a page of HTML.

    Args:
        comparison: what was compared.
        path: file that is written.
        others: files that were read, by what a message calls them.

    Raises:
        FileError: it cannot be written.
        UsageError: it is one of the files that were read.
    """
    from pipeline.pages.graph_page import graph_page

    for what, other in others.items():
        if path.exists() and other.exists() and path.samefile(other):
            raise UsageError(f"--html: expected a file of its own, found {what}, {other}")
    try:
        write_atomically(path, graph_page(comparison).encode())
    except OSError as error:
        message = f"--html {path}: expected to write the page there, found: {os_error_text(error)}"
        raise FileError(no_room(error, path.parent) or message) from error


def _labels(before: Path, after: Path) -> tuple[str, str]:
    """Names of two files, with as many of their folders as tell them apart."""
    for parts in range(1, max(len(before.parts), len(after.parts)) + 1):
        one, other = ("/".join(path.parts[-parts:]) for path in (before, after))
        if one != other:
            return one, other
    return f"{before.name}, before", f"{after.name}, after"


def _source(path: Path, label: str) -> GraphSource:
    from pipeline.graphs.opened import GraphSource
    from pipeline.inspection.model_file import MODEL_ENDINGS, kind_by_ending

    if path.suffix == _ARCHIVE:
        return _archived(path, label)
    kind = kind_by_ending(path.name)
    if kind is None:
        endings = ", ".join([*MODEL_ENDINGS, _ARCHIVE])
        raise FileError(f"{path}: expected a file ending in {endings}, found {path.suffix or 'no ending'}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: expected a readable file, found: {os_error_text(error)}") from error
    return GraphSource(label=label, name=path.name, kind=kind, content=content)


def _archived(path: Path, label: str) -> GraphSource:
    """The model file of an archive with its golden inputs; nothing else of it is used."""
    from pipeline._handlers.arrays import load_arrays
    from pipeline.archive.mar import read_archive
    from pipeline.graphs.opened import GraphSource

    archive = read_archive(path)
    serving, runtime = archive.serving, archive.serving.runtime
    golden = load_arrays(archive.members[serving.golden.file], serving.golden.file)
    return GraphSource(
        label=f"{label} ({serving.candidate})",
        name=runtime.file,
        kind=runtime.kind,
        content=archive.members[runtime.file],
        threads=runtime.threads,
        optimization=runtime.optimization,
        examples={spec.name: golden[f"{_INPUT}{spec.name}"] for spec in serving.inputs},  # in the model's order
    )


def _inputs_of(arrays: Arrays) -> Arrays:
    return {name.removeprefix(_INPUT): array for name, array in arrays.items() if name.startswith(_INPUT)}


def _examples(sources: list[GraphSource]) -> tuple[Arrays | None, str]:
    """Inputs that came with one of the files, and words for them."""
    source = next((source for source in sources if source.examples), None)
    return (None, "") if source is None else (source.examples, f"golden examples of {source.label}")


def _read_samples(path: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = _inputs_of(load_file(path))
    except (OSError, SafetensorError) as error:
        reason = os_error_text(error) if isinstance(error, OSError) else str(error)
        raise FileError(f"{path}: expected a safetensors file of inputs, found: {reason}") from error
    if not arrays or any(not array.ndim or not len(array) for array in arrays.values()):
        raise FileError(f"{path}: expected arrays input.<name> (N, ...) with N of 1 or more, found none")
    return arrays
