"""`pipeline.predict_archive`: it answers a folder of pictures, a table or arrays with an archive, without a server."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.output_file import require_own_file
from pipeline.commands.vouched import open_vouched
from pipeline.engine.stage import Reporter, Silent
from pipeline.errors import DataError, UsageError
from pipeline.model_code.require import require_safe_model

if TYPE_CHECKING:
    from pipeline.archive.mar import Archive
    from pipeline.scoring.forms import Form
    from pipeline.scoring.sources import Source

_FORMS: dict[str, Form] = {".csv": "csv", ".jsonl": "jsonl"}


@dataclass(frozen=True, kw_only=True)
class ArchiveAnswers:
    """What was answered.

    Args:
        archive: path of the archive.
        model: name and version of the model in it.
        digest: SHA-256 of its `serving.json`: the archive's identity, also in every answer of a server.
        data: what was answered.
        out: file of answers.
        columns: columns of that file, where it is a table; empty otherwise.
        examples: number of examples, each with a row.
        failed: number of those that have no answer, but the reason in the column `error`.
        reasons: name (file, or number of the row) and reason of the first ones without an answer.
        notes: lines on how the data were read, and what was left out.
        resumed_at: number of examples that an earlier, interrupted run had answered.
        seconds: time that this run took, from the first example that it answered to the last.
    """

    archive: Path
    model: str
    digest: str
    data: Path
    out: Path
    columns: tuple[str, ...]
    examples: int
    failed: int
    reasons: tuple[tuple[str | int, str], ...]
    notes: tuple[str, ...]
    resumed_at: int
    seconds: float

    @property
    def per_second(self) -> float:
        """The number of examples that this run answered in a second."""
        return (self.examples - self.resumed_at) / self.seconds if self.seconds > 0 else 0.0

    def require(self) -> None:
        """Raise an error where an example has no answer.

        Raises:
            DataError: the file is whole, but some of its rows have an error.
        """
        if self.failed:
            name, reason = self.reasons[0]
            where = name if isinstance(name, str) else f"row {name}"
            raise DataError(
                f"{self.out}: expected an answer to each of {self.examples:,} examples, found none to "
                f"{self.failed:,} (see the column error), first {where}: {reason}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            **asdict(self),
            "archive": str(self.archive),
            "data": str(self.data),
            "out": str(self.out),
            "per_second": self.per_second,
        }


def predict_archive(
    archive: Path | str,
    *,
    data: Path | str,
    out: Path | str,
    workers: int = 1,
    batch_size: int | None = None,
    digest: str | None = None,
    public_key: Path | str | None = None,
    require_signature: bool = False,
    allowed_operators: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> ArchiveAnswers:
    """Answer all of a folder, a table or arrays with an archive, and write the answers to a file, in order.

    The archive is checked as `serve` checks it; nothing of its own code is run. An example that has no answer is a row
    with the reason in the column `error`. A run that was interrupted goes on where it was when it is started again with
    the same archive and data.

    Args:
        archive: a `.mar` made by `pipeline build`.
        data: a folder of pictures, with all folders in it; a table (`.csv`, `.tsv`, `.parquet`); or arrays (`.npy`,
            `.npz`, `.safetensors`).
        out: file to write, `.csv` or `.jsonl`; it is there only when it is whole.
        workers: number of processes that answer.
        batch_size: largest number of examples in one call of the model, at most the largest proven one, which is the
            default. With 1, each answer is that of a server to a request alone.
        digest: expected digest of the archive: SHA-256 of its `serving.json` (the digest that builds and servers name)
            or of the file.
        public_key: key to check `<archive>.sig` with, PEM; a signature that lies there has to be checked.
        require_signature: whether to refuse to go without a key.
        allowed_operators: operators that the model file may use beside those that only compute; see
            `pipeline.model_code`.
        reporter: reporter that is told what happens; silent by default.

    Returns:
        What was answered. Its `require` raises where an example has no answer.

    Raises:
        UsageError: the model takes no such data, or the file of answers can be no such file.
        FileError: archive or data are missing, altered or not readable, or nothing can be written.
        StageError: another process writes the same file.
        ProofError: golden answers differ on this machine, or a process that answers ended.
        DataError: there is nothing to answer, or it does not fit the model.
    """
    path, data, out, reporter = Path(archive), Path(data), Path(out), reporter or Silent()
    form = _form(out)
    require_own_file(out, {"the archive": path, "the data": data})
    if workers < 1:
        raise UsageError(f"--workers: expected 1 or more, found {workers}")
    vouched = open_vouched(
        path,
        digest=digest,
        public_key=None if public_key is None else Path(public_key),
        require_signature=require_signature,
    )
    packed = vouched.archive
    require_safe_model(path, packed.serving.runtime, packed.members, allowed_operators=allowed_operators)
    return _score(packed, data, out, form, workers=workers, batch_size=batch_size, reporter=reporter)


def _score(
    archive: Archive, data: Path, out: Path, form: Form, *, workers: int, batch_size: int | None, reporter: Reporter
) -> ArchiveAnswers:
    from pipeline._handlers.task_answers import ANSWERS
    from pipeline.scoring.batches import batch_size_of, request_size
    from pipeline.scoring.forms import csv_lines
    from pipeline.scoring.opening import open_source
    from pipeline.scoring.pool import Pool
    from pipeline.scoring.result_file import ResultFile

    serving = archive.serving
    size = batch_size_of(serving, batch_size)
    source = open_source(data, serving.inputs)
    for note in source.notes:
        reporter.log(note)
    columns = (source.key, *ANSWERS[serving.task].columns(serving), "error") if form == "csv" else ()
    head = csv_lines([columns]) if columns else b""
    identity = _identity(archive, source, form=form, columns=columns, size=size)
    with (
        ResultFile(out, identity=identity, head=head, reporter=reporter) as file,
        Pool(archive, source, form=form, workers=workers, batch_size=size) as pool,
    ):
        reporter.log(f"{archive.path.name}: pictures and golden answers agree")
        started = time.monotonic()
        for answers in pool.answers(source.requests(size=request_size(size), start=file.examples)):
            file.add(answers.content, examples=answers.examples, reasons=answers.reasons)
            reporter.progress(
                "answers", answers.request.done, source.total, f"{source.unit}, {file.examples:,} answers"
            )
        seconds = time.monotonic() - started
        if not file.examples:
            raise DataError(f"{data}: expected at least one example, found none")
        file.finish()
    return ArchiveAnswers(
        archive=archive.path,
        model=f"{serving.name} {serving.version}",
        digest=archive.digest,
        data=data,
        out=out,
        columns=columns,
        examples=file.examples,
        failed=file.failed,
        reasons=file.reasons,
        notes=tuple(source.notes),
        resumed_at=file.resumed_at,
        seconds=seconds,
    )


def _form(out: Path) -> Form:
    form = _FORMS.get(out.suffix.lower())
    if form is None:
        raise UsageError(
            f"--out: expected a name ending in {' or '.join(_FORMS)}, found {out.name!r}"
            + ("; pandas turns a .csv into Parquet" if out.suffix.lower() == ".parquet" else "")
        )
    return form


def _identity(archive: Archive, source: Source, *, form: Form, columns: Sequence[str], size: int) -> Mapping[str, Any]:
    """Say what answers belong to: those of another archive, other data or another handler are others."""
    from pipeline.archive.members import handler_sources

    handler = hashlib.sha256()
    for name, content in handler_sources().items():
        handler.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return {
        "the archive": archive.digest,
        "the data": json.loads(json.dumps(source.identity)),
        "this installation": handler.hexdigest(),
        "the form of the answers": [form, *columns],
        "the batch size": size,
    }
