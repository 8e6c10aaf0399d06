"""The section about the graph says what changed in words, and takes nobody's text for markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from pipeline.inspection.graph_comparison import GraphComparison, LayerRow
from pipeline.pages.graph_section import graph_section
from tests.graph_comparisons import change, layer, small_comparison

_VOID = {"br", "hr", "img", "meta", "link"}


class Elements(HTMLParser):
    """Counts elements, and holds that each one is closed in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.names.append(tag)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def elements(section: str) -> list[str]:
    parser = Elements()
    parser.feed(section)
    assert not parser.open
    return parser.names


def text_of(section: str) -> str:
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", section, flags=re.DOTALL).split())


def test_the_changes_stand_in_words_and_the_first_one_is_marked() -> None:
    section = graph_section(small_comparison())
    text = text_of(section)
    for words in (
        "2 narrowed (features.0 and features.3)",
        "1 quantized (features.3)",
        "The first difference from the input down: features.0, narrowed: 32 to 16 channels.",
        "Where the time goes now: features.0 with features.1 44 %, features.3 22 %, preprocess 11 %",
        "features.0 First difference Before Conv2d · 32 x 28 x 28 · fp32 320 parameters, 1.8 % of compute",
        "under 5 µs: too short to tell",
        "its time is in that of features.0",
        "overhead exceeds a small layer",
        "2 unchanged (preprocess and features.1)",
        "the same, on another shape; in both files one node with features.0 when run",
    ):
        assert words in text
    assert section.count("First difference</span>") == 1
    assert elements(section).count("tr") == 1 + len(small_comparison().rows)


def test_a_file_without_times_says_why() -> None:
    comparison = small_comparison()
    note = "TorchScript runs fused kernels of which no profiler tells the layers"
    after = comparison.after.model_copy(update={"format": "torchscript", "time": None, "time_note": note})
    text = text_of(graph_section(comparison.model_copy(update={"after": after})))
    assert f"slim5.28.onnx.int8-static: no time of each layer: {note}." in text
    assert "Where the time went: features.3 with features.4 71 %" in text


def test_names_of_strangers_are_text() -> None:
    evil = '</style><img src=x onerror="window.hit=1">\u202e'
    comparison = small_comparison()
    row = LayerRow(name=evil, before=layer(evil, (1,)), after=None, changes=(change("removed", evil),))
    section = graph_section(
        comparison.model_copy(
            update={
                "rows": (row,),
                "before": comparison.before.model_copy(update={"label": evil}),
                "inputs": evil,
                "notes": (evil,),
            }
        )
    )
    assert "img" not in elements(section)
    assert "\u202e" not in section
    assert section.count("</style>") == 1


def test_a_very_deep_network_stays_under_the_size_of_a_page_and_says_what_it_leaves_out() -> None:
    section = graph_section(deep(2000))
    assert len(section.encode()) < 700_000
    assert "more, layer." in section
    assert "First difference</span>" in section


def deep(layers: int) -> GraphComparison:
    rows = [
        LayerRow(
            name=f"layer.{number}",
            before=layer("Linear", (64, 768), parameters=590_592, compute=1 / layers, time=(100.0, number / layers**2)),
            after=layer("Linear", (64, 768), parameters=590_592, compute=1 / layers, time=(50.0, number / layers**2)),
            changes=(change("quantized", "quantized: fp32 to int8"),),
            first=number == 7,
        )
        for number in range(layers)
    ]
    return small_comparison().model_copy(update={"rows": tuple(rows)})
