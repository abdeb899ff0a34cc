"""StyleSpace: single channels of s as directions.

In s every number scales one channel of one layer, and many of them serve one thing in one place:
a lamp's brightness, a curtain's edge. `StyleSpace` finds the channels that change the pixels
that they touch the most, without labels: with e_p the mean squared gradient in patch p of the
picture, times the channel's own variance over the prior,:

    strength = sqrt(sum e_p)        area = (sum e_p)^2 / (P sum e_p^2), in (0, 1]
    channels by falling  strength / sqrt(area)

so that of two that change a picture equally, the one that does it in a smaller place comes first.
Gradients of a patch are read off one product with the Jacobian: for random signs r over its pixels,
the mean of (J^T r)^2 is the sum of the squared gradients, for all channels at once.

With something to compare to, the paper's two searches tell what a channel is for:
`localised_channels` by where it acts (a segmenter's concepts), `attribute_channels` by
what a few positive examples share. Their measures are in `style_channels`.

>>> import steerbench as sb
>>> G = sb.load("rooms")
>>> found = StyleSpace(n_directions=1, n_samples=1, size=2).fit(G)
>>> found.directions_[0].space, int((found.directions_[0].vector != 0).sum())
('s', 1)

Reference: Wu, Lischinski, Shechtman, "StyleSpace Analysis: Disentangled Controls for StyleGAN Image
Generation" (2021, arXiv 2011.12799); the random signs: Hutchinson, "A Stochastic Estimator of the
Trace of the Influence Matrix" (1990).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from steerbench.errors import (
    ArgumentError,
    CapabilityError,
    LayerError,
    NotFoundError,
    PredictorError,
    unknown,
)
from steerbench.generators.base import BaseGenerator
from steerbench.stats import Mean
from steerbench.types import Direction, Latent, Predictor
from steerbench.unsupervised.shared import check_count, make_direction, run_file
from steerbench.unsupervised.stylespace.channels import locate, overlap, signal_to_noise, top_rate
from steerbench.unsupervised.stylespace.gradients import energy_maps, gradient_maps


class StyleSpace:
    """The channels of s that change the most where they act.

    Args:
        n_directions: How many, the strongest first.
        n_samples: How many pictures the gradients are averaged over.
        layers: ``"all"``, or the names of the layers whose channels are looked at.
        colours: Whether to look at the layers that only paint (ToRGB), too.
        size: Patches are counted on a grid of this height and width.
        seed: Of the first picture, and of the random signs.
        batch_size: Pictures at a time.

    Attributes:
        directions_: Directions of s, each a single channel.
        channels_: A table of all channels that were looked at: ``channel``, ``layer``, ``unit``,
            ``strength`` (change of the picture for one standard deviation, root mean square over
            pixels), ``area`` and ``score``, the highest score first.
        maps_: ``[channels of s, size, size]`` float64, the mean squared gradient of each patch.
    """

    reference = 'Wu, Lischinski, Shechtman, "StyleSpace Analysis", arXiv 2011.12799'
    directions_: list[Direction]
    channels_: pd.DataFrame
    maps_: Tensor

    def __init__(
        self,
        n_directions: int = 10,
        n_samples: int = 16,
        layers: str | Iterable[str] = "all",
        colours: bool = False,
        size: int = 8,
        seed: int = 0,
        batch_size: int = 4,
    ) -> None:
        self.n_directions = n_directions
        self.n_samples = n_samples
        self.layers = layers
        self.colours = colours
        self.size = size
        self.seed = seed
        self.batch_size = batch_size

    @classmethod
    def refuses(cls, generator: BaseGenerator) -> str | None:
        """Return why it cannot work on a generator, or None."""
        if "s" in generator.spaces and generator.spaces["s"].slices:
            return None
        return (
            f"{generator.name!r} has no space s: its layers are not steered by styles. There is: "
            f"{', '.join(generator.spaces)}."
        )

    def fit(
        self,
        generator: BaseGenerator,
        state: str | os.PathLike[str] | None = None,
        save_every: float = 30.0,
    ) -> StyleSpace:
        """Find the channels of a generator; interrupted, it leaves this object as it was.

        Args:
            generator: Any with a space s.
            state: A file from which to go on and into which to write how far the run is.
            save_every: Seconds between two writings of the file.

        Raises:
            CapabilityError: The generator has no space s.
            LayerError: A layer does not exist, or has no style.
            ArgumentError: The options make no sense, or the file belongs to another run.
        """
        if reason := self.refuses(generator):
            raise CapabilityError(reason)
        chosen = self._select_channels(generator)
        check_count(self.n_directions, len(chosen), "s", generator)
        if min(self.n_samples, self.size, self.batch_size) < 1 or self.seed < 0:
            raise ArgumentError(
                f"n_samples={self.n_samples}, size={self.size}, batch_size={self.batch_size} and "
                f"seed={self.seed} were given. Give at least 1 of each, and a seed of at least 0."
            )
        file = run_file(state, self, generator, save_every)
        kept = file.read()
        maps = Mean.from_state(kept) if kept else Mean()
        done = maps.count
        with tqdm(total=self.n_samples, initial=done, desc="StyleSpace", delay=1) as progress:
            while maps.count < self.n_samples:
                count = min(self.batch_size, self.n_samples - maps.count)
                latent = generator.sample(count, seed=self.seed + maps.count, space="s")
                maps.add(energy_maps(generator, latent, size=self.size, seed=latent.seed or 0))
                progress.update(count)
                file.write(maps.state_dict)
        if maps.count > done:
            file.write(maps.state_dict, now=True)
        self.__dict__.update(self._results(generator, maps.mean, chosen))
        return self

    def _select_channels(self, generator: BaseGenerator) -> list[int]:
        """Return the channels that are looked at."""
        slices = dict(generator.spaces["s"].slices or {})
        if self.layers == "all":
            names = [name for name in slices if self.colours or not name.endswith("torgb")]
        else:
            asked = [self.layers] if isinstance(self.layers, str) else list(self.layers)
            names = [generator.find_layer(name).name if name not in slices else name
                     for name in asked]  # fmt: skip
            for name in names:
                if name not in slices:
                    raise LayerError(unknown("layer with a style", name, slices))
        return [channel for name in names for channel in range(*slices[name].indices(2**31))]

    def _results(
        self, generator: BaseGenerator, maps: Tensor, chosen: Sequence[int]
    ) -> dict[str, Any]:
        std = _std(generator)
        energy = maps.flatten(1)[list(chosen)]
        total = energy.sum(1)
        parts = energy.shape[1] * energy.square().sum(1)
        area = torch.where(parts > 0, total.square() / parts.clamp(min=1e-300), 1.0)
        strength = total.sqrt() * std[list(chosen)]
        table = channel_table(generator, chosen).assign(
            strength=strength.numpy(), area=area.numpy(), score=(strength / area.sqrt()).numpy()
        )
        table = table.sort_values("score", ascending=False, kind="stable").reset_index(drop=True)
        directions = []
        for _, row in table.head(self.n_directions).iterrows():
            scores = {name: row[name] for name in ("strength", "area", "score")}
            directions.append(channel_direction(generator, int(row["channel"]), self, scores))
        return {"directions_": directions, "channels_": table, "maps_": maps}


def channel_table(generator: BaseGenerator, channels: Sequence[int]) -> pd.DataFrame:
    """Return where channels of s belong: ``channel``, ``layer``, ``unit``."""
    slices = generator.spaces["s"].slices or {}
    rows = [(channel, *locate(slices, channel)) for channel in channels]
    return pd.DataFrame(rows, columns=["channel", "layer", "unit"])


def channel_direction(
    generator: BaseGenerator,
    channel: int,
    finder: Any = None,
    scores: dict[str, Any] | None = None,
) -> Direction:
    """Return a channel of s as a direction, a step being its standard deviation.

    Args:
        generator: Whose.
        channel: Its number in s, as in the tables of this module.
        finder: Whose hyperparameters are told of in the provenance; by default those of a
            StyleSpace that was given nothing.
        scores: What was measured of it.
    """
    layer, unit = locate(generator.spaces["s"].slices or {}, channel)
    vector = torch.zeros(generator.spaces["s"].size, dtype=torch.float64)
    vector[channel] = 1
    std = float(_std(generator)[channel])
    return make_direction(
        finder or StyleSpace(),
        "StyleSpace",
        generator,
        "s",
        vector,
        name=f"{layer} channel {unit}",
        scale=std if std > 0 else 1.0,
        scores={"channel": channel, "layer": layer, "unit": unit} | (scores or {}),
    )


def localised_channels(
    generator: BaseGenerator,
    segmenter: Predictor,
    *,
    n_samples: int = 4,
    size: int = 16,
    seed: int = 0,
) -> pd.DataFrame:
    """Return which concept each channel acts on, by where it changes pictures.

    Args:
        generator: With a space s.
        segmenter: Gives label maps ``[N, H, W]``; a small pixel has the concept of most of its own.
        n_samples: How many pictures.
        size: Of the gradient maps.
        seed: Of the first picture.

    Returns:
        One row for each channel and concept that it meets best in some picture: ``channel``,
        ``layer``, ``unit``, ``concept``, ``rate`` (the share of the pictures with the concept),
        ``iou``; the highest rate first.

    Raises:
        CapabilityError: The generator has no space s.
        PredictorError: The segmenter gave something else than label maps.
    """
    if reason := StyleSpace.refuses(generator):
        raise CapabilityError(reason)
    names, counts = list(segmenter.names), []
    for start in tqdm(range(n_samples), desc="gradient maps", unit="picture", delay=1):
        latent = generator.sample(1, seed=seed + start, space="s")
        labels = segmenter.predict(generator.render(latent))
        if labels.ndim != 3 or labels.is_floating_point():
            raise PredictorError(
                f"{getattr(segmenter, 'name', 'The segmenter')} gave {list(labels.shape)} of "
                f"{labels.dtype}; expected integer labels [1, H, W]. Take a segmenter, such as "
                "sb.bundle(G).segmenter where one is known."
            )
        regions = F.one_hot(labels.long(), len(names)).movedim(-1, 1).float()
        small = F.adaptive_avg_pool2d(regions, size).argmax(1)
        masks = F.one_hot(small, len(names)).movedim(-1, 1)[0].bool()
        maps = gradient_maps(generator, latent, size=size)[0]
        counts.append(overlap(maps.numpy(), masks.cpu().numpy()))
    together = np.stack(counts)
    rate = top_rate(together)
    met = np.nansum(together, axis=0)
    iou = met[..., 0] / np.maximum(met[..., 1], 1)
    channels, concepts = np.nonzero(rate)
    table = channel_table(generator, channels.tolist()).assign(
        concept=[names[k] for k in concepts],
        rate=rate[channels, concepts],
        iou=iou[channels, concepts],
    )
    return table.sort_values(["rate", "iou"], ascending=False, kind="stable", ignore_index=True)


def attribute_channels(generator: BaseGenerator, positives: Latent) -> pd.DataFrame:
    """Return the channels that a few examples of an attribute have in common.

    Args:
        generator: With a space s.
        positives: Codes whose pictures show the attribute, ten to thirty are plenty; in any space
            that leads to s. See `positive_examples`.

    Returns:
        One row for each channel: ``channel``, ``layer``, ``unit``, ``s2n`` and ``shift`` (the mean
        of the examples, in standard deviations), the highest ``s2n`` first.

    Raises:
        CapabilityError: The generator has no space s.
        ShapeError: Fewer than two examples were given.
    """
    if reason := StyleSpace.refuses(generator):
        raise CapabilityError(reason)
    codes = generator.to(positives, "s").data.double().cpu()
    mean = generator.spaces["s"].mean
    centre = torch.zeros(codes.shape[1]) if mean is None else mean.double().cpu()
    std = _std(generator)
    s2n = signal_to_noise(codes, centre, std)
    shift = (codes.mean(0) - centre) / torch.where(std > 0, std, 1.0)
    table = channel_table(generator, range(codes.shape[1]))
    table = table.assign(s2n=s2n.numpy(), shift=shift.numpy())
    return table.sort_values("s2n", ascending=False, kind="stable", ignore_index=True)


def positive_examples(
    generator: BaseGenerator,
    reader: Predictor,
    attribute: str,
    *,
    keep: int = 20,
    n_samples: int = 500,
    seed: int = 0,
    batch_size: int = 50,
) -> Latent:
    """Return the codes, in s, whose pictures score highest in an attribute.

    Args:
        generator: With a space s.
        reader: Reads the pictures.
        attribute: One of its names.
        keep: How many examples.
        n_samples: How many codes they are chosen from.
        seed: Of the first.
        batch_size: Pictures at a time.

    Raises:
        NotFoundError: The predictor has no such attribute.
        ArgumentError: More are to be kept than are drawn, or fewer than two.
    """
    names = list(reader.names)
    if attribute not in names:
        raise NotFoundError(unknown("attribute", attribute, names))
    if not 2 <= keep <= n_samples:
        raise ArgumentError(
            f"{keep} of {n_samples} codes were to be kept. Keep at least 2 and at most all of them."
        )
    scores, codes = [], []
    for start in tqdm(range(0, n_samples, batch_size), desc=attribute, delay=1):
        some = generator.sample(min(batch_size, n_samples - start), seed=seed + start, space="s")
        predicted = reader.predict(generator.render(some))
        scores.append(predicted[:, names.index(attribute)].cpu())
        codes.append(some)
    best = torch.cat(scores).topk(keep).indices.tolist()
    return Latent.cat(codes)[best]


def _std(generator: BaseGenerator) -> Tensor:
    """Return the standard deviation of each channel over the prior, ``[channels]`` float64."""
    std = generator.spaces["s"].std
    return torch.ones(generator.spaces["s"].size).double() if std is None else std.double().cpu()
