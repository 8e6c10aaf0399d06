"""Who is let in: a real server on loopback and on every address, with a token and TLS, asked as strangers would."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from pipeline import cli
from pipeline.archive.mar import Archive
from pipeline.errors import FileError, UsageError
from pipeline.serving import lifecycle
from pipeline.serving.defaults import ServerName
from pipeline.serving.door import DOOR_FILE, Door, read_token
from pipeline.serving.server import ServerState
from pipeline.serving.table import SERVERS

PICTURE = np.arange(48, dtype=np.uint8).tobytes()
RAW = {"content-type": "application/octet-stream"}
TOKEN = "a-token-of-some-length"  # noqa: S105


@pytest.fixture(scope="module")
def own_address() -> str:
    """An address of this machine that is not loopback; the test is skipped where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but loopback")
        address: str = probe.getsockname()[0]
    return address


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=example.test"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


@pytest.fixture(scope="module", params=SERVERS)
def closed(archive: Archive, certificate: tuple[Path, Path], request: pytest.FixtureRequest) -> Iterator[ServerState]:
    """A server on every address, with token and TLS."""
    server: ServerName = request.param
    door = Door(host="0.0.0.0", token=TOKEN, certificate=certificate[0], key=certificate[1])  # noqa: S104
    state = lifecycle.serve(archive, server=server, port=None, door=door, workers=2, detach=True)
    yield state
    lifecycle.stop(state.port)


def test_only_who_has_the_token_is_let_in(
    closed: ServerState, certificate: tuple[Path, Path], own_address: str
) -> None:
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    trust.check_hostname = False
    assert closed.url == f"https://127.0.0.1:{closed.port}"
    with httpx.Client(base_url=f"https://{own_address}:{closed.port}", verify=trust, headers=RAW) as client:
        for header in (None, "", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", f"Basic {TOKEN}"):
            for path in ("/predictions/tiny", "/metrics", "/ping", "/", "/predictions/other", "/v2/models/tiny"):
                headers = {} if header is None else {"authorization": header}
                answer = client.post(path, content=PICTURE, headers=headers)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                assert TOKEN not in answer.text
        answer = client.post("/predictions/tiny", content=PICTURE, headers={"authorization": f"bearer {TOKEN}"})
        assert (answer.status_code, set(answer.json()) >= {"label", "digest"}) == (200, True)
        # Probes of an orchestrator have no token, and learn nothing else.
        assert client.get("/livez").text == "ok\n"
        assert client.get("/readyz").json() == {"name": "tiny", "ready": True, "workers": 2}


def test_plain_http_is_not_answered(closed: ServerState) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{closed.port}/livez")


def test_commands_of_the_same_user_know_the_way(
    closed: ServerState, archive: Archive, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    [status] = [status for status in lifecycle.status() if status.state.port == closed.port]
    assert status.ready
    picture = tmp_path / "picture.bin"
    picture.write_bytes(PICTURE)
    assert cli._run(["predict", str(picture), "--url", closed.url]) == 0
    assert cli._run(["verify", str(archive.path), "--url", closed.url]) == 0
    written = capsys.readouterr()
    assert "2 worker(s): same answers" in written.out
    assert TOKEN not in written.out + written.err


def test_the_token_is_told_to_nobody(closed: ServerState) -> None:
    folder = Path(closed.folder)
    assert (folder / DOOR_FILE).stat().st_mode & 0o777 == 0o600
    others = [path for path in folder.rglob("*") if path.is_file() and path.name not in (DOOR_FILE, "board")]
    assert not [path for path in others if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in repr(lifecycle.status(closed.port)) + str(lifecycle.status(closed.port)[0].to_json())


@pytest.fixture(scope="module")
def open_server(archive: Archive) -> Iterator[ServerState]:
    door = Door(names=("models.example",))
    state = lifecycle.serve(archive, server="asgi", port=None, door=door, detach=True)
    yield state
    lifecycle.stop(state.port)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost"}, 200),
        ({"host": "LOCALHOST:8080"}, 200),
        ({"host": "[::1]:8080"}, 200),
        ({"host": "models.example"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example"}, 421),
        ({"host": "localhost.evil.example:80"}, 421),
        ({"host": ""}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:1", "origin": "http://localhost:1"}, 200),
    ],
)
def test_pages_of_other_sites_are_kept_out(open_server: ServerState, headers: dict[str, str], status: int) -> None:
    answer = httpx.post(f"{open_server.url}/predictions/tiny", content=PICTURE, headers={**RAW, **headers})
    assert answer.status_code == status


class TestSettings:
    def test_nobody_is_let_in_by_mistake(self, archive: Archive) -> None:
        with pytest.raises(
            UsageError, match=r"--host 0\.0\.0\.0: expected a token that clients must bring, found none"
        ):
            lifecycle.serve(archive, server="asgi", port=None, door=Door(host="0.0.0.0"))  # noqa: S104
        with pytest.raises(UsageError, match="--host example: expected an address of this machine"):
            lifecycle.serve(archive, server="asgi", port=None, door=Door(host="example"))
        Door(host="0.0.0.0").require_closed(no_auth=True)  # noqa: S104
        Door(host="::1").require_closed(no_auth=False)
        assert Door(host="::").contact == "[::1]"

    def test_a_certificate_that_cannot_be_used(self, certificate: tuple[Path, Path], tmp_path: Path) -> None:
        with pytest.raises(FileError, match="expected a certificate and its key"):
            Door(certificate=certificate[1], key=certificate[0]).tls()
        with pytest.raises(FileError, match="No such file"):
            Door(certificate=tmp_path / "none", key=certificate[1]).tls()

    def test_tokens(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert read_token(None) is None
        monkeypatch.setenv("PIPELINE_TOKEN", f"{TOKEN}\n")
        assert read_token(None) == TOKEN
        file = tmp_path / "token"
        for content in ("short", "with spaces in between, long", "Schlüssel-mit-Umlaut"):
            file.write_text(content)
            with pytest.raises(UsageError, match="expected a token of at least 16 printable characters without spaces"):
                read_token(file)
        with pytest.raises(FileError, match="expected a readable file with a token"):
            read_token(tmp_path / "none")
