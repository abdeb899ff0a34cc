"""What all predictors share: preparing pictures, batches, gradients, and checking what comes out.

A predictor takes any pictures in steerbench's convention, ``[N, C, H, W]`` nominally in [-1, 1],
and does what its model needs: clamp, resize, grey or RGB, normalise, change the dtype. Whatever the
model returns is checked before anybody computes with it:

- ``[n, K]``, with one name also ``[n]``: scores ``[N, K]`` float32
- ``[n, K, h, w]``, scores of every pixel: labels ``[N, H, W]`` int64, the class of the largest
- ``[n, h, w]`` or ``[n, 1, h, w]`` integers: labels ``[N, H, W]`` int64

Label maps have the size of the pictures whatever the size at which the model works: scores are
resized before the largest is taken, labels take the nearest. Tensors and arrays are read alike,
and so are the ``.logits`` of Hugging Face's models and the ``["out"]`` of torchvision's segmenters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.errors import PredictorError
from steerbench.image import resize
from steerbench.image.pixels import batch_of, size_of

_LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601), as Pillow's mode L has them."""

Normalise = tuple[float | Sequence[float], float | Sequence[float]]


class BasePredictor:
    """A model that reads pictures.

    Args:
        model: Prepared pictures ``[n, C, H, W]`` to scores ``[n, len(names)]``; or, of a
            segmenter, to scores a pixel ``[n, len(names), h, w]`` or labels ``[n, h, w]``.
        names: What the scores, or the labels, are called.
        units: A unit for all scores, or one for each; empty where there is none.
        resolution: The side (or height and width) in pixels that the model wants; None hands
            pictures over in their own size.
        normalise: ``(mean, std)`` of pixels in [0, 1], numbers or one for each channel, as
            torchvision states them; ``(0, 1)`` gives pixels in [0, 1], ``(0, 1 / 255)`` in
            [0, 255], None in [-1, 1].
        channels: 1 makes pictures grey, 3 makes them RGB, None leaves them as they come.
        batch_size: How many pictures the model gets at a time, so that memory stays bounded.
        name: What to call it in messages.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Any],
        names: Sequence[str],
        *,
        units: str | Sequence[str] = "",
        resolution: int | tuple[int, int] | None = None,
        normalise: Normalise | None = None,
        channels: int | None = None,
        batch_size: int = 128,
        name: str = "predictor",
    ) -> None:
        self.model, self.name, self.batch_size = model, name, batch_size
        self.names, self.units = _check_names(names, units)
        self.resolution, self.normalise, self.channels = resolution, normalise, channels
        if resolution is not None:
            size_of(resolution)
        if channels not in (None, 1, 3):
            raise PredictorError(f"channels={channels!r}; give 1 (grey), 3 (RGB) or None (as is).")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise PredictorError(
                f"batch_size={batch_size!r}; give a whole number of pictures from 1 on."
            )
        if normalise is not None:
            _normalisation(normalise)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self.names)} names)"

    @property
    def device(self) -> torch.device | None:
        """Where the model's weights are; None of a function, which takes pictures as they come."""
        weight = self._weight
        return None if weight is None else weight.device

    @property
    def _weight(self) -> Tensor | None:
        """The first of the model's weights, where it has any."""
        parameters = self.model.parameters() if isinstance(self.model, nn.Module) else iter(())
        return next((p for p in parameters if p.is_floating_point()), None)

    def on(self, device: str | torch.device) -> Self:
        """Move the model to a device; returns self."""
        if isinstance(self.model, nn.Module):
            self.model.to(device)
        return self

    def prepare(self, images: Tensor) -> Tensor:
        """Return pictures as the model wants them: clamped, resized, grey or RGB, normalised."""
        x, weight = batch_of(images).clamp(-1, 1).float(), self._weight
        x = x if weight is None else x.to(weight.device)
        if self.channels == 3:
            x = x.expand(-1, 3, -1, -1)
        elif self.channels == 1 and x.shape[1] == 3:
            x = (x * x.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
        if self.resolution is not None:
            x = resize(x, self.resolution)
        if self.normalise is not None:
            x = self._normalise(x, self.normalise)
        return x if weight is None else x.to(weight.dtype)

    def _normalise(self, x: Tensor, normalise: Normalise) -> Tensor:
        mean, std = (x.new_tensor(v).view(1, -1, 1, 1) for v in _normalisation(normalise))
        if mean.shape[1] not in (1, x.shape[1]) or std.shape[1] not in (1, x.shape[1]):
            raise PredictorError(
                f"normalise states {max(mean.shape[1], std.shape[1])} channels, the pictures have "
                f"{x.shape[1]}. Give channels=1 or channels=3, or one number for all channels."
            )
        return ((x + 1) / 2 - mean) / std

    def run(self, images: Tensor, work: Callable[[Tensor], Any]) -> Any:
        """Run ``work`` on prepared pictures, batch by batch, joined on the device of ``images``.

        Gradients flow where the pictures require them; otherwise none are kept.
        """
        pictures = batch_of(images)
        if bool(torch.isnan(pictures.detach()).any()):
            raise PredictorError(
                f"The pictures given to {self.name} contain NaN; expected numbers in [-1, 1]. "
                "Look for a diverged model or an overflow in half precision."
            )
        wanted = torch.is_grad_enabled() and pictures.requires_grad
        with torch.set_grad_enabled(wanted), _evaluation_mode(self.model):
            parts = [work(self.prepare(part)) for part in pictures.split(self.batch_size)]
            return torch.cat([torch.as_tensor(part) for part in parts]).to(pictures.device)

    def predict(self, images: Tensor) -> Tensor:
        """Read pictures ``[N, C, H, W]`` in [-1, 1].

        Returns:
            ``[N, len(names)]`` float32 scores; of a segmenter labels ``[N, H, W]`` int64, an index
            into ``names``.

        Raises:
            ShapeError: These are no pictures.
            PredictorError: The pictures contain NaN, or the model returned something else.
        """
        size = batch_of(images).shape[2:]
        return self.run(images, lambda part: self._check_output(self.model(part), len(part), size))

    def areas(self, images: Tensor) -> Tensor:
        """Return the share of a picture's pixels that each name of a segmenter has.

        Returns:
            ``[N, len(names)]`` float32; every row sums to 1.

        Raises:
            ShapeError, PredictorError: As `predict`; or this is no segmenter.
        """
        size = batch_of(images).shape[2:]
        return self.run(
            images, lambda part: self._shares(self._check_output(self.model(part), len(part), size))
        )

    def _shares(self, labels: Tensor) -> Tensor:
        if labels.ndim != 3:
            raise PredictorError(
                f"{self.name} gives scores of whole pictures, not label maps, so there are no "
                "areas. Take its predict, or a segmenter, which gives a class to every pixel."
            )
        n, k = len(labels), len(self.names)
        cells = labels.flatten(1) + k * torch.arange(n, device=labels.device)[:, None]
        return cells.flatten().bincount(minlength=n * k).view(n, k) / labels[0].numel()

    def _check_output(self, given: Any, n: int, size: Sequence[int]) -> Tensor:
        """What a model gave for ``n`` pictures of this size, as scores or labels."""
        scores = self._tensor(given, n)
        if scores.ndim == 4 and scores.shape[1] == 1 and not scores.is_floating_point():
            scores = scores[:, 0]
        shape, names = tuple(scores.shape), len(self.names)
        if shape == (n,) and names == 1:
            return scores.float()[:, None]
        if shape == (n, names):
            return scores.float()
        if len(shape) == 4 and shape[:2] == (n, names) and names > 1:
            return resize_maps(scores.float(), size).argmax(1)
        if len(shape) == 3 and len(scores) == n and not scores.is_floating_point():
            return self._labels(scores.long(), size)
        raise PredictorError(
            f"{self.name} returned {list(shape)} for {n} pictures; {self._asks} Wrap the "
            "model in a function that picks the right part of its answer, or correct the names."
        )

    def _tensor(self, given: Any, n: int) -> Tensor:
        try:
            scores = torch.as_tensor(_unpack(given))
        except (TypeError, ValueError, RuntimeError):
            raise PredictorError(
                f"{self.name} returned a {type(given).__name__} for {n} pictures; {self._asks}"
                " Wrap the model in a function that picks the right part of its answer."
            ) from None
        if scores.is_complex() or (scores.is_floating_point() and bool(scores.isnan().any())):
            kind = "complex numbers" if scores.is_complex() else "NaN"
            raise PredictorError(
                f"{self.name} returned {kind} for {n} pictures; {self._asks} Check the range "
                "and the normalisation that the model was trained with."
            )
        return scores

    def _labels(self, labels: Tensor, size: Sequence[int]) -> Tensor:
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= len(self.names):
            raise PredictorError(
                f"{self.name} returned labels from {low} to {high}; expected 0 to "
                f"{len(self.names) - 1}, one for each of the {len(self.names)} names. Give such "
                "pixels a name of their own, 'other' for instance."
            )
        if labels.shape[1:] == size:
            return labels
        # As float64, in which every label is exact: nearest takes no integers.
        maps = F.interpolate(labels[:, None].double(), tuple(size), mode="nearest-exact")
        return maps[:, 0].long()

    @property
    def _asks(self) -> str:
        k = len(self.names)
        pixels = f"scores a pixel [N, {max(k, 2)}, H, W]"
        return f"expected scores [N, {k}], {pixels}, or integer labels [N, H, W]."


def resize_maps(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Return maps ``[N, K, h, w]`` at the size of pictures, ``(H, W)``: bilinear, antialiased."""
    if maps.shape[2:] == size:
        return maps.float()
    return F.interpolate(maps.float(), tuple(size), mode="bilinear", antialias=True)


def _unpack(given: Any) -> Any:
    """The scores in what a library's model returns around them."""
    if isinstance(given, Mapping) and "out" in given:
        return given["out"]
    logits = getattr(given, "logits", None)
    return given if logits is None else logits


def _check_names(names: Sequence[str], units: str | Sequence[str]) -> tuple[tuple[str, ...], ...]:
    if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
        raise PredictorError(f"names={names!r}; give a list of strings, one for each score.")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise PredictorError(f"names holds {twice[0]!r} twice; give every score its own name.")
    units = [units] * len(names) if isinstance(units, str) else units
    if len(units) != len(names):
        raise PredictorError(f"Got {len(units)} units for {len(names)} names; give one for each.")
    return tuple(names), tuple(units)


def _normalisation(normalise: Normalise) -> list[list[float]]:
    """Mean and std as lists of channels."""
    try:
        mean, std = (torch.as_tensor(value).float().flatten() for value in normalise)
    except (TypeError, ValueError, RuntimeError):
        mean, std = torch.zeros(0), torch.zeros(0)
    if not len(mean) or not bool(torch.isfinite(mean).all()) or not bool((std > 0).all()):
        raise PredictorError(
            f"normalise={normalise!r}; give (mean, std) of pixels in [0, 1], numbers or one for "
            "each channel, with std above 0."
        )
    return [mean.tolist(), std.tolist()]


@contextmanager
def _evaluation_mode(model: object) -> Iterator[None]:
    """Put a module into evaluation mode, and back as it was, part by part."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    training = [module for module in modules if module.training]
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True
