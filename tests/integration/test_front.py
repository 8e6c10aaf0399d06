"""The page of the front over HTTP: who gets it, and what of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline.archive.mar import Archive
from pipeline.serving.door import Door
from pipeline.serving.front.access import Access
from tests.fronts import front_of
from tests.served_models import GREY, build_archive


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return build_archive(tmp_path_factory.mktemp("archive"), [GREY])


def described(page: httpx.Response) -> Any:
    """What a page holds of the model."""
    match = re.search('<script type="application/json" id="model">(.*?)</script>', page.text)
    assert match
    return json.loads(match[1])


def test_the_page_is_read_and_nothing_else(archive: Archive, tmp_path: Path) -> None:
    with front_of(archive, tmp_path) as url, httpx.Client(base_url=url, trust_env=False) as client:
        page = client.get("/")
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert described(page)["digest"] == archive.digest
        head = client.head("/")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(page.content)))
        assert client.post("/").json()["expected"].startswith("/predictions/tiny or ")
        assert client.get("/", headers={"host": "evil.example"}).status_code == 421
        assert client.get("/", headers={"origin": "http://evil.example"}).status_code == 403


def test_without_the_token_the_page_holds_nothing_of_the_model(archive: Archive, tmp_path: Path) -> None:
    access = Access(Door(token="s3cret"))  # noqa: S106 - no secret
    with front_of(archive, tmp_path, access) as url, httpx.Client(base_url=url, trust_env=False) as client:
        empty = client.get("/")
        assert (empty.status_code, described(empty)) == (200, None)
        assert empty.headers["content-security-policy"].startswith("default-src 'none'")
        wrong = client.get("/", headers={"authorization": "Bearer other"})
        assert (wrong.status_code, wrong.json()["error"]) == (401, "no right token")
        whole = client.get("/", headers={"authorization": "Bearer s3cret"})
        assert described(whole)["name"] == "tiny"
