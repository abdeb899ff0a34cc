"""From initial codes to the best code of every picture: warm-up, batches, stopping, resuming.

All initial codes of a picture run the first part of the way, the warm-up; the one with the lowest
loss by then goes on alone. Pictures are worked on in batches; none depends on the others of its
batch, but that an early end waits for the slowest. Without steps the best initial code itself is
the answer.

A search ends early without losing anything: an interrupt (Ctrl-C, the stop button of a notebook) or
a callback that returns False ends it, and the best codes so far are given back; pictures whose turn
had not come keep their first initial code. With the file of a run (`steerbench.runs`) what was
reached is kept every ten seconds and at the end, and the same call goes on from there, to what an
uninterrupted one would have given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import ArgumentError
from steerbench.generators.base import BaseGenerator
from steerbench.inversion.engine import CodeOptimiser, Loss, OptimisationConfig
from steerbench.runs import RunFile
from steerbench.store import under
from steerbench.types import Latent

Callback = Callable[[int, Tensor, Tensor], Any]
"""Called after every step with its number, and the pictures ``[n, C, H, W]`` and losses ``[n]`` of
the batch; returning False ends the search."""


@dataclass(eq=False)
class SearchResult:
    """The codes of a search.

    Attributes:
        latent: The best code of each picture, ``[N, *shape]``.
        noise: The noise ``[N, 1, H, W]`` that belongs to it, by layer; empty where it was left.
        loss: Its loss ``[N]``; infinite where its turn had not come.
        losses: The loss at every step of the initial code that won, ``[N, n_steps]``; NaN after
            the end.
        steps: How many steps each picture was given ``[N]``.
        start: Which of the initial codes won ``[N]``.
        seconds: In all, over every call of a search that went on.
        ended: ``"finished"``, ``"interrupted"`` or ``"stopped"`` (by the callback).
    """

    latent: Latent
    noise: dict[str, Tensor]
    loss: Tensor
    losses: Tensor
    steps: Tensor
    start: Tensor
    seconds: float = 0.0
    ended: str = "finished"

    @classmethod
    def empty(
        cls, first: Latent, noise: Mapping[str, Tensor], config: OptimisationConfig
    ) -> SearchResult:
        """Return the result before any step, each code the first of its initial ones.

        Args:
            first: The first initial code of each picture.
            noise: To begin with, by layer.
            config: Says how many steps there will be.
        """
        n, first = len(first), first.detach()
        label = None if first.label is None else first.label.clone()
        return cls(
            Latent(first.space, first.data.clone(), first.generator, None, label, first.rows),
            {name: part[None, None].repeat(n, 1, 1, 1) for name, part in noise.items()},
            torch.full((n,), torch.inf),
            torch.full((n, config.n_steps), torch.nan),
            torch.zeros(n, dtype=torch.long),
            torch.zeros(n, dtype=torch.long),
        )

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that a search fills in; the tensors are the result's own."""
        names = ("loss", "losses", "steps", "start")
        tensors = {"code": self.latent.data} | {name: getattr(self, name) for name in names}
        tensors |= {} if self.latent.label is None else {"label": self.latent.label}
        return tensors | {f"noise.{name}": part for name, part in self.noise.items()}

    def put(self, places: Tensor, latent: Latent) -> None:
        """Take codes over, at some places ``[k]``."""
        self.latent.data[places] = latent.data
        if self.latent.label is not None and latent.label is not None:
            self.latent.label[places] = latent.label


class Search:
    """A search that can be left and taken up again; `search` runs one.

    Args:
        generator, inits, loss, config, noise: As for `search`.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        inits: Sequence[Latent],
        loss: Loss,
        config: OptimisationConfig,
        noise: Mapping[str, Tensor] | None = None,
    ) -> None:
        _check(inits, config)
        self.generator, self.inits, self.loss, self.config = generator, inits, loss, config
        self.warmup = round(config.warmup_share * config.n_steps) if len(inits) > 1 else 0
        maps = {} if config.noise is None else dict(noise or generator.noise_maps())
        self.noise = {name: part.detach() for name, part in maps.items()}
        self.next, self.at = 0, 0
        self.optimiser: CodeOptimiser | None = None
        self.candidates = torch.empty(0, dtype=torch.long)
        self.result = SearchResult.empty(inits[0], self.noise, config)

    @property
    def batch(self) -> Tensor:
        """The indices of the pictures whose turn it is."""
        end = min(len(self.result.latent), self.next + self.config.batch_size)
        return torch.arange(self.next, end)

    def run(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Make one step after the other; give the pictures and the losses of each."""
        while self.next < len(self.result.latent):
            optimiser = self.optimiser or self._begin(range(len(self.inits) * len(self.batch)))
            while not optimiser.is_done:
                if optimiser.at == self.warmup and len(self.candidates) > len(self.batch):
                    winners = self._winners(optimiser)
                    self.candidates = self.candidates[winners]
                    optimiser.keep(winners)
                self.at = optimiser.at
                yield optimiser.step()
            self.collect()
            self.next, self.optimiser = self.next + len(self.batch), None

    def _begin(self, candidates: Sequence[int]) -> CodeOptimiser:
        """Return an optimiser of some initial codes of the batch, numbered init by init."""
        chosen = [init[self.batch.tolist()] for init in self.inits]
        indices = torch.arange(len(self.batch)).repeat(len(self.inits)) + self.next
        self.candidates = torch.tensor(candidates)
        start = Latent.cat(chosen)[self.candidates.tolist()]
        self.optimiser = CodeOptimiser(
            self.generator, start, indices[self.candidates], self.loss, self.config, self.noise
        )
        return self.optimiser

    def _winners(self, optimiser: CodeOptimiser) -> Tensor:
        """Return, for each picture of the batch, the place of its best code in the optimiser."""
        places = [(optimiser.indices == index).nonzero()[:, 0] for index in self.batch]
        return torch.stack([own[optimiser.best_losses[own].argmin()] for own in places])

    def collect(self) -> None:
        """Take the best of the batch into the result."""
        optimiser = self.optimiser
        if optimiser is None or not optimiser.losses.shape[1]:
            return
        result, batch, best = self.result, self.batch, self._winners(optimiser)
        latent, noise = optimiser.best_latents()
        result.put(batch, latent[best.tolist()])
        for name, part in noise.items():
            result.noise[name][batch] = part[best]
        steps = optimiser.losses.shape[1]
        result.loss[batch] = optimiser.best_losses[best]
        result.losses[batch, :steps] = optimiser.losses[best]
        result.steps[batch] = steps
        result.start[batch] = self.candidates[best] // len(batch)

    def state_dict(self) -> dict[str, Tensor]:
        """Return everything that a later call needs to go on, as tensors by name."""
        tensors = {f"result.{k}": v for k, v in self.result.state_dict().items()}
        tensors["next"] = torch.tensor(self.next)
        tensors["seconds"] = torch.tensor(self.result.seconds, dtype=torch.float64)
        if self.optimiser is None:
            return tensors
        tensors |= {f"optimiser.{k}": v for k, v in self.optimiser.state_dict().items()}
        return tensors | {"candidates": self.candidates}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        for name, part in self.result.state_dict().items():
            part.copy_(tensors[f"result.{name}"])
        self.next, self.result.seconds = int(tensors["next"]), float(tensors["seconds"])
        if "candidates" in tensors:
            optimiser = self._begin(tensors["candidates"].tolist())
            optimiser.load_state_dict(under(tensors, "optimiser."))


def search(
    generator: BaseGenerator,
    inits: Sequence[Latent],
    loss: Loss,
    config: OptimisationConfig,
    *,
    noise: Mapping[str, Tensor] | None = None,
    callback: Callback | None = None,
    title: str = "inverting",
    file: RunFile | None = None,
) -> SearchResult:
    """Search the codes whose pictures have the lowest loss.

    Args:
        generator: What draws the pictures.
        inits: Codes ``[N, *shape]``, one for each picture; all of the space to search in.
        loss: See `steerbench.inversion.engine.Loss`.
        config: How to search.
        noise: Noise to begin with, by layer name, where it is optimised too.
        callback: See `Callback`; it takes the place of the progress bar.
        title: Of the progress bar.
        file: Where to keep what was reached, and to go on from.

    Raises:
        ArgumentError: There are no initial codes, they do not fit one another, or the file is of
            another search.
        CheckpointError: The file is damaged.
    """
    work = Search(generator, inits, loss, config, noise)
    if not config.n_steps:
        return _best_init(work)
    file = RunFile(None, "", {}) if file is None else file
    if known := file.read():
        work.load_state_dict(known)
    else:
        file.write(work.state_dict, now=True)  # a file that cannot be written is noticed here
    whole = _run(work, callback, title, file)
    work.collect()
    if whole:
        file.write(work.state_dict, now=True)
    return work.result


def _run(work: Search, callback: Callback | None, title: str, file: RunFile) -> bool:
    """Run a search to one of its ends; return whether its state is worth keeping."""
    result, began, before = work.result, time.monotonic(), work.result.seconds
    n_steps, batch_size = work.config.n_steps, work.config.batch_size
    total = -(-len(result.latent) // batch_size) * n_steps
    whole = True
    with tqdm(total=total, desc=title, unit="step", disable=callback is not None, delay=1) as bar:
        try:
            for images, losses in work.run():
                whole, result.seconds = True, before + time.monotonic() - began
                bar.n = (work.next // batch_size) * n_steps + work.at
                bar.set_postfix(loss=f"{float(losses.mean()):.4f}", refresh=False)
                bar.update()
                file.write(work.state_dict)
                if callback is not None and callback(work.at, images, losses) is False:
                    result.ended = "stopped"
                    return True
                whole = False  # an interrupt inside a step leaves a state that is not worth keeping
        except KeyboardInterrupt:
            result.ended = "interrupted"
            return whole
    return True


@torch.no_grad()
def _best_init(work: Search) -> SearchResult:
    """Return the initial code of the lowest loss for each picture, without a step."""
    result, began = work.result, time.monotonic()
    for number, init in enumerate(work.inits):
        for indices in torch.arange(len(init)).split(work.config.batch_size):
            some = init[indices.tolist()]
            images = work.generator.render(some, precision=work.config.precision)
            losses = work.loss(images, indices).cpu()
            lower = losses < result.loss[indices]
            if not bool(lower.any()):
                continue
            chosen = indices[lower]
            result.put(chosen, some[lower.nonzero()[:, 0].tolist()])
            result.loss[chosen], result.start[chosen] = losses[lower], number
    result.seconds = time.monotonic() - began
    return result


def _check(inits: Sequence[Latent], config: OptimisationConfig) -> None:
    if config.n_steps < 0 or config.batch_size < 1 or not inits:
        raise ArgumentError(
            f"n_steps={config.n_steps}, batch_size={config.batch_size} and {len(inits)} starts; "
            "give at least one of the last two, and n_steps of at least 0."
        )
    spaces = {init.space for init in inits}
    sizes = {len(init) for init in inits}
    if len(spaces) > 1 or len(sizes) > 1:
        raise ArgumentError(
            f"The starts are of the spaces {sorted(spaces)} and hold {sorted(sizes)} codes. Give "
            "all of them in one space, one code for each picture."
        )


__all__ = ["Callback", "Search", "SearchResult", "search"]
