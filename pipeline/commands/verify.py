"""`pipeline.verify`: it holds a run directory, or an archive, against what it must be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.engine.stage import Reporter
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.commands.verify_archive import ArchiveVerification
    from pipeline.commands.verify_run import RunVerification


def verify(
    target: Path | str,
    *,
    rank: bool = False,
    strict: bool = True,
    digest: str | None = None,
    public_key: Path | str | None = None,
    require_signature: bool = False,
    data: Path | str | None = None,
    url: str | None = None,
    float_model: Path | str | None = None,
    allowed_operators: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> RunVerification | ArchiveVerification:
    """Hold a run's candidates against their sources again, layer by layer; or check an archive offline.

    `rank` and `strict` are for a run directory, all other options for an archive.

    Args:
        target: the run directory of a build, or the `.mar` that it made.
        rank: whether to rank the layers of each candidate that is over its budget too: up to two minutes for each.
        strict: whether to raise where a candidate of the run fails; otherwise the result says so, and its `require`
            raises. What fails of an archive is always raised.
        digest: expected digest of the archive: SHA-256 of its `serving.json` (the digest that builds and servers name)
            or of the file.
        public_key: key to check `<archive>.sig` with, PEM.
        require_signature: whether a missing signature is a fault.
        data: examples to judge the archive on: a split as a build writes it (`data/test.safetensors`), or a
            folder of them.
        url: address of a running server whose answers are to be compared with the archive's own.
        float_model: the build's file of the float network, for use of `url` together with `data`, and for data without
            labels, which are judged by agreement with it.
        allowed_operators: operators that the archive's model may call beside those that only compute; see
            `pipeline.model_code`.
        reporter: reporter that is told what happens; silent by default.

    Returns:
        The proofs of a run directory, or of an archive.

    Raises:
        UsageError: an option is for the other kind of target, or what was asked for cannot be.
        FileError: a file is missing, altered or out of date, or is not the one that was vouched for.
        ProofError: a candidate, or the archive, does not answer as it must.
        ServerError: the server does not answer.
        DataError: there is no such data, or it does not fit the model.
    """
    path = Path(target)
    if path.is_dir():
        if (
            require_signature
            or allowed_operators
            or any(option is not None for option in (digest, public_key, data, url, float_model))
        ):
            raise UsageError(
                f"{path}: expected an archive with --digest, --public-key, --require-signature, --data, --url, "
                "--float-model or --allow-operator, found a run directory; leave the option out"
            )
        from pipeline.commands.verify_run import verify_run

        verification = verify_run(path, rank=rank, reporter=reporter)
        if strict:
            verification.require()
        return verification
    if rank:
        raise UsageError(f"{path}: expected a run directory with --rank, found an archive; leave the option out")
    from pipeline.commands.verify_archive import verify_archive

    return verify_archive(
        path,
        digest=digest,
        public_key=_path(public_key),
        require_signature=require_signature,
        data=_path(data),
        url=url,
        float_model=_path(float_model),
        allowed_operators=allowed_operators,
        reporter=reporter,
    )


def _path(place: Path | str | None) -> Path | None:
    return None if place is None else Path(place)
