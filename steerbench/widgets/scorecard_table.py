"""A scorecard as a table whose rows open sliders.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> read = sb.predictor("rooms-attributes").only(["night", "yaw"])
>>> directions = sb.SeFa(2).fit(G).directions_
>>> table = ScorecardTable(directions, G, read, n_samples=8, n_null=0)
>>> table.order
['SeFa 1', 'SeFa 2']
>>> table.select("SeFa 2")
>>> [each.name for each in table.sliders.directions]
['SeFa 2']

In a notebook the last line of a cell shows it. A click on a row, or Enter on its name, opens the
sliders of that direction under the table, with the scores of the picture. The name over the slider
can be changed, and the table follows. A click on a column's title sorts by it, a second one the
other way round. "Suggest names" writes the names of `steerbench.metrics.naming` where chance
does not explain the effects. "Save" keeps the open direction with its scores as a file, "Save all"
every direction and the table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ipywidgets

from steerbench import metrics
from steerbench.errors import ArgumentError, FileError, NotFoundError, unknown
from steerbench.generators import BaseGenerator
from steerbench.metrics.naming import suggest_names
from steerbench.types import Direction, Predictor, Traversal
from steerbench.widgets.controls import check_traversals
from steerbench.widgets.latent_sliders import LatentSliders
from steerbench.widgets.notice import Notice
from steerbench.widgets.save_row import free
from steerbench.widgets.scorecard_columns import COLUMNS, cells
from steerbench.widgets.style import button, column, refuse_unknown, row, style_sheet

MEASURING = (
    "n_samples", "attributes", "alpha", "alphas", "n_null", "n_null_samples", "power", "kind",
    "batch_size", "precision",
)  # fmt: skip
SHOWN = 12
"""How many scores stand under the picture at most."""
KEYWORDS = ("seed", "size", "alpha_range", *MEASURING)


class ScorecardTable(ipywidgets.VBox):
    """A table of directions.

    Args:
        card: A measured `steerbench.metrics.Scorecard`, or directions, which are measured first.
        generator: The generator.
        predictor: Reads the scores, in the table and under the picture.
        seed: Of the picture that the sliders begin with.
        size: The width of the picture on the screen, in pixels.
        alpha_range: How far a slider goes to either side, in standard deviations.
        options: Of `steerbench.scorecard`, where directions are measured: ``n``, ``null``, ...

    Attributes:
        card: What is shown.
        sliders: The open direction's, or None.
        notice: Says what went wrong.

    Raises:
        ArgumentError: A keyword is not known, or there is no direction.
    """

    def __init__(
        self,
        card: metrics.Scorecard | Sequence[Direction],
        generator: BaseGenerator,
        predictor: Predictor | None = None,
        *,
        seed: int = 0,
        size: int = 320,
        alpha_range: float = 3.0,
        **options: Any,
    ) -> None:
        self.generator, self.predictor = generator, predictor
        self.card = _measure(card, generator, predictor, options)
        self._found = check_traversals(
            generator, self.card.directions_with_scores(), generator.sample(1, seed=seed)
        )
        self._look: dict[str, Any] = {"seed": seed, "size": size, "alpha_range": alpha_range}
        self._names = [each.name for each in self._found]
        self._opened: int | None = None
        self._by: str | None = None
        self._falling = True
        self.sliders: LatentSliders | None = None
        self.notice = Notice()
        self._titles = {key: self._title(key) for key in COLUMNS}
        self._rows = [self._row(i) for i in range(len(self._found))]
        self._body = column(self._rows)
        self._body.add_class("sb-card-body")
        self._under = column([])
        super().__init__([style_sheet(), self._table(), self._tools(), self.notice, self._under])
        self.add_class("sb-panel")

    # What programs ask for.

    @property
    def order(self) -> list[str]:
        """The names of the rows from top to bottom."""
        return [self._names[self._rows.index(each)] for each in self._body.children]

    @property
    def directions(self) -> list[Traversal]:
        """The directions as they are called now, with their scores, in the order of the card."""
        return [each.named(name) for each, name in zip(self._found, self._names, strict=True)]

    def select(self, name: str) -> None:
        """Open the sliders of a direction.

        Raises:
            NotFoundError: There is no direction of this name.
        """
        self._select(self._place(name))

    def rename(self, name: str, new: str) -> None:
        """Call a direction something else.

        Raises:
            NotFoundError: There is no direction of this name.
            ArgumentError: The new name is empty.
        """
        place = self._place(name)
        if not new.strip():
            raise ArgumentError(f"Direction {name!r} was given an empty name. Write one.")
        self._call(place, new.strip())
        if place == self._opened:
            self._select(place)

    def sort(self, by: str) -> None:
        """Sort by a column, the best first; the other way round where it is sorted so already.

        Raises:
            NotFoundError: There is no such column.
        """
        if by not in COLUMNS:
            raise NotFoundError(unknown("column", by, COLUMNS))
        self._falling = not self._falling if by == self._by else True
        self._by = by
        keys = [
            COLUMNS[by].key(self.card.table.iloc[i], self._names[i])
            for i in range(len(self._found))
        ]
        order = sorted(range(len(self._found)), key=keys.__getitem__, reverse=self._falling)
        self._body.children = tuple(self._rows[i] for i in order)
        for key, title in self._titles.items():
            mark = "" if key != by else " ▾" if self._falling else " ▴"
            title.description = COLUMNS[key].title + mark

    def suggest(self) -> None:
        """Give directions the names that their effects suggest, where they are clear."""
        self.notice.clear()
        with self.notice.guard():
            found = suggest_names(self.card)
            clear = [i for i, each in enumerate(found) if each.proposal is not each.direction]
            for i in clear:
                self._call(i, found[i].name)
            if self._opened in clear:
                self._select(self._opened)
            self.notice.tell(
                f"{len(clear)} of {len(found)} directions are clear enough to be named."
                + "".join(f" {each}." for each in found if each.note)[:600]
            )

    def save(self) -> Path | None:
        """Write the open direction; None, with the reason shown, where that failed."""
        with self.notice.guard():
            if self._opened is None:
                raise ArgumentError("No direction is open. Click a row first.")
            path = self._write(self._folder(), self.directions[self._opened])
            self.notice.tell(f"Saved {path}.")
            return path
        return None

    def save_all(self) -> Path | None:
        """Write every direction and the table; the folder, or None where that failed."""
        with self.notice.guard():
            folder = self._folder()
            for each in self.directions:
                self._write(folder, each)
            stem = free(str(folder / "scorecard"), (".csv",))
            path = stem.with_name(stem.name + ".csv")
            table = self.card.table.set_axis(self._names, axis=0).rename_axis("direction")
            table.to_csv(path)
            self.notice.tell(f"Saved {len(self._found)} directions and {path}.")
            return folder
        return None

    # The tree, built once.

    def _table(self) -> ipywidgets.VBox:
        head = ipywidgets.HBox(list(self._titles.values()))
        head.add_class("sb-card-head")
        table = ipywidgets.VBox([head, self._body])
        table.add_class("sb-card")
        return table

    def _title(self, key: str) -> ipywidgets.Button:
        title = ipywidgets.Button(
            description=COLUMNS[key].title, tooltip=f"{COLUMNS[key].meaning}; click to sort by it"
        )
        title.on_click(lambda _: self.sort(key))
        return title

    def _row(self, place: int) -> ipywidgets.HBox:
        called = self._names[place]
        name = ipywidgets.Button(description=called, tooltip=f"Open the sliders of {called}")
        name.on_click(lambda _: self._select(place))
        line = ipywidgets.HBox([name, ipywidgets.HTML(cells(self.card.table.iloc[place]))])
        line.add_class("sb-card-row")
        return line

    def _tools(self) -> ipywidgets.HBox:
        self._suggest = button("Suggest names", "magic", "Name directions by what they move")
        self._path = ipywidgets.Text(
            value=f"{self.generator.name}-directions",
            tooltip="The folder to save in; nothing in it is overwritten",
            layout={"flex": "0 1 240px", "width": "auto", "min_width": "0"},
        )
        self._save = button("Save", "save", "Write the open direction with its scores")
        self._all = button("Save all", "save", "Write every direction and the table")
        self._save.disabled = True
        for each, call in (
            (self._suggest, self.suggest),
            (self._save, self.save),
            (self._all, self.save_all),
        ):
            each.on_click(lambda _, call=call: call())  # type: ignore[misc]
        return row(self._suggest, self._path, self._save, self._all)

    # From a row to sliders.

    def _place(self, name: str) -> int:
        if name not in self._names:
            raise NotFoundError(unknown("direction", name, self._names))
        return self._names.index(name)

    def _select(self, place: int) -> None:
        self.notice.clear()
        with self.notice.guard():
            named = self._found[place].named(self._names[place])
            sliders = LatentSliders(
                self.generator, [named], predictor=self._readable(), **self._look
            )
            if self._opened is not None:
                self._rows[self._opened].remove_class("sb-chosen")
            self._rows[place].add_class("sb-chosen")
            self._opened, self.sliders = place, sliders
            self._save.disabled = False
            self._under.children = (sliders,)
            sliders.on_change(lambda: self._call(place, sliders.directions[0].name))

    def _readable(self) -> Predictor | None:
        """The predictor of what the direction moves, where it can be cut down to that."""
        only = getattr(self.predictor, "only", None)
        if self.predictor is None or only is None or len(self.predictor.names) <= SHOWN:
            return self.predictor
        strongest = self.card.effects.abs().max().sort_values(ascending=False).index[:SHOWN]
        return only([name for name in self.predictor.names if name in set(strongest)])  # type: ignore[no-any-return]

    def _call(self, place: int, name: str) -> None:
        """Give a row a name, numbered where another row has it."""
        others = {each for i, each in enumerate(self._names) if i != place}
        number, wanted = 1, name
        while name in others:
            number += 1
            name = f"{wanted} ({number})"
        self._names[place] = name
        label = self._rows[place].children[0]
        label.description, label.tooltip = name, f"Open the sliders of {name}"

    # From names to files.

    def _folder(self) -> Path:
        if not self._path.value.strip():
            raise FileError("No folder was given. Write one, like 'directions'.")
        folder = Path(self._path.value.strip()).expanduser()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"The folder {folder} cannot be made: {error}.") from error
        return folder

    def _write(self, folder: Path, direction: Traversal) -> Path:
        name = re.sub(r'[\\/:*?"<>|\x00-\x1f]+', "_", direction.name).strip(" .") or "direction"
        stem = free(str(folder / name), (".safetensors",))
        path = stem.with_name(stem.name + ".safetensors")
        direction.save(path)
        return path


def _measure(
    card: metrics.Scorecard | Sequence[Direction],
    generator: BaseGenerator,
    predictor: Predictor | None,
    options: dict[str, Any],
) -> metrics.Scorecard:
    refuse_unknown(
        "ScorecardTable", {k: v for k, v in options.items() if k not in MEASURING}, KEYWORDS
    )
    if isinstance(card, metrics.Scorecard):
        if options:
            raise ArgumentError(
                f"{next(iter(options))!r} was given with a scorecard that is measured already. "
                "Leave it out, or give the directions."
            )
        return card
    if predictor is None:
        raise ArgumentError(
            "Directions were given without a predictor, so there is nothing to score them by. Give "
            "one, or a card that sb.scorecard measured."
        )
    return metrics.scorecard(card, generator, predictor, **options)
