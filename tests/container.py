"""A container without a container engine: processes in namespaces of their own, bound as the compose file says.

Its network is its own and has nothing but loopback. A call that runs `inside` it reaches the server there.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import psutil
import yaml

from tests.image import CHECKOUT, Image

_CLONE_NEWNET = 0x4000_0000
_VARIABLE = re.compile(r"\$\{(\w+):([-?])([^}]*)\}")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_TMPFS = "nosuid,nodev,noexec"  # as Docker mounts it
_BYTES = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}

_T = TypeVar("_T")


@dataclass(frozen=True)
class Service:
    """The service of the compose file.

    Args:
        target: stage that is built.
        command: arguments of the server.
        volumes: folders of the host, by their places in the container; nothing is written there.
        secrets: files of the host, by their names.
        tmpfs: options of temporary folders, by their places.
        memory: most memory, in bytes.
        grace_s: time between SIGTERM and SIGKILL, in seconds.
    """

    target: str
    command: tuple[str, ...]
    volumes: Mapping[str, str]
    secrets: Mapping[str, str]
    tmpfs: Mapping[str, str]
    memory: int
    grace_s: float


def read_service(variables: Mapping[str, str]) -> Service:
    """Read the compose file with values for its variables; it promises what every container here is held to."""

    def value(match: re.Match[str]) -> str:
        name, kind, default = match.groups()
        if name not in variables and kind == "?":
            raise KeyError(f"{name}: {default}")
        return variables.get(name, default)

    text = (CHECKOUT / "docker" / "compose.yaml").read_text(encoding="utf-8")
    document: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(value, text))
    [service] = document["services"].values()
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    volumes = dict(reversed(volume.removesuffix(":ro").split(":")) for volume in service["volumes"])
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    return Service(
        target=service["build"]["target"],
        command=tuple(service["command"]),
        volumes=volumes,
        secrets={name: document["secrets"][name]["file"] for name in service["secrets"]},
        tmpfs=dict(entry.split(":", 1) for entry in service["tmpfs"]),
        memory=size(service["mem_limit"]),
        grace_s=float(service["stop_grace_period"].removesuffix("s")),
    )


def size(text: str) -> int:
    """Return a size such as 512m in bytes."""
    return int(text[:-1]) * _BYTES[text[-1]]


class Container:
    """A running container; a `with` block ends it.

    Args:
        image: what runs.
        service: what binds it.
        arguments: arguments in place of the service's.
    """

    def __init__(self, image: Image, service: Service, arguments: Sequence[str] | None = None) -> None:
        self._image = image
        command = [*image.entrypoint, *(service.command if arguments is None else arguments)]
        self._process = subprocess.Popen(
            ["unshare", *_SPACES, "--fork", "sh", "-euc", _script(image, service), "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        assert self._process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what is left of it."""
        if self.code is None:
            self.first.kill()
        self._process.wait()
        self._reader.join()

    @property
    def first(self) -> psutil.Process:
        """Its first process, as this machine sees it."""
        [process] = psutil.Process(self._process.pid).children()
        return process

    @property
    def processes(self) -> list[psutil.Process]:
        """All of its processes."""
        return [self.first, *self.first.children(recursive=True)]

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run another command in it, as the same user."""
        spaces = [*_SPACES, "--root", "--wd"]
        return subprocess.run(
            ["nsenter", f"--target={self.first.pid}", *spaces, *_privileges(self._image), *command],
            env=dict(self._image.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def health(self) -> subprocess.CompletedProcess[str]:
        """Run its health check."""
        return self.exec(*self._image.health)

    def threads(self, number: int) -> ThreadPoolExecutor:
        """Return threads of this process that are in the container's network."""
        return ThreadPoolExecutor(number, initializer=self._enter)

    def inside(self, call: Callable[[], _T]) -> _T:
        """Call something in the container's network."""
        with self.threads(1) as threads:
            return threads.submit(call).result()

    def stop(self, grace_s: float) -> int:
        """Ask it to end; return its exit code.

        Raises:
            subprocess.TimeoutExpired: it took longer than an engine waits.
        """
        self.first.terminate()
        return self._process.wait(grace_s)

    def _enter(self) -> None:
        with Path(f"/proc/{self.first.pid}/ns/net").open("rb") as space:
            if ctypes.CDLL(None, use_errno=True).setns(space.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

    def _read(self, stream: IO[str]) -> None:
        with stream:
            self.lines.extend(line.rstrip() for line in stream)


_SPACES = ("--mount", "--pid", "--net", "--ipc", "--uts")


def _privileges(image: Image) -> list[str]:
    user, group = image.user.split(":")
    no_capabilities = ["--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--no-new-privs"]
    return ["/usr/bin/setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *no_capabilities]


def _script(image: Image, service: Service) -> str:
    """Mount what an engine mounts, and become the first process."""
    root = image.root
    lines = [f"mount --bind {root} {root}", f"cd {root}", "ip link set lo up"]
    for place, folder in service.volumes.items():
        lines.append(f"mount --bind -o ro {folder} .{place}")
    lines += [
        "mount -t proc proc proc",
        "mount -t tmpfs -o mode=755 none dev",
        *(f"touch dev/{name}; mount --bind /dev/{name} dev/{name}" for name in _DEVICES),
        "ln -s /proc/self/fd dev/fd; mkdir dev/shm",
        f"mount -t tmpfs -o mode=1777,{_TMPFS},size=64m none dev/shm",
        "mount -t tmpfs -o mode=755 none run; mkdir run/secrets",
        *(
            f"touch run/secrets/{name}; mount --bind -o ro {file} run/secrets/{name}"
            for name, file in service.secrets.items()
        ),
        "mount -o remount,bind,ro none run",
        *(f"mount -t tmpfs -o {_TMPFS},{options} none .{place}" for place, options in service.tmpfs.items()),
        "mount -o remount,bind,ro .",
    ]
    variables = " ".join(f"{name}={text}" for name, text in image.environment.items())
    chain = f"chroot . env -i --chdir={image.folder} {variables} {' '.join(_privileges(image))}"
    return "\n".join([*lines, f'exec {chain} "$@"'])
