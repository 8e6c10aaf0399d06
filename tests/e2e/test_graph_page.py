"""The page of `pipeline diff --html` in a real browser: wide, on a phone, dark, and printed."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from pipeline.pages.graph_page import graph_page
from tests.browser import Browser, Tab
from tests.graph_comparisons import small_comparison


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "graph.html"
    file.write_text(graph_page(small_comparison()), encoding="utf-8")
    return file.as_uri()


@pytest.mark.parametrize(("width", "dark"), [(1100, False), (1100, True), (390, False), (320, True)])
def test_the_page_fits_and_stays_a_table_for_a_screen_reader(
    browser: Browser, page: str, width: int, *, dark: bool
) -> None:
    tab = Tab(browser, width=width, dark=dark)
    tab.open(page)
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert (tab.addresses(), tab.complaints()) == ([page], [])
    tab.call("Accessibility.enable")
    nodes = tab.call("Accessibility.getFullAXTree")["nodes"]
    roles = [node["role"]["value"] for node in nodes if not node["ignored"]]
    rows = len(small_comparison().rows)
    assert [roles.count(role) for role in ("table", "row", "rowheader", "columnheader")] == [1, rows + 1, rows, 5]
    assert roles.count("heading") == 2
    luminance = tab.value("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((a, b) => a + +b, 0)")
    assert (luminance < 200) is dark


def test_every_text_stands_out_from_what_is_behind_it(browser: Browser, page: str) -> None:
    """The contrast that WCAG 2 asks for (AA): 4.5 to 1."""
    for dark in (False, True):
        tab = Tab(browser, dark=dark)
        tab.open(page)
        low = tab.value(_CONTRASTS)
        assert low == []


def test_it_prints(browser: Browser, page: str, tmp_path: Path) -> None:
    tab = Tab(browser)
    tab.open(page)
    printed = base64.b64decode(tab.call("Page.printToPDF", printBackground=False)["data"])
    assert printed.startswith(b"%PDF")
    tab.call("Emulation.setEmulatedMedia", media="print", features=[])
    assert tab.value("getComputedStyle(document.querySelector('#graph table')).display") == "table"
    assert tab.value("getComputedStyle(document.querySelector('#graph')).color") == "rgb(0, 0, 0)"
    tab.screenshot(tmp_path / "print.png")


# Texts whose contrast with the nearest background behind them is below 4.5.
_CONTRASTS = """(() => {
  const parts = color => color.match(/[\\d.]+/g).map(Number);
  const light = color => {
    const [r, g, b] = parts(color).slice(0, 3).map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if ((parts(color)[3] ?? 1) > 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const low = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; text = texts.nextNode();) {
    const element = text.parentElement;
    if (!text.data.trim() || element.closest('style') || !element.getClientRects().length) continue;
    const [one, other] = [light(getComputedStyle(element).color), light(behind(element))];
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) low.push(`${text.data.trim()}: ${contrast.toFixed(1)}`);
  }
  return low;
})()"""
