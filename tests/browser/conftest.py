"""A real browser on a real JupyterLab or Voila, each with its own folders, on a free port.

Where there is no Chromium, one is installed by Playwright; where that fails too, the tests are
skipped with the reason, except under CI, where they fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from servers import ROOT

ARTIFACTS = ROOT / "artifacts"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTH, HEIGHT = 1280, 900
PATIENCE = 180_000
"""Milliseconds for what a busy machine may take long to do: start a kernel, run a notebook."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, or Playwright's own, installed once."""
    system = next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=system, args=FLAGS)
        except PlaywrightError:
            chromium = _installed(playwright)
        yield chromium
        chromium.close()


def _installed(playwright: Any) -> Browser:
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    try:
        return playwright.chromium.launch(args=FLAGS)
    except PlaywrightError as error:
        reason = f"no Chromium, and none could be installed: {done.stderr[-300:]} {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """A fresh window, 1280 wide, for all tests of a module."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT})
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    yield context.new_page()
    context.close()


@pytest.fixture(scope="session")
def artifact() -> Callable[[Page, str], Path]:
    """Keep a screenshot under ``artifacts/``."""
    ARTIFACTS.mkdir(exist_ok=True)

    def keep(page: Page, name: str) -> Path:
        path = ARTIFACTS / f"{name}.png"
        page.screenshot(path=path)
        return path

    return keep


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder for notebooks; what kernels write lands here."""
    folder = tmp_path_factory.mktemp("browser") / "work"
    folder.mkdir()
    return folder
