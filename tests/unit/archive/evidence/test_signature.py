"""Signatures by OpenSSF model-signing with a local key."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.archive.evidence.signature import check_signature, sign_file, signature_path
from pipeline.errors import FileError
from tests.signing_keys import Keys, make_keys


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Keys]:
    keys = make_keys(tmp_path, "key")
    archive = tmp_path / "a.mar"
    archive.write_bytes(b"content" * 1000)
    assert sign_file(archive, keys.private) == tmp_path / "a.mar.sig"
    return archive, keys


def test_what_was_signed_fits_under_any_name(signed: tuple[Path, Keys]) -> None:
    archive, keys = signed
    check_signature(archive, signature_path(archive), keys.public)
    renamed = archive.rename(archive.with_name("b.mar"))
    check_signature(renamed, signature_path(archive), keys.public)


def test_other_bytes(signed: tuple[Path, Keys]) -> None:
    archive, keys = signed
    content = bytearray(archive.read_bytes())
    content[3500] ^= 1
    archive.write_bytes(content)
    with pytest.raises(
        FileError, match=r"a\.mar\.sig: expected the signature of a\.mar by the key key\.pub, found: Sig"
    ):
        check_signature(archive, signature_path(archive), keys.public)


def test_another_key(signed: tuple[Path, Keys], tmp_path: Path) -> None:
    archive, _ = signed
    other_keys = make_keys(tmp_path, "other")
    with pytest.raises(FileError, match=r"expected the signature of a\.mar by the key other\.pub"):
        check_signature(archive, signature_path(archive), other_keys.public)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"dsseEnvelope": 1}'])
def test_a_signature_that_is_none(signed: tuple[Path, Keys], content: bytes) -> None:
    archive, keys = signed
    signature_path(archive).write_bytes(content)
    with pytest.raises(FileError, match=r"a\.mar\.sig: expected the signature of a\.mar by the key key\.pub, found: "):
        check_signature(archive, signature_path(archive), keys.public)


def test_every_cut_of_a_signature(signed: tuple[Path, Keys]) -> None:
    archive, keys = signed
    signature = signature_path(archive)
    content = signature.read_bytes()
    for length in range(0, len(content), 97):
        signature.write_bytes(content[:length])
        with pytest.raises(FileError, match="expected the signature of"):
            check_signature(archive, signature, keys.public)


def test_keys_that_are_none(signed: tuple[Path, Keys], tmp_path: Path) -> None:
    archive, keys = signed
    wrong = tmp_path / "wrong.pem"
    wrong.write_bytes(b"no key")
    with pytest.raises(
        FileError, match=r"wrong\.pem: expected an elliptic-curve private key in PEM without a password"
    ):
        sign_file(archive, wrong)
    with pytest.raises(FileError, match=r"wrong\.pem: expected an elliptic-curve public key in PEM"):
        check_signature(archive, signature_path(archive), wrong)
    with pytest.raises(FileError, match=r"none\.pem: expected a readable file, found none"):
        sign_file(archive, tmp_path / "none.pem")
    with pytest.raises(FileError, match=r"key\.pem: expected an elliptic-curve public key in PEM"):
        check_signature(archive, signature_path(archive), keys.private)
