"""An image without a container engine: the steps of the Dockerfile make a root file system, a folder for each stage."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.dockerfile import Dockerfile, Step, expand, is_left_out, read_dockerfile

CHECKOUT = Path(__file__).resolve().parents[1]
PROGRAMS = ("debootstrap", "unshare", "nsenter", "setpriv", "ip")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_BASE = "debian:bookworm-slim"
# What Debian's slim images leave out, and tell dpkg to leave out.
_NOT_SLIM = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/linda",
    "usr/share/man",
    "usr/share/locale",
)
# Where the host says how packages are reached.
_PASSED = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_DEFAULT_TIMEOUT")
_CERTIFICATES = "/run/certificates.pem"
_STEP_S = 1200.0


class NoPackagesError(Exception):
    """The packages of the base cannot be had."""


@dataclass(frozen=True)
class Image:
    """A root file system, and how a container of it is started.

    Args:
        root: the folder.
        environment: variables.
        user: user and group, as numbers.
        folder: working directory.
        entrypoint: the first words of the command.
        command: the other ones, unless somebody says otherwise.
        health: command of the health check.
    """

    root: Path
    environment: Mapping[str, str] = field(default_factory=lambda: {"PATH": _PATH})
    user: str = "0:0"
    folder: str = "/"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()


def unmet() -> str | None:
    """Say in one line why no image can be made here; None where it can."""
    if os.geteuid() != 0:
        return "only root may make a root file system"
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: debootstrap, util-linux, iproute2)"
    spaces = subprocess.run(
        ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"no namespaces: {spaces.stderr.strip()}" if spaces.returncode else None


class Builder:
    """Makes the stages of a Dockerfile, each once.

    Args:
        folder: folder in which the stages are made; it takes about 2 GB.
        arguments: values for the Dockerfile's arguments.
    """

    def __init__(self, folder: Path, arguments: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._file: Dockerfile = read_dockerfile((CHECKOUT / "docker" / "Dockerfile").read_text(encoding="utf-8"))
        self._ignored = (CHECKOUT / "docker" / "Dockerfile.dockerignore").read_text(encoding="utf-8")
        self._arguments = {**self._file.arguments, **(arguments or {})}
        self._made: dict[str, Image] = {}

    @property
    def base(self) -> Image:
        """The image that all stages begin with."""
        return self.make(self._arguments["BASE"])

    def make(self, name: str) -> Image:
        """Make a stage and all that it is made of; or the base that a stage begins with."""
        if name in self._made:
            return self._made[name]
        root = self._folder / name.partition("@")[0].replace(":", "-")
        if name not in self._file.stages:
            _make_base(name, root)
            image = Image(root=root)
        else:
            stage = self._file.stages[name]
            base = self.make(expand(stage.base, self._arguments))
            subprocess.run(["cp", "-a", base.root, root], check=True)
            image, variables = replace(base, root=root), {}
            for step in stage.steps:
                if step.name == "ARG":
                    variables[step.value] = self._arguments[step.value]
                else:
                    image = self._do(step, image, variables)
        self._made[name] = image
        return image

    def _do(self, step: Step, image: Image, variables: Mapping[str, str]) -> Image:
        match step.name:
            case "RUN":
                self._run(step, image, {**image.environment, **variables})
            case "COPY":
                self._copy(step, image.root)
            case "ENV":
                pairs = (word.partition("=") for word in step.words)
                return replace(image, environment={**image.environment, **{name: value for name, _, value in pairs}})
            case "USER":
                return replace(image, user=step.value)
            case "WORKDIR":
                (image.root / step.value.lstrip("/")).mkdir(parents=True, exist_ok=True)
                return replace(image, folder=step.value)
            case "ENTRYPOINT":
                return replace(image, entrypoint=tuple(step.words), command=())
            case "CMD":
                return replace(image, command=tuple(step.words))
            case "HEALTHCHECK":
                kind, _, value = step.value.partition(" ")
                assert kind == "CMD"
                return replace(image, health=tuple(Step("CMD", {}, value.strip()).words))
            case "EXPOSE" | "STOPSIGNAL":  # documentation, and what is the engine's own habit anyway
                assert step.value in ("8080", "SIGTERM")
            case _:
                raise ValueError(step)
        return image

    def _copy(self, step: Step, root: Path) -> None:
        """Copy files as COPY does: of a folder, what is in it."""
        *sources, to = step.words
        target = root / to.lstrip("/")
        into = to.endswith("/") or len(sources) > 1
        (target if into else target.parent).mkdir(parents=True, exist_ok=True)
        for name in sources:
            if "from" in step.flags:
                source = self.make(step.flags["from"]).root / name.lstrip("/")
                end = "/." if source.is_dir() else ""
                subprocess.run(["cp", "-a", f"{source}{end}", target], check=True)
                continue
            source = CHECKOUT / name
            if is_left_out(name, self._ignored):
                raise ValueError(f"COPY {name}: expected a file that reaches the build, found one that is left out")
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore=self._left_out)
            else:
                shutil.copy(source, target / source.name if into else target)
        if "from" not in step.flags:
            subprocess.run(["chown", "-R", "0:0", target], check=True)

    def _left_out(self, folder: str, names: list[str]) -> list[str]:
        place = Path(folder).relative_to(CHECKOUT)
        return [name for name in names if is_left_out((place / name).as_posix(), self._ignored)]

    def _run(self, step: Step, image: Image, variables: Mapping[str, str]) -> None:
        """Run a command in the root file system, with the network and the package index of this machine."""
        mounts = ["mount -t proc proc proc", "mount --rbind /dev dev", "mount -t tmpfs none run"]
        mounts += [f"touch .{file}; mount --bind {file} .{file}" for file in ("/etc/resolv.conf", "/etc/hosts")]
        passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
        passed |= {"DEBIAN_FRONTEND": "noninteractive"}
        if certificates := os.environ.get("PIP_CERT"):
            mounts.append(f"cp {certificates} .{_CERTIFICATES}")
            passed["PIP_CERT"] = _CERTIFICATES
        if "mount" in step.flags:
            options = dict(option.split("=") for option in step.flags["mount"].split(","))
            target = options.pop("target")
            assert options == {"type": "cache"}
            cache = self._folder / "caches" / target.replace("/", "-")
            cache.mkdir(parents=True, exist_ok=True)
            mounts.append(f"mkdir -p .{target}; mount --bind {cache} .{target}")
        command = [f"{name}={value}" for name, value in {**variables, **passed}.items()]
        script = "\n".join(
            ["cd " + str(image.root), *mounts, f'exec chroot . env -i --chdir={image.folder} "$@" /bin/sh -c "$RUN"']
        )
        ended = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-euc", script, "sh", *command],
            env={**os.environ, "RUN": step.value},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_STEP_S,
        )
        if ended.returncode:
            raise RuntimeError(f"RUN {step.value}: exit code {ended.returncode}\n{ended.stdout[-4000:]}")


def megabytes(image: Image) -> float:
    """Size of a root file system on a disk, in MB."""
    used = subprocess.run(["du", "-s", "-B1", "-x", image.root], check=True, capture_output=True, text=True).stdout
    return int(used.split()[0]) / 1e6


def _make_base(name: str, root: Path) -> None:
    """Make Debian's slim image from Debian's packages, as it is made itself.

    Raises:
        NoPackagesError: the packages cannot be had.
    """
    assert name.partition("@")[0] == _BASE, name
    ended = subprocess.run(
        ["debootstrap", "--variant=minbase", "bookworm", root], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise NoPackagesError(f"debootstrap: {(ended.stderr or ended.stdout).strip().splitlines()[-1]}")
    sources = root / "etc" / "apt" / "sources.list"
    mirror = sources.read_text(encoding="utf-8").split()[1]  # `deb MIRROR bookworm main`, as debootstrap wrote it
    suites = (
        (mirror, "bookworm"),
        (mirror, "bookworm-updates"),
        (f"{mirror.rstrip('/')}-security", "bookworm-security"),
    )
    sources.write_text("".join(f"deb {place} {suite} main\n" for place, suite in suites), encoding="utf-8")
    excluded = "".join(f"path-exclude /{folder}/*\n" for folder in _NOT_SLIM)
    (root / "etc" / "dpkg" / "dpkg.cfg.d" / "slim").write_text(excluded, encoding="utf-8")
    for folder in (*_NOT_SLIM, "dev", "var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / folder, ignore_errors=True)
        (root / folder).mkdir(parents=True)
