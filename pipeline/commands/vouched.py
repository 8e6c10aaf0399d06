"""Opens an archive whose bytes are in order, and holds it against who vouches for it: a digest, or a signature."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.archive.evidence.signature import check_signature, signature_path
from pipeline.archive.mar import Archive, read_archive
from pipeline.errors import FileError, UsageError

_HEX_DIGITS = 64


@dataclass(frozen=True, kw_only=True)
class Vouched:
    """An archive, and who vouches for it.

    Args:
        archive: archive that was read and checked; what is done with it is done with these bytes.
        pinned: whether a digest was given, and is its own.
        signature: `valid` where a public key was given and fits; `none` where neither key nor signature is there.
    """

    archive: Archive
    pinned: bool
    signature: Literal["valid", "none"]


def open_vouched(
    path: Path, *, digest: str | None = None, public_key: Path | None = None, require_signature: bool = False
) -> Vouched:
    """Read an archive, check every byte of it, then digest and signature; nothing in it is run or loaded.

    Args:
        path: a `.mar` made by `pipeline build`.
        digest: expected digest: SHA-256 of its `serving.json` (the digest that builds and servers name) or of the file.
        public_key: key to check `<archive>.sig` with, which must be there then.
        require_signature: whether nothing but a signature will do: then a key has to be given.

    Raises:
        FileError: a byte was altered, or digest or signature is not the expected one.
        UsageError: what was asked for cannot be, or a signature lies beside it and no key was given.
    """
    if digest is not None and (len(digest) != _HEX_DIGITS or set(digest.lower()) - set("0123456789abcdef")):
        raise UsageError(f"--digest: expected {_HEX_DIGITS} hexadecimal digits (a SHA-256), found {digest!r}")
    signature = signature_path(path)
    # A link that leads nowhere counts as a signature that cannot be read, and not as a missing one.
    signed = signature.exists() or signature.is_symlink()
    if public_key is None and require_signature:
        raise UsageError("--require-signature: expected the signer's public key too; give --public-key FILE")
    if public_key is None and signed:
        raise UsageError(
            f"{signature}: expected the signer's public key to check this signature with; give --public-key FILE, "
            "or move the signature away if nobody vouches for it"
        )
    if public_key is not None and not signed:
        raise FileError(
            f"{signature}: expected a signature to check with {public_key}, found none, as where somebody took it "
            "away; sign the archive with `pipeline sign`, or give no key"
        )
    archive = read_archive(path)
    if digest is not None and digest.lower() not in (archive.digest, archive.sha256):
        raise FileError(
            f"{path}: expected digest {digest.lower()}, found {archive.digest} (file: {archive.sha256}); "
            "it is another archive"
        )
    if public_key is not None:
        _check(archive, signature, public_key)
        return Vouched(archive=archive, pinned=digest is not None, signature="valid")
    return Vouched(archive=archive, pinned=digest is not None, signature="none")


def _check(archive: Archive, signature: Path, public_key: Path) -> None:
    """Check the signature of the bytes that were read, whatever happened to the file since."""
    with tempfile.TemporaryDirectory(prefix="signature-") as folder:
        checked = Path(folder, archive.path.name)
        checked.write_bytes(archive.to_bytes())
        check_signature(checked, signature, public_key)
