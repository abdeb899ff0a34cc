"""The set of units that together do the most: the paper's search over soft masks.

Units that match a concept one by one need not be those that, switched together, draw or erase it.
The search gives every unit u a share alpha_u in [0, 1] of being switched, removes and inserts all
of them by their shares at places P (``*`` unit by unit, k the value of an insertion):

    removed:  r (1 - alpha)                in pictures that show the concept, P its pixels
    inserted: r (1 - alpha) + k * alpha    in pictures that do not, P where it would fit

and follows the gradient of what a segmenter then sees, p_c being the concept's probability over P:

    minimise  mean p_c(removed) - mean p_c(inserted) + penalty |alpha|_2

by stochastic gradient descent with alpha clipped to [0, 1]. The units with the largest shares are
the set. The segmenter that guides the search must give ``probabilities`` and must not judge the
result: `UnitEffects` takes the set as ``units={"lamp": search.best(8)}``.

Reference: Bau et al., "GAN Dissection" (2019, arXiv 1811.10597), equations 5 to 8.
"""

from __future__ import annotations

import os
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import store
from steerbench.errors import ArgumentError, NotFittedError, PredictorError
from steerbench.generators.base import BaseGenerator
from steerbench.runs import RunFile
from steerbench.seeds import Codes
from steerbench.supervised.dissection import Dissection, labels_of
from steerbench.supervised.dissection.effects import ABSENT, SHOWN
from steerbench.supervised.dissection.insertion_sites import InsertionSites
from steerbench.supervised.dissection.partial_forward import PartialForward, refuse_units
from steerbench.types import UnitEdit


class UnitSearch:
    """Shares of all units of a layer, found by gradient descent.

    Args:
        dissection: A fitted `Dissection`; its segmenter guides, its thresholds
            give the values of insertions, its IoU the start.
        concept: What to draw and erase.
        n_steps: How many steps.
        batch_size: Pictures of each kind a step.
        n_samples: How many pictures to take them from.
        learning_rate: The learning rate.
        penalty: How much a share costs; larger ones give smaller sets.
        strength: The value k of a unit in multiples of its threshold.
        seed: Of the first picture, counted inside the seeds of searches (`steerbench.seeds`).

    Attributes:
        alpha_: ``[units]`` in [0, 1], float64.
        units_: A table: ``unit``, ``alpha``, ``iou`` with the concept, ``rank`` by alpha and
            ``iou_rank``, the largest share first.
        losses_: The objective of each step, without the penalty.
    """

    def __init__(
        self,
        dissection: Dissection,
        concept: str,
        n_steps: int = 60,
        batch_size: int = 8,
        n_samples: int = 128,
        learning_rate: float = 0.02,
        penalty: float = 0.1,
        strength: float = 3.0,
        seed: int = 0,
    ) -> None:
        self.dissection = dissection
        self.concept = concept
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.n_samples = n_samples
        self.learning_rate = learning_rate
        self.penalty = penalty
        self.strength = strength
        self.seed = seed

    alpha_: Tensor
    units_: pd.DataFrame
    losses_: list[float]

    @property
    def _first_seed(self) -> int:
        return Codes.SEARCH + self.seed

    @classmethod
    def refuses(cls, generator: BaseGenerator) -> str | None:
        """Return why it cannot work on a generator, or None."""
        return refuse_units(generator)

    def fit(
        self,
        generator: BaseGenerator,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 30.0,
    ) -> UnitSearch:
        """Search the units; interrupted, it leaves this object as it was.

        Args:
            generator: The one that was dissected.
            state: A file from which to go on and into which to write how far the search is.
            save_every: Seconds between two writings of the file.

        Raises:
            NotFoundError: The concept is unknown, or no unit touches it.
            PredictorError: The segmenter gives no probabilities.
            ArgumentError: Too few pictures show the concept, or lack it where it would fit; or the
                file belongs to another run.
        """
        if not hasattr(self.dissection.segmenter, "probabilities"):
            raise PredictorError(
                "The search follows a gradient, but the dissection's segmenter gives no "
                "probabilities. Take one that does, such as a network with a softmax at its end."
            )
        iou = self.dissection.best(self.concept, 10**6).set_index("unit")["iou"]
        shown, lacking = self._material(generator)
        units = generator.find_layer(self.dissection.layer_).channels
        alpha = torch.zeros(units)
        alpha[iou.index.tolist()] = torch.tensor(iou.tolist())
        alpha = (alpha / alpha.max() / 2).requires_grad_()
        optimiser = torch.optim.SGD([alpha], lr=self.learning_rate, momentum=0.9)
        random, losses = torch.Generator().manual_seed(self._first_seed), list[float]()
        file = RunFile(state, "steerbench unit search", self._settings(generator), save_every)
        if known := file.read():
            losses = known["losses"].tolist()
            random.set_state(known["random"])
            alpha.data.copy_(known["alpha"])
            store.restore_optimiser(optimiser, store.under(known, "optimiser."))

        def tensors() -> dict[str, Tensor]:
            memory = store.optimiser_tensors(optimiser)
            return {f"optimiser.{name}": value for name, value in memory.items()} | {
                "alpha": alpha.detach(),
                "random": random.get_state(),
                "losses": torch.tensor(losses, dtype=torch.float64),
            }

        left = range(len(losses), self.n_steps)
        for _ in tqdm(left, desc=f"units of {self.concept}", unit="step", delay=1):
            losses.append(self._step(generator, alpha, optimiser, shown, lacking, random))
            file.write(tensors)
        file.write(tensors, now=True)
        self.__dict__.update(self._tabulate(alpha.detach().double(), iou, losses))
        return self

    def _step(
        self,
        generator: BaseGenerator,
        alpha: Tensor,
        optimiser: torch.optim.Optimizer,
        shown: tuple[Any, Tensor],
        lacking: tuple[Any, Tensor],
        random: torch.Generator,
    ) -> float:
        """Take one step, and return the objective before it, without the penalty."""
        optimiser.zero_grad()
        removal = self._probability(generator, *self._draw(shown, random), alpha, insert=False)
        insertion = self._probability(generator, *self._draw(lacking, random), alpha, insert=True)
        loss = removal - insertion
        (loss + self.penalty * alpha.norm()).backward()
        # One picture with a vanishing denominator must not throw the search away.
        torch.nn.utils.clip_grad_norm_([alpha], 1.0)
        optimiser.step()
        with torch.no_grad():
            alpha.clamp_(0, 1)
        return loss.item()

    def _settings(self, generator: BaseGenerator) -> dict[str, Any]:
        """Return all that decides the result: what a file must agree with to be gone on from."""
        own = {name: value for name, value in vars(self).items() if not name.endswith("_")}
        return own | {
            "dissection": store.fingerprint({"thresholds": self.dissection.thresholds_}),
            "layer": self.dissection.layer_,
            "generator": generator.fingerprint,
        }

    def best(self, n_units: int = 8) -> tuple[int, ...]:
        """Return the ``n_units`` units with the largest shares."""
        if not hasattr(self, "units_"):
            raise NotFittedError("Nothing has been searched yet; call fit(generator) first.")
        return tuple(self.units_["unit"].head(n_units).tolist())

    def _material(self, generator: BaseGenerator) -> tuple[tuple[Any, Tensor], tuple[Any, Tensor]]:
        """Draw codes with masks: of pictures that show the concept, and that lack it."""
        segmenter = self.dissection.segmenter
        codes = generator.sample(self.n_samples, seed=self._first_seed)
        parts = torch.arange(self.n_samples).split(self.batch_size)
        labels = torch.cat(
            [labels_of(segmenter, generator.render(codes[part.tolist()])) for part in parts]
        )
        index = list(segmenter.names).index(self.concept)
        share = (labels == index).float().mean((1, 2))
        masks, fits = InsertionSites.of(labels, index).choose(labels, self._first_seed)
        shown = (share >= SHOWN).nonzero()[:, 0].tolist()
        lacking = ((share <= ABSENT) & fits).nonzero()[:, 0].tolist()
        if not shown or not lacking:
            raise ArgumentError(
                f"Of {self.n_samples} pictures {len(shown)} show {self.concept!r} and "
                f"{len(lacking)} lack it where it would fit; some of both are needed. Take more "
                "samples."
            )
        own = (labels == index).float()
        return (codes[shown], own[shown]), (codes[lacking], masks[lacking])

    def _draw(self, material: tuple[Any, Tensor], random: torch.Generator) -> tuple[Any, Tensor]:
        codes, masks = material
        some = torch.randint(len(codes), (self.batch_size,), generator=random).tolist()
        return codes[some], masks[some]

    def _probability(
        self, generator: BaseGenerator, codes: Any, masks: Tensor, alpha: Tensor, insert: bool
    ) -> Tensor:
        """Return the concept's mean probability at the places, after the soft edit."""
        forward = PartialForward(generator, codes, self.dissection.layer_)
        size = forward.activation.shape[2:]
        everywhere = alpha[:, None, None].expand(-1, *size)
        layer, units = self.dissection.layer_, tuple(range(len(alpha)))
        edits = [UnitEdit(layer, units, "scale", 1 - everywhere, masks)]
        if insert:
            high = self.strength * self.dissection.thresholds_.float()[:, None, None]
            edits.append(UnitEdit(layer, units, "add", everywhere * high, masks))
        segmenter: Any = self.dissection.segmenter
        index = list(segmenter.names).index(self.concept)
        seen = segmenter.probabilities(forward.render(edits))[:, index]
        return (seen * masks).sum() / masks.sum()

    def _tabulate(self, alpha: Tensor, iou: pd.Series, losses: list[float]) -> dict[str, Any]:
        table = pd.DataFrame({"unit": range(len(alpha)), "alpha": alpha.numpy()})
        table["iou"] = table["unit"].map(iou).fillna(0.0)
        table["iou_rank"] = table["iou"].rank(ascending=False, method="first").astype(int)
        # Of units with the same share the one that overlaps more comes first.
        ordered = table.sort_values(["alpha", "iou"], ascending=False).reset_index(drop=True)
        ordered.insert(3, "rank", ordered.index + 1)
        return {"alpha_": alpha, "units_": ordered, "losses_": losses}
