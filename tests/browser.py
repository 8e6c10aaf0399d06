"""A headless Chromium, driven by the Chrome DevTools Protocol over two pipes: JSON messages with a zero byte behind."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root in a container has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
)
_WAIT_S = 30.0


def found(script: str) -> str:
    """Path that one of our scripts finds or fetches; the test is skipped where it does neither."""
    try:
        ended = subprocess.run(
            ["bash", str(SCRIPTS / script)], capture_output=True, text=True, timeout=600, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"{script}: not fetched within 10 minutes")
    if ended.returncode != 0:
        pytest.skip(ended.stderr.strip().splitlines()[-1])
    return ended.stdout.strip()


class Browser:
    """A browser that runs.

    Args:
        process: the browser.
        to: pipe on which it is told what to do.
        back: pipe on which it answers.
    """

    def __init__(self, process: subprocess.Popen[bytes], to: int, back: int) -> None:
        self.events: list[dict[str, Any]] = []
        self._process = process
        self._to = to
        self._back = back
        self._number = 0
        self._unread = b""

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result; events meanwhile are kept."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._next(_WAIT_S)).get("id") != number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def gather(self, wait_s: float) -> None:
        """Keep the events that come within a time."""
        while select.select([self._back], [], [], wait_s)[0] or b"\0" in self._unread:
            self.events.append(self._next(wait_s))

    def _next(self, wait_s: float) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._back], [], [], wait_s)
            part = os.read(self._back, 1 << 20) if ready else b""
            assert part, f"the browser says nothing, exit code {self._process.poll()}"
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        parsed: dict[str, Any] = json.loads(message)
        return parsed


class Tab:
    """A tab in a context of its own: no cookies or cache of another one.

    Args:
        browser: its browser.
        width: width of the page, in CSS pixels.
        dark: whether its person prefers dark pages.
    """

    def __init__(self, browser: Browser, *, width: int = 1000, dark: bool = False) -> None:
        self.browser = browser
        context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol for this tab."""
        return self.browser.call(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Load a page."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def value(self, expression: str) -> Any:
        """Return the value of an expression in the page, awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + _WAIT_S
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < deadline, f"{expression} did not come true; the page says:\n{self.text('body')}"
            time.sleep(0.02)

    def text(self, selector: str) -> str:
        """Return the text of an element as a person sees it."""
        return str(self.value(f"document.querySelector({json.dumps(selector)}).innerText"))

    def choose(self, selector: str, files: Sequence[Path]) -> None:
        """Choose files in an input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def drop(self, selector: str, file: Path) -> None:
        """Drop a file on an element, as from a file manager."""
        box = self.value(
            f"(box => [box.x + box.width / 2, box.y + box.height / 2])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=box[0], y=box[1], data=data)

    def type(self, text: str) -> None:
        """Write into the element that has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, *, control: bool = False) -> None:
        """Press a key: Tab, Enter, Home, an arrow."""
        code = {"Tab": 9, "Enter": 13, "Home": 36, "ArrowUp": 38, "ArrowDown": 40}[key]
        typed = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                modifiers=2 if control else 0,
                **(typed if kind == "keyDown" else {}),
            )

    def screenshot(self, file: Path) -> None:
        """Write the whole page as a PNG file."""
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        file.write_bytes(base64.b64decode(picture))

    def of(self, method: str) -> list[dict[str, Any]]:
        """Parameters of all events of a kind in this tab so far."""
        self.browser.gather(0.2)
        own = [event for event in self.browser.events if event.get("sessionId") == self._session]
        return [event["params"] for event in own if event["method"] == method]

    def addresses(self) -> list[str]:
        """Addresses that the page asked for."""
        return [event["request"]["url"] for event in self.of("Network.requestWillBeSent")]

    def complaints(self) -> list[str]:
        """Errors, warnings and refusals of its policy that the page caused."""
        return [
            *(str(event["exceptionDetails"]) for event in self.of("Runtime.exceptionThrown")),
            *(str(event["args"]) for event in self.of("Runtime.consoleAPICalled")),
            *(event["entry"]["text"] for event in self.of("Log.entryAdded")),
        ]


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Start a Chromium with a profile of its own, and end it."""
    program = found("chromium")
    (read_to, to), (back, write_back) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="pipeline-browser-", ignore_cleanup_errors=True) as profile:
        command = [program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
        # The browser reads from descriptor 3 and writes to 4.
        process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{read_to} 4>&{write_back}', "bash", *command],
            pass_fds=(read_to, write_back),
            stderr=subprocess.DEVNULL,
        )
        os.close(read_to)
        os.close(write_back)
        try:
            yield Browser(process, to, back)
        finally:
            os.close(to)  # the browser ends where nobody can tell it anything
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            os.close(back)
