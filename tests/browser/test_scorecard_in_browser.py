"""The table of directions, by mouse and keyboard: open, drag, rename, sort."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from panel import Panel
from playwright.sync_api import Locator, Page, expect
from servers import jupyter_lab, open_notebook, voila, write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CELLS = (
    "import steerbench as sb\nG = sb.load('rooms')\nread = sb.predictor('rooms-attributes')",
    "card = sb.scorecard(sb.SeFa(6).fit(G).directions_, G, read, n_samples=8, n_null=9,\n"
    "                    n_null_samples=4,\n"
    "                    attributes=['night', 'daylight', 'yaw', 'wall_warmth', 'lamp_on'])",
    "sb.widgets.ScorecardTable(card, G, read.only(['night', 'daylight', 'yaw']), seed=3)",
)


def rows(root: Locator) -> Locator:
    return root.locator(".sb-card-row")


def opened(page: Page) -> Panel:
    """The sliders under the table."""
    panel = Panel(page)
    panel.root = page.locator(".sb-panel .sb-panel")
    panel.shown = panel.root.locator("img.sb-shown")
    panel.rows = panel.root.locator(".sb-row:has(.sb-name)")
    return panel.wait()


@pytest.fixture(scope="module")
def lab(page: Page, workplace: Path) -> Iterator[Page]:
    write_notebook(workplace / "card.ipynb", *CELLS)
    with jupyter_lab(workplace) as address:
        open_notebook(page, address, "card.ipynb")
        page.locator(".sb-card").wait_for()
        yield page


def test_a_clicked_row_opens_sliders_that_change_pixels(lab: Page, artifact) -> None:
    root = lab.locator(".sb-panel").first
    expect(rows(root)).to_have_count(6)
    box = rows(root).nth(1).bounding_box()
    lab.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + box["height"] / 2)  # not on the name
    panel = opened(lab)
    expect(rows(root).nth(1)).to_have_class(re.compile("sb-chosen"), timeout=60_000)
    before = panel.pixels()
    panel.drag(0, 80)
    assert panel.value(0) > 0
    panel.changed_from(before)
    panel.settle()
    artifact(lab, "scorecard-table")


def test_a_name_changed_over_the_slider_stands_in_the_table(lab: Page, artifact) -> None:
    name = opened(lab).rows.nth(0).locator("input[type=text]").first
    name.fill("my light")
    name.press("Enter")
    root = lab.locator(".sb-panel").first
    expect(rows(root).nth(1).get_by_role("button")).to_have_text("my light", timeout=60_000)
    root.get_by_role("button").filter(has_text=re.compile(r"^\s*Save$")).click()
    expect(root.get_by_role("status").first).to_contain_text("my light.safetensors", timeout=60_000)
    artifact(lab, "scorecard-table-renamed")


def test_the_keyboard_sorts_and_opens(lab: Page) -> None:
    root = lab.locator(".sb-panel").first
    share = root.locator(".sb-card-head button", has_text=re.compile("^Share"))
    share.focus()
    lab.keyboard.press("Enter")
    expect(share).to_contain_text("▾", timeout=60_000)
    said = [
        text.split("%")[0] for text in rows(root).locator("span:nth-child(3)").all_inner_texts()
    ]
    assert [float(each) for each in said] == sorted(map(float, said), reverse=True)
    first = rows(root).nth(0).get_by_role("button")
    called = first.inner_text()
    first.focus()
    lab.keyboard.press("Enter")
    over_the_slider = lab.locator(".sb-panel .sb-panel .sb-name input")
    expect(over_the_slider).to_have_value(called, timeout=60_000)


def test_the_table_is_there_under_voila(page: Page, workplace: Path, artifact) -> None:
    with voila(write_notebook(workplace / "table.ipynb", *CELLS)) as address:
        page.goto(address)
        root = page.locator(".sb-panel").first
        root.wait_for()
        rows(root).nth(0).get_by_role("button").click()
        panel = opened(page)
        before = panel.pixels()
        panel.drag(0, 60)
        panel.changed_from(before)
        artifact(page, "scorecard-table-voila")
