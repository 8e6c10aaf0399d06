"""Another server than TorchServe: the standard library's, one process, one request at a time.

`python -m tests.other_server FOLDER PORT` runs it on an unpacked archive.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx

from pipeline._handlers.answer_size import Extras
from pipeline._handlers.body_forms import decode_request, encode_response
from pipeline._handlers.predictor import Predictor
from pipeline.archive.mar import Archive
from pipeline.engine.probe import Check
from pipeline.engine.process import module_environment
from pipeline.errors import ServerError
from pipeline.serving.defaults import HOST
from pipeline.serving.server import Command, ServerState, ServeSettings, Worker
from pipeline.serving.wire import Wire

WIRE = Wire(
    path="/ask/",
    logits_header="X-Logits",
    decoded_header="X-Decoded",
    worker_header="X-Worker",
    worker_gone=re.compile("refused with 503"),
)


class OtherServer:
    """All that such a server has to say of itself."""

    title = "the other server"
    libraries: tuple[str, ...] = ()
    programs: tuple[str, ...] = ("python",)
    folder_prefix = "pipeline-other-"
    drain_s = 2.0

    def wire(self) -> Wire:
        return WIRE

    def private_folder(self) -> Path:
        return Path(tempfile.mkdtemp(prefix=self.folder_prefix))

    def configure(self, folder: Path, archive: Archive, settings: ServeSettings) -> Command:
        archive.unpack(folder / "unpacked")  # the handler in it is not what runs here
        arguments = [sys.executable, "-m", "tests.other_server", str(folder / "unpacked"), str(settings.port)]
        return Command(arguments=arguments, environment=module_environment(threads=archive.serving.runtime.threads))

    def wait_until_loaded(
        self, state: ServerState, process: subprocess.Popen[str], *, deadline: float, timeout_s: float
    ) -> None:
        while not self.is_healthy(state):
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"{state.url}: expected a server within {timeout_s:g} s, found none")
            time.sleep(0.05)

    def failure(self, state: ServerState, code: int | None) -> str:
        return f"exit code {code}, {state.folder}"

    def accepted_difference(self, state: ServerState) -> str | None:  # noqa: ARG002 - none is ever accepted
        return None

    def is_healthy(self, state: ServerState) -> bool:
        try:
            return httpx.get(state.url, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def workers(self, state: ServerState) -> tuple[Worker, ...]:
        return (Worker(name="only", pid=state.pid, status="READY"),)

    def unfit_temp(self, folder: Path) -> str | None:  # noqa: ARG002 - it works everywhere
        return None

    def checks(self, python: str) -> tuple[Callable[[], Check], ...]:
        return (lambda: Check(name=self.title, ok=True, found=python),)


def main(folder: Path, port: int) -> None:
    """Serve until the process is ended."""
    predictor = Predictor.load(folder)
    predictor.require_self_test()

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            request = decode_request(body, self.headers["content-type"], predictor.serving.inputs)
            extras = Extras(logits=WIRE.logits_header in self.headers, decoded=WIRE.decoded_header in self.headers)
            answer = encode_response(predictor, request, predictor.predict(request.instances), extras)
            self.send_response(200)
            self.send_header(WIRE.worker_header, str(os.getpid()))
            self.end_headers()
            self.wfile.write(answer)

    HTTPServer((HOST, port), Answer).serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
