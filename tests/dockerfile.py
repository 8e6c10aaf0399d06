"""A Dockerfile as it is written: stages, and steps with their flags. What is not understood is an error."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

# The instructions that are understood, with their flags.
_FLAGS: dict[str, tuple[str, ...]] = {
    "ARG": (),
    "CMD": (),
    "COPY": ("from",),
    "ENTRYPOINT": (),
    "ENV": (),
    "EXPOSE": (),
    "FROM": (),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "start-interval", "retries"),
    "RUN": ("mount",),
    "STOPSIGNAL": (),
    "USER": (),
    "WORKDIR": (),
}
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Step:
    """One instruction.

    Args:
        name: its name.
        flags: its flags by name.
        value: what follows the flags.
    """

    name: str
    flags: Mapping[str, str]
    value: str

    @property
    def words(self) -> list[str]:
        """What follows the flags, as words: a list in JSON, or what a shell would see."""
        words: list[str] = json.loads(self.value) if self.value.startswith("[") else shlex.split(self.value)
        return words


@dataclass
class Stage:
    """A stage.

    Args:
        name: its name.
        base: the stage or image that it begins with, as it is written.
        steps: what is done to that.
    """

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)


@dataclass
class Dockerfile:
    """A whole file.

    Args:
        arguments: defaults of the arguments before the first stage.
        stages: the stages by name, in their order; the last one is built where none is named.
    """

    arguments: dict[str, str]
    stages: dict[str, Stage]


def read_dockerfile(text: str) -> Dockerfile:
    """Read a Dockerfile.

    Raises:
        ValueError: it holds something that is not understood.
    """
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for step in _steps(text):
        if step.name == "FROM":
            match = re.fullmatch(r"(\S+) AS (\S+)", step.value)
            if match is None:
                raise ValueError(f"FROM {step.value}: expected `FROM image AS name`")
            stage = stages[match[2]] = Stage(name=match[2], base=match[1])
        elif stage is None:
            name, _, value = step.value.partition("=")
            if step.name != "ARG":
                raise ValueError(f"{step.name}: expected FROM before it")
            arguments[name] = value
        else:
            stage.steps.append(step)
    return Dockerfile(arguments=arguments, stages=stages)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put the values of variables in their places; a `KeyError` names one that there is not."""
    return _VARIABLE.sub(lambda match: variables[match[1]], text)


def is_left_out(path: str, patterns: str) -> bool:
    """Whether a file of the checkout does not reach the build, by the lines of `.dockerignore`.

    Args:
        path: path below the checkout.
        patterns: content of the file; the last line that names a path, or a folder above it, counts.
    """
    left_out = False
    parts = Path(path).parts
    heads = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    for line in patterns.splitlines():
        pattern = line.removeprefix("!")
        if not pattern or pattern.startswith("#"):
            continue
        if pattern.startswith("**/"):
            names = any(fnmatchcase(part, pattern[3:]) for part in parts)
        else:
            names = any(fnmatchcase(head, pattern) and head.count("/") == pattern.count("/") for head in heads)
        if names:
            left_out = not line.startswith("!")
    return left_out


def _steps(text: str) -> list[Step]:
    steps = []
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    for line in whole.splitlines():
        name, _, value = line.strip().partition(" ")
        if name not in _FLAGS:
            raise ValueError(f"{name}: expected one of {', '.join(_FLAGS)}")
        flags = {}
        value = value.strip()
        while match := re.match(r"--([\w-]+)=(\S+)\s+", value):
            if match[1] not in _FLAGS[name] or match[1] in flags:
                raise ValueError(f"{name} --{match[1]}: expected one of {_FLAGS[name]}, once")
            flags[match[1]] = match[2]
            value = value[match.end() :]
        steps.append(Step(name=name, flags=flags, value=value))
    return steps
