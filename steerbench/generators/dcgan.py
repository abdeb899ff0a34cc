"""DCGAN: a code, then transposed convolutions, each with batch normalisation and a rectifier.

The layers are the items of its one sequence, by kind and stage,

    conv0  norm0  relu0  conv1  norm1  relu1  ...  conv4

and a tanh makes the picture. The published example draws samples while the network is in training
mode, so that each batch is normalised by its own statistics: `DCGAN.with_batch_statistics`
gives that generator, whose pictures depend on the company they are drawn in.

Reference: Radford, Metz, Chintala, "Unsupervised Representation Learning with Deep Convolutional
Generative Adversarial Networks" (2015, arXiv 1511.06434).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from steerbench.errors import CapabilityError
from steerbench.generators.base import BaseGenerator
from steerbench.types import FirstFeatures, Latent, Layer, Space, State

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


class DCGANNetwork(nn.Module):
    """The trainable part: ``main``, numbered as in the published example.

    Args:
        z_dim: Length of a code.
        widths: Channels after each transposed convolution, the picture's last.
        bias: Whether convolutions have biases.
        activation: After each normalisation, one of `ACTIVATIONS`.
        negative_slope: Of ``"leaky_relu"``.
        last: What makes the picture: ``"tanh"``, ``"sigmoid"`` or ``"none"``.
    """

    def __init__(
        self,
        *,
        z_dim: int,
        widths: tuple[int, ...],
        bias: bool = False,
        activation: str = "relu",
        negative_slope: float = 0.2,
        last: str = "tanh",
    ) -> None:
        super().__init__()
        self.z_dim, self.widths, self.bias = z_dim, tuple(widths), bias
        self.activation, self.negative_slope, self.last = activation, negative_slope, last
        parts: list[nn.Module] = []
        inputs = z_dim
        for stage, outputs in enumerate(self.widths):
            step = (1, 0) if stage == 0 else (2, 1)
            parts.append(nn.ConvTranspose2d(inputs, outputs, 4, *step, bias=bias))
            if stage < len(self.widths) - 1:
                parts += [nn.BatchNorm2d(outputs), self._rectifier()]
            inputs = outputs
        self.main = nn.Sequential(*parts)
        for part in self.main:
            if isinstance(part, nn.ConvTranspose2d):
                nn.init.normal_(part.weight, 0.0, 0.02)

    def forward(self, z: Tensor) -> Tensor:
        """Map z ``[N, z_dim]`` to pictures ``[N, C, H, W]`` in [-1, 1]."""
        return self.finish(self.main(z[:, :, None, None]))

    def finish(self, x: Tensor) -> Tensor:
        """Bring what the last convolution gives to [-1, 1], as the network ends."""
        # Twice a sigmoid less one, so that a range of [0, 1] becomes the one of all pictures here.
        ends = {"tanh": torch.tanh, "sigmoid": lambda x: (x / 2).tanh(), "none": lambda x: x}
        return ends[self.last](x)

    def _rectifier(self) -> nn.Module:
        slope = {"negative_slope": self.negative_slope} if self.activation == "leaky_relu" else {}
        return ACTIVATIONS[self.activation](**slope)


class DCGAN(BaseGenerator):
    """A DCGAN generator; its one space is z."""

    architecture = "dcgan"

    def __init__(self, network: DCGANNetwork, *, name: str) -> None:
        self.network = network
        code = Space("z", (network.z_dim,))
        super().__init__(network, name=name, spaces=[code], layers=_layers(network))
        self.resolution = 4 * 2 ** (len(network.widths) - 1)

    def _rebind(self) -> None:
        if isinstance(self.module, DCGANNetwork):
            self.network = self.module

    def start(self, latent: Latent, noise: str, dtype: torch.dtype | None = None) -> State:
        x = latent.data.to(dtype or next(self.network.parameters()).dtype)
        return State(0, (), x[:, :, None, None], None, noise)

    def layer(self, state: State) -> Tensor:
        part = self.network.main[state.index]
        if state.x.dtype != next(self.network.parameters()).dtype:
            part = copy.deepcopy(part).to(state.x.dtype)
        activation: Tensor = part(state.x)
        return activation

    def finish(self, state: State) -> Tensor:
        exact = next(self.network.parameters()).dtype
        return self.network.finish(state.x.to(exact))

    def affine(self, space: str, layers: Any = "all") -> Tensor:
        """Return the weights that z first meets, ``[outputs, z_dim]``."""
        if space != "z":
            return super().affine(space, layers)
        if layers not in ("all", None):
            raise CapabilityError(
                f"{self.name!r} takes its code at the first layer only; layers must be 'all', "
                f"not {layers!r}."
            )
        return self.network.main[0].get_parameter("weight").detach().flatten(1).T

    def first_features(self) -> FirstFeatures:
        """Return the first convolution and the normalisation after it, as one affine map."""
        parts = list(self.network.main)
        weight = parts[0].get_parameter("weight").detach().permute(1, 2, 3, 0)
        bias = weight.new_zeros(weight.shape[:3])
        if self.network.bias:
            bias = bias + parts[0].get_parameter("bias").detach()[:, None, None]
        if len(parts) == 1:
            return FirstFeatures("z", weight, bias)
        norm = parts[1]
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_var is None:
            raise CapabilityError(
                f"{self.name!r} normalises every batch by itself, so that no affine map is known "
                "from one code to its first features. Use it with its kept statistics."
            )
        gain, offset = normalisation(norm)
        return FirstFeatures("z", gain[..., None] * weight, gain * bias + offset)

    def with_batch_statistics(self) -> DCGAN:
        """Return the same generator, normalising each batch by itself, as in training."""
        network = copy.deepcopy(self.network)
        for part in network.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.track_running_stats = False
                part.running_mean = part.running_var = None
        return DCGAN(network, name=f"{self.name}-batch-statistics")

    # Files.

    def config(self) -> dict[str, Any]:
        """Return what `build` needs besides the weights."""
        network = self.network
        config: dict[str, Any] = {"z_dim": network.z_dim, "widths": list(network.widths)}
        usual = {"bias": False, "activation": "relu", "negative_slope": 0.2, "last": "tanh"}
        own = {name: getattr(network, name) for name in usual}
        return config | {name: value for name, value in own.items() if value != usual[name]}

    def tensors(self) -> dict[str, Tensor]:
        """Return the weights."""
        return dict(self.module.state_dict())

    @classmethod
    def build(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor], *, name: str) -> DCGAN:
        """Return the inverse of `config` and `tensors`.

        Args:
            config: What `config` gave.
            tensors: What `tensors` gave.
            name: Of the generator.
        """
        with torch.device("meta"):
            network = DCGANNetwork(**{**config, "widths": tuple(config["widths"])})
        copies = {k: v.clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}
        network.load_state_dict(copies, assign=True)
        return cls(network, name=name)


def normalisation(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return gain and the offset, ``[C, 1, 1]``, of a batch normalisation with kept statistics."""
    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
    gain = (variance + norm.eps).rsqrt() * (norm.weight.detach() if norm.affine else 1.0)
    offset = -mean * gain + (norm.bias.detach() if norm.affine else 0.0)
    return gain[:, None, None], offset[:, None, None]


def _layers(network: DCGANNetwork) -> list[Layer]:
    kinds, layers = ("conv", "norm", "relu"), []
    for index in range(len(network.main)):
        stage, kind = divmod(index, 3)
        size = 4 * 2**stage
        layers.append(
            Layer(
                f"{kinds[kind]}{stage}",
                index,
                network.widths[stage],
                size,
                size,
                aliases=(f"main.{index}",),
            )
        )
    return layers


__all__ = ["DCGAN", "DCGANNetwork", "normalisation"]
