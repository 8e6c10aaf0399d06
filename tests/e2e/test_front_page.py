"""The page at `/` in a real browser: what a person sees of answers and refusals, and what the page must not do."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import pipeline
from pipeline._handlers.columns import Column
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.request import MAX_BODY_BYTES
from pipeline.archive.mar import Archive
from pipeline.serving import lifecycle
from pipeline.serving.defaults import ServerName
from pipeline.serving.door import Door
from pipeline.serving.encoding import encode_png
from pipeline.serving.front.access import Access
from tests.browser import Browser, Tab, found
from tests.fronts import front_of
from tests.served_models import GREY, LABELS, build_archive

ANSWERED, REFUSED = "document.querySelector('#more details')", "document.querySelector('#said.bad')"
# Markup that would set `window.hit` where a text is taken for HTML.
EVIL = '<img src=x onerror="window.hit=1">'
EVIL_END = "</script><script>window.hit=1</script>"
SECRET = "right-token"  # noqa: S105 - no secret


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pictures") / "boot.png"
    file.write_bytes(encode_png(np.random.default_rng(5).integers(0, 256, (1, 8, 6), dtype=np.uint8)))
    return file


@pytest.fixture(scope="module")
def url(archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with front_of(archive, tmp_path_factory.mktemp("front")) as url:
        yield url


@pytest.fixture(scope="module")
def table_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    columns = (Column(name="age"), Column(name=EVIL_END, categories=("female", "male")))
    spec = InputSpec(name="features", dtype="float32", shape=(2,), low=-9.0, high=9.0, columns=columns)
    archive = build_archive(tmp_path_factory.mktemp("table"), [spec])
    with front_of(archive, tmp_path_factory.mktemp("front")) as url:
        yield url


def opened(browser: Browser, url: str, *, width: int = 1000, dark: bool = False) -> Tab:
    tab = Tab(browser, width=width, dark=dark)
    tab.open(f"{url}/")
    return tab


@pytest.mark.parametrize("server", ["asgi", pytest.param("torchserve", marks=pytest.mark.slow)])
def test_a_chosen_picture_gets_the_answer_of_predict(
    browser: Browser, archive: Archive, picture: Path, server: ServerName
) -> None:
    with lifecycle.running_server(archive.path, server=server, workers=1) as state:
        tab = opened(browser, state.url)
        tab.choose("#file", [picture])
        tab.until(ANSWERED)
        [answer] = pipeline.predict(picture, url=state.url)
        [prediction] = answer.predictions
        wanted = prediction.to_json()
        assert tab.text("#said") == f"{wanted['label']}, {100 * wanted['probability']:.1f}\N{NO-BREAK SPACE}%"
        shown = [
            line.split("\n")[0]
            for line in tab.value("[...document.querySelectorAll('.bars li')].map(r => r.innerText)")
        ]
        assert shown == [entry["label"] for entry in wanted["top"]]
        [status] = lifecycle.status(state.port)
        more = tab.text("#more")
        assert re.search(r"Answered\n\S+.*, in \d+ ms\n", more)
        assert f"Worker\n{status.workers[0].pid}\n" in more
        assert re.search(r"Request\n\S+\n", more)
        assert f"Model\ntiny 1.0\nDigest\n{archive.digest}\n" in more
        assert archive.digest in tab.text("header")
        assert tab.value("document.querySelector('#preview').naturalWidth") == 6
        assert tab.complaints() == []


def test_it_asks_for_nothing_but_its_own(browser: Browser, url: str, picture: Path) -> None:
    tab = opened(browser, url)
    tab.choose("#file", [picture])
    tab.until(ANSWERED)
    addresses = [address for address in tab.addresses() if not address.startswith((f"blob:{url}/", "data:"))]
    assert addresses == [f"{url}/", f"{url}/predictions/tiny"]
    assert tab.complaints() == []
    # The policy holds where the page itself would do otherwise.
    assert tab.value("fetch('http://localhost:9/').then(() => 'sent', problem => problem.name)") == "TypeError"
    assert (
        tab.value("(() => { try { document.body.innerHTML = 'x' } catch (problem) { return problem.name } })()")
        == "TypeError"
    )
    assert any("Content Security Policy" in complaint for complaint in tab.complaints())


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_is_dropped_or_pasted(browser: Browser, url: str, picture: Path, way: str) -> None:
    tab = opened(browser, url)
    if way == "drop":
        tab.drop("#drop", picture)
    else:
        numbers = list(picture.read_bytes())
        tab.value(
            "(() => { const data = new DataTransfer();"
            f"data.items.add(new File([new Uint8Array({numbers})], 'pasted.png', {{type: 'image/png'}}));"
            "document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data})) })()"
        )
    tab.until(ANSWERED)
    assert tab.text("#said").split(",")[0] in LABELS


def test_an_answer_of_another_model_than_the_pages_says_so(browser: Browser, url: str, picture: Path) -> None:
    tab = opened(browser, url)
    tab.choose("#file", [picture])
    tab.until(ANSWERED)
    assert "load the page again" not in tab.text("#said")
    tab.value("model.digest = 'of the archive that was served when the page was loaded'")
    tab.drop("#drop", picture)
    tab.until("document.querySelector('#said').innerText.includes('load the page again')")


def test_a_refusal_is_told_in_words(browser: Browser, url: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    tab = opened(browser, url)
    tab.choose("#file", [tmp_path / "notes.txt"])
    tab.until(REFUSED)
    assert tab.text("#said").split("\n") == [
        *("input image: not a picture", ""),
        *("Expected", "a PNG, JPEG, WebP, GIF, BMP or TIFF file"),
        *("Found", "10 bytes beginning with b'no pictu'"),
        *("Status", "400"),
    ]
    assert not tab.value("document.querySelector('#again').checkVisibility()")


def test_a_picture_that_is_too_large_is_not_sent(browser: Browser, url: str, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(bytes(MAX_BODY_BYTES + 1))
    tab = opened(browser, url)
    tab.choose("#file", [tmp_path / "large.png"])
    tab.until(REFUSED)
    assert "Expected\nat most 6.6 MB" in tab.text("#said")
    assert not any("predictions" in address for address in tab.addresses())


def test_without_an_answer_the_person_may_ask_again(browser: Browser, url: str, picture: Path) -> None:
    tab = opened(browser, url)
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    tab.call("Network.emulateNetworkConditions", offline=True, **network)
    tab.choose("#file", [picture])
    tab.until(REFUSED)
    assert tab.text("#said").startswith("The server did not answer\n")
    tab.call("Network.emulateNetworkConditions", offline=False, **network)
    tab.value("document.querySelector('#again').click()")
    tab.until(ANSWERED)


def test_texts_of_others_are_no_markup(browser: Browser, tmp_path: Path, picture: Path) -> None:
    archive = build_archive(tmp_path / "archive", [GREY], labels=[f"{EVIL}{number}" for number in range(5)])
    file = tmp_path / EVIL.replace("/", "")
    file.write_bytes(picture.read_bytes())
    with front_of(archive, tmp_path) as url:
        tab = opened(browser, url)
        tab.choose("#file", [file])
        tab.until(ANSWERED)
        assert tab.text("#said").startswith(EVIL)
        assert tab.text("#caption").startswith(EVIL)
        assert tab.value("document.images.length") == 1
        assert tab.value("window.hit") is None
        assert tab.of("Runtime.exceptionThrown") == []


def test_a_table_is_asked_by_json(browser: Browser, table_url: str) -> None:
    tab = opened(browser, table_url)
    assert tab.value("window.hit") is None
    body = {"instances": [{"age": 0.1, EVIL_END: "female"}]}
    assert json.loads(tab.value("document.querySelector('#body').value")) == body
    tab.value("document.querySelector('#body').focus()")
    tab.press("Enter", control=True)
    tab.until(ANSWERED)
    answer = httpx.post(f"{table_url}/predictions/tiny", json=body, trust_env=False).json()
    [prediction] = answer["predictions"]
    assert tab.text("#said") == f"{prediction['label']}, {100 * prediction['probability']:.1f}\N{NO-BREAK SPACE}%"
    assert json.loads(tab.text("#more pre")) == answer
    assert tab.complaints() == []
    tab.value("document.querySelector('#body').value = '{\"instances\": [[1]]}'")
    tab.value("document.querySelector('#text button').click()")
    tab.until(REFUSED)
    assert tab.text("#said").startswith("instance 0: wrong number of values\n")
    wrong = json.dumps(json.dumps({"instances": [{EVIL: 1}]}))
    tab.value(f"document.querySelector('#body').value = {wrong}")
    tab.value("document.querySelector('#text button').click()")
    tab.until("document.querySelector('#said').innerText.startsWith('instance 0: wrong columns')")
    assert f"unknown {EVIL}" in tab.text("#said")
    assert tab.value("document.images.length") == 1
    assert tab.value("window.hit") is None


def test_several_instances_are_numbered(browser: Browser, table_url: str) -> None:
    tab = opened(browser, table_url)
    rows = ", ".join('[1, "male"]' for _ in range(25))
    tab.value(f"document.querySelector('#body').value = '{{\"instances\": [{rows}]}}'")
    tab.value("document.querySelector('#text').requestSubmit()")
    tab.until(ANSWERED)
    lines = [line for line in tab.text("#said").split("\n") if line]
    assert [line.split(":")[0] for line in lines] == [*map(str, range(1, 21)), "and 5 more, in the JSON below"]


@pytest.mark.parametrize(
    ("task", "settings", "shown"),
    [
        ("multi-label", {"threshold": [0.2]}, "given"),
        ("regression", {"units": ["knots"]}, "knots"),
        ("outputs", {}, '"logits": ['),
    ],
)
def test_every_task_has_its_answer(
    browser: Browser, tmp_path: Path, picture: Path, task: Any, settings: dict[str, Any], shown: str
) -> None:
    outputs = [OutputSpec(name="logits", shape=(5,))] if task == "outputs" else []
    labels = ["logits"] if outputs else LABELS
    archive = build_archive(
        tmp_path / "archive", [GREY], task=task, task_settings=settings, outputs=outputs, labels=labels
    )
    with front_of(archive, tmp_path) as url:
        tab = opened(browser, url)
        tab.choose("#file", [picture])
        tab.until(ANSWERED)
        answer = httpx.post(f"{url}/predictions/tiny", content=picture.read_bytes(), trust_env=False).json()
        said, more = tab.text("#said"), tab.text("#more")
        assert shown in more
        match task:
            case "multi-label":
                given = [entry["label"] for entry in answer["labels"]]
                assert given
                assert said == ", ".join(given)
                assert more.count("given") == len(given)
            case "regression":
                assert [entry["name"] in more for entry in answer["values"]] == [True] * 5
                assert said.startswith(f"ankle boot {answer['values'][0]['value']:.7g}\N{NO-BREAK SPACE}knots, bag ")
            case _:
                assert said == "Outputs logits"
                assert json.loads(tab.text("#more pre")) == answer


def test_the_token_is_asked_for_and_kept_in_the_page(
    browser: Browser, archive: Archive, tmp_path: Path, picture: Path
) -> None:
    with front_of(archive, tmp_path, Access(Door(token=SECRET))) as url:
        tab = opened(browser, url)
        assert "tiny" not in tab.text("body")
        tab.type("wrong")
        tab.press("Enter")
        tab.until(REFUSED)
        assert tab.text("#said").startswith("no right token\n")
        tab.value("document.querySelector('#token').select()")
        tab.type(SECRET)
        tab.press("Enter")
        tab.until("document.querySelector('#file').checkVisibility()")
        assert tab.text("h1") == "tiny"
        tab.choose("#file", [picture])
        tab.until(ANSWERED)
        kept = "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}, location.href])"
        assert SECRET not in tab.value(kept)
        assert not tab.value("document.querySelector('#token').value")


def test_a_keyboard_alone_reaches_what_there_is(browser: Browser, url: str) -> None:
    tab = opened(browser, url)
    tab.press("Tab")
    assert tab.value("document.activeElement.id") == "file"
    assert tab.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("state", ["empty", "answered", "refused", "table", "door"])
def test_nobody_is_shut_out(
    browser: Browser, archive: Archive, url: str, table_url: str, tmp_path: Path, picture: Path, state: str, dark: bool
) -> None:
    axe = Path(found("axe-core")).read_text()
    with front_of(archive, tmp_path, Access(Door(token=SECRET))) as guarded:
        tab = Tab(browser, dark=dark)
        tab.call("Page.setBypassCSP", enabled=True)  # axe-core is no script of the page
        tab.open({"table": table_url, "door": guarded}.get(state, url) + "/")
        if state == "answered":
            tab.choose("#file", [picture])
            tab.until(ANSWERED)
            tab.value("document.querySelector('#more details').open = true")
        if state == "refused":
            (tmp_path / "notes.txt").write_text("no picture")
            tab.choose("#file", [tmp_path / "notes.txt"])
            tab.until(REFUSED)
        if state == "table":
            tab.value("document.querySelector('#text').requestSubmit()")
            tab.until(ANSWERED)
        tab.value(axe + "; undefined")
        faults = tab.value("axe.run().then(result => result.violations)")
        assert [(fault["id"], fault["help"], [node["html"] for node in fault["nodes"]]) for fault in faults] == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 380, 1000])
def test_it_fits_the_screen(browser: Browser, url: str, picture: Path, width: int, dark: bool) -> None:
    tab = opened(browser, url, width=width, dark=dark)
    tab.choose("#file", [picture])
    tab.until(ANSWERED)
    tab.value("document.querySelector('#more details').open = true")
    assert tab.value("document.documentElement.scrollWidth") <= width
    beside = tab.value("document.querySelector('#answer').offsetTop === document.querySelector('#pictures').offsetTop")
    assert beside == (width == 1000)
    red, green, blue = map(int, re.findall(r"\d+", tab.value("getComputedStyle(document.body).backgroundColor")))
    assert (red + green + blue < 128) == dark
