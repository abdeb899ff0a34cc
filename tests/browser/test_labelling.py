"""The wall of pictures and the comparison grid, by mouse, in JupyterLab and as a Voila page."""

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
    "import steerbench as sb\nG = sb.load('rooms')",
    "sb.widgets.DirectionLabeller(G, columns=6, rows=2, name='mine')",
    "sb.widgets.BoundaryGrid(G, sb.SeFa(2).fit(G).directions_, alphas=(-2, 0, 2), n_samples=2,\n"
    "                        predictor=sb.predictor('rooms-attributes'), attribute='night')",
)

YES, NO = [0x2E, 0x7D, 0x32], [0xD3, 0x2F, 0x2F]


def centre(canvas: Locator, place: int) -> tuple[float, float]:
    box = canvas.bounding_box()
    assert box is not None
    down, right = divmod(place, 6)
    return box["width"] * (right + 0.5) / 6, box["height"] * (down + 0.5) / 2


def click(canvas: Locator, place: int) -> None:
    x, y = centre(canvas, place)
    canvas.click(position={"x": x, "y": y})


def frame(canvas: Locator, place: int) -> list[int]:
    """The colour at the edge of a picture, as the browser has it after a lossy way."""
    column, line = place % 6 * 96 + 48, place // 6 * 96 + 1
    colour: list[int] = canvas.evaluate(
        f"c => [...c.getContext('2d').getImageData({column}, {line}, 1, 1).data.slice(0, 3)]"
    )
    return colour


def label_four(root: Locator) -> None:
    canvas, said = root.locator("canvas").first, root.locator(".sb-evidence")
    for number, place in enumerate((0, 1, 2), start=1):
        click(canvas, place)
        expect(said).to_contain_text(f"{number} yes, 0 no")
    click(canvas, 2)
    expect(said).to_contain_text("2 yes, 1 no")
    click(canvas, 3)
    expect(said).to_contain_text("3 yes, 1 no")
    click(canvas, 3)
    expect(said).to_contain_text(re.compile("right|Not enough evidence"), timeout=60_000)


@pytest.fixture(scope="module")
def lab(page: Page, workplace: Path) -> Iterator[Page]:
    write_notebook(workplace / "labels.ipynb", *CELLS)
    with jupyter_lab(workplace) as address:
        open_notebook(page, address, "labels.ipynb")
        yield page


def test_clicks_become_a_direction_on_sliders(lab: Page, artifact) -> None:
    root = lab.locator(".sb-panel").first
    root.wait_for()
    label_four(root)
    canvas = root.locator("canvas").first
    assert frame(canvas, 0) == pytest.approx(YES, abs=8)
    assert frame(canvas, 2) == pytest.approx(NO, abs=8)
    artifact(lab, "direction-labeller")
    root.get_by_role("button", name="Try it").click()
    sliders = root.locator(".sb-panel")
    sliders.locator("img.sb-shown").wait_for()
    root.get_by_role("button", name="Ask me").click()
    expect(root.locator(".sb-evidence")).to_contain_text("2 yes, 2 no")
    artifact(lab, "direction-labeller-sliders")


def test_the_grid_shows_scores_and_differences(lab: Page, artifact) -> None:
    grid = Panel(lab)
    grid.root = lab.locator(".sb-panel:has(.sb-differences)").last
    grid.shown, grid.original = (
        grid.root.locator(f"img.sb-{kind}") for kind in ("shown", "original")
    )
    grid.wait()
    first = grid.pixels()
    grid.button("directions").click()
    grid.changed_from(first)
    artifact(lab, "boundary-grid")
    grid.hold(grid.shown)
    assert grid.original_is_seen()
    artifact(lab, "boundary-grid-differences")
    lab.mouse.up()


def test_the_wall_is_there_under_voila(page: Page, workplace: Path, artifact) -> None:
    with voila(write_notebook(workplace / "wall.ipynb", *CELLS[:2])) as address:
        page.goto(address)
        root = page.locator(".sb-panel").first
        root.wait_for()
        label_four(root)
        canvas = root.locator("canvas").first
        assert frame(canvas, 0) == pytest.approx(YES, abs=8)
        artifact(page, "direction-labeller-voila")
