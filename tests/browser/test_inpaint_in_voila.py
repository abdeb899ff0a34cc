"""InpaintCanvas as a page of its own, served by Voila.

There the kernel runs all cells before a browser connects, and what was drawn on a canvas is lost
unless it is drawn again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from panel import Panel
from playwright.sync_api import Page, expect
from servers import voila, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PATIENCE = 180_000
"""Milliseconds for a search on a busy machine."""
REACH = 6
"""Pixels to which a brush paints around its middle, and a few more."""
CELLS = (
    "import steerbench as sb\nG = sb.load('rooms')",
    "canvas = sb.widgets.InpaintCanvas(G, seed=3, n_proposals=1, n_steps=20, size=320)\n"
    "canvas.paint([(10, 10), (20, 10)])\ncanvas",
)


def test_a_hole_is_filled_under_voila(page: Page, workplace: Path, artifact) -> None:
    with voila(write_notebook(workplace / "page.ipynb", *CELLS)) as address:
        page.goto(address)
        panel = Panel(page).wait()
        panel.draws(lambda drawn: drawn[10, 15, 3] > 0, "The paint from before is not drawn again")
        before = panel.pixels()
        page.mouse.move(*panel.on_canvas(30, 40, 64, 64))
        page.mouse.down()
        page.mouse.move(*panel.on_canvas(44, 40, 64, 64), steps=6)
        page.mouse.up()
        drawn = panel.draws(lambda drawn: drawn[40, 44, 3] > 0, "The stroke does not reach its end")
        hole = drawn[..., 3] > 0
        hole[40 - REACH : 41 + REACH, 30 - REACH : 45 + REACH] = True  # the last dab may come later
        panel.button("Fill").click()
        panel.changed_from(before)
        expect(panel.root.locator(".sb-status")).to_contain_text("finished after", timeout=PATIENCE)
        page.wait_for_function(
            "c => c.getContext('2d').getImageData(40, 40, 1, 1).data[3] == 0",
            arg=panel.root.locator("canvas").element_handle(),
        )
        change = np.abs(panel.pixels().astype(int) - before).max(2)
        artifact(page, "inpaint-voila")
        print(f"outside of the mask {change[~hole].max()} of 255 at most")
        assert change[~hole].max() <= 1
        assert change[drawn[..., 3] > 0].mean() > 3

        panel.button("Undo").click()
        panel.becomes(before)
