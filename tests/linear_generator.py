"""A generator that is linear from end to end, with one factor planted in it.

    w = A z + a        s = Q w + q        picture = M s + m

One direction of w is stretched the most by every step at once: it is the first principal axis of w,
the leading singular vector of the picture, the leading one of the weights, and in s it is a single
channel, whose picture is a patch in a corner. All that a finder may look at agrees about it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from steerbench.generators.base import BaseGenerator
from steerbench.types import Latent, Layer, Space, State

SIZE, CHANNEL = 8, 5
SHAPE = (3, 8, 8)


class LinearNetwork(nn.Module):
    """The three maps, as buffers in float64."""

    def __init__(self) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(3)
        turn = _orthonormal(random)
        own = turn[CHANNEL]
        others = torch.eye(SIZE, dtype=torch.float64) - torch.outer(own, own)
        self.register_buffer("a", others + 1000 * torch.outer(own, own))
        self.register_buffer("q", turn)
        self.register_buffer("m", self._pictures(random))
        self.register_buffer("shift", torch.randn(SIZE, generator=random, dtype=torch.float64))

    def _pictures(self, random: torch.Generator) -> Tensor:
        """What each channel draws: the planted one a patch, the others small, beside it.

        Pixels come in pairs that differ only in the sign of what the others draw, so that no
        product of the planted one with another is left, whatever weight a row is given.
        """
        m = torch.randn(*SHAPE, SIZE, generator=random, dtype=torch.float64)
        m[..., CHANNEL] = 0
        m[:, :4, :4, CHANNEL] = 50
        m[:, :, 1::2] = -m[:, :, ::2]
        m[:, :4, 1:4:2, CHANNEL] = 50
        return m.reshape(-1, SIZE)


class LinearGenerator(BaseGenerator):
    """Counts what is asked of it, and can be told to be interrupted after so many calls."""

    architecture = "linear"
    render_space = "s"
    independent = True

    def __init__(self) -> None:
        network = LinearNetwork()
        slices = {"first": slice(0, 3), "last": slice(3, SIZE)}
        spaces = [
            Space("z", (SIZE,)),
            Space("w", (SIZE,), "z", invertible=False),
            Space("s", (SIZE,), "w", slices=slices),
        ]
        layers = [Layer("draw", 0, *SHAPE)]
        self.calls, self.limit = 0, None
        super().__init__(network, name="linear", spaces=spaces, layers=layers)
        self.resolution = SHAPE[-1]

    def planted(self, space: str) -> Tensor:
        """The planted direction in a space, of unit norm."""
        channel = torch.eye(SIZE, dtype=torch.float64)[CHANNEL]
        return channel if space == "s" else self.module.q.T @ channel

    def _count(self) -> None:
        self.calls += 1
        if self.limit is not None and self.calls > self.limit:
            raise KeyboardInterrupt

    def _convert(self, data: Tensor, source: str, target: str, label: Tensor | None) -> Tensor:
        self._count()
        matrix = {"w": self.module.a, "s": self.module.q}[target]
        return data.to(matrix) @ matrix.T + self.module.shift

    def start(self, latent: Latent, noise: str, dtype: torch.dtype | None = None) -> State:
        self._count()
        return State(0, (), latent.data.to(self.module.m), None, noise)

    def layer(self, state: State) -> Tensor:
        self._count()
        return (state.x @ self.module.m.T).reshape(-1, *SHAPE)

    def affine(self, space: str, layers: object = "all") -> Tensor:
        self._count()
        return self.module.m if space == "s" else self.module.m @ self.module.q

    def finish(self, state: State) -> Tensor:
        return state.x


def _orthonormal(random: torch.Generator) -> Tensor:
    drawn = torch.randn(SIZE, SIZE, generator=random, dtype=torch.float64)
    return torch.linalg.qr(drawn)[0]
