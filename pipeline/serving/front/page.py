"""The page at `/`, where a person asks the model: one file of HTML, with the description of the model inside.

Style and script are allowed by their hashes, and the page reaches nothing but this server. What it shows of labels,
files and refusals it puts in as text; markup made of text is forbidden to it (`require-trusted-types-for`).
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib import resources
from typing import Any

from pipeline._handlers.columns import names_in_words
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import Serving
from pipeline._handlers.request import MAX_BODY_BYTES
from pipeline._handlers.task_answers import ANSWERS
from pipeline.serving.front.answer import HTML, Answer
from pipeline.serving.front.example import example_body

_FILE = "page.html"
# The file holds no model's description in its place; a page without one asks for the token.
_EMPTY = '<script type="application/json" id="model">null</script>'
_STYLE, _SCRIPT = re.compile("<style>(.*?)</style>", re.DOTALL), re.compile("<script>(.*?)</script>", re.DOTALL)
_POLICY = (
    "default-src 'none'; script-src {script}; style-src {style}; img-src blob: data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
# These characters would end the element that holds the description, or begin another one.
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


class Page:
    """The page of one model.

    Args:
        serving: description of the model.
        digest: digest of this description.

    Attributes:
        whole: the page.
        empty: the page without anything of the model.
    """

    def __init__(self, serving: Serving, digest: str) -> None:
        html = resources.files("pipeline.serving.front").joinpath(_FILE).read_text(encoding="utf-8")
        policy = _POLICY.format(script=_hash_of(_SCRIPT, html), style=_hash_of(_STYLE, html))
        headers = (
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
        )
        description = json.dumps(description_of(serving, digest)).translate(_ESCAPES)
        filled = html.replace(_EMPTY, _EMPTY.replace("null", description), 1)
        self.whole = Answer(200, filled.encode(), HTML, headers)
        self.empty = Answer(200, html.encode(), HTML, headers)


def description_of(serving: Serving, digest: str) -> dict[str, Any]:
    """Return what the page knows of the model, as JSON values.

    Args:
        serving: description of the model.
        digest: digest of this description.
    """
    inputs = serving.inputs
    picture = len(inputs) == 1 and inputs[0].decoding is not None
    return {
        "name": serving.name,
        "version": serving.version,
        "digest": digest,
        "task": serving.task,
        "takes": "; ".join(map(_in_words, inputs)),
        "answers": ANSWERS[serving.task].outputs(serving.labels),
        "picture": picture,
        "example": None if picture else example_body(inputs),
        "most_bytes": MAX_BODY_BYTES,
    }


def _in_words(spec: InputSpec) -> str:
    free = ", some sizes free" * bool(spec.dynamic_axes)
    if spec.decoding is not None:
        _, height, width = spec.shape
        colour = "grey" if spec.decoding.mode == "L" else "colour"
        return f"{spec.name}: a picture, seen as {width} x {height} pixels in {colour}{free}"
    if spec.columns:
        return f"{spec.name}: a row of {len(spec.columns)} columns ({names_in_words(spec.columns)})"
    count = " x ".join(map(str, spec.shape)) or "1"
    return f"{spec.name}: {count} value{'s' * (count != '1')}, {spec.dtype}{free}"


def _hash_of(part: re.Pattern[str], html: str) -> str:
    """Return the only source that the policy allows for a part of the page."""
    [content] = part.findall(html)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
