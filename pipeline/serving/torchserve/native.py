"""Netty's native library, without which TorchServe has no Unix sockets: where Java finds it installed."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

# Java looks here after LD_LIBRARY_PATH, and only then writes the copy in TorchServe's archive into the folder for
# temporary files, to load it from there.
_FOLDERS = tuple(map(Path, ("/usr/java/packages/lib", "/usr/lib64", "/lib64", "/lib", "/usr/lib")))
_PROCESSORS = {"x86_64": "x86_64", "aarch64": "aarch_64"}


def native_library_installed(folders: Iterable[Path] = _FOLDERS) -> bool:
    """Whether Java finds the library although nothing may be run from the folder for temporary files.

    Args:
        folders: where Java looks.
    """
    processor = _PROCESSORS.get(platform.machine(), platform.machine())
    return any((folder / f"libnetty_transport_native_epoll_{processor}.so").is_file() for folder in folders)
