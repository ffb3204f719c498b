"""A headless Chromium, driven over its DevTools pipe: NUL-ended JSON on descriptors 3 and 4."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
SECONDS = 60
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
LAUNCH = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.dup2(int(sys.argv[2]), 4);"
    " os.execv(sys.argv[3], sys.argv[3:])"
)


class Page:
    """One tab; `complaints` are its console errors, exceptions and refused loads."""

    def __init__(self, commands: int, answers: int, downloads: Path) -> None:
        self._commands, self._answers = commands, answers
        self._buffer, self._count, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; raises `AssertionError` for a refused one."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        # commands to the browser itself carry no session
        if self._session and not method.startswith("Browser."):
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        ends = time.monotonic() + SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], max(ends - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            found = os.read(self._answers, 1 << 20)
            assert found, "the browser has gone"
            self._buffer += found
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def open(self, path: Path) -> float:
        """Load a file; return the seconds from the start of the navigation to its load event."""
        self.events.clear()
        began = time.monotonic()
        self.call("Page.navigate", url=path.as_uri())
        self._await("Page.loadEventFired")
        return time.monotonic() - began

    def reload(self) -> None:
        self.events.clear()
        self.call("Page.reload")
        self._await("Page.loadEventFired")

    def _await(self, method: str) -> None:
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._next())

    def run(self, expression: str) -> Any:
        """Return the JSON value of an expression; raises `AssertionError` when it throws."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @property
    def complaints(self) -> list[str]:
        self.run("0")
        names = {"Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled"}
        return [json.dumps(one["params"]) for one in self.events if one.get("method") in names]

    @property
    def requests(self) -> list[str]:
        """Return the URLs that were asked for since the page was opened."""
        self.run("0")
        sent = [one for one in self.events if one.get("method") == "Network.requestWillBeSent"]
        return [one["params"]["request"]["url"] for one in sent]

    def look(self, width: int = 1280, scheme: str = "light", height: int = 800) -> None:
        """Set the size and the colour scheme."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.call("Emulation.setEmulatedMedia", features=[feature])
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def scripts(self, on: bool) -> None:
        self.call("Emulation.setScriptExecutionDisabled", value=not on)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Save a screenshot, of the whole page or of what is on screen."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def key(self, text: str) -> None:
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if kind == "keyDown" and len(text) == 1 else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=text, **more)


def _moved(end: int) -> int:
    """Return a descriptor above 4 in place of one: the browser's own are to be 3 and 4."""
    moved = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(end)
    return moved


@contextmanager
def browser(folder: Path) -> Iterator[Page]:
    """Run a Chromium with a new profile below `folder`; downloads go to `folder/downloads`."""
    assert CHROMIUM, "no chromium here"
    (downloads := folder / "downloads").mkdir()
    theirs_in, ours_out, ours_in, theirs_out = map(_moved, (*os.pipe(), *os.pipe()))
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}"]
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(theirs_in), str(theirs_out), *command],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for end in (theirs_in, theirs_out):
            os.close(end)
        yield Page(ours_out, ours_in, downloads)
    finally:
        for end in (ours_out, ours_in):
            os.close(end)
        process.terminate()
        process.wait(timeout=SECONDS)
