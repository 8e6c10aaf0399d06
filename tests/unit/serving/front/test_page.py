from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace

from pipeline._handlers.columns import Column
from pipeline._handlers.description import Serving
from pipeline.serving.front.page import Page, description_of
from tests.row_inputs import NAMED
from tests.served_models import COLOUR, GREY, SEQUENCE, TABLE, description

DIGEST = "d" * 64
SERVING = description([GREY])
EVIL = "</script><script>window.hit = 1</script><!--"
EMBEDDED = re.compile('<script type="application/json" id="model">(.*?)</script>', re.DOTALL)


def embedded_in(page: str) -> str:
    match = EMBEDDED.search(page)
    assert match
    return match[1]


def page_of(serving: Serving) -> str:
    return Page(serving, DIGEST).whole.body.decode()


def test_the_page_holds_what_it_shows_of_the_model() -> None:
    embedded = embedded_in(page_of(SERVING))
    assert json.loads(embedded) == description_of(SERVING, DIGEST)
    assert json.loads(embedded) == {
        "name": "tiny",
        "version": "1.0",
        "digest": DIGEST,
        "task": "classification",
        "takes": "image: a picture, seen as 6 x 8 pixels in grey",
        "answers": "one of 5 labels, with probabilities",
        "picture": True,
        "example": None,
        "most_bytes": 6_553_500,
    }


def test_inputs_in_words() -> None:
    described = description_of(replace(SERVING, inputs=(COLOUR, NAMED, SEQUENCE, replace(TABLE, shape=()))), DIGEST)
    assert described["takes"] == (
        "image: a picture, seen as 6 x 8 pixels in colour; features: a row of 2 columns (age, sex); "
        "tokens: 6 values, int64, some sizes free; features: 1 value, float32"
    )
    assert not described["picture"]


def test_no_name_ends_the_element_that_holds_it() -> None:
    table = replace(NAMED, columns=(Column(name=EVIL), Column(name="&lt;img>")))
    page = page_of(replace(SERVING, inputs=(table,)))
    assert page.count("</script>") == page_of(SERVING).count("</script>")
    assert set(json.loads(embedded_in(page))["example"]["instances"][0]) == {EVIL, "&lt;img>"}


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else() -> None:
    page = Page(SERVING, DIGEST).whole
    headers = dict(page.headers)
    policy = dict(part.strip().split(" ", 1) for part in headers[b"content-security-policy"].decode().split(";"))
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        [content] = re.findall(f"<{tag}>(.*?)</{tag}>".encode(), page.body, re.DOTALL)
        assert policy.pop(directive) == f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"
    assert policy == {
        "default-src": "'none'",
        "img-src": "blob: data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert headers[b"referrer-policy"] == b"no-referrer"


def test_the_page_is_small_and_names_no_other_place() -> None:
    page = Page(SERVING, DIGEST).empty.body.decode()
    assert len(page) < 30_000
    assert re.findall(r"https?:", page.replace("http://www.w3.org/2000/svg", "")) == []
