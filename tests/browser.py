"""A real browser, spoken to through its debugging pipe: what a page looks like, and what it says.

The protocol is the Chrome DevTools Protocol: JSON messages that end with a zero byte, on
descriptors 3 (to the browser) and 4 (from it).
"""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_PATIENCE = 60.0
_PLACE = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in sys.argv[1:3]]
for place, end in zip((3, 4), ends):
    os.dup2(end, place)
os.execv(sys.argv[3], sys.argv[3:])
"""


def found() -> str | None:
    """Where a browser is installed, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Page:
    """One page, of a given width and colour scheme."""

    def __init__(self, to: int, back: int) -> None:
        self.events: list[dict[str, Any]] = []
        self._to, self._back = to, back
        self._number = 0
        self._got = b""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def show(self, url: str, *, width: int, scheme: str = "light", media: str = "screen") -> None:
        """Load a page at a width in CSS pixels."""
        self.events.clear()
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.ask("Emulation.setEmulatedMedia", media=media, features=features)
        self.ask("Page.navigate", url=url)
        until = time.monotonic() + _PATIENCE
        while not any(one.get("method") == "Page.loadEventFired" for one in self.events):
            self._take(until)

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript is on this page, or what it promises."""
        found = self.ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        return found["result"].get("value")

    def complaints(self) -> list[str]:
        told = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [json.dumps(one["params"]) for one in self.events if one.get("method") in told]

    def requests(self) -> list[str]:
        """The addresses asked for, but for the page itself and data within it."""
        sent = [one for one in self.events if one.get("method") == "Network.requestWillBeSent"]
        urls = [one["params"]["request"]["url"] for one in sent]
        return [url for url in urls if not url.startswith(("file:", "data:"))]

    def picture(self, path: str) -> None:
        """Keep the whole page as a PNG."""
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        with open(path, "wb") as file:
            file.write(base64.b64decode(shot["data"]))

    def ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        return self._ask(method, self._session, **arguments)

    def _ask(self, method: str, session: str | None = None, **arguments: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        question: dict[str, Any] = {"id": number, "method": method, "params": arguments}
        if session is not None:
            question["sessionId"] = session
        os.write(self._to, json.dumps(question).encode() + b"\0")
        until = time.monotonic() + _PATIENCE
        while True:
            answer = self._take(until)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _take(self, until: float) -> dict[str, Any]:
        """The next message; those that are events are kept."""
        while b"\0" not in self._got:
            left = until - time.monotonic()
            assert left > 0, "the browser is silent"
            ready, _, _ = select.select([self._back], [], [], left)
            chunk = os.read(self._back, 1 << 20) if ready else b""
            assert chunk or not ready, "the browser ended"
            self._got += chunk
        message, _, self._got = self._got.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        if "method" in found:
            self.events.append(found)
        return found


@contextlib.contextmanager
def browsing(browser: str, folder: Path) -> Iterator[Page]:
    """A page of a browser that ends with the block."""
    read_to, to = os.pipe()
    back, write_back = os.pipe()
    options = (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *("--disable-dev-shm-usage", "--disable-background-networking"),
        *("--disable-component-update", "--remote-debugging-pipe"),
        f"--user-data-dir={folder / 'profile'}",
    )
    environment = {**os.environ, "HOME": str(folder), "DBUS_SESSION_BUS_ADDRESS": "disabled:"}
    process = subprocess.Popen(
        [sys.executable, "-c", _PLACE, str(read_to), str(write_back), browser, *options],
        pass_fds=(read_to, write_back),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    os.close(read_to)
    os.close(write_back)
    try:
        page = Page(to, back)
        yield page
        with contextlib.suppress(AssertionError, OSError):
            page._ask("Browser.close")
    finally:
        os.close(to)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait(10)
        os.close(back)
