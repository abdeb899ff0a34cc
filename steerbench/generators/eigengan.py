"""EigenGAN: a generator whose layers carry their own few coordinates, learned without labels.

Noise eps becomes 4x4 features; every block then adds a point of a linear subspace, spanned by a
handful of basis vectors, and convolves. The coordinates in these subspaces are what one steers:
early blocks hold pose and shape, late ones colour. A code z is eps followed by the blocks'
coordinates in order; ``spaces["z"].slices`` says which numbers belong to which block:

    phi = (z_k * L_k) U_k + mu_k        h = up(rectified(h + A_k phi))
                                        h = conv(rectified(h + B_k phi))

Reference: He, Kan, Shan, "EigenGAN: Layer-Wise Eigen-Learning for GANs" (2021, arXiv 2104.12476).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.generators.base import BaseGenerator
from steerbench.types import FirstFeatures, Latent, Layer, Space, State


class EigenBlock(nn.Module):
    """A subspace and two transposed convolutions, the first of which doubles the size."""

    def __init__(self, inputs: int, outputs: int, *, size: int, basis: int) -> None:
        super().__init__()
        self.shape = (inputs, size, size)
        self.basis = nn.Parameter(torch.randn(basis, inputs * size**2))
        self.length = nn.Parameter(torch.ones(basis))
        self.origin = nn.Parameter(torch.zeros(inputs * size**2))
        self.add0 = nn.ConvTranspose2d(inputs, inputs, 1)
        self.add1 = nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1)
        self.conv0 = nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, 1)
        self.conv1 = nn.ConvTranspose2d(outputs, outputs, 3, 1, 1)

    def point(self, coordinates: Tensor) -> Tensor:
        """Map coordinates ``[N, basis]`` to points of the subspace, ``[N, inputs, size, size]``."""
        flat = (coordinates * self.length) @ self.basis + self.origin
        return flat.unflatten(1, self.shape)

    def convolve(self, x: Tensor, coordinates: Tensor, second: bool) -> Tensor:
        """Compute one of the block's two convolutions, at the precision of ``x``.

        Args:
            x: ``[N, inputs, size, size]``.
            coordinates: ``[N, basis]``.
            second: Which of them.
        """
        point = self.point(coordinates).to(x.dtype)
        x = F.leaky_relu(x + _convolve(point, self.add1 if second else self.add0), 0.2)
        return _convolve(x, self.conv1 if second else self.conv0)


class EigenGANNetwork(nn.Module):
    """The trainable part.

    Args:
        noise: Length of eps.
        basis: Coordinates of each block.
        widths: Channels at 4, 8, 16 ... pixels.
        channels: Of the picture.
        kernel: Size of the last convolution.
    """

    def __init__(
        self, *, noise: int, basis: int, widths: tuple[int, ...], channels: int = 3, kernel: int = 7
    ) -> None:
        super().__init__()
        self.noise, self.n_basis, self.widths = noise, basis, tuple(widths)
        self.channels, self.kernel = channels, kernel
        self.fc = nn.Linear(noise, 16 * self.widths[0])
        self.blocks = nn.ModuleList(
            EigenBlock(inputs, outputs, size=4 * 2**place, basis=basis)
            for place, (inputs, outputs) in enumerate(zip(self.widths, self.widths[1:]))
        )
        self.torgb = nn.Conv2d(self.widths[-1], channels, kernel, padding=kernel // 2)

    def block(self, place: int) -> EigenBlock:
        """Return a block by its place."""
        return cast(EigenBlock, self.blocks[place])

    def forward(self, z: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Map codes ``[N, noise + blocks * basis]`` to pictures ``[N, C, H, W]`` in [-1, 1]."""
        x = self.fc(z[:, : self.noise]).unflatten(1, (-1, 4, 4))
        x = x.to(dtype or x.dtype).contiguous(memory_format=torch.channels_last)
        coordinates = z[:, self.noise :].split(self.n_basis, dim=1)
        for place, own in enumerate(coordinates):
            for second in (False, True):
                x = self.block(place).convolve(x, own, second)
        return _convolve(F.leaky_relu(x, 0.2), self.torgb).to(z.dtype).tanh()


class EigenGAN(BaseGenerator):
    """An EigenGAN; its one space is z."""

    architecture = "eigengan"

    def __init__(self, network: EigenGANNetwork, *, name: str) -> None:
        self.network = network
        count, basis = len(network.blocks), network.n_basis
        self.slices = {"b4.dense": slice(0, network.noise)}
        for place in range(count):
            start = network.noise + place * basis
            self.slices[f"b{8 * 2**place}"] = slice(start, start + basis)
        size = network.noise + count * basis
        code = Space("z", (size,), slices=self.slices)
        super().__init__(network, name=name, spaces=[code], layers=_layers(network))
        self.resolution = 4 * 2**count

    def _rebind(self) -> None:
        if isinstance(self.module, EigenGANNetwork):
            self.network = self.module

    def start(self, latent: Latent, noise: str, dtype: torch.dtype | None = None) -> State:
        code = latent.data.to(self.network.fc.weight.dtype)
        inputs = tuple(
            code[:, self.slices.get(layer.name.split(".conv")[0], slice(0, 0))]
            for layer in self.layers
        )
        return State(0, inputs, code.new_zeros(len(code), 0, 1, 1).to(dtype or code.dtype))

    def layer(self, state: State) -> Tensor:
        network, index, x = self.network, state.index, state.x
        if index == 0:
            return network.fc(state.inputs[0]).unflatten(1, (-1, 4, 4)).to(x.dtype)
        if index == len(self.layers) - 1:
            return _convolve(F.leaky_relu(x, 0.2), network.torgb)
        place, second = divmod(index - 1, 2)
        return network.block(place).convolve(x, state.inputs[index], bool(second))

    def finish(self, state: State) -> Tensor:
        return state.x.to(self.network.fc.weight.dtype).tanh()

    def first_features(self) -> FirstFeatures:
        """Return what eps becomes; the blocks' coordinates come later, their columns are zero."""
        dense, size = self.network.fc, self.spaces["z"].shape[0]
        weight = dense.weight.new_zeros(len(dense.weight), size)
        weight[:, : self.network.noise] = dense.weight.detach()
        shape = (-1, 4, 4)
        return FirstFeatures(
            "z", weight.unflatten(0, shape), dense.bias.detach().unflatten(0, shape)
        )

    # Files.

    def config(self) -> dict[str, Any]:
        """Return what `build` needs besides the weights."""
        network = self.network
        return {
            "noise": network.noise,
            "basis": network.n_basis,
            "widths": list(network.widths),
            "channels": network.channels,
            "kernel": network.kernel,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights."""
        return dict(self.module.state_dict())

    @classmethod
    def build(
        cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, name: str
    ) -> EigenGAN:
        """Return the inverse of `config` and `tensors`.

        Args:
            config: What `config` gave.
            tensors: What `tensors` gave.
            name: Of the generator.
        """
        with torch.device("meta"):
            network = EigenGANNetwork(**{**config, "widths": tuple(config["widths"])})
        copies = {k: v.clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
        network.load_state_dict(copies, assign=True)
        return cls(network, name=name)


def _convolve(x: Tensor, part: nn.Module) -> Tensor:
    """Run a convolution at the precision of the activations."""
    weight, bias = (part.get_parameter(name).to(x.dtype) for name in ("weight", "bias"))
    if isinstance(part, nn.ConvTranspose2d):
        padding = int(part.padding[0])
        return F.conv_transpose2d(x, weight, bias, part.stride, padding, part.output_padding)
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def _layers(network: EigenGANNetwork) -> list[Layer]:
    found: list[tuple[str, int, int, tuple[str, ...]]] = []
    found.append(("b4.dense", network.widths[0], 4, ("fc",)))
    for place, width in enumerate(network.widths[1:]):
        size = 8 * 2**place
        first, second = f"blocks.{place}.feature_conv1", f"blocks.{place}.feature_conv2"
        found.append((f"b{size}.conv0", width, size, (first,)))
        found.append((f"b{size}.conv1", width, size, (second, f"blocks.{place}")))
    size = 4 * 2 ** (len(network.widths) - 1)
    found.append((f"b{size}.torgb", network.channels, size, ("to_rgb",)))
    return [
        Layer(name, index, width, size, size, aliases=aliases)
        for index, (name, width, size, aliases) in enumerate(found)
    ]


__all__ = ["EigenGAN", "EigenGANNetwork"]
