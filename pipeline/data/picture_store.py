"""Decoded pictures, each content once, in a mapped array that outlives interruptions and changes of labels and splits.

A store is a file `pictures-<how>-<what>.safetensors` with one row for each picture, in the order of the pictures'
digests, and a journal beside it that says which rows are there. `<how>` is a digest of everything that decides how a
picture is decoded, and `<what>` of the pictures. A new store takes over the rows that a former one has.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError

import pipeline.data.decode_pictures
from pipeline._handlers.decode import InputSpec
from pipeline.data.decode_pictures import ARRAY, DecodingTask, Row, checksum, decode_rows
from pipeline.engine.array_files import create_arrays, map_arrays, map_to_fill
from pipeline.engine.artifacts import digest_bytes
from pipeline.engine.confine import confined_command
from pipeline.engine.process import failure, module_environment, start_child
from pipeline.engine.source import collect, library_versions
from pipeline.engine.stage import Reporter
from pipeline.errors import DataError, FileError

_ROOT = Path(__file__).resolve().parents[2]
_DIGITS = 16
_ENDING = ".safetensors"
_JOURNAL = ".journal"
# For fewer pictures, starting processes takes longer than decoding does.
_FEW = 200
_POLL_S = 0.2
# Free space that is left alone: manifests, models and reports need room too.
_SPARE_BYTES = 1 << 26
# The unit of `st_blocks` in POSIX.
_BLOCK_BYTES = 512


@dataclass(frozen=True, kw_only=True)
class Store:
    """Decoded pictures.

    Args:
        pictures: pixels (N, C, H, W), uint8, mapped from a file.
        rows: row of each picture, by its digest.
        unreadable: reasons why pictures cannot be decoded, by their digest; their rows are zeros.
    """

    pictures: NDArray[np.uint8]
    rows: Mapping[str, int]
    unreadable: Mapping[str, str]


def store_pictures(
    contents: Mapping[str, Path], spec: InputSpec, *, cache: Path, workers: int, beside: int, reporter: Reporter
) -> Store:
    """Decode pictures with the function that serves; what an earlier call decoded is not decoded again.

    Args:
        contents: a file of each content, by its SHA-256.
        spec: input whose decoding the pictures get, in the size in which they are stored.
        cache: folder of the store; stores of other pictures, or decoded otherwise, are removed from it.
        workers: number of processes that decode.
        beside: bytes that the caller will write to the same disk.
        reporter: receives what is decoded and how far it is.

    Raises:
        FileError: there is no room on the disk.
        DataError: a process that decodes failed, or a file changed meanwhile.
    """
    digests = sorted(contents)
    how = digest_bytes(json.dumps([spec.to_json(), _code()], sort_keys=True).encode())[:_DIGITS]
    what = digest_bytes("\n".join(digests).encode())[:_DIGITS]
    path = cache / f"pictures-{how}-{what}{_ENDING}"
    for former in cache.glob(f"pictures-*{_ENDING}"):
        if not former.name.startswith(f"pictures-{how}-"):
            remove(former)
    kept = path.stat().st_blocks * _BLOCK_BYTES if path.exists() else 0
    height, width = spec.shape[1:]
    require_room(
        cache,
        len(contents) * math.prod(spec.shape) - kept + beside,
        what=f"{len(contents)} pictures decoded to {height} x {width}, and their splits",
    )
    cache.mkdir(parents=True, exist_ok=True)
    rows = {digest: index for index, digest in enumerate(digests)}
    if not _is_whole(path, (len(digests), *spec.shape)):
        remove(path)
        create_arrays(path, {ARRAY: (np.dtype(np.uint8), (len(digests), *spec.shape))})
        _take_over(path, [file for file in cache.glob(f"pictures-{how}-*{_ENDING}") if file != path], rows)
    done = _intact(path, rows)
    pending = [(rows[digest], digest, str(contents[digest])) for digest in digests if digest not in done]
    if pending:
        again = f", {len(done)} are decoded already" if done else ""
        reporter.log(f"data: {len(pending)} pictures are decoded to {height} x {width}{again}")
        parts = min(workers, -(-len(pending) // _FEW))
        tasks = [
            DecodingTask(store=path, journal=_journal(path, part), spec=spec, files=tuple(pending[part::parts]))
            for part in range(parts)
        ]
        done |= _decode(tasks, cache, total=len(pending), reporter=reporter)
        for digest, row in done.items():
            if row.lost:
                raise DataError(f"{contents[digest]}: expected a file that stays as it is, found {row.reason}")
    for other in cache.glob(f"pictures-*{_ENDING}"):
        if other != path:
            remove(other)
    return Store(
        pictures=map_arrays(path)[ARRAY],
        rows=rows,
        unreadable={digest: row.reason for digest, row in done.items() if row.checksum is None},
    )


def require_room(folder: Path, needed: int, *, what: str) -> None:
    """Check that a disk has room before anything is written to it.

    Args:
        folder: folder to write to; it need not exist.
        needed: bytes to write.
        what: what they are, for the message.

    Raises:
        FileError: there is less room.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed + _SPARE_BYTES:
        raise FileError(
            f"{folder}: expected {(needed + _SPARE_BYTES) / 1e6:,.0f} MB of free space for {what}, found "
            f"{free / 1e6:,.0f} MB; make room, or choose a --run-dir elsewhere"
        )


def remove(path: Path) -> None:
    """Remove a store with its journals, which go last: a store without a journal holds nothing."""
    path.unlink(missing_ok=True)
    for journal in _journals(path):
        journal.unlink(missing_ok=True)


def _code() -> dict[str, str]:
    """Digests of the code and versions of the libraries that decode."""
    sources = collect("pipeline._handlers.decode", _ROOT, within=("pipeline",))
    return {**sources.files, **library_versions(sources.libraries)}


def _journal(path: Path, part: int) -> Path:
    return path.with_name(f"{path.name}{_JOURNAL}{part}")


def _is_whole(path: Path, shape: tuple[int, ...]) -> bool:
    with contextlib.suppress(OSError, SafetensorError, KeyError):
        return map_arrays(path)[ARRAY].shape == shape
    return False


def _journals(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}{_JOURNAL}*"))


def _noted(journals: Mapping[Path, int]) -> Iterator[Row]:
    """The rows that journals name from some places on; lines that a killed process did not finish are left out."""
    for journal, start in journals.items():
        for line in journal.read_bytes()[start:].splitlines():
            with contextlib.suppress(ValueError, TypeError):
                yield Row.from_line(line.decode())


def _intact(path: Path, rows: Mapping[str, int]) -> dict[str, Row]:
    """The rows of a store whose pixels are those that were written, and those that cannot be decoded."""
    pictures = map_arrays(path)[ARRAY]
    return {
        row.digest: row
        for row in _noted(dict.fromkeys(_journals(path), 0))
        if rows.get(row.digest) == row.index
        and not row.lost
        and (row.checksum is None or checksum(pictures[row.index]) == row.checksum)
    }


def _take_over(path: Path, others: Sequence[Path], rows: Mapping[str, int]) -> None:
    """Copy the rows that other stores have; what could not be decoded is tried again."""
    pictures = map_to_fill(path)[ARRAY]
    with _journal(path, 0).open("a", encoding="utf-8") as journal:
        for other in others:
            with contextlib.suppress(OSError, SafetensorError, KeyError, IndexError):  # a damaged store gives nothing
                former = map_arrays(other)[ARRAY]
                for row in _noted(dict.fromkeys(_journals(other), 0)):
                    if row.checksum is not None and row.digest in rows:
                        index = rows[row.digest]
                        pictures[index] = former[row.index]
                        journal.write(f"{replace(row, index=index).to_line()}\n")


def _decode(tasks: Sequence[DecodingTask], cache: Path, *, total: int, reporter: Reporter) -> dict[str, Row]:
    """Decode in this process, or in several others, and return the rows."""
    if len(tasks) == 1:
        decoded = {}
        for row in decode_rows(tasks[0]):
            decoded[row.digest] = row
            reporter.progress("decode", len(decoded), total)
        return decoded
    started = {task.journal: task.journal.stat().st_size if task.journal.exists() else 0 for task in tasks}
    with tempfile.TemporaryDirectory(prefix="decode-", dir=cache) as folder, ExitStack() as stack:
        processes = [_start(task, Path(folder, f"{part}.json"), cache, stack) for part, task in enumerate(tasks)]
        while any(process.poll() is None for process, _ in processes):
            time.sleep(_POLL_S)
            reporter.progress("decode", min(total, sum(_lines_after(*place) for place in started.items())), total)
        for process, diagnostics in processes:
            if process.returncode:
                diagnostics.seek(0)
                raise DataError(f"data.folder: decoding: {failure(process.returncode, diagnostics.read())}")
    return {row.digest: row for row in _noted(started)}


def _start(task: DecodingTask, job: Path, cache: Path, stack: ExitStack) -> tuple[subprocess.Popen[str], IO[str]]:
    job.write_text(json.dumps(task.to_json()), encoding="utf-8")
    diagnostics = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))  # noqa: SIM115 - closed by the stack
    command = confined_command(pipeline.data.decode_pictures.__name__, str(job.resolve()), writable=[cache])
    process = start_child(command, environment=module_environment(threads=1), stderr=diagnostics)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process, diagnostics


def _lines_after(journal: Path, start: int) -> int:
    with contextlib.suppress(OSError), journal.open("rb") as stream:
        stream.seek(start)
        return stream.read().count(b"\n")
    return 0
