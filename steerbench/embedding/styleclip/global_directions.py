"""StyleCLIP's global directions: any text becomes a direction in StyleSpace.

What a prompt asks of a channel needs D_c, how the channel moves CLIP's features
(`steerbench.embedding.styleclip.channels`). Measured exactly it takes two pictures a channel and
sample, a hundred thousand and more. A quick estimate takes the derivative instead of the step of
ten deviations:

    D_c ~ N(mean over pictures of N(df / ds_c))

from as many vector-Jacobian products as CLIP has features, and of few pictures; for each prompt
the channels that it ranks highest are then measured exactly. How well the estimate ranks channels
is measured too, on channels drawn at random: ``agreement_``.

Measurements are kept by the fingerprints of generator and CLIP (``steerbench.store.cache_folder``,
or a file of one's own), written now and then while they last, and gone on with after an interrupt.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from steerbench import __version__, store
from steerbench.bundles import part, require
from steerbench.embedding.styleclip.channels import (
    channel_features,
    channel_step,
    rank_agreement,
)
from steerbench.embedding.styleclip.optimisation import REFERENCE
from steerbench.errors import (
    ArgumentError,
    CapabilityError,
    CheckpointError,
    FileError,
    NotFittedError,
    unknown,
)
from steerbench.generators.base import BaseGenerator
from steerbench.predictors.clip import Clip
from steerbench.renderer import Renderer
from steerbench.runs import RunFile
from steerbench.types import Direction, Latent, Provenance

KIND = "steerbench channel features"


@dataclass(frozen=True)
class ChannelStep:
    """How many channels (or, of the estimate, features) are measured, and how many there are."""

    step: int
    total: int
    seconds: float


class GlobalDirections:
    """Measures what every channel of s does to CLIP's features; texts are then directions.

    Args:
        clip: Guides; judge the result by another one.
        method: ``"exact"`` measures every channel by the paper's procedure; ``"fast"`` estimates
            all by derivatives and measures, for each prompt, those that matter.
        n_samples: Pictures a channel (the paper takes 100).
        n_derivatives: Pictures for the estimate.
        alpha: How far a channel is moved, in standard deviations.
        n_refined: How many channels a prompt measures where the method is fast.
        n_references: Channels drawn at random on which the estimate is compared with the exact
            procedure.
        layers: Names of the layers whose channels may move; None for all that do not only turn
            activations into colours (the paper leaves ToRGB layers out too).
        seed: The seed of the first picture.

    Attributes:
        fitted: Whether the measuring is complete.
        features_: D ``[S, F]`` float32, 0 where a channel may not move or was not measured.
        exact_: ``[S]`` bool: which channels were measured exactly.
        std_: sigma ``[S]``.
        channels_: Which channels may move ``[C]`` int64.
        agreement_: Of the estimate with the exact procedure, the mean over directions of the rank
            correlation on randomly drawn channels; None where nothing was estimated.
        seconds_: How long the measurements took.
    """

    def __init__(
        self,
        clip: Clip,
        method: Literal["exact", "fast"] = "fast",
        *,
        n_samples: int = 16,
        n_derivatives: int = 16,
        alpha: float = 5.0,
        n_refined: int = 32,
        n_references: int = 32,
        layers: Sequence[str] | None = None,
        seed: int = 0,
    ) -> None:
        self.clip = clip
        self.method = method
        self.n_samples = n_samples
        self.n_derivatives = n_derivatives
        self.alpha = alpha
        self.n_refined = n_refined
        self.n_references = n_references
        self.layers = layers
        self.seed = seed
        if method not in ("exact", "fast"):
            raise ArgumentError(unknown("method", method, ("exact", "fast")))
        if min(n_samples, n_derivatives) < 1 or not alpha > 0:
            raise ArgumentError(
                f"n_samples={n_samples}, n_derivatives={n_derivatives}, alpha={alpha}; give "
                "at least one picture, and an alpha above 0."
            )

    fitted = False
    features_: Tensor
    exact_: Tensor
    std_: Tensor
    channels_: Tensor
    agreement_: float | None
    seconds_: float

    @classmethod
    def refuses(cls, generator: BaseGenerator) -> str | None:
        """Return why it cannot work on a generator, or None."""
        if "s" in generator.spaces:
            return None
        return f"{generator.name!r} has no StyleSpace s, whose channels are measured."

    def fit(
        self,
        generator: BaseGenerator,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 20.0,
    ) -> GlobalDirections:
        """Measure, with a progress bar; what was measured before is not measured again.

        Args:
            generator: Any with a space s.
            state: The file that keeps the measurements; None for one in the cache folder, which is
                named by the fingerprints, ``""`` for none.
            save_every: Seconds between two writings of the file.

        Raises:
            CapabilityError: The generator has no space s.
            LayerError: A layer does not exist.
            ArgumentError: The file is of another measurement.
        """
        with tqdm(desc="channels of s", unit="", delay=1) as bar:
            for now in self.steps(generator, state, save_every):
                bar.total = now.total
                bar.update(now.step - bar.n)
        return self

    def steps(
        self,
        generator: BaseGenerator,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 20.0,
    ) -> Iterator[ChannelStep]:
        """Measure step by step; whoever leaves the loop goes on later from there.

        Args:
            generator, state, save_every: As for `fit`.
        """
        if reason := self.refuses(generator):
            raise CapabilityError(f"{reason} Use LatentOptimiser, which walks in any space.")
        self._state = state
        self._begin(generator, save_every)
        if not len(self._missing(self.channels_)):
            self.fitted = True
            return
        if self.method == "exact":
            yield from self._measure(self._missing(self.channels_))
            self.fitted = True
            return
        if not self._estimated:
            yield from self._estimate()
            yield from self._measure(self._random_channels())
            self._write()
        self.agreement_ = self._rank_agreement()
        self.fitted = True

    def relevance(self, prompt: str, neutral: str = "") -> Tensor:
        """Return how each channel moves a picture from one text towards another.

        Args:
            prompt: What is asked for.
            neutral: What it is to differ from; the neutral text of the generator's bundle if empty.

        Returns:
            R ``[S]`` float64.

        Raises:
            CapabilityError: No neutral text was given, and none is known.
        """
        return self.features_.double() @ self._text_direction(prompt, neutral)

    def _neutral(self, given: str) -> str:
        """Return what a prompt is to differ from."""
        self._check()
        use = "is what a prompt differs from"
        return given.strip() or require(self._generator, "neutral", use, "neutral=")

    def _text_direction(self, prompt: str, neutral: str) -> Tensor:
        """Return the direction between two texts, of unit length."""
        neutral = self._neutral(neutral)
        ends = self.clip.encode_text([prompt, neutral]).double()
        direction = F.normalize(ends[0] - ends[1], dim=0)
        if not bool(torch.isfinite(direction).all()) or float(direction.norm()) < 0.5:
            raise ArgumentError(
                f"{prompt!r} and {neutral!r} say the same to {self.clip.name}; there is nothing "
                "to change. Choose texts that differ."
            )
        return direction.cpu()

    def direction(
        self, prompt: str, neutral: str = "", *, beta: float = 0.2, name: str = ""
    ) -> Direction:
        """Return a text as a direction in s.

        Args:
            prompt: What is asked for.
            neutral: What it is to differ from; the neutral text of the generator's bundle if empty.
            beta: The least relevance of a channel that moves; larger ones leave more alone.
            name: Of the direction; by default the prompt.

        Returns:
            A direction of which ``alpha = 1`` moves the most relevant channel by one standard
            deviation, as the paper's does.

        Raises:
            PredictorError: A text is empty, or none of its words is known.
            CapabilityError: No neutral text was given, and none is known.
            ArgumentError: No channel reaches beta; or nothing was measured yet.
        """
        neutral = self._neutral(neutral)
        self._refine(prompt, neutral)
        relevance = self.relevance(prompt, neutral)
        step, channels = channel_step(relevance, self.std_.double(), beta)
        asked = {"prompt": prompt, "neutral": neutral, "beta": beta, "channels": channels}
        return Direction(
            name or prompt,
            "s",
            step,
            scale=float(step.norm()),
            generator=self._generator.fingerprint,
            provenance=self._provenance(asked),
        )

    def _refine(self, prompt: str, neutral: str) -> None:
        """Measure the channels that matter most to a prompt, where they were estimated."""
        if self.method != "fast" or not self.n_refined:
            return
        relevance = self.relevance(prompt, neutral)
        top = relevance.abs().topk(min(self.n_refined, len(self.channels_))).indices
        for _ in self._measure(self._missing(top)):
            pass

    def _provenance(self, asked: dict[str, Any]) -> Provenance:
        own = {name: getattr(self, name) for name in ("method", "alpha", "n_samples")}
        return Provenance(
            method="StyleCLIP global direction",
            hyperparameters=asked | own | {"clip": self.clip.name},
            generator=self._generator.name,
            fingerprint=self._generator.fingerprint,
            seed=self.seed,
            n_samples=self.n_samples,
            scores={} if self.agreement_ is None else {"rank agreement": self.agreement_},
            reference=REFERENCE,
            version=__version__,
        )

    def edit(self, latent: Latent, prompt: str, alpha: float = 1.0, **options: Any) -> Latent:
        """Return codes in s after ``alpha`` steps along the direction of a text.

        Args:
            latent: Codes in any space that leads to s.
            prompt: What is asked for.
            alpha: How many steps of `direction`.
            options: Of `direction`.
        """
        direction = self.direction(prompt, **options)
        return self._generator.to(latent, "s") + alpha * direction

    def agreement(self, prompt: str, neutral: str = "") -> tuple[float, float]:
        """Return how alike the estimate and the exact procedure rank channels for one prompt.

        Returns:
            Spearman's rank correlation of the relevances, and of their sizes, on the channels that
            were drawn at random.

        Raises:
            ArgumentError: Nothing was estimated.
        """
        if not self._estimated:
            raise ArgumentError('Nothing was estimated; take method="fast" and call fit.')
        rows, text = self._random_channels(), self._text_direction(prompt, neutral)
        guess, true = self._guess[rows].double() @ text, self.features_[rows].double() @ text
        return rank_agreement(guess, true), rank_agreement(guess.abs(), true.abs())

    def betas(self, prompt: str, neutral: str = "") -> tuple[float, float]:
        """Return a sensible range of beta for a prompt: all channels move, or a handful."""
        sizes = self.relevance(prompt, neutral).abs().sort(descending=True).values
        return 0.0, float(sizes[min(4, len(sizes) - 1)])

    # Measuring.

    def _begin(self, generator: BaseGenerator, save_every: float) -> None:
        self.fitted = False
        self._generator, self._renderer = generator, Renderer(generator, "exact")
        slices = generator.spaces["s"].slices or {}
        names = [generator.find_layer(name).name for name in self.layers or ()]
        chosen = names or [name for name in slices if not name.endswith("torgb")]
        self.channels_ = torch.cat(
            [torch.arange(part.start, part.stop) for n, part in slices.items() if n in chosen]
        )
        std = generator.spaces["s"].std
        self.std_ = torch.zeros(0) if std is None else std
        self._codes = generator.sample(self.n_samples, seed=self.seed, space="s")
        size, features = generator.spaces["s"].shape[0], self._features(self._codes[:1]).shape[-1]
        self.features_ = torch.zeros(size, features)
        self.exact_ = torch.zeros(size, dtype=torch.bool)
        self.agreement_, self.seconds_, self._estimated = None, 0.0, False
        self._guess = torch.zeros_like(self.features_)
        self._file = RunFile(self._path, KIND, self._settings, save_every)
        self._read()

    def _features(self, codes: Latent) -> Tensor:
        return self.clip.encode_image(self._renderer.render(codes)).cpu()

    def _missing(self, channels: Tensor) -> Tensor:
        return channels[~self.exact_[channels]]

    def _measure(self, channels: Tensor) -> Iterator[ChannelStep]:
        """Measure some channels by the exact procedure."""
        for done, channel in enumerate(channels.sort().values.tolist(), start=1):
            began = time.perf_counter()
            ends = [self._features_at(channel, sign * self.alpha) for sign in (-1, 1)]
            self.features_[channel] = channel_features(torch.stack(ends, dim=1)[None])[0]
            self.exact_[channel] = True
            self.seconds_ += time.perf_counter() - began
            self._write(now=done == len(channels))
            yield ChannelStep(done, len(channels), self.seconds_)

    def _features_at(self, channel: int, deviations: float) -> Tensor:
        """Return features ``[N, F]`` of the pictures with one channel moved."""
        data = self._codes.data.clone()
        data[:, channel] += deviations * self.std_[channel].to(data)
        return self._features(replace(self._codes, data=data))

    def _estimate(self) -> Iterator[ChannelStep]:
        """Take the derivatives of all channels, one feature at a time."""
        began, generator = time.perf_counter(), self._generator
        codes = generator.sample(self.n_derivatives, seed=self.seed, space="s")
        data = codes.data.clone().requires_grad_()
        with torch.enable_grad():
            features = self.clip.encode_image(generator.render(replace(codes, data=data)))
        count = features.shape[1]
        rows = torch.zeros(len(data), data.shape[1], count)
        for index in range(count):
            (slope,) = torch.autograd.grad(features[:, index].sum(), data, retain_graph=True)
            rows[:, :, index] = slope.cpu()
            yield ChannelStep(index + 1, count, self.seconds_ + time.perf_counter() - began)
        guess = F.normalize(F.normalize(rows, dim=-1).mean(0), dim=-1)
        fixed = torch.ones(len(guess), dtype=torch.bool)
        fixed[self.channels_] = False
        guess[fixed] = 0
        self._guess, self._estimated = guess, True
        self.features_ = torch.where(self.exact_[:, None], self.features_, guess)
        self.seconds_ += time.perf_counter() - began

    def _random_channels(self) -> Tensor:
        random = torch.Generator().manual_seed(self.seed)
        order = torch.randperm(len(self.channels_), generator=random)[: self.n_references]
        return self.channels_[order]

    def _rank_agreement(self) -> float:
        """Return the mean rank agreement over the axes of CLIP's feature space."""
        rows = self._random_channels()
        pairs = zip(self._guess[rows].T, self.features_[rows].T)
        return sum(rank_agreement(a, b) for a, b in pairs) / self.features_.shape[1]

    def _check(self) -> None:
        if not self.fitted:
            raise NotFittedError("Nothing was measured yet; call fit(generator) first.")

    # Keeping.

    @property
    def _settings(self) -> dict[str, object]:
        """All that a measurement depends on."""
        return {
            "generator": self._generator.fingerprint,
            "clip": self.clip.fingerprint,
            "n_samples": self.n_samples,
            "alpha": self.alpha,
            "seed": self.seed,
        }

    @property
    def _path(self) -> Path | None:
        if self._state == "":
            return None
        if self._state is not None:
            return Path(self._state)
        name = f"{self._generator.fingerprint}-{self.clip.fingerprint}-{self.n_samples}"
        return store.cache_folder("styleclip", f"{name}-{self.alpha:g}-{self.seed}.safetensors")

    def _read(self) -> None:
        """Take what was measured before, from the file or from that of the generator's bundle."""
        if self._state is not None:
            self._take(self._file.read())
            return
        table = part(self._generator, "channels")
        for file in (self._file, table and RunFile(table, KIND, self._settings)):
            # What a cache holds may be damaged, and a table may be of another CLIP.
            with contextlib.suppress(CheckpointError, ArgumentError):
                if known := file.read() if file else None:
                    self._take(known)
                    return

    def _take(self, tensors: Mapping[str, Tensor]) -> None:
        if not tensors:
            return
        keep = torch.zeros_like(self.exact_)
        keep[self.channels_] = True
        self.exact_ = tensors["exact"] & keep
        self._guess = tensors["guess"].float() * keep[:, None]
        self._estimated, self.seconds_ = bool(tensors["estimated"]), float(tensors["seconds"])
        known = tensors["features"].float()
        self.features_ = torch.where(self.exact_[:, None], known, self._guess)

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {"features": self.features_, "exact": self.exact_, "guess": self._guess}
        tensors["estimated"] = torch.tensor(self._estimated)
        return tensors | {"seconds": torch.tensor(self.seconds_, dtype=torch.float64)}

    def _write(self, now: bool = True) -> None:
        try:
            if self._file.path is not None:
                self._file.path.parent.mkdir(parents=True, exist_ok=True)
            self._file.write(self._tensors, now)
        except (OSError, FileError):
            if self._state is not None:  # a cache that cannot be written costs only time
                raise
