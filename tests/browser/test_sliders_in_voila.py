"""LatentSliders as a page of its own, served by Voila."""

from __future__ import annotations

from pathlib import Path

import pytest
from panel import Panel
from playwright.sync_api import Page
from servers import voila, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_sliders_work_under_voila(page: Page, workplace: Path, artifact) -> None:
    cells = (
        "import steerbench as sb\nG = sb.load('rooms')",
        "sb.widgets.LatentSliders(G, sb.SeFa(4).fit(G).directions_, seed=3)",
    )
    with voila(write_notebook(workplace / "page.ipynb", *cells)) as address:
        page.goto(address)
        panel = Panel(page).wait()
        first = panel.pixels()
        panel.press(0, "ArrowRight", first)
        panel.hold(panel.button("Compare"))
        assert panel.original_is_seen()
        page.mouse.up()
        panel.button("Reset").click()
        panel.becomes(first)
        panel.drag(0, 60)
        panel.changed_from(first)
        artifact(page, "latent-sliders-voila")
