"""A headless Chromium, driven by the WebDriver protocol of the W3C through the system's chromedriver."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NEEDED = "needs Chromium and chromedriver of one version on PATH (Debian: apt install chromium chromium-driver)"
"""Why a test of pages is skipped."""
WINDOWS = {"desktop": (1280, 800), "phone": (390, 844)}
"""Width and height at which pages are looked at."""
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def chromium_programs() -> tuple[str, str] | None:
    """Chromium and its driver; None where either is missing."""
    browser = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One window."""

    def __init__(self, port: int, binary: str, width: int, height: int, profile: Path) -> None:
        self._port = port
        options = {
            "binary": binary,
            "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--mute-audio",
                "--hide-scrollbars",
                f"--user-data-dir={profile}",
                f"--window-size={width},{height}",
            ],
        }
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"

    def open(self, address: str) -> None:
        self._call("POST", f"{self._session}/url", {"url": address})

    def run(self, script: str, *arguments: object) -> Any:
        """What a script returns."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        """As a person: it must be there, in view and not covered."""
        self._call("POST", f"{self._session}/element/{self._find(selector)}/click", {})

    def press(self, key: str) -> None:
        """One key, wherever the focus is."""
        code = {"Enter": "\ue007", "ArrowLeft": "\ue012", "ArrowRight": "\ue014", "Tab": "\ue004"}.get(key, key)
        actions = [{"type": kind, "value": code} for kind in ("keyDown", "keyUp")]
        self._call("POST", f"{self._session}/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def wait(self, condition: str, seconds: float = 20) -> Any:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.run(f"return {condition}")
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(
            f"{condition} did not come true; the page says {self.run('return document.body.innerText')!r}"
        )

    def resize(self, width: int, height: int, *, touch: bool = False) -> None:
        """Of the page itself, below the least width of a window; `touch`: a phone, with a finger for a mouse."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": touch}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
        self.devtools("Emulation.setTouchEmulationEnabled", {"enabled": touch})

    def prefer(self, **features: str) -> None:
        """Media features until the next call, `prefers_color_scheme="dark"` say; without any, those of the machine."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.devtools("Emulation.setEmulatedMedia", {"features": listed})

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window; 0 or less: it does not scroll sideways."""
        wide = "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
        return int(self.run(f"return {wide} - document.documentElement.clientWidth"))

    def devtools(self, command: str, parameters: dict[str, object]) -> Any:
        return self._call("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def picture(self, *, whole: bool = False) -> bytes:
        """The page as PNG, as far as the window shows it, or the whole of it."""
        if not whole:
            return base64.b64decode(self._call("GET", f"{self._session}/screenshot"))
        shot = self.devtools("Page.captureScreenshot", {"format": "png", "captureBeyondViewport": True})
        return base64.b64decode(shot["data"])

    def complaints(self) -> list[str]:
        """Errors and warnings that the page raised since the last call."""
        return [entry["message"] for entry in self._call("POST", f"{self._session}/se/log", {"type": "browser"})]

    def close(self) -> None:
        self._call("DELETE", self._session)

    def _find(self, selector: str) -> str:
        return str(
            self._call("POST", f"{self._session}/element", {"using": "css selector", "value": selector})[_ELEMENT]
        )

    def _call(self, method: str, path: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise AssertionError(f"{path}: {value['error']}, {value['message']}")
        return value


@contextmanager
def chromium(profile: Path, width: int = 1280, height: int = 800) -> Iterator[Browser]:
    """A browser with a profile of its own, ended with its driver."""
    programs = chromium_programs()
    assert programs is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen([programs[1], f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _await(port)
        browser = Browser(port, programs[0], width, height, profile)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        driver.terminate()
        driver.wait()


def _await(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("chromedriver does not answer")
