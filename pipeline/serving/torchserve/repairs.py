"""Repairs what no setting of TorchServe changes: copies of two classes with other bytes, first on the class path.

The classes were read in TorchServe 0.12, the last version. Both repairs can go when TorchServe goes.
"""

from __future__ import annotations

import importlib.util
import re
import zipfile
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from pipeline.errors import ServerError

_FORM_CLASS = "io/netty/handler/codec/http/HttpHeaderValues.class"
_FORM_TYPE = b"application/x-www-form-urlencoded"
_SERVER_CLASS = "org/pytorch/serve/ModelServer.class"
# The whole body of `startGRPCServers`: twice `aload_0, aload_0, getstatic, invoke, putfield` (this.server =
# this.startGRPCServer(connector)), then `return`. The bytes between are numbers of constants.
_START_GRPC = re.compile(rb"((?:\x2a\x2a\xb2..[\xb6\xb7]..\xb5..){2})\xb1", re.DOTALL)


def torchserve_package() -> Path:
    """Return the folder of TorchServe's Python package, in which its Java archive lies.

    Raises:
        ServerError: there is none.
    """
    spec = importlib.util.find_spec("ts")
    if spec is None or spec.origin is None:
        raise ServerError("TorchServe: expected the Python package torchserve, found none; install it")
    return Path(spec.origin).parent


def write_repaired_classes(classes: Path) -> None:
    """Write the repaired classes.

    Args:
        classes: an existing folder, which stands before TorchServe's own archive on the class path.

    Raises:
        ServerError: there is no TorchServe, or one whose gRPC cannot be kept from starting.
    """
    with zipfile.ZipFile(torchserve_package() / "frontend" / "model-server.jar") as jar:
        _write(classes, _SERVER_CLASS, without_grpc(jar.read(_SERVER_CLASS)))
        with suppress(KeyError):
            content = jar.read(_FORM_CLASS)
            if content.count(_FORM_TYPE) == 1:
                _write(classes, _FORM_CLASS, _accept_bare_bodies(content))


def without_grpc(server_class: bytes) -> bytes:
    """Return TorchServe's main class without its two gRPC servers.

    They answer every user of this machine, management included, and no setting keeps them from starting. TorchServe
    stops a server only where it started one.

    Args:
        server_class: content of the class file.

    Raises:
        ServerError: the class is not the one that is known.
    """
    bodies = list(_START_GRPC.finditer(server_class))
    if len(bodies) != 1:
        raise ServerError(
            "TorchServe: expected version 0.12, whose gRPC ports can be kept closed, found "
            f"{metadata.version('torchserve')}, whose cannot; install what requirements.lock pins"
        )
    start, end = bodies[0].span(1)
    nop = b"\0"  # unlike code behind an early `return`, it needs no new stack map
    return server_class[:start] + nop * (end - start) + server_class[end:]


def _accept_bare_bodies(header_values: bytes) -> bytes:
    """Let a body that curl declares to be a form reach the handler as it was sent.

    `curl --data-binary @photo.png` says `application/x-www-form-urlencoded` by itself. TorchServe parses that as a
    form, as text: the bytes are lost before the handler sees them (InferenceRequestHandler, and netty 4.1.53's
    HttpPostStandardRequestDecoder). It compares with one constant of one class; with another constant there, the
    comparison fails. Multipart forms are untouched. Without this the handler answers such a request with a 415 that
    says what to do.
    """
    return header_values.replace(_FORM_TYPE, _FORM_TYPE[:-1] + b"?")


def _write(classes: Path, name: str, content: bytes) -> None:
    target = classes / name
    target.parent.mkdir(parents=True)
    target.write_bytes(content)
