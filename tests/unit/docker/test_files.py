"""What the files of `docker/` say follows from the server's bounds; a Dockerfile is read whole or not at all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pipeline.serving.front.bounds import Bounds
from pipeline.serving.table import SERVERS
from tests.container import read_service, size
from tests.dockerfile import Step, is_left_out, read_dockerfile

DOCKER = Path(__file__).resolve().parents[3] / "docker"
SERVICE = read_service({"TOKEN_FILE": "token"})
# What the processes of either server take by themselves, with two workers: measured 215 and 394 MB.
OWN_BYTES = 600_000_000


def test_the_memory_holds_what_clients_may_send() -> None:
    [options] = SERVICE.tmpfs.values()
    temporary = size(re.findall(r"size=(\w+)", options)[0])
    assert SERVICE.memory > temporary + 2 * Bounds().held_bytes + OWN_BYTES
    comment = re.findall(r"holds at most (\d+) MB of bodies", (DOCKER / "compose.yaml").read_text(encoding="utf-8"))
    assert comment == [f"{Bounds().held_bytes / 1e6:.0f}"]


def test_there_is_time_to_answer_what_is_under_way() -> None:
    longest = max(server.drain_s for server in SERVERS.values())
    assert SERVICE.grace_s >= longest + 5  # and to kill what is left
    manifest = (DOCKER / "README.md").read_text(encoding="utf-8").partition("```yaml")[2].partition("```")[0]
    pod = yaml.safe_load(manifest)["spec"]["template"]["spec"]
    [container] = pod["containers"]
    pause = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= SERVICE.grace_s + pause


def test_nobody_is_served_without_a_token() -> None:
    with pytest.raises(KeyError, match="TOKEN_FILE: name a file that holds the secret"):
        read_service({})


def test_bases_are_pinned_and_users_are_numbers() -> None:
    file = read_dockerfile((DOCKER / "Dockerfile").read_text(encoding="utf-8"))
    assert re.fullmatch(r"debian:bookworm-slim@sha256:[0-9a-f]{64}", file.arguments["BASE"])
    assert {stage.base for stage in file.stages.values()} <= {"${BASE}", *file.stages}
    users = [step.value for step in file.stages["server"].steps if step.name == "USER"]
    assert users == ["10001:10001"]
    assert list(file.stages)[-1] == "asgi"


def test_a_dockerfile() -> None:
    text = "# a comment\nARG A=1\nFROM x AS y\nRUN --mount=type=cache,target=/c \\\n    # inside\n    a && b\n"
    file = read_dockerfile(text)
    assert file.arguments == {"A": "1"}
    [step] = file.stages["y"].steps
    assert step == Step("RUN", {"mount": "type=cache,target=/c"}, "a && b")


@pytest.mark.parametrize("line", ["ADD a b", "COPY --chmod=755 a b", "RUN --mount=a --mount=b c", "FROM x"])
def test_what_is_not_understood_is_an_error(line: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_dockerfile(f"FROM x AS y\n{line}\n")


@pytest.mark.parametrize(
    ("path", "left_out"),
    [("pipeline/a.py", False), ("pipeline/__pycache__/a.pyc", True), ("runs", True), ("docker/token", False)],
)
def test_what_reaches_the_build(path: str, *, left_out: bool) -> None:
    assert is_left_out(path, (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8")) is left_out
