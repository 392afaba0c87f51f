"""A page in a real browser, as users see it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.later import Later

webdriver = Later("selenium.webdriver")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


@contextmanager
def chrome(folder: Path) -> Iterator[Any]:
    """Start Chromium, with its files in this folder; skips the test where it is not installed."""
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs Chromium and its driver; on Debian: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        *("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-quic", "no-first-run"),
        *("disable-background-networking", "disable-component-update", "disable-sync", f"user-data-dir={folder}"),
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        yield browser
    finally:
        browser.quit()


class Browser:
    """A page in a real browser."""

    def __init__(self, chrome: Any) -> None:
        self._chrome = chrome

    def open(self, address: str) -> None:
        """Open a page, and forget the console messages of earlier pages."""
        self._chrome.get_log("browser")
        self._chrome.get(address)

    @property
    def log(self) -> list[Any]:
        """The messages on the console."""
        return list(self._chrome.get_log("browser"))

    @property
    def title(self) -> str:
        return str(self._chrome.title)

    def all(self, selector: str) -> list[Any]:
        """Return the elements of a selector."""
        return list(self._chrome.find_elements("css selector", selector))

    def texts(self, selector: str) -> list[str]:
        """Return the texts that are visible in the elements of a selector, with single spaces."""
        return [" ".join(each.text.split()) for each in self.all(selector)]

    def rows(self) -> list[str]:
        """The texts of the rows in the table of a report."""
        return self.texts("#rows tr.row")

    def ask(self, script: str, *arguments: Any) -> Any:
        """Return the value of an expression."""
        return self._chrome.execute_script(f"return {script}", *arguments)

    def prefer(self, scheme: str) -> None:
        """Set the color scheme of the system to dark or light."""
        features = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self._chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", features)

    def be_wide(self, width: int) -> None:
        """Set the width of the screen, in pixels; 0 ends that."""
        size = {"width": width, "height": 900 if width else 0, "deviceScaleFactor": 1, "mobile": 0 < width < 600}
        self._chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
