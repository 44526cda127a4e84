"""Debian's Chromium, driven by playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


class ChromiumMissing(Exception):
    """There is no Chromium here; the text says how to get it."""


def find_chromium() -> str:
    """Returns the path of the browser.

    Raises:
        ChromiumMissing: There is none.
    """
    for path in map(shutil.which, NAMES):
        if path is not None:
            return path
    raise ChromiumMissing("Chromium is not here: run `apt-get install chromium` (as root)")


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser without a window, which ends with the block."""
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]  # as root, and in a container
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()
