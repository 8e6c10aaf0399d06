"""What the command line answers to a slip: one line, in our words."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.command_line import run_here


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["evidence", "--format", "yaml", "digits.mar"],
            "Invalid value for '--format': 'yaml' is not one of 'json', 'slsa', 'cyclonedx', 'markdown'",
        ),
        (["evidence"], "Missing argument 'ARCHIVE'"),
        (["capture", "--module", "head"], "Missing option '--input'"),
        (
            ["recipe", "trains"],
            (
                "recipe trains: expected a section of a recipe (model, data, task, train, candidates, export, verify, "
                "measure, budget, search, select, package, smoke, report), found none; did you mean train?"
            ),
        ),
        (
            ["serve", "--host", "10.0.0.1"],
            (
                "--host 10.0.0.1: expected a token that clients must bring, found none; name a file with --token-file, "
                "set PIPELINE_TOKEN, or let everybody in with --no-auth"
            ),
        ),
        (["serve", "--accept-hosts"], "No such option: --accept-hosts (Possible options: --allow-host, --host)"),
        (["serve", "--no-aut"], "No such option: --no-aut"),
        (["build", "--forse"], "No such option: --forse (Possible options: --set)"),
        (["serve", "--prot", "8080"], "No such option: --prot (Possible options: --host, --port)"),
        (
            ["verify", "digits.mar", "--rank"],
            "digits.mar: expected a run directory with --rank, found an archive; leave the option out",
        ),
    ],
)
def test_usage_errors_are_one_clear_line(arguments: list[str], message: str) -> None:
    ended = run_here(*arguments)
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert line in (f"error: {message}", f"error: {message}; see pipeline --help")


@pytest.mark.parametrize("variables", [{"RANK": "1", "LOCAL_RANK": "1"}, {"RANK": "0", "WORLD_SIZE": "1"}])
def test_what_a_shell_has_left_of_a_job_silences_no_command(variables: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "report", "--bogus"],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
