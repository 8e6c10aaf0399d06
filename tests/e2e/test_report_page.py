"""The page of the report in a real browser: its answers are those of the build, and nobody is shut out of it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.candidates.choose import choose
from pipeline.candidates.report import CandidateReport, TimingFigures
from pipeline.errors import ProofError
from pipeline.pages.graph_section import graph_section
from pipeline.pages.report.document import ReportDocument
from pipeline.pages.report.render import render
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget
from tests.browser import Browser, Tab, found
from tests.builders import LIMITS, candidate, quality
from tests.example_build import Built
from tests.graph_comparisons import small_comparison
from tests.report_documents import GOALS, REPORTS, document, rivals

# Markup that would set `window.hit` where a text is taken for HTML.
EVIL = '<img src=x onerror="window.hit=1"></script><script>window.hit=1</script>'
WINNER = "document.querySelector('#trade-off .who').textContent"
SLIDER = "document.querySelector('#trade-off [role=slider]')"


def opened(browser: Browser, page: Path, *, width: int = 1000, dark: bool = False) -> Tab:
    tab = Tab(browser, width=width, dark=dark)
    tab.open(page.as_uri())
    return tab


def written(folder: Path, shown: ReportDocument, *, graph: str = "") -> Path:
    page = folder / "report.html"
    page.write_bytes(render(shown, graph=graph))
    return page


def made_up(seed: int) -> list[CandidateReport]:
    """A set of candidates with ties in cost and in complexity, refused ones, and float in one format or in two."""
    random = np.random.default_rng(seed)
    reports = [candidate(ms=1.0, size=8000)]
    if seed % 2:
        reports.insert(int(random.integers(0, 2)), candidate(form="torchscript", ms=float(random.choice([0.9, 1.0]))))
    for number in range(int(random.integers(2, 12))):
        judged = quality(
            lost=int(random.choice([5, 20, 40, 60, 90, 300])),
            gained=int(random.choice([0, 5, 20])),
            confident=int(random.choice([0, 0, 9, 11, 500])),
        )
        ms = float(random.choice([0.2, 0.205, 0.3, 0.31, 0.5, 1.0]))
        report = candidate(
            f"net{number}",
            random.choice(["onnx", "torchscript"]),
            ms=ms,
            batch_ms=float(random.choice([3, 3.05, 8, 30])),
            size=int(random.choice([100, 102, 500, 8000])),
            judged=judged,
        )
        if random.random() < 0.5:  # rounds of its own, so that gains have intervals that mean something
            report = report.model_copy(update={"timings": tuple(shaken(timing, random) for timing in report.timings)})
        if random.random() < 0.4:
            report = report.model_copy(update={"passes": report.passes * 2})
        reports.append(report)
    return reports


def shaken(timing: TimingFigures, random: np.random.Generator) -> TimingFigures:
    rounds = timing.median_ms * random.uniform(0.96, 1.04, len(timing.rounds_ms))
    return timing.model_copy(update={"rounds_ms": tuple(rounds.tolist())})


def budgets_around(reports: Sequence[CandidateReport]) -> list[float]:
    """Budgets at each bound, just under it, between all of them, and at both ends."""
    verdicts = choose(reports, goal="size", limits=LIMITS).verdicts
    bounds = [verdicts[report.name].adjusted_drop_upper for report in reports if report.lossy]
    steps = [float(step) / 10_000 for step in range(0, 400, 13)]
    return [budget for budget in (*bounds, *(math.nextafter(bound, 0) for bound in bounds), *steps) if 0 <= budget < 1]


def choices(reports: Sequence[CandidateReport], goal: Goal, budgets: Sequence[float]) -> list[list[str] | None]:
    """The winner and the reason for each budget, by the rule of the build itself."""
    chosen: list[list[str] | None] = []
    for budget in budgets:
        limits = LIMITS.model_copy(update={"max_accuracy_drop": budget})
        try:
            choice = choose(reports, goal=goal, limits=limits)
        except ProofError:
            chosen.append(None)
        else:
            chosen.append([choice.selected, choice.why])
    return chosen


def answers(tab: Tab, reports: Sequence[CandidateReport], goal: Goal, budgets: Sequence[float]) -> Any:
    """The same as the page says it."""
    given = json.dumps([rival.model_dump() for rival in rivals(reports, goal)])
    axis = f"{{goal: {json.dumps(goal)}, rivals: {given}}}"
    return tab.value(
        f"{json.dumps(list(budgets))}.map(budget => {{ const axis = {axis};"
        "const said = winnerInWords({minimum_gain: .03}, axis, budget), found = whoWins(axis.rivals, budget);"
        "return found && [found.chosen, said.split(' would win: ')[1].slice(0, -1)]; })"
    )


def test_it_says_who_would_win_as_the_build_does(browser: Browser, tmp_path: Path) -> None:
    tab = opened(browser, written(tmp_path, document()))
    winners = set()
    for seed in range(12):
        reports = made_up(seed)
        budgets = budgets_around(reports)
        for goal in GOALS:
            expected = choices(reports, goal, budgets)
            assert answers(tab, reports, goal, budgets) == expected, (seed, goal)
            winners |= {(seed, goal, chosen[0]) for chosen in expected if chosen}
    assert len(winners) > 75  # a budget matters in these sets


def test_where_nobody_is_inside_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    tab = opened(browser, written(tmp_path, document()))
    reports = [candidate("slim", judged=quality(lost=30)), candidate("thin", judged=quality(lost=90))]
    limits = Budget(max_accuracy_drop=0.0)
    with pytest.raises(ProofError, match="expected one inside its limits"):
        choose(reports, goal="size", limits=limits)
    given = json.dumps([rival.model_dump() for rival in rivals(reports, "size", Budget(max_accuracy_drop=0.5))])
    said = tab.value(f"winnerInWords({{minimum_gain: .03}}, {{goal: 'size', rivals: {given}}}, 0)")
    assert said == "With a budget of 0.00\N{NO-BREAK SPACE}points, no candidate would be inside its limits."


def test_the_line_of_the_budget_moves_by_keys_by_mouse_and_by_number(browser: Browser, tmp_path: Path) -> None:
    tab = opened(browser, written(tmp_path, document()))
    expected = choices(REPORTS, "latency", [0.01, 0.0101, 0.0, 0.05])
    assert all(expected)
    said = [f"{winner} would win: {why}." for winner, why in filter(None, expected)]
    assert len(set(said)) >= 3
    assert tab.value(WINNER).endswith(said[0])
    tab.value(f"{SLIDER}.focus()")
    tab.press("ArrowUp")
    assert tab.value(f"{SLIDER}.getAttribute('aria-valuetext')") == "budget 1.01 points"
    assert tab.value(WINNER).endswith(said[1])
    assert tab.value(f"document.activeElement === {SLIDER}")
    tab.press("Home")
    assert tab.value(WINNER).endswith(said[2])
    tab.value(
        "(field => { field.value = 5; field.dispatchEvent(new Event('change')) })(document.querySelector('#budget'))"
    )
    assert "With a budget of 5.00" in tab.value(WINNER) or "With a budget of 4.00" in tab.value(WINNER)
    tab.value("document.querySelector('#trade-off .movable button').click()")
    assert tab.value(WINNER).endswith(said[0])
    x, y = tab.value(
        "(box => [box.x + box.width / 2, box.y + box.height / 2])"
        "(document.querySelector('#trade-off .handle').getBoundingClientRect())"
    )
    mouse = {"x": x, "button": "left", "buttons": 1, "clickCount": 1}
    tab.call("Input.dispatchMouseEvent", type="mousePressed", y=y, **mouse)
    tab.call("Input.dispatchMouseEvent", type="mouseMoved", y=y + 1000, **mouse)
    tab.call("Input.dispatchMouseEvent", type="mouseReleased", y=y + 1000, **mouse)
    assert tab.value(WINNER).endswith(said[2])
    assert tab.complaints() == []


def test_it_says_what_another_winner_gains_and_loses(browser: Browser, tmp_path: Path) -> None:
    tab = opened(browser, written(tmp_path, document()))
    gains, field = "document.querySelector('#trade-off .gains').textContent", "document.querySelector('#budget')"
    reset = "document.querySelector('#trade-off .movable button')"
    assert tab.value(gains) == ""
    tab.value(f"(field => {{ field.value = 4; field.dispatchEvent(new Event('change')) }})({field})")
    assert tab.value(gains) == (
        "Beside thin.onnx.fp32, which the build chose: latency 0.2 instead of 0.3 ms, throughput 30 instead of 30 ms, "
        "size 0.9 instead of 1 kB, 2.30 points more lost."
    )
    assert tab.value(f"{reset}.textContent") == "Reset to 1.00"
    tab.value(f"{reset}.click()")
    assert tab.value(gains) == ""


def test_a_candidate_is_named_and_its_row_marked(browser: Browser, tmp_path: Path) -> None:
    tab = opened(browser, written(tmp_path, document()))
    point = "document.querySelector('#trade-off [data-key=\"thin.onnx.fp32\"]')"
    tab.value(f"{point}.focus()")
    named = tab.text("#trade-off .readout")
    assert re.fullmatch(r"thin\.onnx\.fp32: drop \+0\.70 points \(at most \+0\.\d\d\), 0\.3 ms, .*", named)
    tab.press("Enter")
    assert tab.text("tr[aria-current]").startswith("thin.onnx.fp32")
    tab.value("document.querySelector('#axis-size').click()")
    assert "1 kB" in tab.value(f"{point}.getAttribute('aria-label')")
    assert tab.value(WINNER).endswith(" The recipe competes in latency.")


def test_the_table_is_sorted_by_its_headings(browser: Browser, tmp_path: Path) -> None:
    tab = opened(browser, written(tmp_path, document()))
    names = "[...document.querySelectorAll('#candidates tbody tr')].map(row => row.cells[0].textContent.split(' ')[0])"
    heading = "document.querySelectorAll('#candidates thead button')[2]"
    by_time = ["wild.onnx.fp32", "bold.onnx.fp32", "thin.onnx.fp32", "slim.onnx.fp32", "float.onnx.fp32"]
    for expected, order in ((by_time, "ascending"), (by_time[::-1], "descending"), (by_time, "ascending")):
        assert tab.value(names) == expected
        assert tab.value(f"{heading}.closest('th').getAttribute('aria-sort')") == order
        tab.value(f"{heading}.click()")


def test_texts_of_others_are_no_markup(browser: Browser, tmp_path: Path) -> None:
    tab = opened(browser, written(tmp_path, document(EVIL)))
    assert tab.value("window.hit") is None
    assert tab.value("document.images.length") == 1  # the example's own
    assert tab.value("document.scripts.length") == 2
    assert tab.text("h1") == EVIL
    assert EVIL in tab.text("#disagreements")
    assert EVIL in tab.text("#elsewhere")
    assert tab.complaints() == []


def test_the_page_of_a_build_asks_for_nothing_and_is_small(browser: Browser, built: Built) -> None:
    page = built.run_dir / "report.html"
    assert page.stat().st_size < 1_000_000
    tab = opened(browser, page)
    assert [address for address in tab.addresses() if not address.startswith("data:")] == [page.as_uri()]
    assert tab.complaints() == []
    assert tab.value("fetch('http://localhost:9/').then(() => 'sent', problem => problem.name)") == "TypeError"
    assert (
        tab.value("(() => { try { document.body.innerHTML = 'x' } catch (problem) { return problem.name } })()")
        == "TypeError"
    )


def test_the_page_of_a_build_says_who_would_win_as_the_build_does(browser: Browser, built: Built) -> None:
    tab = opened(browser, built.run_dir / "report.html")
    result = built.result
    assert f"{result.selected} would win: {result.why}." in tab.value(WINNER)
    reports = [row.report for row in result.candidates]
    compared = sum(report.lossy for report in reports)
    budgets = [step / 1000 for step in range(0, 120, 3)]
    for axis, goal in enumerate(GOALS):
        said = tab.value(
            f"{json.dumps(budgets)}.map(budget => whoWins(report.trade_off.axes[{axis}].rivals, budget).chosen)"
        )
        expected = [
            choose(
                reports,
                goal=goal,
                limits=result.limits.model_copy(update={"max_accuracy_drop": budget}),
                compared=compared,
            ).selected
            for budget in budgets
        ]
        assert said == expected


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1000])
def test_nobody_is_shut_out(browser: Browser, built: Built, tmp_path: Path, width: int, dark: bool) -> None:
    axe = Path(found("axe-core")).read_text()
    graph = graph_section(small_comparison())
    for page in (written(tmp_path, document(), graph=graph), built.run_dir / "report.html"):
        tab = Tab(browser, width=width, dark=dark)
        tab.call("Page.setBypassCSP", enabled=True)  # axe-core is no script of the page
        tab.open(page.as_uri())
        tab.value("document.querySelectorAll('details').forEach(details => { details.open = true; })")
        tab.value(
            "document.querySelector('#trade-off a.point').dispatchEvent(new MouseEvent('click', {bubbles: true}))"
        )
        tab.value(axe + "; undefined")
        faults = tab.value("axe.run().then(result => result.violations)")
        told = [(fault["id"], fault["help"], [node["html"] for node in fault["nodes"]][:3]) for fault in faults]
        assert told == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1000])
def test_it_fits_the_screen(browser: Browser, built: Built, width: int, dark: bool) -> None:
    tab = opened(browser, built.run_dir / "report.html", width=width, dark=dark)
    tab.value("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    assert tab.value("document.documentElement.scrollWidth") <= width
    red, green, blue = map(int, re.findall(r"\d+", tab.value("getComputedStyle(document.body).backgroundColor")))
    assert (red + green + blue < 200) == dark
