"""stylegan3's ``.pkl``: a dictionary of G, D and G_ema, each a whole module.

The container is that of stylegan2-ada-pytorch, and so is the discriminator. What a layer does
follows from numbers that its module keeps (canvas sizes, rates, cutoffs, the lengths of its
filters), so that configurations T and R and everything between them are read alike; the filters
themselves are in the file. Names, gains and orientation are the ones that steerbench uses itself.

A file of weights alone does not have these numbers: names and shapes give most of them, and for
the rest the published settings are taken, unless the names contradict.

Reference: Karras, Aittala, Laine, Härkönen, Hellsten, Lehtinen, Aila, "Alias-Free Generative
Adversarial Networks" (2021, arXiv 2106.12423); https://github.com/NVlabs/stylegan3
"""

from __future__ import annotations

import re
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.common import nvidia
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.safe.records import Record, submodule
from steerbench.generators.checkpoints.weights import Weights
from steerbench.generators.stylegan3 import StyleGAN3
from steerbench.generators.stylegan3.filters import InputPlan, LayerPlan, plan_layers


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator, and of the discriminator beside it."""
    names = layer_names(weights)
    synthesis = submodule(weights.state.module, "synthesis")
    if synthesis is None:
        first, layers = infer_plans(weights, names)
    else:
        first, layers = read_plans(synthesis, names)
    check_plans(first, layers)
    label = nvidia.mapping_options(weights, "mapping.")
    config: dict[str, Any] = {
        **label,
        "z_dim": weights.take("mapping.fc0.weight", 2).shape[1] - (label["embed_dim"] or 0),
        "first": asdict(first),
        "layers": [asdict(plan) for plan in layers],
        "output_scale": number(synthesis, "output_scale", 0.25),
    }
    state = {name: weights.take(name) for name in weights.tensors if name.startswith("synthesis.")}
    state |= nvidia.mapping_state(weights, "mapping.")
    return nvidia.add_discriminator((config, state), weights)


def layer_names(weights: Weights) -> list[str]:
    """Return the layers' names in order; ``L0_36_512`` is layer 0, 36 pixels, 512 channels."""
    found = (
        re.fullmatch(r"synthesis\.(L\d{1,3}_\d{1,6}_\d{1,6})\.weight", n) for n in weights.tensors
    )
    names = sorted((match[1] for match in found if match), key=lambda name: _parts(name)[0])
    if not names or [_parts(name)[0] for name in names] != list(range(len(names))):
        raise CheckpointError(
            f"The network's layers are {', '.join(names) or 'missing'}; L0, L1 and so on without "
            "gaps were expected. The file is incomplete."
        )
    return names


def _parts(name: str) -> list[int]:
    return [int(part) for part in name[1:].split("_")]


def read_plans(synthesis: Record, names: list[str]) -> tuple[InputPlan, list[LayerPlan]]:
    """Return the plans, from what the modules say of themselves."""
    first = submodule(synthesis, "input")
    plan = InputPlan(
        channels=count(first, "channels"),
        size=count(first, "size"),
        rate=number(first, "sampling_rate"),
        bandwidth=number(first, "bandwidth"),
    )
    return plan, [_read_plan(submodule(synthesis, name), name) for name in names]


def _read_plan(layer: Record | None, name: str) -> LayerPlan:
    clamp = None if layer is None else layer.get("conv_clamp")
    return LayerPlan(
        name=name,
        inputs=count(layer, "in_channels"),
        outputs=count(layer, "out_channels"),
        kernel=count(layer, "conv_kernel"),
        in_size=count(layer, "in_size"),
        out_size=count(layer, "out_size"),
        in_rate=count(layer, "in_sampling_rate"),
        out_rate=count(layer, "out_sampling_rate"),
        rate=count(layer, "tmp_sampling_rate"),
        in_cutoff=number(layer, "in_cutoff"),
        out_cutoff=number(layer, "out_cutoff"),
        in_half_width=number(layer, "in_half_width"),
        out_half_width=number(layer, "out_half_width"),
        up_taps=count(layer, "up_taps"),
        down_taps=count(layer, "down_taps"),
        radial=bool(number(layer, "down_radial")),
        paints=bool(number(layer, "is_torgb")),
        clamp=None if clamp is None else number(layer, "conv_clamp"),
    )


def infer_plans(weights: Weights, names: list[str]) -> tuple[InputPlan, list[LayerPlan]]:
    """Return the plans, from names and shapes and the published settings."""
    if len(names) < 4:
        raise CheckpointError(
            f"{weights.what} has more than {len(names)} layers. The file is incomplete."
        )
    kernels = [weights.take(f"synthesis.{name}.weight", 4) for name in names]
    down = f"synthesis.{names[0]}.down_filter"
    first, layers = plan_layers(
        _parts(names[-1])[1],
        num_layers=len(names) - 1,
        conv_kernel=kernels[0].shape[-1],
        use_radial_filters=down in weights and weights.take(down).ndim == 2,
    )
    for name, layer in zip(names, layers, strict=True):
        if _parts(name)[1] != layer.out_size:
            raise CheckpointError(
                f"Layer {name} is of {_parts(name)[1]} pixels where published settings give "
                f"{layer.out_size}, and the weights alone do not say its rates. Give the .pkl file "
                "that the weights were taken from."
            )
    shapes = [kernel.shape for kernel in kernels]
    layers = [
        replace(layer, name=name, outputs=shape[0], inputs=shape[1])
        for name, layer, shape in zip(names, layers, shapes, strict=True)
    ]
    return replace(first, channels=shapes[0][1]), layers


def check_plans(first: InputPlan, layers: list[LayerPlan], largest: int = 2**14) -> None:
    """Refuse plans whose layers do not follow from one another.

    Args:
        first: Of the waves.
        layers: Of everything after them.
        largest: Height and width that a canvas may have.

    Raises:
        CheckpointError: Sizes or rates do not fit, or are too large.
    """
    channels, size, rate = first.channels, first.size, first.rate
    for layer in layers:
        given = (layer.inputs, layer.in_size, float(layer.in_rate))
        if given != (channels, size, rate):
            raise CheckpointError(
                f"Layer {layer.name} reads (channels, size, rate) {given}, but the one before it "
                f"gives {(channels, size, rate)}. The file is broken."
            )
        if (
            layer.rate % layer.in_rate
            or layer.rate % layer.out_rate
            or layer.fine_size > 2 * largest
        ):
            raise CheckpointError(
                f"Layer {layer.name} goes from the rate {layer.in_rate} over {layer.rate} to "
                f"{layer.out_rate}, on {layer.fine_size} pixels; whole factors and at most "
                f"{2 * largest} pixels were expected. The file is broken."
            )
        channels, size, rate = layer.outputs, layer.out_size, float(layer.out_rate)


def number(module: Record | None, key: str, default: float | None = None) -> float:
    """Return a number that a module keeps, or the first of an array of them.

    Args:
        module: That keeps it.
        key: Its name there.
        default: What stands without it.

    Raises:
        CheckpointError: There is none.
    """
    value = None if module is None else module.get(key)
    if isinstance(value, np.ndarray) and value.size:
        if (value != value.flat[0]).any():
            raise CheckpointError(
                f"{key!r} of a layer of stylegan3 is {value.tolist()}: pictures that are not "
                "square are not read. Use sb.wrap."
            )
        value = value.flat[0].item()
    if value is None and default is not None:
        return default
    if not isinstance(value, int | float) or not abs(value) < 2**31:
        raise CheckpointError(
            f"A layer of stylegan3 should say its {key!r} as a number, but says "
            f"{str(value)[:40]!r}. The file is broken."
        )
    return float(value)


def count(module: Record | None, key: str) -> int:
    """Return a whole number of at least one that a module keeps."""
    value = number(module, key)
    if value < 1 or value != int(value):
        raise CheckpointError(
            f"{key!r} of a layer of stylegan3 is {value}; it should count something."
        )
    return int(value)


FORMAT = Format(
    name="stylegan3",
    title="stylegan3",
    architecture=StyleGAN3,
    required=(
        "mapping.fc0.weight",
        "synthesis.input.freqs",
        "synthesis.input.phases",
        "synthesis.input.affine.weight",
        "synthesis.input.weight",
    ),
    convert=convert,
)
