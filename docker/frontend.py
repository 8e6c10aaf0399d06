"""Changes TorchServe's Java archive, once, when the image is made: `frontend.py PACKAGES SERVER`.

Into SERVER/classes goes its main class without the two gRPC servers, which answer whoever shares the container's
network, and which no setting switches off. It stands first on the class path. Into SERVER/native goes netty's library,
so that the temp folder may be mounted noexec: without the library there are no Unix sockets, and workers listen on
ports.
"""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

SERVER_CLASS = "org/pytorch/serve/ModelServer.class"
LIBRARY = re.compile(r"META-INF/native/(libnetty_transport_native_epoll_\w+\.so)")
# The whole body of `startGRPCServers` in TorchServe 0.12: twice `aload_0, aload_0, getstatic, invoke, putfield`, then
# `return`.
START_GRPC = re.compile(rb"((?:\x2a\x2a\xb2..[\xb6\xb7]..\xb5..){2})\xb1", re.DOTALL)


def main(packages: Path, server: Path) -> int:
    """Write both; fail the image where TorchServe is another version than expected."""
    with zipfile.ZipFile(packages / "ts" / "frontend" / "model-server.jar") as jar:
        content = jar.read(SERVER_CLASS)
        bodies = list(START_GRPC.finditer(content))
        libraries = {match[1]: jar.read(match[0]) for name in jar.namelist() if (match := LIBRARY.fullmatch(name))}
    if len(bodies) != 1 or not libraries:
        sys.stderr.write("expected TorchServe 0.12, whose gRPC can be kept from starting, found another version\n")
        return 1
    start, end = bodies[0].span(1)
    target = server / "classes" / SERVER_CLASS
    target.parent.mkdir(parents=True)
    target.write_bytes(content[:start] + bytes(end - start) + content[end:])
    (server / "native").mkdir()
    for name, library in libraries.items():
        (server / "native" / name).write_bytes(library)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
