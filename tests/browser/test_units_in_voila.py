"""UnitPainter and UnitHeatmaps as a page of their own, served by Voila.

There the kernel runs all cells before a browser connects, and what was drawn on a canvas is lost
unless it is drawn again.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from panel import Panel
from playwright.sync_api import Page, expect
from servers import voila, write_notebook

from steerbench.widgets.unit_mosaic import Sheet

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CELLS = (
    "import steerbench as sb\nG = sb.load('rooms')",
    "painter = sb.widgets.UnitPainter(G, {'lamp': ('b16.conv0', range(20))}, seed=3, size=300)\n"
    "painter.paint([(10, 10), (20, 10)])\npainter",
    "sb.widgets.UnitHeatmaps(G, 'b16.conv1', seed=3)",
)


def test_the_units_work_under_voila(page: Page, workplace: Path, artifact) -> None:
    with voila(write_notebook(workplace / "page.ipynb", *CELLS)) as address:
        page.goto(address)
        painter, maps = Panel(page).wait(), Panel(page, 1).wait()
        assert painter.drawing()[10, 15, 3] > 0, "the paint from before is drawn again"
        assert (maps.drawing()[..., 3] == 255).mean() > 0.8, "and so are all tiles"

        painter.wait()
        first = painter.pixels()
        page.mouse.move(*painter.on_canvas(30, 40, 64, 64))
        page.mouse.down()
        page.mouse.move(*painter.on_canvas(40, 44, 64, 64), steps=6)
        painter.changed_from(first)
        page.mouse.up()
        painter.button("Undo").click()
        painter.becomes(first)
        artifact(page, "unit-painter-voila")

        maps.wait()
        shown = maps.pixels()
        sheet = Sheet.of([("", tuple(range(128)))], width=544)
        for _ in range(2):
            page.mouse.click(*maps.on_canvas(10, 10, sheet.width, sheet.height))
        expect(maps.root.locator(".sb-faint").first).to_contain_text("Unit 0: ")
        maps.becomes(shown)
        artifact(page, "unit-heatmaps-voila")
