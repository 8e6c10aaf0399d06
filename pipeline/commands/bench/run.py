"""Time a run directory or an archive again: every candidate, eager, a copy and a matrix product in the same rounds."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.archive.mar import Archive
from pipeline.candidates.eager import eager_subjects, fastest_eager, subject_name
from pipeline.candidates.spec import FLOAT_NAMES
from pipeline.commands.bench.result import BenchResult, BenchRow, Figure, Role, paired, product_rate, share_of
from pipeline.commands.bench.served import measure_served
from pipeline.commands.bench.targets import Target, TimedFile, open_target
from pipeline.commands.vouched import open_vouched
from pipeline.engine.artifacts import digest_file
from pipeline.engine.manifest import write_atomically
from pipeline.engine.source import library_versions
from pipeline.engine.stage import Reporter, Silent
from pipeline.errors import FileError, UsageError
from pipeline.measure.gain import Ratio, speed_up
from pipeline.measure.host import usable_cores
from pipeline.measure.latency import Measurement, Subject, file_subject, measure_latency
from pipeline.measure.matrix_product import MACS, NAME, matrix_product_subject
from pipeline.measure.rounds import Timing
from pipeline.serving.defaults import DEFAULT_SERVER
from pipeline.serving.table import SERVERS

BENCH_FILE = "bench.json"
BATCH_SIZES = (1, 8, 32, 128)
ROUNDS = 12
BLOCK_MS = 60.0
_COPY = "its copy"
_NOT_SERVED = "left out as asked"
_SERVER = SERVERS[DEFAULT_SERVER]


@dataclass(frozen=True, kw_only=True)
class _Matrix:
    """What was measured.

    Args:
        measured: by number of threads, then subject name.
        batch_sizes: examples per call.
    """

    measured: Mapping[int, Mapping[str, Measurement]]
    batch_sizes: tuple[int, ...]

    def timing(self, threads: int, name: str, batch_size: int) -> Timing:
        return next(one for one in self.measured[threads][name].timings if one.batch_size == batch_size)

    def eager(self, threads: int, batch_size: int) -> tuple[Timing, str] | None:
        """The faster memory format's, and which one it is; None where eager was not timed."""
        found = [one for one in fastest_eager(self.measured[threads]).timings if one.batch_size == batch_size]
        if not found:
            return None
        return self.timing(threads, subject_name(found[0].layout), batch_size), found[0].layout


def bench(
    target: Path | str,
    *,
    threads: Sequence[int] = (),
    batch_sizes: Sequence[int] = BATCH_SIZES,
    rounds: int = ROUNDS,
    block_ms: float = BLOCK_MS,
    served: bool = True,
    timeout_s: float = 120.0,
    digest: str | None = None,
    public_key: Path | str | None = None,
    require_signature: bool = False,
    allowed_operators: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> BenchResult:
    """Time again, on this host.

    Args:
        target: the run directory of a build, or a `.mar` that it made.
        threads: numbers of threads; one, and all cores that this process may use, if none are given.
        batch_sizes: examples per call.
        rounds: interleaved rounds, 6 or more.
        block_ms: length of one timed block, in milliseconds, 5 or more.
        served: whether to time the packed candidate over HTTP too.
        timeout_s: longest wait for the server to be ready, in seconds.
        digest: what an archive must be: SHA-256 of its `serving.json` (the digest that builds and servers name) or of
            the file.
        public_key: to check `<archive>.sig` with, PEM; a signature that lies there has to be checked.
        require_signature: refuse to go without a key.
        allowed_operators: that an archive's model may call beside those that only compute; see `pipeline.model_code`.
        reporter: told what happens.

    Returns:
        What was found. Of a run directory it is also written there, as `bench.json`.

    Raises:
        UsageError: more threads than cores, an option for archives with a run directory, or a signature lies beside an
            archive and no key was given.
        FileError: a file is missing, altered or out of date; it was not loaded.
        StageError: a timing process ended by itself.
        ServerError: the server did not become ready, or refused a request.
    """
    path, say, cores = Path(target), reporter or Silent(), usable_cores()
    checked = _checked(path, digest=digest, public_key=public_key, require_signature=require_signature)
    counts = tuple(sorted(set(threads or (1, cores))))
    sizes = tuple(sorted(set(batch_sizes)))
    if counts[-1] > cores:
        raise UsageError(f"--threads {counts[-1]}: expected at most the {cores} core(s) that may be used here")
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        scratch = Path(name)
        opened = open_target(checked, scratch, allowed_operators=allowed_operators)
        measured = {}
        for count in counts:
            say.log(f"bench: {count} thread(s), batches of {', '.join(map(str, sizes))}, {rounds} rounds")
            subjects = _subjects(opened, scratch / str(count), threads=count, batch_sizes=sizes)
            measured[count] = measure_latency(subjects, rounds=rounds, block_s=block_ms / 1e3, reporter=say)
        matrix = _Matrix(measured=measured, batch_sizes=sizes)
        left_out = {**opened.left_out, **({} if served else {"served": _NOT_SERVED})}
        over_http = None
        if served and opened.archive is not None:
            say.log(f"bench: over HTTP, through {_SERVER.title}")
            over_http = measure_served(opened.archive, rounds=rounds, timeout_s=timeout_s, reporter=say)
        products = {
            count: matrix.timing(count, NAME, matrix.measured[count][NAME].timings[0].batch_size) for count in counts
        }
        result = BenchResult(
            target=str(path),
            host=_host(cores),
            rounds=rounds,
            block_ms=block_ms,
            threads=counts,
            batch_sizes=sizes,
            rows=_rows(opened, matrix, products),
            selected=opened.selected,
            baseline=opened.baseline,
            noise={(count, size): _noise(opened, matrix, count, size) for count in counts for size in sizes},
            gflops={count: product_rate(one, MACS) for count, one in products.items()},
            left_out=left_out,
            served=over_http,
        )
    if path.is_dir():
        _write(path / BENCH_FILE, result)
    return result


def _checked(
    path: Path, *, digest: str | None, public_key: Path | str | None, require_signature: bool
) -> Path | Archive:
    """A run directory as it is, or an archive that was read and held against who vouches for it."""
    if not path.is_dir():
        key = None if public_key is None else Path(public_key)
        return open_vouched(path, digest=digest, public_key=key, require_signature=require_signature).archive
    if digest is not None or public_key is not None or require_signature:
        raise UsageError(
            f"{path}: expected an archive with --digest, --public-key or --require-signature, found a run directory; "
            "leave the option out"
        )
    return path


def _subjects(target: Target, folder: Path, *, threads: int, batch_sizes: tuple[int, ...]) -> list[Subject]:
    """Eager, every candidate, the copy of the baseline, and the matrix product."""
    subjects: list[Subject] = []
    if target.eager is not None:
        source, model = target.eager
        subjects += eager_subjects(source, model, batch_sizes=batch_sizes, threads=threads)
    for one in (*target.files, _copy(target, folder)):
        runtime = replace(one.runtime, threads=threads)
        subjects.append(
            file_subject(
                one.name,
                one.file.parent,
                runtime,
                inputs=target.inputs,
                samples=target.samples,
                batch_sizes=batch_sizes,
            )
        )
    return [*subjects, matrix_product_subject(folder / "product", threads=threads)]


def _copy(target: Target, folder: Path) -> TimedFile:
    """The baseline's file once more, in another place."""
    baseline = _baseline(target)
    file = folder / "copy" / baseline.file.name
    file.parent.mkdir(parents=True)
    shutil.copyfile(baseline.file, file)
    return replace(baseline, name=_copy_name(target), file=file)


def _baseline(target: Target) -> TimedFile:
    return next(one for one in target.files if one.name == target.baseline)


def _copy_name(target: Target) -> str:
    return f"{target.baseline}, {_COPY}"


def _noise(target: Target, matrix: _Matrix, threads: int, batch_size: int) -> Ratio:
    return speed_up(
        matrix.timing(threads, target.baseline, batch_size).rounds_s,
        matrix.timing(threads, _copy_name(target), batch_size).rounds_s,
    )


def _rows(target: Target, matrix: _Matrix, products: Mapping[int, Timing]) -> tuple[BenchRow, ...]:
    baseline = _baseline(target)
    rows = []
    if target.eager is not None:
        weights = target.eager[0].weights
        rows.append(_row("eager", "eager", weights, baseline.macs, target, matrix, products))
    rows += [_row(one.name, "candidate", one.file, one.macs, target, matrix, products, one) for one in target.files]
    copy = _row(_copy_name(target), "copy", baseline.file, baseline.macs, target, matrix, products, baseline)
    return (*rows, copy)


def _row(
    name: str,
    role: Role,
    file: Path,
    macs: int | None,
    target: Target,
    matrix: _Matrix,
    products: Mapping[int, Timing],
    timed: TimedFile | None = None,
) -> BenchRow:
    figures = []
    for threads, product in products.items():
        for size in matrix.batch_sizes:
            eager = matrix.eager(threads, size)
            timing, layout = eager if role == "eager" and eager else (matrix.timing(threads, name, size), None)
            over_eager = paired(eager[0].rounds_s, timing.rounds_s, same=role == "eager") if eager else None
            over_float = None
            if target.baseline in FLOAT_NAMES or role == "copy":
                float_s = matrix.timing(threads, target.baseline, size).rounds_s
                over_float = paired(float_s, timing.rounds_s, same=name == target.baseline)
            figures.append(
                Figure(
                    threads=threads,
                    timing=timing,
                    over_eager=over_eager,
                    over_float=over_float,
                    share=share_of(macs, timing, product=product, product_macs=MACS),
                    layout=layout,
                )
            )
    first = next(iter(products))
    # Of eager: the process of the memory format that is faster at the smallest batch.
    process = matrix.measured[first][name if figures[0].layout is None else subject_name(figures[0].layout)]
    content = file.read_bytes()
    return BenchRow(
        name=name,
        role=role,
        sha256=digest_file(file),
        size=len(content),
        compressed=len(zlib.compress(content, 9)),
        load_ms=process.load_s * 1e3,
        peak_bytes=process.peak_bytes,
        macs=macs,
        one_by_one=timed is not None and timed.runtime.one_by_one,
        figures=tuple(figures),
    )


def _host(cores: int) -> dict[str, Any]:
    """What a figure belongs to; outside the archive, which says nothing of hosts and hours."""
    from pipeline._handlers.model_file import describe_cpu
    from pipeline._handlers.runtimes import RUNTIMES

    # Of the network in eager mode, of each file, and of the server.
    libraries = ("numpy", "torch", *(facts.library for facts in RUNTIMES.values()), *_SERVER.libraries)
    return {
        "cpu": describe_cpu(),
        "cores": cores,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": library_versions(libraries),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _write(path: Path, result: BenchResult) -> None:
    try:
        write_atomically(path, (json.dumps(result.to_json(), indent=1) + "\n").encode())
    except OSError as error:
        raise FileError(f"{path}: expected to write the figures there, found: {error.strerror}") from error
