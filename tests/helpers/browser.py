"""A headless Chromium for tests, driven by chromedriver through the WebDriver protocol (w3.org/TR/webdriver)."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Optional

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1300,1000",
)  # fmt: skip
START_LIMIT_S = 60.0


def missing() -> Optional[str]:
    """Why no browser is available; None if one is."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return (
        f"no {' and no '.join(absent)} on the path: install Debian's chromium and chromium-driver" if absent else None
    )


class Browser:
    """One browser with a profile of its own; close() ends it."""

    def __init__(self, profile: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={self._url.rsplit(':', 1)[1]}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            options = {"args": [*QUIET, f"--user-data-dir={profile}"], "binary": shutil.which("chromium")}
            logs = {"browser": "ALL", "performance": "ALL"}
            wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": logs}
            self._await_driver()
            session = self._call("/session", capabilities={"alwaysMatch": wanted})
            self._url += f"/session/{session['sessionId']}"
        except BaseException:
            self._driver.kill()
            raise

    def _await_driver(self) -> None:
        end = time.monotonic() + START_LIMIT_S
        while True:
            try:
                urllib.request.urlopen(f"{self._url}/status", timeout=5).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def _call(self, path: str, **body: Any) -> Any:
        data = json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{path}: {error.read().decode()[:500]}") from None

    def open(self, page: Path) -> None:
        """Loads a file."""
        self._call("/url", url=page.resolve().as_uri())

    def run(self, script: str) -> Any:
        """Runs a script in the page and returns its result."""
        return self._call("/execute/sync", script=script, args=[])

    def console(self) -> List[str]:
        """The messages of the console since the last call."""
        return [entry["message"] for entry in self._call("/se/log", type="browser")]

    def requests(self) -> List[str]:
        """The addresses that were requested since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self._call("/se/log", type="performance")]
        sent = [message for message in messages if message["method"] == "Network.requestWillBeSent"]
        return [message["params"]["request"]["url"] for message in sent]

    def command(self, name: str, **parameters: Any) -> Dict[str, Any]:
        """A command of Chrome's own protocol."""
        return self._call("/goog/cdp/execute", cmd=name, params=parameters)

    def screenshot(self, path: Path) -> None:
        """The whole page as a PNG."""
        picture = self.command("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))

    def close(self) -> None:
        """Ends the browser."""
        try:
            urllib.request.urlopen(urllib.request.Request(self._url, method="DELETE"), timeout=30).close()
        finally:
            self._driver.terminate()
            self._driver.wait(timeout=30)
