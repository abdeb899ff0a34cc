"""From a training checkpoint to an asset: the averaged generator and its discriminator."""

from __future__ import annotations

from pathlib import Path

import torch

from steerbench import store
from steerbench.generators import StyleGAN2, save
from steerbench.generators.stylegan2_network import Discriminator, StyleGAN2Network


def export_generator(checkpoint: Path, target: Path, *, name: str = "rooms") -> StyleGAN2:
    """Write the averaged generator of a checkpoint, with the plain discriminator, as an asset.

    The discriminator's weights are kept at half precision: it judges and continues training, and
    neither needs more. The generator keeps every bit.
    """
    tensors, header = store.load(checkpoint)
    settings = header["settings"]
    network = StyleGAN2Network(
        z_dim=settings["z_dim"],
        w_dim=settings["w_dim"],
        mapping_layers=settings["mapping_layers"],
        widths={int(k): v for k, v in settings["widths"].items()},
    )
    network.load_state_dict(_under(tensors, "ema."))
    discriminator = Discriminator(widths={int(k): v for k, v in settings["d_widths"].items()})
    state = _under(tensors, "d.plain.") if settings["judge"] else _under(tensors, "d.")
    discriminator.load_state_dict({k: v.half().float() for k, v in state.items()})
    generator = StyleGAN2(network, name=name, discriminator=discriminator)
    save(generator, target, training={"settings": settings, "images": header["seen"]})
    return generator


def _under(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
