"""The door of a server: where it listens, what a client must bring, and what it is encrypted with."""

from __future__ import annotations

import ipaddress
import os
import ssl
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipeline.errors import FileError, UsageError
from pipeline.serving.defaults import HOST

# A client's token, and a server's, where no file names one.
TOKEN_VARIABLE = "PIPELINE_TOKEN"  # noqa: S105 - a name
DOOR_FILE = "door.json"
_SHORTEST_TOKEN = 16


class Door(BaseModel):
    """Who may come in.

    Args:
        host: address that is listened on.
        token: secret that a client must bring; None where none is asked for.
        names: names of the server beside its addresses and `localhost`, for requests without a token.
        certificate: file of the certificate, with those between it and its root, PEM; None for plain HTTP.
        key: file of its key, PEM.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = HOST
    token: str | None = None
    names: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    @property
    def contact(self) -> str:
        """The address under which a client on this machine reaches the server, as it stands in a URL."""
        address = ipaddress.ip_address(self.host)
        if address.is_unspecified:
            address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
        return f"[{address}]" if address.version == 6 else str(address)

    def require_closed(self, *, no_auth: bool) -> None:
        """Stop where everybody in the network would be let in.

        Args:
            no_auth: whether that is meant.

        Raises:
            UsageError: the address is no address, or is not loopback and no token is asked for.
        """
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            raise UsageError(
                f"--host {self.host}: expected an address of this machine, such as 0.0.0.0 for all, found a name"
            ) from None
        if not (address.is_loopback or self.token is not None or no_auth):
            raise UsageError(
                f"--host {self.host}: expected a token that clients must bring, found none; name a file with "
                f"--token-file, set {TOKEN_VARIABLE}, or let everybody in with --no-auth"
            )

    def tls(self) -> ssl.SSLContext | None:
        """Return what connections are encrypted with; None for plain HTTP.

        Raises:
            FileError: a file cannot be read, or is no certificate with its key.
        """
        if self.certificate is None or self.key is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise FileError(
                f"{self.certificate}, {self.key}: expected a certificate and its key (PEM, without a password), "
                f"found: {error}"
            ) from error
        return context

    def trust(self) -> ssl.SSLContext | None:
        """Return what a client on this machine trusts: this very certificate, under whatever name."""
        if self.certificate is None:
            return None
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.check_hostname = False
        return context

    def write(self, folder: Path) -> None:
        """Write a file that only this user can read."""
        with os.fdopen(os.open(folder / DOOR_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write(self.model_dump_json())

    @classmethod
    def read(cls, folder: Path) -> Door:
        """Read the file."""
        return cls.model_validate_json((folder / DOOR_FILE).read_bytes())


def read_token(file: Path | None) -> str | None:
    """Read the token from a file, or else from the environment; None where there is none.

    Raises:
        FileError: the file cannot be read.
        UsageError: the token is short, or has characters that no header has.
    """
    if file is None:
        text = os.environ.get(TOKEN_VARIABLE)
        where = TOKEN_VARIABLE
    else:
        where = str(file)
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise FileError(f"{file}: expected a readable file with a token, found: {error}") from error
    if text is None:
        return None
    token = text.strip()
    if len(token) < _SHORTEST_TOKEN or not (token.isascii() and token.isprintable()) or " " in token:
        raise UsageError(
            f"{where}: expected a token of at least {_SHORTEST_TOKEN} printable characters without spaces, found "
            f"{len(token)} characters"
        )
    return token


def _no_password() -> str:
    raise ValueError("a key with a password")
