"""LatentSliders in JupyterLab, by mouse and keyboard, looking at the browser's own pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from panel import Panel
from playwright.sync_api import Page, expect
from servers import jupyter_lab, open_notebook, write_notebook

from steerbench.image import to_uint8
from steerbench.types import Recipe

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

CELLS = (
    "import steerbench as sb\nG = sb.load('rooms')",
    "sb.widgets.LatentSliders(G, sb.SeFa(6).fit(G).directions_)",
)


@pytest.fixture(scope="module")
def opened(page: Page, workplace: Path) -> Iterator[Panel]:
    write_notebook(workplace / "sliders.ipynb", *CELLS)
    with jupyter_lab(workplace) as address:
        open_notebook(page, address, "sliders.ipynb")
        panel = Panel(page).wait()
        panel.first = panel.pixels()
        yield panel


@pytest.fixture
def panel(opened: Panel) -> Panel:
    """The panel as it was at first."""
    opened.settle()
    opened.button("Reset").click()
    opened.becomes(opened.first)
    return opened


def test_dragging_changes_the_picture_and_reset_brings_it_back(panel, artifact) -> None:
    panel.drag(0, 60)
    changed = panel.changed_from(panel.first)
    panel.settle()
    assert np.abs(changed.astype(int) - panel.first).mean() > 1
    assert panel.value(0) > 0
    artifact(panel.page, "latent-sliders")
    panel.button("Reset").click()
    panel.becomes(panel.first)
    assert panel.value(0) == 0


def test_the_panel_fits_without_scroll_bars(panel) -> None:
    overflowing = """root => [root, ...root.querySelectorAll('*')]
        .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1
                     && getComputedStyle(e).overflowX !== 'visible' && e.tagName !== 'INPUT')
        .map(e => e.className)"""
    assert panel.root.evaluate(overflowing) == []
    output = panel.page.locator(".jp-OutputArea-output").last
    assert output.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


def test_arrow_keys_move_a_slider(panel) -> None:
    changed = panel.press(1, "ArrowRight", panel.first)
    assert panel.value(1) == 0.1
    panel.press(1, "ArrowLeft", changed)
    panel.becomes(panel.first)
    assert panel.value(1) == 0


def test_undo_and_redo(panel) -> None:
    once = panel.press(0, "ArrowRight", panel.first)
    twice = panel.press(2, "ArrowLeft", once)
    panel.button("Undo").click()
    panel.becomes(once)
    panel.button("Undo").click()
    panel.becomes(panel.first)
    panel.button("Redo").click()
    panel.becomes(once)
    panel.button("Redo").click()
    panel.becomes(twice)


def test_holding_compare_shows_the_original(panel) -> None:
    panel.drag(0, 50)
    panel.changed_from(panel.first)
    np.testing.assert_array_equal(panel.pixels(panel.original), panel.first)
    assert not panel.original_is_seen()
    for held in (panel.button("Compare"), panel.shown):
        panel.hold(held)
        assert panel.original_is_seen()
        panel.page.mouse.up()
        assert not panel.original_is_seen()
    panel.button("Compare").focus()
    panel.page.keyboard.down("Space")
    assert panel.original_is_seen()
    panel.page.keyboard.up("Space")
    assert not panel.original_is_seen()


def test_layers_that_make_no_sense_are_named_in_red(panel, artifact) -> None:
    box = panel.rows.nth(0).locator("input[type=text]").last
    box.fill("7-99")
    box.press("Enter")
    error = panel.root.get_by_role("alert")
    expect(error).to_contain_text("but there are 10 layers: 0 to 9")
    artifact(panel.page, "latent-sliders-error")
    panel.drag(0, 50)
    panel.changed_from(panel.first)
    expect(error).to_be_visible()
    box.fill("7-9")
    box.press("Enter")
    expect(error).to_have_count(0)


def test_another_seed_is_another_picture(panel) -> None:
    panel.button("Random").click()
    drawn = panel.changed_from(panel.first)
    panel.button("Undo").click()
    panel.becomes(panel.first)
    assert not np.array_equal(drawn, panel.first)


def test_a_saved_recipe_is_the_picture(panel, workplace, rooms) -> None:
    panel.drag(0, 40)
    panel.changed_from(panel.first)
    panel.drag(3, -30)
    panel.settle()
    panel.button("Save recipe").click()
    expect(panel.root.get_by_role("status")).to_contain_text("Saved rooms-edit.json")
    recipe = Recipe.load(workplace / "rooms-edit.json")
    assert len(recipe.edits) == 2
    replayed = to_uint8(recipe.render(rooms))[0].astype(int)
    assert np.abs(replayed - panel.pixels()).mean() <= 2, "bfloat16 may be two levels off"


def test_a_picture_that_cannot_be_written_says_so(panel) -> None:
    path = panel.root.locator(".sb-row:has-text('Export PNG') input[type=text]")
    path.fill("no/such/folder/evening")
    path.press("Tab")
    panel.button("Export PNG").click()
    expect(panel.root.get_by_role("alert")).to_contain_text("no/such/folder")
    path.fill("evening")
    path.press("Tab")
    panel.button("Export PNG").click()
    expect(panel.root.get_by_role("status")).to_contain_text("Exported evening.png")


def test_the_dark_theme(panel, artifact) -> None:
    change = "name => jupyterapp.commands.execute('apputils:change-theme', {theme: name})"
    panel.page.evaluate(change, "JupyterLab Dark")
    panel.page.locator("body[data-jp-theme-light=false]").wait_for(state="attached")
    # By key: the new theme's styles may still move the slider from under a mouse.
    panel.press(0, "ArrowRight", panel.first)
    artifact(panel.page, "latent-sliders-dark")
    panel.page.evaluate(change, "JupyterLab Light")
    panel.page.locator("body[data-jp-theme-light=true]").wait_for(state="attached")
