"""A flipbook in JupyterLab: it plays to its end, and its slider leafs back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from panel import Panel
from playwright.sync_api import Page
from servers import jupyter_lab, open_notebook, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CELL = """import torch
import steerbench as sb
pages = torch.linspace(-1, 1, 6)[:, None, None, None].expand(6, 3, 32, 32)
sb.widgets.Flipbook(pages, captions=[f"page {i} of 5" for i in range(6)], interval=20)"""


def test_it_plays_to_the_end_and_leafs_back(page: Page, workplace: Path, artifact) -> None:
    write_notebook(workplace / "flipbook.ipynb", CELL)
    with jupyter_lab(workplace) as address:
        open_notebook(page, address, "flipbook.ipynb")
        panel = Panel(page).wait()
        first = np.zeros((32, 32, 3), np.uint8)
        panel.becomes(first)
        panel.root.locator(".widget-play button").first.click()
        panel.becomes(first + 255)
        panel.root.get_by_text("page 5 of 5").wait_for()
        artifact(page, "flipbook")

        panel.root.locator(".noUi-handle").focus()
        page.keyboard.press("Home")
        panel.becomes(first)
        panel.root.get_by_text("page 0 of 5").wait_for()
