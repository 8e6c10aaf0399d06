"""Replay an unpacked archive's golden batch in a new process, with the code that serves: `handlers.predictor`.

`python -m pipeline.checks.golden FOLDER DIGEST` is what that process runs. It imports `handlers` and nothing else of
this package, and it is this installation's `handlers`, never the archive's own copy.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline._handlers.description import SERVING_FILE
from pipeline._handlers.model_file import describe_cpu, describe_libraries
from pipeline._handlers.predictor import Predictor
from pipeline.engine.confine import can_confine, confined_command
from pipeline.engine.process import failure, module_environment, reserve_stdout, run_child

# This is far above the time of any self-test. A model that never answers must not hold a reviewer for ever.
_TIMEOUT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class GoldenCheck:
    """The comparison of the golden answers at one batch size with the answers of this host.

    Args:
        batch_size: examples in each of the consecutive chunks.
        sizes: sizes of the free axes, in words; empty for the sizes of the data.
        passed: whether every logit is within its limit.
        reason: one clause that says why the check failed; empty if it passed.
        max_absolute: largest difference; None where values could not be compared.
        limit: largest allowed difference, where the answer came closest to it; None where values could not be compared.
        argmax_agreement: share of examples with the same label on both.
    """

    batch_size: int
    sizes: str
    passed: bool
    reason: str
    max_absolute: float | None
    limit: float | None
    argmax_agreement: float | None


@dataclass(frozen=True, kw_only=True)
class GoldenReport:
    """The result of a replay.

    Args:
        checks: one check per batch size; empty where the model could not be loaded or run.
        error: one clause that says why it could not be loaded or run; else empty.
        pictures: one clause on the first packed picture that decodes to other values here; empty where none does.
        environment: processor and library versions of the replay.
        empty: whether a single answer, the same for every golden example, would have passed too.
        confined: whether the process could write no file and open no connection; see `pipeline.engine.confine`.
    """

    checks: tuple[GoldenCheck, ...]
    error: str = ""
    pictures: str = ""
    environment: str = ""
    empty: bool = False
    confined: bool = field(default_factory=can_confine)

    @property
    def passed(self) -> bool:
        """Whether every picture and every batch size passed, and at least one batch size was checked."""
        whole = not self.error and not self.pictures and bool(self.checks)
        return whole and all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {"passed": self.passed, **asdict(self)}


def replay_golden(folder: Path, digest: str) -> GoldenReport:
    """Load an unpacked archive as a worker does, decode its pictures, and replay its golden batch.

    Args:
        folder: folder of the archive's members; each is checked against `serving.json` again before the model loads.
        digest: SHA-256 that the archive's `serving.json` must have.
    """
    command = confined_command("pipeline.checks.golden", str(folder.resolve()), digest)
    try:
        process = run_child(command, environment=module_environment(), timeout_s=_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return GoldenReport(checks=(), error=f"expected answers within {_TIMEOUT_S:g} s, found none")
    if process.returncode != 0:
        return GoldenReport(checks=(), error=failure(process.returncode, process.stderr))
    document = json.loads(process.stdout)
    checks = tuple(GoldenCheck(**check) for check in document["checks"])
    return GoldenReport(
        checks=checks,
        pictures=document["pictures"],
        environment=document["environment"],
        empty=document["empty"],
    )


def main(folder: Path, digest: str) -> int:
    """Replay the golden batch in the new process, and print one line of JSON.

    Returns:
        0, or 1 where the model could not be loaded or run; the last line on standard error then says why.
    """
    answers = reserve_stdout()
    try:
        content = (folder / SERVING_FILE).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            sys.stderr.write(f"{SERVING_FILE}: expected SHA-256 {digest}, found another file\n")
            return 1
        predictor = Predictor.load(folder)
        pictures = predictor.picture_difference()
        report = predictor.self_test()
    except Exception as error:  # noqa: BLE001 - whatever a runtime raises is a failure of this archive
        sys.stderr.write(f"{' '.join(str(error).split()) or type(error).__name__}\n")
        return 1
    checks = [
        {
            "batch_size": size,
            "sizes": sizes,
            **{
                name: value
                for name, value in comparison.to_json().items()
                if name in ("passed", "reason", "max_absolute", "limit", "argmax_agreement")
            },
        }
        for (size, sizes), comparison in report.items()
    ]
    environment = f"{describe_cpu()}; {describe_libraries(predictor.serving.runtime)}"
    document = {"checks": checks, "pictures": pictures, "environment": environment, "empty": predictor.proves_nothing}
    answers.write(json.dumps(document) + "\n")
    answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
