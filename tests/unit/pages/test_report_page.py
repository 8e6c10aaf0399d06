"""The page of the report holds its data, its looks and a policy that allows nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from typing import Any

from pipeline.pages.graph_section import graph_section
from pipeline.pages.report.document import ReportDocument
from pipeline.pages.report.render import render
from tests.graph_comparisons import small_comparison
from tests.report_documents import document

EVIL = "</script><!-- style --><b>&\x1b[31m\u202e"


def parts(page: str, element: str) -> list[str]:
    return re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)


def data(page: str) -> Any:
    [text] = re.findall(r'<script type="application/json" id="report">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def test_the_same_report_gives_the_same_bytes() -> None:
    assert render(document()) == render(document())


def test_the_page_holds_the_whole_document() -> None:
    assert ReportDocument.model_validate(data(render(document()).decode())) == document()


def test_the_policy_allows_the_pages_own_style_and_script_alone() -> None:
    page = render(document(), graph=graph_section(small_comparison())).decode()
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    [script], styles = parts(page, "script"), parts(page, "style")
    assert len(styles) == 2

    def source(content: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == source(script)
    assert rules["style-src"] == " ".join(map(source, styles))
    assert rules["img-src"] == "data:"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in policy.replace("style-src-attr 'unsafe-inline'", "")


def test_a_figure_that_is_no_number_is_left_out() -> None:
    whole = document()
    assert whole.training is not None
    [panel] = whole.training.panels
    curve = panel.curves[0].model_copy(update={"values": (float("nan"), float("inf"))})
    training = whole.training.model_copy(update={"panels": (panel.model_copy(update={"curves": (curve,)}),)})
    page = render(whole.model_copy(update={"training": training})).decode()
    assert data(page)["training"]["panels"][0]["curves"][0]["values"] == [None, None]
    assert "NaN" not in page.partition('id="report">')[2].partition("</script>")[0]


def test_it_loads_nothing() -> None:
    page = render(document()).decode()
    assert not re.search(r"<link rel=\"stylesheet|<script src|@import|url\(", page)
    assert set(re.findall(r"https?://[^'\"\s]+", page)) == {"http://www.w3.org/2000/svg"}


def test_no_text_of_others_ends_an_element_or_fills_a_place() -> None:
    page = render(document(EVIL)).decode()
    plain = render(document()).decode()
    for element in ("script", "style"):
        assert parts(page, element) == parts(plain, element)
    assert "<b>" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert data(page)["name"] == "</script><!-- style --><b>&\\x1b[31m\\u202e"
    assert html.escape("The build chose </script>") in page


def test_without_graphs_the_section_is_there_and_empty() -> None:
    assert render(document()).decode().count('<section id="graph"') == 1
    assert render(document(), graph=graph_section(small_comparison())).decode().count('<section id="graph"') == 1
