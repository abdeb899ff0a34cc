"""Typing a prompt in JupyterLab and in Voila changes the picture as asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from panel import Panel
from playwright.sync_api import Page, expect
from servers import jupyter_lab, open_notebook, voila, write_notebook

import steerbench as sb

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

PROMPT = "a bedroom at night with the lamp on"
SEED = 8
"""A living room by day that becomes what is asked for. Not every room does: how many, and against
random directions, is in chapter 18."""
STEPS = 2000
"""Of an optimisation that is to be stopped on its way."""
PATIENCE = 180_000
"""Milliseconds: a machine that does other work may take long over a step."""
CELLS = (
    "import steerbench as sb\nG = sb.load('rooms')",
    f"sb.widgets.PromptBox(G, seed={SEED}, n_steps={STEPS}, mode='direction',\n"
    "    predictor=sb.predictor('rooms-attributes-2', ['bedroom', 'night', 'lamp_on']))",
)


def as_asked(pixels: np.ndarray) -> torch.Tensor:
    """What two judges that took no part think of the picture on the screen, ``[4]`` in [0, 1].

    The second CLIP judges the whole prompt, the second oracle each of the three things it says.
    """
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    second = sb.clip("rooms-clip-2").predictor(
        {"asked": (PROMPT, "a bedroom by day with the lamp off")}
    )
    read = sb.predictor("rooms-attributes-2", ["bedroom", "night", "lamp_on"]).predict(image)
    return torch.cat([second.predict(image)[0], read[0]])


def ask(page: Page, panel: Panel, text: str) -> None:
    box = panel.root.locator(".sb-prompt input")
    box.fill(text)
    box.press("Enter")


def ended(panel: Panel) -> None:
    expect(panel.button("Stop")).to_be_disabled(timeout=PATIENCE)


@pytest.fixture(scope="module")
def lab(page: Page, workplace: Path) -> Iterator[Panel]:
    write_notebook(workplace / "prompt.ipynb", *CELLS)
    with jupyter_lab(workplace) as address:
        open_notebook(page, address, "prompt.ipynb")
        yield Panel(page).wait()


def test_a_typed_prompt_changes_the_picture_as_asked(lab: Panel, artifact) -> None:
    before = lab.pixels()
    ask(lab.page, lab, PROMPT)
    lab.changed_from(before)
    ended(lab)
    lab.settle()
    after = lab.pixels()
    rose = as_asked(after) - as_asked(before)
    artifact(lab.page, "prompt-box")
    assert (rose > 0.3).all(), rose


def test_words_outside_the_vocabulary_are_warned_of_and_offered(lab: Panel, artifact) -> None:
    box = lab.root.locator(".sb-prompt input")
    box.fill("")
    box.press_sequentially("a dragon with a pla")
    expect(lab.root.locator(".sb-error")).to_contain_text("'dragon'", timeout=PATIENCE)
    lab.settle()  # with every letter the words move on to other buttons
    lab.root.locator(".sb-words").get_by_role("button", name="plant").click()
    expect(box).to_have_value("a dragon with a plant ", timeout=PATIENCE)
    artifact(lab.page, "prompt-box-warning")


def test_watching_and_stopping_an_optimisation(lab: Panel, artifact) -> None:
    before = lab.pixels()
    lab.root.locator("select").first.select_option("optimise: this picture")
    ask(lab.page, lab, "a living room by day")
    # The page is looked at now and then, so any later step may be the first that is seen.
    status = lab.root.locator(".sb-status")
    expect(status).to_contain_text(re.compile(rf"step \d+ of {STEPS}"), timeout=PATIENCE)
    lab.button("Stop").click()
    ended(lab)
    expect(status).not_to_contain_text(f"step {STEPS} of {STEPS}")
    lab.changed_from(before)
    lab.button("Keep").click()
    sliders = lab.root.locator(".sb-panel")
    sliders.locator("img.sb-shown").wait_for()
    expect(sliders.locator(".sb-name input").first).to_have_value(
        re.compile("living room"), timeout=PATIENCE
    )
    artifact(lab.page, "prompt-box-optimise")


def test_a_typed_prompt_changes_the_picture_under_voila(browser, workplace: Path, artifact) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    with voila(write_notebook(workplace / "prompt-app.ipynb", *CELLS)) as address:
        page.goto(address, timeout=180_000)
        panel = Panel(page).wait()
        before = panel.pixels()
        ask(page, panel, PROMPT)
        panel.changed_from(before)
        ended(panel)
        was = as_asked(before)
        for _ in range(50):  # the last frames may still be on their way
            if (as_asked(panel.pixels()) - was > 0.3).all():
                break
            page.evaluate("() => new Promise(requestAnimationFrame)")
        rose = as_asked(panel.pixels()) - was
        assert (rose > 0.3).all(), rose
        artifact(page, "prompt-box-voila")
    context.close()
