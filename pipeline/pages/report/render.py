"""Render the report as one page of HTML, which loads nothing and runs no script but its own.

Style and scripts are allowed by their hashes. What the page shows of names, classes and answers it puts in as text;
markup made of text is forbidden to it (`require-trusted-types-for`).
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterable
from importlib import resources
from typing import Any

from pipeline.pages.report.document import ReportDocument
from pipeline.visible import visible

_PLACE = re.compile(r"<!-- (\w+) -->")
_STYLES = re.compile("<style>(.*?)</style>", re.DOTALL)
# What stands in the place of the section on the graph where there is none.
_NO_GRAPH = (
    '<section id="graph" aria-labelledby="graph-title"><h2 id="graph-title">The graph, before and after</h2></section>'
)
# In this order: a script uses what stands in those before it.
_SCRIPT_FILES = ("elements.js", "choice.js", "picture.js", "trade_off.js", "charts.js", "page.js")
# The section on the graph comes with a style of its own, and sets the lengths of bars.
_POLICY = (
    "default-src 'none'; script-src {script}; style-src {styles}; style-src-attr 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
# These characters would end the element that holds the data, or begin another one.
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def render(document: ReportDocument, *, graph: str = "") -> bytes:
    """Render the page; the same document gives the same bytes.

    Args:
        document: what the page shows.
        graph: the section on the graph (`pipeline.pages.graph_section`), where text of others is escaped; empty where
            there is none.
    """
    style, script = _text("page.css"), "\n".join(_text(name) for name in _SCRIPT_FILES)
    harmless = _harmless(document.model_dump(mode="json"))
    parts = {
        "name": html.escape(harmless["name"]),
        "source": html.escape(harmless["source"]),
        "verdict": "\n".join(f"<p>{html.escape(sentence)}</p>" for sentence in harmless["verdict"]["sentences"]),
        "graph": graph or _NO_GRAPH,
        "report": json.dumps(harmless).translate(_ESCAPES),
        "style": style,
        "script": script,
        "policy": _POLICY.format(script=_hashes([script]), styles=_hashes([style, *_STYLES.findall(graph)])),
    }
    # Each place is filled once, so that what fills one is never taken for another place.
    return _PLACE.sub(lambda place: parts[place[1]], _text("page.html")).encode()


def _text(name: str) -> str:
    return resources.files("pipeline.pages.report").joinpath(name).read_text(encoding="utf-8")


def _harmless(value: Any) -> Any:
    """Return JSON values in which no text holds control characters but line ends, and a number is one."""
    match value:
        case dict():
            return {visible(key, lines=True): _harmless(inner) for key, inner in value.items()}
        case list():
            return [_harmless(inner) for inner in value]
        case str():
            return visible(value, lines=True)
        case float() if not math.isfinite(value):
            return None  # a loss that went out of bounds, say: JSON knows no such number
        case _:
            return value


def _hashes(contents: Iterable[str]) -> str:
    """Return the sources that the policy allows: the hash of each content."""
    digests = [hashlib.sha256(content.encode()).digest() for content in contents]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
