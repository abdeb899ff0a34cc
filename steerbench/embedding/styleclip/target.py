"""What an edit by words aims at, and what it is to leave alone.

The distance to the prompt is that of CLIP, ``1 - f(x) . goal``, of the picture and of a few random
cutouts of it, which keeps the gradient from drawing marks that only CLIP sees. What is to stay is
told by an embedding e, of which the part that changed counts:

    D_id(x, x_s) = |e(x) - e(x_s)|^2 / |e(x_s)|^2

which for features of unit length is twice one minus their cosine. By default e is the layout of a
picture as the reader of the generator's bundle has it (of a room: where camera and furniture stand,
and nothing of light and colour); without such a bundle nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.bundles import missing, part, warn
from steerbench.errors import ArgumentError, PredictorError
from steerbench.predictors import AttributePredictor
from steerbench.predictors.clip import Clip
from steerbench.seeds import Codes
from steerbench.types import Generator, Predictor

Embedding = Callable[[Tensor], Tensor]
"""Pictures ``[N, C, H, W]`` in [-1, 1] to features ``[N, F]``, differentiable."""


class TextTarget:
    """Texts, read once, and the distances of pictures from them.

    Args:
        clip: Reads pictures and texts.
        prompt: What is asked for.
        neutral: What it is to differ from, or empty: then the prompt is aimed at as it is.
        pull: How far a neutral text lets a picture be led from its own features, of length 1.

    Raises:
        PredictorError: A text is empty, or none of its words is known.
    """

    def __init__(self, clip: Clip, prompt: str, neutral: str = "", pull: float = 2.0) -> None:
        self.clip, self.prompt, self.neutral, self.pull = clip, prompt, neutral, pull
        self.text = clip.encode_text(prompt)
        self.difference = self.text - clip.encode_text(neutral) if neutral.strip() else None
        if self.difference is not None and float(self.difference.norm()) < 1e-6:
            raise PredictorError(
                f"{prompt!r} and {neutral!r} say the same to {clip.name}; there is nothing to "
                "change. Choose texts that differ."
            )

    def goals(self, start: Tensor) -> Tensor:
        """Return where pictures ``[N, C, H, W]`` are to get: ``[N, features]`` of unit length."""
        if self.difference is None:
            return self.text.to(start.device).expand(len(start), -1)
        features = self.clip.encode_image(start.detach())
        way = F.normalize(self.difference, dim=-1).to(features.device)
        return F.normalize(features + self.pull * way, dim=-1)

    def distance(self, images: Tensor, goals: Tensor) -> Tensor:
        """Return ``1 - cosine`` for each picture, ``[N]``."""
        return 1 - (self.clip.encode_image(images) * goals).sum(1)


@dataclass(frozen=True)
class TextLossConfig:
    """What an edit by words costs, beside the distance to the text.

    Attributes:
        l2: The weight lambda_l2 of the way that was gone, per number of a code.
        identity: The weight lambda_id of what is to stay.
        embedding: What is to stay, pictures to features; by default the layout that the
            generator's bundle names, or nothing. Not asked where ``identity`` is 0.
        n_cutouts: Random cutouts beside the whole picture.

    Raises:
        ArgumentError: A negative number of cutouts.
    """

    l2: float = 0.03
    identity: float = 0.3
    embedding: Embedding | None = None
    n_cutouts: int = 1

    def __post_init__(self) -> None:
        if self.n_cutouts < 0:
            raise ArgumentError(f"n_cutouts={self.n_cutouts}; give a number of at least 0.")

    def embedding_for(self, generator: Generator) -> Embedding | None:
        """Return what of a generator's pictures is to stay; None where it has no weight."""
        if not self.identity:
            return None
        return self.embedding or layout_of(generator)

    def settings(self) -> dict[str, float]:
        """Return the numbers, for a provenance."""
        return {name: getattr(self, name) for name in ("l2", "identity", "n_cutouts")}


class TextLoss:
    """The loss of an edit by words: pictures to what they cost, ``[N]``.

    Its value is that of the whole picture; its gradient that of the mean over the picture and its
    cutouts, so that the best step is chosen without the luck of a cutout.

    Args:
        target: What is asked for.
        before: The pictures as they were, ``[N, C, H, W]``.
        config: The weights.
        embedding: What is to stay; None for nothing.
        random: Draws the cutouts.

    Attributes:
        parts: Of the last call: ``clip`` and ``identity``, ``[n]`` each, without gradient.
    """

    parts: dict[str, Tensor]

    def __init__(
        self,
        target: TextTarget,
        before: Tensor,
        config: TextLossConfig,
        embedding: Embedding | None,
        random: torch.Generator,
    ) -> None:
        self.target, self.config, self.embedding, self.random = target, config, embedding, random
        with torch.no_grad():
            self.goals = target.goals(before)
            self.identity = None if embedding is None else embedding(before)

    def __call__(self, images: Tensor, indices: Tensor) -> Tensor:
        goals = self.goals[indices]
        distance = self.target.distance(images, goals)
        parts = {"clip": distance}
        if self.embedding is not None and self.identity is not None:
            change = identity_distance(self.embedding(images), self.identity[indices])
            parts["identity"] = self.config.identity * change
        self.parts = {name: part.detach() for name, part in parts.items()}
        loss = torch.stack(list(parts.values())).sum(0)
        if not self.config.n_cutouts:
            return loss
        views = [cutouts(images, self.random) for _ in range(self.config.n_cutouts)]
        distances = torch.stack([distance, *(self.target.distance(view, goals) for view in views)])
        change = distances.mean(0) - distance
        return loss + (change - change.detach())


def cutouts(images: Tensor, random: torch.Generator, smallest: float = 0.75) -> Tensor:
    """Return one random square of each picture, at the picture's size again.

    Args:
        images: ``[N, C, H, W]``.
        random: Draws sides and places.
        smallest: The shortest side, as a share of the picture's.
    """
    height, width = images.shape[2:]
    shares, downs, rights = torch.rand(3, len(images), generator=random).tolist()
    parts = []
    for image, share, down, right in zip(images, shares, downs, rights):
        share = smallest + (1 - smallest) * share
        h, w = max(1, round(share * height)), max(1, round(share * width))
        top, left = round(down * (height - h)), round(right * (width - w))
        part = image[None, :, top : top + h, left : left + w]
        parts.append(F.interpolate(part, (height, width), mode="bilinear", antialias=True))
    return torch.cat(parts)


def layout_of(generator: Generator, reader: Predictor | None = None) -> Embedding | None:
    """Return the default embedding of what is to stay: how pictures are laid out, as a reader says.

    Each of the L readings that the generator's bundle names as its layout is divided by half of its
    range where the reader states one, else by twice its deviation over the generator's own
    pictures, so that all count alike.

    Args:
        generator: Whose bundle is asked.
        reader: Reads the layout; that of the bundle by default.

    Returns:
        Pictures ``[N, C, H, W]`` to ``[N, L]``; None, with a warning, where no layout is known.
    """
    names = part(generator, "layout")
    reader = reader or part(generator, "reader")
    if names is None or reader is None:
        use = "says what an edit is to leave as it is, so that nothing is held now"
        warn(generator, missing(generator, "layout", use, "embedding= in the loss"))
        return None
    columns = [list(reader.names).index(name) for name in names]
    middle, half = _ranges(generator, reader, columns)

    def layout(images: Tensor) -> Tensor:
        readings = reader.predict(images)[:, columns]
        return (readings - middle.to(readings)) / half.to(readings)

    return layout


def _ranges(
    generator: Generator, reader: Predictor, columns: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Return the middle and half of the range of some readings, ``[L]`` each."""
    if isinstance(reader, AttributePredictor):
        ends = [(a.low, a.high) for a in (reader.attributes[column] for column in columns)]
        middle = torch.tensor([(low + high) / 2 for low, high in ends])
        return middle, torch.tensor([(high - low) / 2 for low, high in ends])
    with torch.no_grad():
        readings = reader.predict(generator.render(generator.sample(64, seed=Codes.LAYOUT.start)))
    readings = readings[:, columns]
    return readings.mean(0), 2 * readings.std(0).clamp(min=1e-6)


def identity_distance(now: Tensor, before: Tensor) -> Tensor:
    """Return D_id for each picture, ``[N]``, from the embeddings ``[N, F]`` now and before."""
    return (now - before).square().sum(1) / before.square().sum(1).clamp(min=1e-8)
