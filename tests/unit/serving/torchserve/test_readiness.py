"""What a server's log says of a worker that failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.serving.torchserve.readiness import (
    gave_up,
    server_failure,
    startup_failure,
    worker_failure,
)

OUT = "INFO|W-9001-tiny_1.0-stdout|MODEL_LOG|"
REFUSED = [OUT + "pipeline-refusal: candidate a: golden answers differ", OUT + "Failed to load model tiny, exception x"]
# As CPython and TorchServe 0.12 print it: the import error, then the search for a handler of that name.
IMPORT = [
    OUT + "Backend worker process died.",
    OUT + "Traceback (most recent call last):",
    OUT + '  File "model_loader.py", line 108, in load',
    OUT + "    module, function_name = self._load_handler_file(handler)",
    OUT + "ModuleNotFoundError: No module named 'onnxruntime'",
    OUT + "",
    OUT + "During handling of the above exception, another exception occurred:",
    OUT + "Traceback (most recent call last):",
    OUT + "ModuleNotFoundError: No module named 'ts.torch_handler.torchserve_handler'",
]
SILENT = ["WARN|W-9001-tiny_1.0|BatchAggregator|Load model failed: tiny, error: Worker died."]


@pytest.mark.parametrize(
    ("lines", "settled", "expected"),
    [
        ([], True, None),
        ([OUT + "Torch worker started."], True, None),
        (REFUSED, False, "worker 9001 refuses to serve: candidate a: golden answers differ"),
        (IMPORT, False, "worker 9001 failed: ModuleNotFoundError: No module named 'onnxruntime'"),
        (IMPORT[:4], False, None),
        (SILENT, False, None),
        (
            SILENT,
            True,
            (
                "worker 9001 failed without a word of its own (crashed, or was killed): "
                "Load model failed: tiny, error: Worker died."
            ),
        ),
    ],
)
def test_a_workers_own_words_come_first(lines: list[str], settled: bool, expected: str | None, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("\n".join(lines))
    assert worker_failure(log, settled=settled) == expected
    assert gave_up(log) is (lines == SILENT)


def test_no_log_yet(tmp_path: Path) -> None:
    assert worker_failure(tmp_path / "none", settled=True) is None
    assert not gave_up(tmp_path / "none")
    assert startup_failure(tmp_path / "none") is None
    assert server_failure(tmp_path / "none", 1) == "exit code 1, and nothing in its log"


def test_the_servers_own_failure(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("WARN|main|X|hello\nERROR|main|ModelServer|Invalid configuration\nERROR|main|X|later\n")
    assert server_failure(log, 1) == "Invalid configuration"
    log.write_text("ERROR|main|X|first\njava.net.BindException: Address already in use\n")
    assert server_failure(log, 1) == "a port was taken in the meantime (address already in use); run it again"
    log.write_text("")
    assert server_failure(log, -9).startswith("it was ended by signal 9 (SIGKILL: most likely out of memory")


def test_a_model_that_the_server_will_never_load_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text(
        "WARN|main|ModelServer|Failed to load model: a..b.mar\n"
        "org.pytorch.serve.archive.model.ModelNotFoundException: Relative path is not allowed in url: a..b.mar\n"
        "\tat org.pytorch.serve.archive.model.ModelArchive.downloadModel(ModelArchive.java:58)\n"
    )
    message = "Failed to load model: a..b.mar: Relative path is not allowed in url: a..b.mar"
    assert startup_failure(tmp_path / "server.log") == message


# As TorchServe 0.12 and Java print it outside the log, each when that was brought about.
LOUD = "WARNING: sun.reflect.Reflection.getCallerClass is not supported. This will impact performance.\n"
LOST = "java.io.IOException: Failed to bind to address: http://127.0.0.1:33473\n\tat org.pytorch.serve.ModelServer\n"
NO_NATIVE_LIBRARY = "Invalid configuration: null\n"
FULL = "2026-01-01 main ERROR Unable to write to stream /tmp/x/server.log for appender file org.apache.Appender\n"
JAVA = "Unrecognized VM option 'Nonsense'\nError: Could not create the Java Virtual Machine.\n"


@pytest.mark.parametrize(
    ("console", "start"),
    [
        (LOUD + LOST, "port 33473 was taken in the meantime (address already in use); run it again"),
        (LOUD + NO_NATIVE_LIBRARY, "TorchServe cannot load its native library out of "),
        (LOUD + FULL, "it cannot write: "),
        (JAVA, "Unrecognized VM option 'Nonsense'"),
    ],
)
def test_what_is_said_outside_the_log(console: str, start: str, tmp_path: Path) -> None:
    (tmp_path / "server.log").write_text("")
    (tmp_path / "console.log").write_text(console)
    failure = server_failure(tmp_path / "server.log", 1)
    assert failure.startswith(start)
    # A server that lost a port or its disk may run on, and must not be waited for.
    assert startup_failure(tmp_path / "server.log") == (None if console == JAVA else failure)
