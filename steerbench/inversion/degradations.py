"""What pictures lose, as functions that can be differentiated: a hole, colour, detail, noise.

A degradation D knows three things: what is left of a picture, what one would make of that without
a generator (the plain way, to compare with), and how what is known is put back into what a
generator drew, x:

    Hole      D x = x outside of the hole        finish: outside as given, inside x + spread
    Grey      D x = luma of x                    finish: x + (given - luma of x)
    Smaller   D x = means of squares             finish: x + enlarged (given - D x)
    Noisy     D x = x                            finish: x + blurred (given - x)

In the hole, *spread* is the difference between the given picture and x along the rim, carried
inwards and fading with the distance over ``feather`` pixels: no seam is left, and no pixel from
inside the hole is ever looked at. Means of squares are enlarged in such a way that the means come
out as they were given.

>>> given = torch.zeros(1, 3, 8, 8)
>>> hole = Hole(torch.eye(8) > 0, feather=0)
>>> (hole.finish(given + 1, given) != 0).sum(), Smaller(4)(given).shape, Grey()(given).shape
(tensor(24), torch.Size([1, 3, 2, 2]), torch.Size([1, 1, 8, 8]))

References: Pérez, Gangnet, Blake, "Poisson Image Editing" (2003) for carrying the rim inwards;
Gortler, Grzeszczuk, Szeliski, Cohen, "The Lumigraph" (1996) for the pyramid that does it here;
Irani, Peleg, "Improving Resolution by Image Registration" (1991) for back-projection.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench.errors import ArgumentError, ShapeError


class Degradation:
    """What is left of a picture; this one leaves everything.

    Attributes:
        name: What to call it.
        spaces: Where to search for codes, the first that a generator has; else its first space.
        floor: A mean squared error that is as good as none.
    """

    name = "nothing"
    spaces: tuple[str, ...] = ("w+",)
    floor = 0.0

    def __call__(self, images: Tensor, indices: Tensor | None = None) -> Tensor:
        """Return what is left of pictures ``[n, C, H, W]``.

        Args:
            images: The pictures.
            indices: Which of the given pictures each stands for ``[n]``; by default all, in order.
        """
        return images

    def shape(self, height: int, width: int, channels: int) -> tuple[int, int, int]:
        """Return height, width and channels of the pictures that are given.

        Args:
            height, width, channels: Of what the generator draws.

        Raises:
            ShapeError: Pictures of that size cannot go through this degradation.
        """
        return height, width, channels

    def observation(self, given: Tensor) -> Tensor:
        """Return what counts of given pictures, to compare with what would be left of others."""
        return given

    def baseline(self, given: Tensor) -> Tensor:
        """Return a restoration without a generator, ``[N, C, H, W]``."""
        return given

    def finish(self, drawn: Tensor, given: Tensor, indices: Tensor | None = None) -> Tensor:
        """Return what a generator drew, with what is known put back; not clamped.

        Args:
            drawn: ``[n, C, H, W]``.
            given: What is left of each, ``[n, c, h, w]``.
            indices: Which of the given pictures each stands for ``[n]``; by default all, in order.
        """
        return drawn

    def check(self, given: Tensor, size: tuple[int, int]) -> None:
        """Refuse given pictures that do not fit.

        Raises:
            ShapeError: They, or what goes with them, are of another size.
        """


class Hole(Degradation):
    """Some pixels are missing.

    Args:
        mask: Where, ``[H, W]`` for all pictures or ``[N, 1, H, W]`` (``[N, H, W]``): true, or
            anything above 0 and up to 1, is missing.
        feather: Over how many pixels the difference at the rim fades; 0 leaves a seam.

    Raises:
        ShapeError: The mask is of another shape.
        ArgumentError: It covers everything or nothing, or holds other numbers.
    """

    name = "hole"

    def __init__(self, mask: Any, feather: float = 12.0) -> None:
        if not 0 <= feather < math.inf:
            raise ArgumentError(f"feather={feather}; give a number of pixels from 0 up.")
        self.feather, self.hole = float(feather), _mask(mask)
        self.fade = _fade(self.hole, self.feather)

    def __call__(self, images: Tensor, indices: Tensor | None = None) -> Tensor:
        hole = self._of(self.hole, images, indices)
        return torch.where(hole, torch.zeros_like(images), images)

    def observation(self, given: Tensor) -> Tensor:
        return self(given)

    def baseline(self, given: Tensor) -> Tensor:
        """Return the hole in the mean colour of the rest."""
        hole = self._of(self.hole, given, None)
        known = (~hole).to(given)
        rest = torch.where(hole, torch.zeros_like(given), given)
        mean = rest.sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True)
        return torch.where(hole, mean, given)

    def finish(self, drawn: Tensor, given: Tensor, indices: Tensor | None = None) -> Tensor:
        hole, fade = (self._of(part, drawn, indices) for part in (self.hole, self.fade))
        rim = torch.where(hole, torch.zeros_like(drawn), given - drawn)
        inside = drawn + fade.to(drawn) * spread(rim, (~hole).to(drawn))
        return torch.where(hole, inside, given)

    def check(self, given: Tensor, size: tuple[int, int]) -> None:
        if tuple(self.hole.shape[2:]) != size or len(self.hole) not in (1, len(given)):
            raise ShapeError(
                f"The mask is {list(self.hole.shape)} for {len(given)} pictures of {list(size)}. "
                f"Give {list(size)}, or one for each picture."
            )

    def _of(self, part: Tensor, images: Tensor, indices: Tensor | None) -> Tensor:
        part = part.to(images.device)
        return part if indices is None or len(part) == 1 else part[indices.to(images.device)]


class Grey(Degradation):
    """The colours are missing."""

    name = "colour"

    def __call__(self, images: Tensor, indices: Tensor | None = None) -> Tensor:
        if images.shape[1] == 1:
            return images
        weights = images.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)  # luma
        return (images * weights).sum(1, keepdim=True)

    def shape(self, height: int, width: int, channels: int) -> tuple[int, int, int]:
        return height, width, 1

    def baseline(self, given: Tensor) -> Tensor:
        """Return it grey, as it is."""
        return given.expand(-1, 3, -1, -1).clone()

    def finish(self, drawn: Tensor, given: Tensor, indices: Tensor | None = None) -> Tensor:
        return drawn + given - self(drawn)


class Smaller(Degradation):
    """The detail is missing: every square of pixels became their mean.

    Args:
        factor: The side of the square, in pixels.

    Raises:
        ArgumentError: It is no whole number from 2 up.
    """

    name = "detail"

    def __init__(self, factor: int = 4) -> None:
        if not isinstance(factor, int) or factor < 2:
            raise ArgumentError(f"factor={factor!r}; give a whole number from 2 up.")
        self.factor = factor

    def __call__(self, images: Tensor, indices: Tensor | None = None) -> Tensor:
        return F.avg_pool2d(images, self.factor)

    def shape(self, height: int, width: int, channels: int) -> tuple[int, int, int]:
        if height % self.factor or width % self.factor:
            raise ShapeError(
                f"A picture of {height} x {width} pixels cannot become {self.factor} times "
                "smaller. Give a factor that divides both."
            )
        return height // self.factor, width // self.factor, channels

    def baseline(self, given: Tensor) -> Tensor:
        """Enlarge it by bicubic interpolation."""
        return F.interpolate(given, scale_factor=self.factor, mode="bicubic").clamp(-1, 1)

    def finish(self, drawn: Tensor, given: Tensor, indices: Tensor | None = None) -> Tensor:
        # Smooth first, then the little that is left by squares, so that the means are exact.
        factor = float(self.factor)
        for _ in range(2):
            rest = given - self(drawn)
            drawn = drawn + F.interpolate(rest, scale_factor=factor, mode="bilinear")
        return drawn + F.interpolate(given - self(drawn), scale_factor=factor, mode="nearest")


class Noisy(Degradation):
    """Noise was added, independent from number to number.

    Codes are searched where there is little room for noise, and the search has nothing left to
    gain once a picture is as far from the given one as the noise is large.

    Args:
        deviation: Its standard deviation, in units of half the range of pixels.

    Raises:
        ArgumentError: It is no number above 0.
    """

    name = "noise"
    spaces = ("w",)

    def __init__(self, deviation: float = 0.25) -> None:
        if not 0 < deviation < math.inf:
            raise ArgumentError(f"deviation={deviation}; give a number above 0, like 0.25.")
        self.deviation = float(deviation)
        self.floor = self.deviation**2

    def baseline(self, given: Tensor) -> Tensor:
        """Blur it by a Gaussian, the wider the more noise there is."""
        return blur(given, 4.0 * self.deviation)

    def finish(self, drawn: Tensor, given: Tensor, indices: Tensor | None = None) -> Tensor:
        # Under this Gaussian a tenth of independent noise is left.
        return drawn + blur(given - drawn, 3.0)


def spread(values: Tensor, known: Tensor) -> Tensor:
    """Carry values from where they are known to everywhere, smoothly.

    Means of ever larger squares are taken of what is known, and enlarged again where it is not.

    Args:
        values: ``[n, C, H, W]``; what is not known does not count.
        known: ``[n, 1, H, W]``, 1 or 0; each picture has a known place.
    """
    if bool((known > 0).all()):
        return values
    height, width = values.shape[2:]
    pad = (0, width % 2, 0, height % 2)
    share = F.avg_pool2d(F.pad(known, pad), 2)
    means = F.avg_pool2d(F.pad(values * known, pad), 2) / share.clamp(min=1e-12)
    coarse = spread(means, (share > 0).to(known))
    wide = F.interpolate(coarse, scale_factor=2.0, mode="bilinear")[:, :, :height, :width]
    return torch.where(known > 0, values, wide)


def blur(images: Tensor, deviation: float) -> Tensor:
    """Return pictures under a Gaussian of a deviation in pixels; borders are repeated."""
    reach = max(1, math.ceil(3 * deviation))
    places = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-places.square() / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    across = F.conv2d(padded, kernel, groups=images.shape[1])
    return F.conv2d(across, kernel.transpose(2, 3), groups=images.shape[1])


def _mask(given: Any) -> Tensor:
    """Return a mask in any form as bool ``[1 or N, 1, H, W]``."""
    try:
        mask = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ShapeError(f"Got a {type(given).__name__} as mask; give an array [H, W].") from error
    if mask.ndim == 2:
        mask = mask[None, None]
    if mask.ndim == 3:
        mask = mask[:, None]
    if mask.ndim != 4 or mask.shape[1] != 1 or not mask.numel():
        raise ShapeError(
            f"Got a mask of shape {list(torch.as_tensor(given).shape)}; give [H, W], or "
            "[N, 1, H, W] with a mask for each picture."
        )
    numbers = mask.double()
    if not bool(((numbers >= 0) & (numbers <= 1)).all()):
        raise ArgumentError("A mask holds numbers outside of 0 to 1, or NaN; give 0 to 1.")
    hole = numbers > 0
    missing = hole.flatten(1).sum(1)
    if bool((missing == 0).any()):
        raise ArgumentError("The mask covers nothing, so nothing is to fill. Paint where.")
    if bool((missing == hole[0].numel()).any()):
        raise ArgumentError(
            "The mask covers everything, so nothing is left to go by. Leave some of the picture "
            "uncovered, or draw a sample."
        )
    return hole.detach()


def _fade(hole: Tensor, feather: float) -> Tensor:
    """Return 1 at the rim, falling to 0 where a pixel is ``feather`` or more away from it."""
    reached = (~hole).float()
    fade = torch.zeros_like(reached)
    for distance in range(math.ceil(feather)):
        wider = F.max_pool2d(reached, 3, 1, 1)
        if torch.equal(wider, reached):
            break
        fade = torch.where((wider > 0) & (reached == 0), 1 - distance / feather, fade)
        reached = wider
    return fade
