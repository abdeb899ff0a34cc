"""Closed-form steering: zoom, shift and principal directions from the first layer alone.

Many generators begin with an affine layer, whose outputs W z + b are laid out over 4x4 places. A
change of the picture in space is, at a coarse grain, one of these features. Let the matrix P do it
to the features, and the diagonal D leave out places whose content nobody knows (what moves in from
outside). The step that does it to all codes at once, in the mean, is a least-squares problem:

    min_q  E_z | D ( W (z + q) + b  -  P (W z + b) ) |^2        q = (W' D^2 W)^-1 W' D^2 (P - I) b

Steps that may depend on the code do it better, and come to rest where no further zoom or shift is
possible (`Prescription.walk`):

    z_{n+1} = M z_n + q                                          M = (W' D^2 W)^-1 W' D^2 P W

Only these are left where b is the same at every place, as in DCGAN: then q is zero.

Without a wish of one's own, the steps that change the features the most are the right singular
vectors of W: the principal directions. Where features do not depend on the code, as in style-based
generators, those of the weights that the code meets take their place; nothing can be prescribed
there but *brightness*, which belongs to no place: its step is the mean gradient of the picture's
mean, of first order and without a search, in any generator.

Walks that end where codes are likely stay on the sphere: a *great circle* turns the code z towards
a direction v, in the plane of both, and leads to v itself in the end; a *small circle* turns only
within the plane of v and a direction that does next to nothing. Both keep the length of z exactly:

    great    z(t) = |z| (cos t  z/|z| + sin t  v')    v': v without its part along z, of length 1
    small    z(t) = z, its part in span(v, r) turned by t

An arc has the length that the straight step would have. `GreatCircle` and `SmallCircle` are Walks.

>>> import steerbench as sb
>>> G = sb.load("rooms-pggan")
>>> closed = ClosedForm(n_directions=2).fit(G)
>>> closed.directions_[0].name
'principal 1'
>>> zoom = prescribe(G, "zoom")
>>> len(zoom.walk(G.sample(1), n_steps=3))
4

Reference: Spingarn, Banner, Michaeli, "GAN 'Steerability' without optimization" (2021,
arXiv 2012.05328).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from steerbench import __version__
from steerbench.errors import (
    ArgumentError,
    CapabilityError,
    LatentError,
    SpaceError,
    unknown,
)
from steerbench.types import Direction, FirstFeatures, Generator, Latent, Provenance, Walk
from steerbench.unsupervised.shared import (
    check_count,
    fix_signs,
    layer_suffix,
    make_direction,
    rows_of,
)
from steerbench.unsupervised.step_function import StepFunction

PLACES = ("zoom", "shift x", "shift y")
AMOUNTS = {"zoom": 1.25, "shift x": 1.0, "shift y": 1.0, "brightness": 0.1}


class ClosedForm:
    """Principal directions of the weights that a code first meets.

    Args:
        n_directions: How many to keep, the strongest first.
        layers: The rows of the layer-wise latent whose weights are read and which the directions
            then change, in style-based generators.

    Attributes:
        directions_: The directions found.
        singular_values_: ``[n_directions]`` float64, falling.
        weakest_: The direction that changes the features the least: what small circles turn about
            (`steerbench.unsupervised.closed_form.small_circle`).
    """

    reference = (
        "Spingarn, Banner, Michaeli, \"GAN 'Steerability' without optimization\", arXiv 2012.05328"
    )
    directions_: list[Direction]
    singular_values_: Tensor
    weakest_: Direction

    def __init__(
        self, n_directions: int = 10, layers: str | int | Iterable[int] | None = "all"
    ) -> None:
        self.n_directions = n_directions
        self.layers = layers

    @classmethod
    def refuses(cls, generator: Generator) -> str | None:
        """Return why it cannot work on a generator, or None: no weights are known."""
        try:
            _first_weights(generator, "all")
        except CapabilityError as error:
            return str(error)
        return None

    def fit(self, generator: Generator) -> ClosedForm:
        """Find the directions of a generator.

        Raises:
            CapabilityError: No weights are known that a code meets.
            LayerError: A layer does not exist.
            ArgumentError: More directions were asked for than the space has dimensions.
        """
        space, weights, rows = _first_weights(generator, self.layers)
        check_count(self.n_directions, generator.spaces[space].size, space, generator)
        _, values, vectors = torch.linalg.svd(weights.double().cpu(), full_matrices=True)
        vectors = fix_signs(vectors)
        values = F.pad(values, (0, len(vectors) - len(values)))
        found = [
            make_direction(
                self,
                "closed form",
                generator,
                space,
                vectors[index],
                name=f"{name}{layer_suffix(rows)}",
                layers=rows,
                scores={"singular value": float(values[index]), "rank": index},
            )
            for index, name in (
                *((i, f"principal {i + 1}") for i in range(self.n_directions)),
                (len(vectors) - 1, "weakest"),
            )
        ]
        self.__dict__.update(
            directions_=found[:-1],
            weakest_=found[-1],
            singular_values_=values[: self.n_directions],
        )
        return self


@dataclass(frozen=True, eq=False)
class Prescription:
    """A change that was asked for, as steps in the latent space.

    Attributes:
        direction: The one step that does it to all codes in the mean; ``alpha = 1`` is one standard
            deviation of the prior along it. None where the mean features are the same at every
            place, so that nothing can be done to them.
        length: How far along it the amount asked for is; 0 without a direction.
        explained: Which share of the mean change of the features the step makes, from 0 to 1; NaN
            where there is no step, or it was not found from features.
        matrix: M, ``[size, size]`` float64; the identity where steps do not depend on the code.
        offset: q, ``[size]`` float64.
    """

    direction: Direction | None
    length: float
    explained: float
    matrix: Tensor
    offset: Tensor

    def walk(self, latent: Latent, n_steps: int) -> list[Latent]:
        """Return codes after 0, 1, ... ``n_steps`` times the amount asked for, by ``z = M z + q``.

        Args:
            latent: Codes in the direction's space.
            n_steps: How many.
        """
        frames = [latent]
        for _ in range(n_steps):
            data = frames[-1].data.double()
            moved = data @ self.matrix.to(data).T + self.offset.to(data)
            frames.append(latent.with_data(moved.to(latent.data.dtype)))
        return frames


def prescribe(
    generator: Generator, what: str, amount: float | None = None, n_samples: int = 16
) -> Prescription:
    """Return the step that zooms, shifts or brightens, in closed form.

    Args:
        generator: One that begins with an affine layer; any for brightness.
        what: ``"zoom"``, ``"shift x"`` (to the right), ``"shift y"`` (down) or ``"brightness"``.
        amount: The factor of a zoom (1.25), places of the 4x4 grid of a shift (1), or the mean of
            the picture in [-1, 1] (0.1); a negative one is the other way.
        n_samples: Over how many codes the gradient of brightness is averaged.

    Raises:
        CapabilityError: The generator's first features do not depend on the code, or are not known.
        ArgumentError: There is no such change, or it cannot be of that amount.
    """
    if what not in AMOUNTS:
        raise ArgumentError(unknown("change", what, AMOUNTS))
    amount = AMOUNTS[what] if amount is None else float(amount)
    if amount == 0 or (what == "zoom" and amount < 0):
        raise ArgumentError(
            f"An amount of {amount} was asked for of {what!r}. Give a factor above 0 for a zoom, "
            "and something else than 0."
        )
    if what == "brightness":
        return _brightness(generator, amount, n_samples)
    features = generator.first_features()
    matrix, offset, explained = _least_squares(features, what, amount)
    options = {"what": what, "amount": amount}
    return _prescription(generator, features.space, what, options, matrix, offset, explained)


def spatial(what: str, amount: float, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return a change in space as a matrix over places, and the places whose content it knows.

    Args:
        what: ``"zoom"``, ``"shift x"`` or ``"shift y"``.
        amount: The factor of a zoom, or places of a shift.
        height: Of the features.
        width: Of the features.

    Returns:
        P ``[places, places]`` float64 and D ``[places]``, 1 or 0; places row by row.

    >>> P, known = spatial("shift x", 1, 1, 4)
    >>> P @ torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64)
    tensor([0., 1., 2., 3.], dtype=torch.float64)
    >>> known
    tensor([0., 1., 1., 1.], dtype=torch.float64)
    """
    turn = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
    if what == "zoom":
        turn = turn / amount
    elif what == "shift x":
        turn[0, 2] = -2 * amount / width
    else:
        turn[1, 2] = -2 * amount / height
    places = height * width
    grid = F.affine_grid(turn[None], [1, 1, height, width], align_corners=False)
    basis = torch.eye(places, dtype=torch.float64).reshape(1, places, height, width)
    moved = F.grid_sample(basis, grid, align_corners=False)[0].flatten(1).T
    moved = moved.round(decimals=12)
    return moved, (moved.sum(1) > 1 - 1e-6).double()


def _least_squares(
    features: FirstFeatures, what: str, amount: float
) -> tuple[Tensor, Tensor, float]:
    """Return M, q, and the share of the wanted mean change that q makes."""
    weight, bias = features.weight.double().cpu(), features.bias.double().cpu()
    _, height, width, size = weight.shape
    change, known = spatial(what, amount, height, width)
    if not known.any():
        raise ArgumentError(
            f"An amount of {amount} was asked for of {what!r}, which leaves nothing of the "
            f"{height}x{width} features in place. Ask for less."
        )
    flat, offset = weight.flatten(1, 2), bias.flatten(1)  # [C, places, size], [C, places]
    weighted = (known[:, None] * flat).flatten(0, 1)
    wanted = known * (offset @ change.T - offset)
    moved = (known[:, None] * torch.einsum("pq,cqd->cpd", change, flat)).flatten(0, 1)
    inverse = torch.linalg.pinv(weighted, rtol=1e-10)
    step = inverse @ wanted.flatten()
    left = (weighted @ step - wanted.flatten()).square().sum()
    asked = wanted.square().sum()
    explained = float(1 - left / asked) if float(asked) > 1e-20 else float("nan")
    step = torch.zeros_like(step) if explained != explained else step
    # What the first layer does not read stays as it is.
    unread = torch.eye(size, dtype=torch.float64) - inverse @ weighted
    return inverse @ moved + unread, step, explained


def _brightness(generator: Generator, amount: float, n_samples: int) -> Prescription:
    """Return the step that raises the mean of pictures the quickest, and as far as it should."""
    shifts = StepFunction(generator)
    codes = shifts.sample(n_samples, seed=0)
    steps = torch.zeros(n_samples, shifts.size).to(codes.data).requires_grad_()
    means = shifts(codes, steps).flatten(1).mean(1)
    (gradients,) = torch.autograd.grad(means.sum(), steps)
    slope = gradients.double().mean(0).cpu()
    if not float(slope.norm()) > 0:
        raise ArgumentError(f"No step changes how bright {generator.name!r} draws.")
    offset = amount * slope / slope.square().sum()
    options = {"what": "brightness", "amount": amount, "n_samples": n_samples}
    identity = torch.eye(len(slope), dtype=torch.float64)
    return _prescription(
        generator, shifts.space, "brightness", options, identity, offset, float("nan")
    )


def _prescription(
    generator: Generator,
    space: str,
    what: str,
    options: dict[str, Any],
    matrix: Tensor,
    offset: Tensor,
    explained: float,
) -> Prescription:
    length = float(offset.norm())
    if length == 0:
        return Prescription(None, 0.0, explained, matrix, offset)
    vector = (offset / length).reshape(generator.spaces[space].shape)
    provenance = Provenance(
        method="closed form",
        hyperparameters=options,
        generator=generator.name,
        fingerprint=generator.fingerprint,
        n_samples=options.get("n_samples"),
        scores={"length": length} | ({"explained": explained} if explained == explained else {}),
        reference=ClosedForm.reference,
        version=__version__,
    )
    scale = generator.prior_std(space, vector)
    direction = Direction(
        what, space, vector, scale, generator=generator.fingerprint, provenance=provenance
    )
    return Prescription(direction, length / scale, explained, matrix, offset)


def _first_weights(
    generator: Generator, layers: str | int | Iterable[int] | None
) -> tuple[str, Tensor, tuple[int, ...] | None]:
    """Return the space, the weights ``[outputs, size]`` that its codes meet, and the rows."""
    try:
        features = generator.first_features()
    except CapabilityError:
        space = generator.natural_space
        rows = rows_of(generator, space, layers)
        return space, generator.affine(space, "all" if rows is None else rows), rows
    return features.space, features.weight.flatten(0, 2), None


def great_circle(latent: Latent, direction: Direction, alpha: float) -> Latent:
    """Turn codes towards a direction, along an arc of ``alpha`` of its steps.

    Args:
        latent: Codes in the direction's space, ``[N, size]``.
        direction: Where to.
        alpha: How far, in standard deviations of the prior; a full turn is back.

    Raises:
        SpaceError: The codes are of another space.
        LatentError: A code is zero, or lies along the direction.

    >>> latent = Latent("z", torch.tensor([[3.0, 0.0]]))
    >>> up = Direction("up", "z", [0.0, 1.0])
    >>> great_circle(latent, up, 3 * torch.pi / 2).data.round(decimals=5)
    tensor([[0., 3.]])
    """
    codes, vector = _same_space(latent, direction)
    lengths = codes.norm(dim=1, keepdim=True)
    units = codes / lengths.clamp_min(1e-300)
    across = vector - (units @ vector)[:, None] * units
    size = across.norm(dim=1, keepdim=True)
    if bool((size < 1e-9).any()) or bool((lengths == 0).any()):
        raise LatentError(
            f"A code is zero or lies along {direction.name!r}: no circle leads from it there. Take "
            "other codes."
        )
    angle = alpha * direction.scale / lengths
    turned = lengths * (angle.cos() * units + angle.sin() * across / size)
    return latent.with_data(turned.to(latent.data.dtype))


def small_circle(
    latent: Latent, direction: Direction, reference: Direction, alpha: float
) -> Latent:
    """Turn codes in the plane of a direction and a reference, along an arc of ``alpha`` steps.

    Args:
        latent: Codes in the direction's space, ``[N, size]``.
        direction: Where to.
        reference: What gives way: best a direction that changes little, such as
            ``ClosedForm.weakest_``.
        alpha: How far, in standard deviations of the prior. The farthest that a code can get is
            where all of its part in the plane lies along the direction.

    Raises:
        SpaceError: The codes or the reference are of another space.
        LatentError: Both directions are the same, or a code has no part in their plane.
    """
    codes, vector = _same_space(latent, direction)
    other = _same_space(latent, reference)[1]
    other = other - (other @ vector) * vector
    if float(other.norm()) < 1e-9:
        raise LatentError(f"{direction.name!r} and {reference.name!r} span no plane.")
    plane = torch.stack([vector, other / other.norm()])
    part = codes @ plane.T
    radius = part.norm(dim=1, keepdim=True)
    if bool((radius == 0).any()):
        raise LatentError("A code has no part in the plane of the circle. Take other codes.")
    angle = torch.atan2(part[:, :1], part[:, 1:]) + alpha * direction.scale / radius
    turned = radius * torch.cat([angle.sin(), angle.cos()], dim=1)
    return latent.with_data((codes + (turned - part) @ plane).to(latent.data.dtype))


def _same_space(latent: Latent, direction: Direction) -> tuple[Tensor, Tensor]:
    vector = direction.vector.to(latent.data.device).flatten()
    if latent.space != direction.space or latent.data.shape[1:] != direction.vector.shape:
        raise SpaceError(
            f"Codes of {latent.space!r} were to turn towards {direction.name!r}, a direction of "
            f"{direction.space!r}. Convert them with G.to(codes, {direction.space!r})."
        )
    return latent.data.double(), vector


@dataclass(frozen=True, eq=False, kw_only=True)
class GreatCircle(Walk, kind="great circle"):
    """The walk of `great_circle`: towards a direction, on the sphere that a code lies on.

    Args:
        direction: Where to; alpha is in its steps.

    >>> up = Direction("up", "z", [0.0, 1.0])
    >>> circle = GreatCircle(name="up, round", space="z", direction=up)
    >>> circle(Latent("z", torch.tensor([[3.0, 0.0]])), 3 * torch.pi / 2).data.round(decimals=5)
    tensor([[0., 3.]])
    """

    direction: Direction

    def step(self, latent: Latent, alpha: float) -> Latent:
        return great_circle(latent, self.direction, alpha)


@dataclass(frozen=True, eq=False, kw_only=True)
class SmallCircle(Walk, kind="small circle"):
    """The walk of `small_circle`: in the plane of a direction and one that gives way.

    Args:
        direction: Where to; alpha is in its steps.
        reference: What gives way.
    """

    direction: Direction
    reference: Direction

    def step(self, latent: Latent, alpha: float) -> Latent:
        return small_circle(latent, self.direction, self.reference, alpha)


__all__ = ["GreatCircle", "SmallCircle", "great_circle", "small_circle"]
