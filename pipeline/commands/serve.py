"""`pipeline.serve`: it puts an archive behind a server that is ready."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.commands.vouched import open_vouched
from pipeline.engine.places import DEFAULT_MODEL_STORE
from pipeline.engine.stage import Reporter
from pipeline.errors import FileError, UsageError
from pipeline.serving import lifecycle
from pipeline.serving.defaults import DEFAULT_PORT, DEFAULT_SERVER, HOST, ServerName
from pipeline.serving.door import Door
from pipeline.serving.lifecycle import DEFAULT_TIMEOUT_S
from pipeline.serving.server import ServerState


def serve(
    archive: Path | str | None = None,
    *,
    server: ServerName = DEFAULT_SERVER,
    model_store: Path | str | None = None,
    digest: str | None = None,
    public_key: Path | str | None = None,
    require_signature: bool = False,
    port: int | None = DEFAULT_PORT,
    host: str = HOST,
    token: str | None = None,
    no_auth: bool = False,
    allow_hosts: Sequence[str] = (),
    certificate: Path | str | None = None,
    key: Path | str | None = None,
    workers: int = 1,
    detach: bool = True,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    batch_size: int | None = None,
    accept_host: bool = False,
    pass_env: Sequence[str] = (),
    trust: bool = False,
    allowed_operators: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> ServerState:
    """Start a server for an archive, and leave it running once every worker has given the golden answers.

    It goes on after this process has ended; `stop` ends it.

    Args:
        archive: a `.mar` made by `pipeline build`; by default the only one of the model store.
        server: kind of server: TorchServe, or `asgi`, our own, without Java.
        model_store: folder where archives lie; `model_store` by default.
        digest: expected digest of the archive: SHA-256 of its `serving.json` (the digest that builds and servers name)
            or of the file.
        public_key: key to check `<archive>.sig` with, PEM; a signature that lies there has to be checked.
        require_signature: whether to refuse to go without a key.
        port: port for predictions; None for a free one.
        host: address of this machine to listen on. Anything but loopback needs a token, or `no_auth`.
        token: secret that a client must bring as `authorization: Bearer TOKEN`.
        no_auth: whether everybody who reaches the address may ask.
        allow_hosts: names under which the server may be asked without a token, beside addresses and `localhost`.
        certificate: certificate for TLS, PEM; with `key`.
        key: its key, PEM, without a password.
        workers: number of processes that answer.
        detach: whether to return as soon as it is ready; otherwise it returns when the server has ended, and Ctrl-C
            ends it.
        timeout_s: longest wait for the server to be ready, in seconds.
        batch_size: most requests answered together, if that is fewer than the largest golden batch; nobody waits for a
            batch to fill.
        accept_host: whether to serve although golden answers differ on this machine; `status` says by how much.
        pass_env: variables that workers get beyond the harmless ones.
        trust: whether to run the archive's own handler, and its model file unasked; by default this installation's
            handler answers, on the archive's data, with a model file that can do no more than compute.
        allowed_operators: operators that the model file may use beside those that only compute; see
            `pipeline.model_code`.
        reporter: reporter that is told the address; silent by default.

    Returns:
        The record of the server: its address (`url`), model, version, digest and port.

    Raises:
        FileError: there is no archive, a byte of it was altered, digest or signature is not the expected one, or its
            model file could do more than compute.
        UsageError: it is not clear which archive is meant, a signature lies beside it and no key was given, the server
            would be open to everybody, or one of certificate and key is missing.
        ServerError: a port is taken, or the server did not become ready; nothing is left running.
    """
    if (certificate is None) is not (key is None):
        raise UsageError("--certificate, --key: expected both or neither, found one")
    door = Door(host=host, token=token, names=tuple(allow_hosts), certificate=_path(certificate), key=_path(key))
    door.require_closed(no_auth=no_auth)  # before a large archive is read
    store = DEFAULT_MODEL_STORE if model_store is None else Path(model_store)
    vouched = open_vouched(
        _only_archive(store) if archive is None else Path(archive),
        digest=digest,
        public_key=None if public_key is None else Path(public_key),
        require_signature=require_signature,
    )
    return lifecycle.serve(
        vouched.archive,
        server=server,
        port=port,
        door=door,
        no_auth=no_auth,
        workers=workers,
        detach=detach,
        timeout_s=timeout_s,
        batch_size=batch_size,
        accept_host=accept_host,
        pass_env=pass_env,
        trust=trust,
        allowed_operators=allowed_operators,
        reporter=reporter,
    )


def _path(value: Path | str | None) -> Path | None:
    return None if value is None else Path(value).resolve()


def _only_archive(model_store: Path) -> Path:
    """Return the archive in a model store that holds no other.

    Raises:
        FileError: it holds none.
        UsageError: it holds several.
    """
    archives = sorted(model_store.glob("*.mar"))
    if not archives:
        raise FileError(f"{model_store}: expected an archive (.mar), found none; run pipeline build, or name one")
    if len(archives) > 1:
        names = ", ".join(str(path) for path in archives)
        raise UsageError(f"{model_store}: expected one archive to serve, found {len(archives)}: {names}; name one")
    return archives[0]
