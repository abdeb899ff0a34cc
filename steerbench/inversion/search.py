"""From several starts to the best code of every picture: races, batches, stopping, going on later.

All starts of a picture run the first part of the way, the race; the one with the lowest loss by
then goes on alone. Pictures are worked on in batches; none depends on the others of its batch, but
that an early end waits for the slowest. Without steps the best start itself is the answer.

A search ends early without losing anything: an interrupt (Ctrl-C, the stop button of a notebook) or
a callback that returns False ends it, and the best codes so far are given back; pictures whose turn
had not come keep their first start. With a ``state`` file what was reached is kept every ten
seconds and at the end, and the same call goes on from there, to what an uninterrupted one would
have given.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import store
from steerbench.errors import ArgumentError, CheckpointError
from steerbench.generators.base import BaseGenerator
from steerbench.inversion.engine import Descent, Loss, Plan
from steerbench.types import Latent

Callback = Callable[[int, Tensor, Tensor], Any]
"""Called after every step with its number, and the pictures ``[n, C, H, W]`` and losses ``[n]`` of
the batch; returning False ends the search."""

KIND = "steerbench search 1"
SAVE_SECONDS = 10.0


@dataclass(eq=False)
class Found:
    """What a search found.

    Attributes:
        latent: The best code of each picture, ``[N, *shape]``.
        maps: The noise ``[N, 1, H, W]`` that belongs to it, by layer; empty where it was left.
        loss: Its loss ``[N]``; infinite where its turn had not come.
        losses: The loss at every step of the start that won, ``[N, steps]``; NaN after the end.
        steps: How many steps each picture was given ``[N]``.
        start: Which of the starts won ``[N]``.
        seconds: In all, over every call of a search that went on.
        ended: ``"finished"``, ``"interrupted"`` or ``"stopped"`` (by the callback).
    """

    latent: Latent
    maps: dict[str, Tensor]
    loss: Tensor
    losses: Tensor
    steps: Tensor
    start: Tensor
    seconds: float = 0.0
    ended: str = "finished"

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a search fills in; the tensors are the result's own."""
        names = ("loss", "losses", "steps", "start")
        found = {"code": self.latent.data} | {name: getattr(self, name) for name in names}
        found |= {} if self.latent.label is None else {"label": self.latent.label}
        return found | {f"map.{name}": part for name, part in self.maps.items()}


class Search:
    """A search that can be left and taken up again; `search` runs one.

    Args:
        generator, starts, loss, plan, race, batch, maps: See `search`.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        starts: Sequence[Latent],
        loss: Loss,
        plan: Plan,
        *,
        race: float = 0.15,
        batch: int = 8,
        maps: Mapping[str, Tensor] | None = None,
    ) -> None:
        _check(starts, plan, batch)
        self.generator, self.starts, self.loss, self.plan = generator, starts, loss, plan
        self.batch = batch
        self.race = round(race * plan.steps) if len(starts) > 1 else 0
        noise = {} if plan.maps is None else dict(maps or generator.noise_maps())
        self.noise = {name: part.detach() for name, part in noise.items()}
        self.next, self.at = 0, 0
        self.descent: Descent | None = None
        self.picked = torch.empty(0, dtype=torch.long)
        n, first = len(starts[0]), starts[0].detach()
        label = None if first.label is None else first.label.clone()
        self.found = Found(
            Latent(first.space, first.data.clone(), first.generator, None, label, first.rows),
            {name: part[None, None].repeat(n, 1, 1, 1) for name, part in self.noise.items()},
            torch.full((n,), torch.inf),
            torch.full((n, plan.steps), torch.nan),
            torch.zeros(n, dtype=torch.long),
            torch.zeros(n, dtype=torch.long),
        )

    @property
    def rows(self) -> Tensor:
        """The pictures of the batch whose turn it is."""
        return torch.arange(self.next, min(len(self.found.latent), self.next + self.batch))

    def run(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One step after the other; gives the pictures and the losses of each."""
        while self.next < len(self.found.latent):
            descent = self.descent or self._begin(range(len(self.starts) * len(self.rows)))
            while not descent.done:
                if descent.at == self.race and len(self.picked) > len(self.rows):
                    winners = self._winners()
                    self.picked = self.picked[winners]
                    descent.keep(winners)
                self.at = descent.at
                yield descent.step()
            self.put()
            self.next, self.descent = self.next + len(self.rows), None

    def _begin(self, picked: Sequence[int]) -> Descent:
        """A descent of some of the starts of the batch, numbered start by start."""
        rows = self.rows
        chosen = [start[rows.tolist()] for start in self.starts]
        every = torch.arange(len(rows)).repeat(len(self.starts)) + self.next
        self.picked = torch.tensor(picked)
        start = Latent.cat(chosen)[self.picked.tolist()]
        self.descent = Descent(
            self.generator, start, every[self.picked], self.loss, self.plan, self.noise
        )
        return self.descent

    def _winners(self) -> Tensor:
        """Of each picture of the batch the place, in the descent, of its best start."""
        descent = self.descent
        if descent is None:
            return torch.empty(0, dtype=torch.long)
        places = [(descent.rows == row).nonzero()[:, 0] for row in self.rows]
        return torch.stack([own[descent.best_losses[own].argmin()] for own in places])

    def put(self) -> None:
        """Take the best of the batch into what was found."""
        descent = self.descent
        if descent is None or not descent.losses.shape[1]:
            return
        found, rows, best = self.found, self.rows, self._winners()
        latent, maps = descent.found()
        found.latent.data[rows] = latent.data[best]
        if found.latent.label is not None and latent.label is not None:
            found.latent.label[rows] = latent.label[best]
        for name, part in maps.items():
            found.maps[name][rows] = part[best]
        taken = descent.losses.shape[1]
        found.loss[rows] = descent.best_losses[best]
        found.losses[rows, :taken] = descent.losses[best]
        found.steps[rows] = taken
        found.start[rows] = self.picked[best] // len(rows)

    # Files.

    def save(self, path: Path, key: str) -> None:
        """Write everything that a later call needs to go on."""
        tensors = {f"found.{k}": v for k, v in self.found.tensors().items()}
        header: dict[str, Any] = {"kind": KIND, "key": key, "next": self.next}
        header["seconds"] = self.found.seconds
        if self.descent is not None:
            tensors |= {f"descent.{k}": v for k, v in self.descent.tensors().items()}
            tensors["picked"] = self.picked
            header |= {"at": self.descent.at, "cooling_at": self.descent.cooling_at}
        store.save(path, tensors, header)

    def load(self, path: Path, key: str) -> None:
        """Go on from what `save` wrote.

        Raises:
            CheckpointError: It is damaged, or of another search.
        """
        tensors, header = store.load(path)
        if header.get("kind") != KIND or header.get("key") != key:
            raise CheckpointError(
                f"{path} holds another search than this one: other pictures, another generator, "
                "space, start or setting. Give the file of this search, or a new name."
            )
        own = self.found.tensors()
        for name, part in own.items():
            part.copy_(tensors[f"found.{name}"])
        self.next, self.found.seconds = header["next"], header["seconds"]
        if "at" in header:
            descent = self._begin(tensors["picked"].tolist())
            prefix = "descent."
            kept = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            descent.restore(kept, header["at"], header["cooling_at"])


def search(
    generator: BaseGenerator,
    starts: Sequence[Latent],
    loss: Loss,
    plan: Plan,
    *,
    race: float = 0.15,
    batch: int = 8,
    maps: Mapping[str, Tensor] | None = None,
    callback: Callback | None = None,
    progress: str | None = "inverting",
    state: str | os.PathLike[str] | None = None,
    key: str = "",
) -> Found:
    """Search the codes whose pictures have the lowest loss.

    Args:
        generator: What draws the pictures.
        starts: Codes ``[N, *shape]``, one for each picture; all of the space to search in.
        loss: See `Loss`.
        plan: How to go down.
        race: The share of the way that all starts run.
        batch: Pictures at a time.
        maps: Noise to begin with, by layer name, where the plan optimises noise.
        callback: See `Callback`.
        progress: What to call it beside the progress bar; None for no bar.
        state: A file to keep what was reached in, and to go on from.
        key: What the search is about; a file of another key is refused.

    Raises:
        CheckpointError: The state is of another search, or damaged.
        ArgumentError: There is no start, or the starts do not fit one another.
    """
    work = Search(generator, starts, loss, plan, race=race, batch=batch, maps=maps)
    if not plan.steps:
        return _best_start(work)
    path = None if state is None else Path(state)
    if path is not None and path.exists():
        work.load(path, key)
    found, began, before = work.found, time.monotonic(), work.found.seconds
    saved, whole = began, True
    total = -(-len(found.latent) // batch) * plan.steps
    bar = tqdm(total=total, desc=progress, unit="step", disable=progress is None, delay=1)
    try:
        for images, losses in work.run():
            whole, found.seconds = True, before + time.monotonic() - began
            bar.n = (work.next // batch) * plan.steps + work.at
            bar.set_postfix(loss=f"{float(losses.mean()):.4f}", refresh=False)
            bar.update()
            if path is not None and time.monotonic() - saved > SAVE_SECONDS:
                work.save(path, key)
                saved = time.monotonic()
            if callback is not None and callback(work.at, images, losses) is False:
                found.ended = "stopped"
                break
            whole = False  # an interrupt inside a step leaves a state that is not worth keeping
        else:
            whole = True
    except KeyboardInterrupt:
        found.ended = "interrupted"
    finally:
        bar.close()
    work.put()
    if path is not None and whole:
        work.save(path, key)
    return found


@torch.no_grad()
def _best_start(work: Search) -> Found:
    """The start of the lowest loss for each picture, without a step."""
    found, began = work.found, time.monotonic()
    for index, start in enumerate(work.starts):
        for rows in torch.arange(len(start)).split(work.batch):
            some = start[rows.tolist()]
            images = work.generator.render(some, precision=work.plan.precision)
            losses = work.loss(images, rows).cpu()
            lower = losses < found.loss[rows]
            chosen = rows[lower]
            found.latent.data[chosen] = some.data[lower]
            if found.latent.label is not None and some.label is not None:
                found.latent.label[chosen] = some.label[lower]
            found.loss[chosen], found.start[chosen] = losses[lower], index
    found.seconds = time.monotonic() - began
    return found


def _check(starts: Sequence[Latent], plan: Plan, batch: int) -> None:
    if plan.steps < 0 or batch < 1 or not starts:
        raise ArgumentError(
            f"steps={plan.steps}, batch={batch} and {len(starts)} starts; give at least one of "
            "the last two, and steps of at least 0."
        )
    spaces = {start.space for start in starts}
    sizes = {len(start) for start in starts}
    if len(spaces) > 1 or len(sizes) > 1:
        raise ArgumentError(
            f"The starts are of the spaces {sorted(spaces)} and hold {sorted(sizes)} codes. Give "
            "all of them in one space, one code for each picture."
        )


__all__ = ["Callback", "Found", "Search", "search"]
