"""Chapter 18: what a sentence can steer, and how good the quick way is.

- ``18-prompts.csv``: five prompts on ten seeds each, by each mode and by random directions that
  change the picture as much: scores before and after, what of the layout stayed, seconds.
- ``18-relevance.csv``: the exact and the fast relevance of channels: how alike they rank channels
  that were drawn at random, how long each takes.

One CLIP guides. Two witnesses judge that took no part: a second CLIP, by how much nearer the
picture came to the prompt than to its opposite, and an oracle, by the probability of what the
prompt asks for (its least where it asks for several things). What of the layout stayed is the share
of its variance between pictures that the edit left alone,
``1 - |e(x) - e(x_s)|^2 / E |e(x) - e(x')|^2``: 1 where nothing moved, 0 where the pictures are as
different as two rooms.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from steerbench.embedding.styleclip import (
    GlobalDirections,
    LatentMapper,
    LatentOptimiser,
    layout_of,
)
from steerbench.generators import load
from steerbench.generators.base import BaseGenerator
from steerbench.metrics import random_directions, step_for_change
from steerbench.predictors import oracle
from steerbench.predictors.clip import Clip, clip
from steerbench.seeds import Codes
from steerbench.stats import bootstrap
from steerbench.studies import tables
from steerbench.types import Direction, Latent

SEED = Codes.SCORECARD.start


@dataclass(frozen=True)
class Prompt:
    """A text, its opposite, and which attributes it asks to be there (1) or not (0)."""

    text: str
    neutral: str
    opposite: str
    wants: dict[str, int]


PROMPTS = (
    Prompt(
        "a bedroom at night with the lamp on",
        "a bedroom by day with the lamp off",
        "a bedroom by day with the lamp off",
        {"night": 1, "lamp_on": 1},
    ),
    Prompt("a room by day", "a room at night", "a room at night", {"night": 0}),
    Prompt(
        "a room with a wooden floor",
        "a room with a tiled floor",
        "a room with a tiled floor",
        {"wood": 1},
    ),
    Prompt("a room with a plant", "a room without a plant", "a room without a plant", {"plant": 1}),
    Prompt("a living room", "a bedroom", "a bedroom", {"living_room": 1}),
)


@dataclass(frozen=True, eq=False)
class EditResult:
    """Pictures after an edit, and the seconds that one of them took (and that learning took)."""

    images: Tensor
    seconds: float
    learning: float = 0.0


def edit_by_walk(
    generator: BaseGenerator, guide: Clip, prompt: Prompt, codes: Latent
) -> EditResult:
    """Walk from each code by itself, all at once."""
    began = time.perf_counter()
    done = LatentOptimiser(guide, prompt.text).fit(generator).optimise(codes)
    return EditResult(done.images, (time.perf_counter() - began) / len(codes))


def edit_by_mapper(
    generator: BaseGenerator, guide: Clip, prompt: Prompt, codes: Latent
) -> EditResult:
    """Learn one mapper and apply it to all."""
    mapper = LatentMapper(guide, prompt.text).fit(generator)
    began = time.perf_counter()
    images = generator.render(mapper.edit(codes))
    return EditResult(images, (time.perf_counter() - began) / len(codes), mapper.seconds_)


def edit_by_direction(
    generator: BaseGenerator, guide: Clip, prompt: Prompt, codes: Latent
) -> EditResult:
    """Take one step along a global direction, the same for all."""
    began = time.perf_counter()
    found = GlobalDirections(guide).fit(generator).direction(prompt.text, prompt.neutral)
    learning = time.perf_counter() - began
    began = time.perf_counter()
    images = generator.render(codes, edits=[1.0 * found])
    return EditResult(images, (time.perf_counter() - began) / len(codes), learning)


MODES: dict[str, Callable[[BaseGenerator, Clip, Prompt, Latent], EditResult]] = {
    "optimise": edit_by_walk,
    "mapper": edit_by_mapper,
    "direction": edit_by_direction,
}


def mean_change(images: Tensor, before: Tensor) -> float:
    """Return the mean change of pixels, as a share of their range."""
    return float((images - before).clamp(-2, 2).abs().mean()) / 2


class Judges:
    """The witnesses of one prompt, and the pictures before."""

    def __init__(self, prompt: Prompt, before: Tensor, models: Mapping[str, str]) -> None:
        second = clip(models["second_clip"])
        self.words = second.predictor({"prompt": (prompt.text, prompt.opposite)})
        self.oracle = oracle(models["judge"]).only(list(prompt.wants))
        self.wants = torch.tensor(list(prompt.wants.values())).float()
        layout: Any = layout_of(load(models["generator"]), oracle(models["judge"]))
        self.before, self.layout = before, layout
        self.layout_before = layout(before)
        self.typical = 2 * self.layout_before.var(0, correction=1).sum()

    def read(self, images: Tensor) -> dict[str, Tensor]:
        """Read ``clip`` (the prompt against its opposite), ``oracle`` and ``layout``."""
        present = self.oracle.predict(images)
        right = torch.where(self.wants > 0.5, present, 1 - present)
        moved = (self.layout(images) - self.layout_before).square().sum(1)
        return {
            "clip": self.words.predict(images)[:, 0],
            "oracle": right.min(1).values,
            "layout": 1 - moved / self.typical,
        }


class RandomEdits:
    """Random directions of w, each walked until the pixels changed about as much as asked.

    Args:
        generator: Draws the pictures.
        codes: Where to walk from.
        before: The pictures there.
        n_null: How many directions.
        probe: How many standard deviations each is tried at first.
        farthest: By what that may grow.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        codes: Latent,
        before: Tensor,
        *,
        n_null: int = 19,
        probe: float = 8.0,
        farthest: float = 4.0,
    ) -> None:
        self.generator, self.codes, self.before = generator, codes, before
        self.probe, self.farthest = probe, farthest
        self.directions = random_directions(generator, n_null, "w", kind="isotropic", seed=SEED)

    def _walk(self, direction: Direction, alpha: float) -> Tensor:
        return self.generator.render(self.codes, edits=[alpha * direction])

    def _step(self, direction: Direction, change: float) -> float:
        def change_at(alpha: float) -> float:
            return mean_change(self._walk(direction, alpha), self.before)

        most = self.probe * self.farthest
        return step_for_change(change_at, change, first=self.probe, most=most, rounds=2)

    def read(self, judges: Judges, change: float) -> dict[str, Tensor]:
        """Return mean rises of ``clip`` and ``oracle``, ``layout`` and ``change``: ``[n_null]``."""
        start, rows = judges.read(self.before), []
        for direction in self.directions:
            images = self._walk(direction, self._step(direction, change))
            now = judges.read(images)
            rises = [float((now[name] - start[name]).mean()) for name in ("clip", "oracle")]
            layout = float(now["layout"].mean())
            rows.append([*rises, layout, mean_change(images, self.before)])
        return dict(zip(("clip", "oracle", "layout", "change"), torch.tensor(rows).T))


def measure(out: Path, models: Mapping[str, str], n_samples: int = 10) -> None:
    """Measure every prompt by every mode; rows that the file has already are not redone."""
    path = out / "18-prompts.csv"
    rows = pd.read_csv(path).to_dict("records") if path.is_file() else []
    known = {(row["prompt"], row["mode"]) for row in rows}
    generator, guide = load(models["generator"]), clip(models["clip"])
    codes = generator.sample(n_samples, seed=SEED)
    before = generator.render(codes)
    random = RandomEdits(generator, codes, before)
    for prompt in PROMPTS:
        judges = Judges(prompt, before, models)
        for mode, edit in MODES.items():
            if (prompt.text, mode) in known:
                continue
            done = edit(generator, guide, prompt, codes)
            null = random.read(judges, mean_change(done.images, before))
            rows.append(_row(prompt, mode, done, judges, null))
            tables.write(pd.DataFrame(rows), path)


def _row(
    prompt: Prompt, mode: str, done: EditResult, judges: Judges, null: dict[str, Tensor]
) -> dict[str, object]:
    before, after = judges.read(judges.before), judges.read(done.images)
    row: dict[str, object] = {"prompt": prompt.text, "mode": mode, "pictures": len(done.images)}
    for name in ("clip", "oracle"):
        row |= _rise(name, before[name], after[name], null[name])
    low, high = bootstrap(after["layout"][:, None])
    return row | {
        "layout_kept": float(after["layout"].mean()),
        "layout_low": float(low),
        "layout_high": float(high),
        "layout_random": float(null["layout"].mean()),
        "change_random": float(null["change"].mean()),
        "change": mean_change(done.images, judges.before),
        "seconds": done.seconds,
        "learning_seconds": done.learning,
    }


def _rise(name: str, before: Tensor, after: Tensor, null: Tensor) -> dict[str, float]:
    """Return what a witness read before and after, the rise with its interval, and chance."""
    rise = after - before
    low, high = bootstrap(rise[:, None])
    return {
        f"{name}_before": float(before.mean()),
        f"{name}_after": float(after.mean()),
        f"{name}_rise_low": float(low),
        f"{name}_rise_high": float(high),
        f"{name}_random": float(null.mean()),
        f"{name}_p": float((1 + (null >= rise.mean()).sum()) / (1 + len(null))),
    }


def measure_relevance(out: Path, models: Mapping[str, str], n_channels: int = 128) -> None:
    """Measure the fast procedure beside the exact one, on channels drawn at random.

    The exact seconds are those of the channels that were measured, times how many more there are.
    """
    generator, guide = load(models["generator"]), clip(models["clip"])
    fast = GlobalDirections(guide, "fast", n_refined=0, n_references=n_channels)
    estimate = exact = 0.0
    for now in fast.steps(generator, state=""):
        estimate, exact = (estimate, now.seconds) if fast.exact_.any() else (now.seconds, exact)
    channels, rows = len(fast.channels_), []
    for prompt in PROMPTS:
        signed, sizes = fast.agreement(prompt.text, prompt.neutral)
        began = time.perf_counter()
        fast.direction(prompt.text, prompt.neutral)
        rows.append(
            {
                "prompt": prompt.text,
                "rank_agreement": signed,
                "rank_agreement_of_sizes": sizes,
                "compared_on": n_channels,
                "channels": channels,
                "fast_seconds": estimate,
                "exact_seconds": (exact - estimate) * channels / n_channels,
                "prompt_seconds": time.perf_counter() - began,
            }
        )
    tables.write(pd.DataFrame(rows), out / "18-relevance.csv")
