"""Two machines on this one: network namespaces with a cable between them, and names of their own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_ADDRESSES = {"host-a": "10.77.0.1", "host-b": "10.77.0.2"}


@dataclass(frozen=True, kw_only=True)
class Machines:
    """Both machines.

    Args:
        folder: folder for what their commands print.
        namespaces: network namespace of each, by name of the machine.
        started: commands that were started on each.
    """

    folder: Path
    namespaces: Mapping[str, str]
    started: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=lambda: defaultdict(list))

    def start(
        self, machine: str, command: Sequence[str], *, file: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a command on a machine; what it prints goes to a file of that name."""
        inner = f'mount --bind {self.folder / "hosts"} /etc/hosts && hostname {machine} && exec "$@"'
        whole = [
            *("ip", "netns", "exec", self.namespaces[machine]),
            *("unshare", "--uts", "--mount", "sh", "-c", inner, "sh", *command),
        ]
        with (self.folder / file).open("wb") as stream:
            process = subprocess.Popen(whole, stdout=stream, stderr=stream, env={**os.environ, **(environment or {})})
        self.started[machine].append(process)
        return process

    def lose(self, machine: str) -> None:
        """Kill all that runs on a machine, at once."""
        for pid in _pids(self.namespaces[machine]):
            os.kill(pid, signal.SIGKILL)
        for process in self.started.pop(machine, ()):
            process.wait()


@contextmanager
def two_machines(folder: Path) -> Iterator[Machines]:
    """Make two machines that reach each other as host-a and host-b; the test is skipped where that is not permitted."""
    namespaces = {name: f"{name}-{os.getpid()}" for name in _ADDRESSES}
    machines = Machines(folder=folder, namespaces=namespaces)
    first, second = namespaces.values()
    hosts = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in _ADDRESSES.items())]
    (folder / "hosts").write_text("\n".join(hosts) + "\n", encoding="utf-8")
    try:
        for namespace in namespaces.values():
            _ip("netns", "add", namespace)
        _ip("link", "add", "cable", "netns", first, "type", "veth", "peer", "name", "cable", "netns", second)
        for name, namespace in namespaces.items():
            _ip("-n", namespace, "addr", "add", f"{_ADDRESSES[name]}/24", "dev", "cable")
            for device in ("lo", "cable"):
                _ip("-n", namespace, "link", "set", device, "up")
        yield machines
    finally:
        for machine, namespace in namespaces.items():
            machines.lose(machine)
            subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    try:
        subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("two machines need the program ip (iproute2), which is not here")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"two machines need network namespaces: {error.stderr.strip()}")


def _pids(namespace: str) -> list[int]:
    try:
        shown = subprocess.run(["ip", "netns", "pids", namespace], check=False, capture_output=True, text=True)
    except FileNotFoundError:
        return []
    return [int(pid) for pid in shown.stdout.split()]
