"""A path box with two buttons: keep the recipe, export the picture.

Nothing that exists is ever overwritten: a second "evening" becomes "evening-2".
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ipywidgets
from torch import Tensor

from steerbench import image as pixels
from steerbench.errors import FileError
from steerbench.types import Generator, Recipe
from steerbench.widgets.notice import Notice
from steerbench.widgets.style import button

SUFFIXES = (".json", ".safetensors", ".png")


class SaveRow(ipywidgets.HBox):
    """Saves what a component shows.

    Args:
        generator: What renders the picture for export, in float32.
        recipe: Gives the recipe of the present picture.
        notice: Where to say what was written, or why not.
        picture: Gives the picture for export, where that is not what the recipe draws.

    Attributes:
        path: The path box; a suffix in it is left out.
    """

    def __init__(
        self,
        generator: Generator,
        recipe: Callable[[], Recipe],
        notice: Notice,
        picture: Callable[[], Tensor] | None = None,
    ) -> None:
        self._generator, self._recipe, self._notice = generator, recipe, notice
        self._picture = picture or (lambda: self._recipe().render(self._generator))
        self.path = ipywidgets.Text(
            value=f"{generator.name}-edit",
            placeholder="folder/name",
            tooltip="Where to save, without a suffix; nothing is overwritten",
            layout={"flex": "1 1 0", "width": "auto", "min_width": "0"},
        )
        self._save = button("Save recipe", "save", "Write NAME.json and NAME.safetensors")
        self._export = button("Export PNG", "image", "Write the picture to NAME.png")
        self._save.on_click(lambda _: self.save())
        self._export.on_click(lambda _: self.export())
        super().__init__([self.path, self._save, self._export])
        self.add_class("sb-row")

    def save(self) -> Path | None:
        """Write the recipe; None, with the reason shown, where that failed."""
        with self._notice.guard():
            path = self._recipe().save(free(self.path.value, (".json", ".safetensors")))
            self._notice.tell(f"Saved {path} and, beside it, {path.stem}.safetensors.")
            return path
        return None

    def export(self) -> Path | None:
        """Write the picture as PNG; None, with the reason shown, where that failed."""
        with self._notice.guard():
            image = self._picture()
            stem = free(self.path.value, (".png",))
            path = stem.with_name(stem.name + ".png")
            pixels.save(image, path)
            self._notice.tell(f"Exported {path}.")
            return path
        return None


def free(text: str, suffixes: tuple[str, ...]) -> Path:
    """The path named, numbered where one of its files exists already.

    Raises:
        FileError: No name was given.
    """
    given = Path(text.strip()).expanduser()
    if given.suffix.lower() in SUFFIXES:
        given = given.with_suffix("")
    if not given.name:
        raise FileError(f"{text!r} holds no file name. Write one, like 'evening' or 'out/evening'.")
    candidate, number = given, 1
    while any(candidate.with_name(candidate.name + suffix).exists() for suffix in suffixes):
        number += 1
        candidate = given.with_name(f"{given.name}-{number}")
    return candidate
