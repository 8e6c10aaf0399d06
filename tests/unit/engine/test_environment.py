"""A process that runs a model file gets only a part of this process's environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.engine.environment import ALLOWED, allowed_environment
from pipeline.engine.process import module_environment
from pipeline.errors import UsageError

SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "GITHUB_TOKEN",
    "HF_TOKEN",
    "PGPASSWORD",
    "SSH_AUTH_SOCK",
    "HTTPS_PROXY",
    "https_proxy",
    "PIP_INDEX_URL",
    "JAVA_TOOL_OPTIONS",
    "TS_CONFIG_FILE",
    "PIPELINE_ACCEPT_HOST",
)
HARMLESS = ("PATH", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_WAIT_POLICY")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SECRETS, *HARMLESS):
        monkeypatch.setenv(name, "value")


def test_only_names_known_to_be_harmless_are_let_through() -> None:
    allowed = allowed_environment()
    assert set(HARMLESS) <= set(allowed)
    assert not set(SECRETS) & set(allowed)


def test_more_is_let_through_by_name() -> None:
    allowed = allowed_environment(["HF_TOKEN"])
    assert allowed == {**allowed_environment(), "HF_TOKEN": "value"}
    with pytest.raises(UsageError) as caught:
        allowed_environment(["HF_TOKEN", "NOT_SET"])
    assert str(caught.value) == (
        "--pass-env NOT_SET: expected the name of a variable that is set, found none; set it, or leave it out"
    )


def test_the_users_own_code_gets_all_of_it_and_what_runs_a_file_does_not() -> None:
    assert not set(SECRETS) & set(module_environment(threads=1))
    assert set(SECRETS) <= set(module_environment(own_code=True))


def test_the_page_lists_exactly_these() -> None:
    page = Path("docs/isolation.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|`]+) \| (`[^|]+`) \|$", page, re.MULTILINE)
    assert {purpose: tuple(re.findall("`([^`]+)`", names)) for purpose, names in rows} == ALLOWED
