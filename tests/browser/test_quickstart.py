"""The first chapter, as a newcomer meets it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from panel import Panel
from playwright.sync_api import Page
from servers import ROOT, jupyter_lab, open_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

NOTEBOOK = ROOT / "notebooks" / "00_quickstart.ipynb"


@pytest.mark.skipif(not NOTEBOOK.exists(), reason=f"{NOTEBOOK} is not there")
def test_a_slider_of_the_first_chapter_steers(page: Page, workplace: Path, artifact) -> None:
    shutil.copy(NOTEBOOK, workplace)
    with jupyter_lab(workplace) as address:
        open_notebook(page, address, NOTEBOOK.name)
        panel = Panel(page).wait()
        first = panel.pixels()
        panel.drag(0, 60)
        changed = panel.changed_from(first)
        panel.settle()
        assert np.abs(changed.astype(int) - first).mean() > 1
        assert panel.pixels().mean() > first.mean(), "the first slider is the light"
        artifact(page, "00_quickstart")
        panel.button("Reset").click()
        panel.becomes(first)
