"""The measurements of the chapter on prompts: tables in ``assets/results/``.

- ``18-prompts.csv``: five prompts on ten seeds each, by each mode and by random directions that
  change the picture as much: scores before and after, what of the layout stayed, seconds
- ``18-relevance.csv``: the exact and the fast relevance of channels: how alike they rank channels
  that were drawn at random, how long each takes

``rooms-clip`` guides. Two witnesses judge that took no part: ``rooms-clip-2``, by how much nearer
the picture came to the prompt than to its opposite, and the oracle ``rooms-attributes-2``, by the
probability of what the prompt asks for (its least where it asks for several things). What of the
layout stayed is the share of its variance between pictures that the edit left alone,
``1 - |e(x) - e(x_s)|^2 / E |e(x) - e(x')|^2``: 1 where nothing moved, 0 where the pictures are as
different as two rooms.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
from steerbench.errors import ArgumentError, unknown
from steerbench.generators import load
from steerbench.generators.base import BaseGenerator
from steerbench.metrics import random_directions, step_for_change
from steerbench.predictors import oracle
from steerbench.predictors.clip import Clip, clip
from steerbench.seeds import Codes
from steerbench.stats import bootstrap
from steerbench.types import Direction, Latent

SEED, COUNT = Codes.SCORECARD.start, 10
NULL = 19
"""Random directions a prompt."""
PROBE, FARTHEST = 8.0, 4.0
"""How many standard deviations a random direction is tried at first, and by what it may grow."""
STRENGTH = 1.0
REFERENCES = 128
"""Channels on which the quick relevance is compared with the exact one."""


@dataclass(frozen=True)
class Asked:
    """A prompt, its opposite, and which attributes it asks to be there (1) or not (0)."""

    prompt: str
    neutral: str
    opposite: str
    wants: dict[str, int]


PROMPTS = (
    Asked(
        "a bedroom at night with the lamp on",
        "a bedroom by day with the lamp off",
        "a bedroom by day with the lamp off",
        {"night": 1, "lamp_on": 1},
    ),
    Asked("a room by day", "a room at night", "a room at night", {"night": 0}),
    Asked(
        "a room with a wooden floor",
        "a room with a tiled floor",
        "a room with a tiled floor",
        {"wood": 1},
    ),
    Asked("a room with a plant", "a room without a plant", "a room without a plant", {"plant": 1}),
    Asked("a living room", "a bedroom", "a bedroom", {"living_room": 1}),
)


@dataclass(frozen=True, eq=False)
class Edited:
    """Pictures after an edit, and the seconds that one of them took (and that learning took)."""

    images: Tensor
    seconds: float
    learning: float = 0.0


class Judges:
    """The witnesses, and the pictures before."""

    def __init__(self, asked: Asked, before: Tensor) -> None:
        second = clip("rooms-clip-2")
        self.words = second.predictor({"asked": (asked.prompt, asked.opposite)})
        self.oracle = oracle("rooms-attributes-2").only(list(asked.wants))
        self.wants = torch.tensor(list(asked.wants.values())).float()
        layout: Any = layout_of(load("rooms"), oracle("rooms-attributes-2"))
        self.before, self.layout = before, layout
        kept = layout(before)
        self.kept, self.typical = kept, 2 * kept.var(0, correction=1).sum()

    def read(self, images: Tensor) -> dict[str, Tensor]:
        """``clip`` (probability of the prompt against its opposite), ``oracle`` and ``layout``."""
        present = self.oracle.predict(images)
        right = torch.where(self.wants > 0.5, present, 1 - present)
        moved = (self.layout(images) - self.kept).square().sum(1)
        return {
            "clip": self.words.predict(images)[:, 0],
            "oracle": right.min(1).values,
            "layout": 1 - moved / self.typical,
        }


def optimised(generator: BaseGenerator, guide: Clip, asked: Asked, codes: Latent) -> Edited:
    """One walk a picture, together."""
    began = time.perf_counter()
    done = LatentOptimiser(guide, asked.prompt).fit(generator).optimise(codes)
    return Edited(done.images, (time.perf_counter() - began) / len(codes))


def mapped(generator: BaseGenerator, guide: Clip, asked: Asked, codes: Latent) -> Edited:
    """One mapper, applied to all."""
    mapper = LatentMapper(guide, asked.prompt).fit(generator)
    began = time.perf_counter()
    images = generator.render(mapper.edit(codes))
    return Edited(images, (time.perf_counter() - began) / len(codes), mapper.seconds_)


def moved(generator: BaseGenerator, guide: Clip, asked: Asked, codes: Latent) -> Edited:
    """A global direction, the same for all."""
    began = time.perf_counter()
    found = GlobalDirections(guide).fit(generator).direction(asked.prompt, asked.neutral)
    learning = time.perf_counter() - began
    began = time.perf_counter()
    images = generator.render(codes, edits=[STRENGTH * found])
    return Edited(images, (time.perf_counter() - began) / len(codes), learning)


MODES: dict[str, Callable[[BaseGenerator, Clip, Asked, Latent], Edited]] = {
    "optimise": optimised,
    "mapper": mapped,
    "direction": moved,
}


def prompts(out: Path, only: str = "") -> None:
    """Every prompt by every mode; rows that the file has already are kept."""
    path = out / "18-prompts.csv"
    rows = pd.read_csv(path).to_dict("records") if path.is_file() else []
    known = {(row["prompt"], row["mode"]) for row in rows}
    generator, guide = load("rooms"), clip("rooms-clip")
    codes = generator.sample(COUNT, seed=SEED)
    before = generator.render(codes)
    rivals = Rivals(generator, codes, before)
    for asked in PROMPTS:
        judges = Judges(asked, before)
        for mode, edit in MODES.items():
            if (asked.prompt, mode) in known or only not in ("", mode):
                continue
            done = edit(generator, guide, asked, codes)
            null = rivals.read(judges, rivals.change_of(done.images))
            rows.append(_row(asked, mode, done, judges, null))
            _write(pd.DataFrame(rows), path)


def _row(
    asked: Asked, mode: str, done: Edited, judges: Judges, null: dict[str, Tensor]
) -> dict[str, object]:
    before, after = judges.read(judges.before), judges.read(done.images)
    row: dict[str, object] = {"prompt": asked.prompt, "mode": mode, "pictures": len(done.images)}
    for name in ("clip", "oracle"):
        rise = after[name] - before[name]
        low, high = bootstrap(rise[:, None])
        chance = null[name]
        row |= {
            f"{name}_before": float(before[name].mean()),
            f"{name}_after": float(after[name].mean()),
            f"{name}_rise_low": float(low),
            f"{name}_rise_high": float(high),
            f"{name}_random": float(chance.mean()),
            f"{name}_p": float((1 + (chance >= rise.mean()).sum()) / (1 + len(chance))),
        }
    low, high = bootstrap(after["layout"][:, None])
    return row | {
        "layout_kept": float(after["layout"].mean()),
        "layout_low": float(low),
        "layout_high": float(high),
        "layout_random": float(null["layout"].mean()),
        "change_random": float(null["change"].mean()),
        "change": float((done.images - judges.before).clamp(-2, 2).abs().mean()) / 2,
        "seconds": done.seconds,
        "learning_seconds": done.learning,
    }


class Rivals:
    """Random directions of w, each walked until the pixels changed about as much as asked."""

    def __init__(self, generator: BaseGenerator, codes: Latent, before: Tensor) -> None:
        self.generator, self.codes, self.before = generator, codes, before
        self.ways = random_directions(generator, NULL, "w", kind="isotropic", seed=SEED)

    def _walked(self, way: Direction, alpha: float) -> Tensor:
        return self.generator.render(self.codes, edits=[alpha * way])

    def _step(self, way: Direction, change: float) -> float:
        def change_at(alpha: float) -> float:
            return self.change_of(self._walked(way, alpha))

        return step_for_change(change_at, change, first=PROBE, most=PROBE * FARTHEST, rounds=2)

    def change_of(self, images: Tensor) -> float:
        return float((images - self.before).clamp(-2, 2).abs().mean()) / 2

    def read(self, judges: Judges, change: float) -> dict[str, Tensor]:
        """Mean rises of ``clip`` and ``oracle``, ``layout`` and ``change``: ``[NULL]`` each."""
        start, rows = judges.read(self.before), []
        for way in self.ways:
            images = self._walked(way, self._step(way, change))
            now = judges.read(images)
            rises = [float((now[name] - start[name]).mean()) for name in ("clip", "oracle")]
            rows.append([*rises, float(now["layout"].mean()), self.change_of(images)])
        return dict(zip(("clip", "oracle", "layout", "change"), torch.tensor(rows).T))


def relevance(out: Path, only: str = "") -> None:
    """The fast procedure beside the exact one, on channels drawn at random.

    The exact seconds are those of the channels that were measured, times how many more there are.
    """
    generator, guide = load("rooms"), clip("rooms-clip")
    fast = GlobalDirections(guide, "fast", n_refined=0, n_references=REFERENCES)
    estimate = exact = 0.0
    for now in fast.steps(generator, state=""):
        estimate, exact = (estimate, now.seconds) if fast.exact_.any() else (now.seconds, exact)
    channels = len(fast.channels_)
    rows = []
    for asked in PROMPTS:
        signed, sizes = fast.agreement(asked.prompt, asked.neutral)
        began = time.perf_counter()
        fast.direction(asked.prompt, asked.neutral)
        rows.append(
            {
                "prompt": asked.prompt,
                "rank_agreement": signed,
                "rank_agreement_of_sizes": sizes,
                "compared_on": REFERENCES,
                "channels": channels,
                "fast_seconds": estimate,
                "exact_seconds": (exact - estimate) * channels / REFERENCES,
                "prompt_seconds": time.perf_counter() - began,
            }
        )
    _write(pd.DataFrame(rows), out / "18-relevance.csv")


STUDIES: dict[str, Callable[[Path, str], None]] = {"prompts": prompts, "relevance": relevance}


def measure(out: Path, study: str, only: str = "") -> None:
    """Run one study, or ``"all"``, and write its tables to a folder."""
    if study not in ("all", *STUDIES):
        raise ArgumentError(unknown("study", study, ["all", *STUDIES]))
    if only not in ("", *MODES):
        raise ArgumentError(unknown("mode", only, MODES))
    out.mkdir(parents=True, exist_ok=True)
    for name, work in STUDIES.items():
        if study in ("all", name):
            work(out, only)


def _write(table: pd.DataFrame, path: Path) -> None:
    table.round(4).to_csv(path, index=False)
