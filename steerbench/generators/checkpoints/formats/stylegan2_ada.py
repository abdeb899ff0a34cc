"""stylegan2-ada-pytorch's ``.pkl``: a dictionary of G, D and G_ema, each a whole module.

The file is NVIDIA's persistence pickle: every module comes with the Python source of its class,
which is never read here; its parameters, buffers and the numbers it was made with are. G_ema, the
average over training, is the generator to use. All three architectures (skip, resnet, orig) and
files of torch 1.7 and later are covered, and StyleGAN2 networks that the stylegan3 code saved.
Names, gains and orientation are the ones that steerbench uses itself.

Reference: Karras, Aittala, Hellsten, Laine, Lehtinen, Aila, "Training Generative Adversarial
Networks with Limited Data" (2020, arXiv 2006.06676); https://github.com/NVlabs/stylegan2-ada-pytorch
"""

from __future__ import annotations

from typing import Any

import torch

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.common import nvidia
from steerbench.generators.checkpoints.common.layers import four_taps
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.safe.records import Record, submodule
from steerbench.generators.checkpoints.weights import Weights, check_doubling
from steerbench.generators.stylegan2 import StyleGAN2


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator, and of the discriminator beside it."""
    resolutions = check_doubling(weights.numbers(r"synthesis\.b(\d+)\.conv1\.weight"))
    last = f"synthesis.b{max(resolutions)}"
    label = nvidia.mapping_options(weights, "mapping.")
    config: dict[str, Any] = {
        **label,
        "z_dim": weights.take("mapping.fc0.weight", 2).shape[1]
        - (label["embed_dim"] if label["c_dim"] else 0),
        "widths": {
            str(r): weights.take(f"synthesis.b{r}.conv1.weight", 4).shape[0] for r in resolutions
        },
        "channels": weights.take(f"{last}.torgb.weight", 4).shape[0],
        "architecture": _architecture(weights),
        "clamp": nvidia.bound(weights.state.module, f"{last}.conv1"),
    }
    _check_activations(weights.state.module)
    state = {name: weights.take(name) for name in weights.tensors if _is_of_layer(name)}
    state |= nvidia.mapping_state(weights, "mapping.")
    for resolution in resolutions:
        for part in ("conv0", "conv1"):
            layer = f"synthesis.b{resolution}.{part}"
            if f"{layer}.weight" in weights and f"{layer}.noise_const" not in weights:
                state[f"{layer}.noise_const"] = torch.zeros(resolution, resolution)
                state[f"{layer}.noise_strength"] = torch.zeros(())
    for name in [name for name in state if name.endswith("resample_filter")]:
        state[name] = four_taps(state[name])
    return nvidia.add_discriminator((config, state), weights)


def _is_of_layer(name: str) -> bool:
    """Return whether a name is of a layer of the synthesis, and not of a whole block."""
    parts = name.split(".")
    of_block = len(parts) == 3 and parts[-1] == "resample_filter"
    return parts[0] == "synthesis" and len(parts) > 2 and not of_block


def _architecture(weights: Weights) -> str:
    if "synthesis.b8.skip.weight" in weights:
        return "resnet"
    single = "synthesis.b8.conv1.weight" not in weights
    return "skip" if single or "synthesis.b4.torgb.weight" in weights else "orig"


def _check_activations(module: Record) -> None:
    for path in ("mapping.fc0", "synthesis.b4.conv1"):
        layer = submodule(module, path)
        given = layer.get("activation", "lrelu") if layer is not None else "lrelu"
        if given != "lrelu":
            raise CheckpointError(
                f"The generator uses the activation {str(given)[:40]!r} at {path}; published "
                "StyleGAN2 files use 'lrelu', and only that is read."
            )


FORMAT = Format(
    name="stylegan2-ada-pytorch",
    title="stylegan2-ada-pytorch",
    architecture=StyleGAN2,
    required=(
        "mapping.fc0.weight",
        "synthesis.b4.const",
        "synthesis.b4.conv1.weight",
        "synthesis.b4.conv1.affine.weight",
    ),
    convert=convert,
    harmless=(r"(synthesis\.)?(b\d+\.)?resample_filter",),
)
