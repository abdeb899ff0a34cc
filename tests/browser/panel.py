"""A component as a person finds it on a page: look at pixels, drag, press, hold, paint."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np
from PIL import Image
from playwright.sync_api import Locator, Page

PIXELS = """img => {
  if (!img.complete || !img.naturalWidth) return null;
  const canvas = document.createElement('canvas');
  canvas.width = img.naturalWidth; canvas.height = img.naturalHeight;
  canvas.getContext('2d').drawImage(img, 0, 0);
  return canvas.toDataURL('image/png').split(',')[1];
}"""

DRAWN = """canvas => {
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return data.some(value => value) ? canvas.toDataURL('image/png').split(',')[1] : null;
}"""

# An answer can make the page send what it held back, so the quiet must last a few frames.
SETTLED = """async () => {
  for (let i = 0; i < 5; i++) {
    if (unanswered.size) return false;
    await new Promise(requestAnimationFrame);
  }
  return true;
}"""


class Panel:
    """One of the components on a page, the first if nothing else is said."""

    def __init__(self, page: Page, index: int = 0) -> None:
        self.page = page
        self.root = page.locator(".sb-panel").nth(index)
        self.shown = self.root.locator("img.sb-shown").first
        self.original = self.root.locator("img.sb-original").first
        self.first: np.ndarray = np.zeros(0)
        self.rows = self.root.locator(".sb-row:has(.sb-name)")

    def wait(self) -> Panel:
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()
        self.shown.wait_for()
        return self

    def pixels(self, image: Locator | None = None) -> np.ndarray:
        """uint8 ``[H, W, 3]`` as the browser holds them."""
        handle = (image or self.shown).element_handle()
        code = self.page.wait_for_function(PIXELS, arg=handle).json_value()
        picture = Image.open(io.BytesIO(base64.b64decode(code)))
        return np.asarray(picture.convert("RGB"))

    def drawing(self) -> np.ndarray:
        """uint8 ``[H, W, 4]`` of the panel's canvas, as soon as anything is drawn there."""
        handle = self.root.locator("canvas").element_handle()
        code = self.page.wait_for_function(DRAWN, arg=handle).json_value()
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(code))).convert("RGBA"))

    def draws(self, holds: Callable[[np.ndarray], bool], reason: str) -> np.ndarray:
        """Look at the canvas, frame by frame, until it is as it should be; what is drawn then."""
        for _ in range(1000):
            now = self.drawing()
            if holds(now):
                return now
            self.page.evaluate("() => new Promise(requestAnimationFrame)")
        raise AssertionError(reason)

    def on_canvas(self, x: float, y: float, width: float, height: float) -> tuple[float, float]:
        """The place on the page of a point of the canvas, which is ``width`` by ``height``."""
        box = self.root.locator("canvas").bounding_box()
        assert box is not None
        return box["x"] + x / width * box["width"], box["y"] + y / height * box["height"]

    def settle(self) -> None:
        """In JupyterLab: wait until the kernel has answered everything that the page sent."""
        self.page.wait_for_function(SETTLED)

    def changed_from(self, before: np.ndarray) -> np.ndarray:
        """Wait until the browser shows other pixels; these."""
        return self._until(
            lambda now: not np.array_equal(now, before), "The picture stays as it is"
        )

    def becomes(self, expected: np.ndarray, levels: float = 0.0) -> np.ndarray:
        """Wait until the browser shows these pixels, exactly or on average that close; these."""

        def close(now: np.ndarray) -> bool:
            return bool(np.abs(now.astype(int) - expected).mean() <= levels)

        return self._until(close, "The picture does not become what it should")

    def _until(self, holds: Callable[[np.ndarray], bool], reason: str) -> np.ndarray:
        """Look again at every change of the picture's address, which every picture has anew."""
        for _ in range(200):
            address = self.shown.get_attribute("src")
            now = self.pixels()
            if holds(now):
                return now
            self.page.wait_for_function(
                "([img, old]) => img.src !== old", arg=[self.shown.element_handle(), address]
            )
        raise AssertionError(reason)

    def handle(self, row: int) -> Locator:
        return self.rows.nth(row).locator(".noUi-handle")

    def value(self, row: int) -> float:
        return float(self.handle(row).get_attribute("aria-valuenow") or "nan")

    def drag(self, row: int, pixels: int) -> None:
        """Drag a slider with the mouse, in a few movements."""
        box = self.handle(row).bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + pixels, y, steps=8)
        self.page.mouse.up()

    def press(self, row: int, key: str, before: np.ndarray) -> np.ndarray:
        """Press a key on a slider; the pixels that come after ``before``."""
        self.handle(row).focus()
        self.page.keyboard.press(key)
        return self.changed_from(before)

    def button(self, text: str) -> Locator:
        return self.root.get_by_role("button", name=text, exact=False)

    def hold(self, element: Locator) -> None:
        element.hover()
        self.page.mouse.down()

    def original_is_seen(self) -> bool:
        return self.original.evaluate("img => getComputedStyle(img).opacity") == "1"
