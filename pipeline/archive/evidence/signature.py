"""Signs with OpenSSF model-signing and a local key: a Sigstore bundle beside the archive, no service and no network.

The key is an elliptic-curve key in PEM (P-256, P-384 or P-521), as `openssl ecparam -name prime256v1 -genkey` makes it.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.engine.manifest import write_atomically
from pipeline.errors import FileError, UsageError

_MISSING = "expected the package model-signing, found none; pip install 'proven-pipeline[sign]'"
# Largest signature that is read. A bundle of one file is 2 kB.
_MAX_BYTES = 1 << 20


def signature_path(archive: Path) -> Path:
    """Return the path of an archive's signature: `<archive>.sig` beside it."""
    return archive.with_name(f"{archive.name}.sig")


def sign_file(path: Path, private_key: Path) -> Path:
    """Sign a file and write the signature beside it, replacing an earlier one.

    Args:
        path: path of the file to sign; its content is not looked at.
        private_key: elliptic-curve private key, PEM without a password.

    Returns:
        The path of the signature.

    Raises:
        FileError: the file, the key or the folder cannot be used.
        UsageError: model-signing is not installed.
    """
    import tempfile

    _require_library()
    from model_signing import signing

    _require_file(path)
    _require_file(private_key)
    target = signature_path(path)
    with tempfile.TemporaryDirectory(prefix="sign-") as folder:
        bundle = Path(folder, target.name)
        try:
            config = signing.Config()  # type: ignore[no-untyped-call]
            config.use_elliptic_key_signer(private_key=private_key)
            config.sign(path, bundle)
        except Exception as error:
            raise FileError(
                f"{private_key}: expected an elliptic-curve private key in PEM without a password, "
                f"found: {_key_in_words(error)}"
            ) from error
        content = bundle.read_bytes()
    try:
        write_atomically(target, content)
    except OSError as error:
        raise FileError(f"{target}: expected to write the signature there, found: {error.strerror}") from error
    return target


def check_signature(path: Path, signature: Path, public_key: Path) -> None:
    """Check that a file is what the key's owner signed.

    Args:
        path: path of the file.
        signature: signature made by `sign_file` or by model-signing itself, of that one file under any name.
        public_key: elliptic-curve public key, PEM.

    Raises:
        FileError: a file is missing, the key is none, the signature is damaged, of another key or of other bytes.
        UsageError: model-signing is not installed.
    """
    _require_library()
    from model_signing import verifying

    for needed in (path, signature, public_key):
        _require_file(needed)
    if signature.stat().st_size > _MAX_BYTES:
        raise FileError(f"{signature}: expected a signature of at most {_MAX_BYTES} bytes, found a larger file")
    try:
        config = verifying.Config()  # type: ignore[no-untyped-call]
        config.use_elliptic_key_verifier(public_key=public_key)
    except Exception as error:
        raise FileError(
            f"{public_key}: expected an elliptic-curve public key in PEM, found: {_key_in_words(error)}"
        ) from error
    try:
        config.verify(path, signature)
    except Exception as error:
        raise FileError(
            f"{signature}: expected the signature of {path.name} by the key {public_key.name}, "
            f"found: {_one_line(error)}; the archive, the signature or the key is another one"
        ) from error


def _require_library() -> None:
    try:
        import model_signing  # noqa: F401
    except ImportError as error:
        raise UsageError(f"signatures: {_MISSING}") from error


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileError(f"{path}: expected a readable file, found none")


def _key_in_words(error: Exception) -> str:
    """Say what a key is instead; the library takes any kind for one on a curve."""
    return "a key of another kind, such as RSA" if isinstance(error, AttributeError) else _one_line(error)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
