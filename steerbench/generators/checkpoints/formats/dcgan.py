"""State dicts of the DCGAN in PyTorch's examples: ``main.0.weight``, ``main.1.weight``, ...

The file says nothing of itself; code length, widths, picture size and channels follow from the
shapes, as does whether convolutions have biases. What leaves no trace is assumed to be as in the
example, and can be said when loading: ``activation``, ``negative_slope``, and ``last``, which makes
the picture (that of a ``"sigmoid"`` is brought from [0, 1] to [-1, 1]). Old files lack
``num_batches_tracked``.

Reference: https://github.com/pytorch/examples/tree/main/dcgan
"""

from __future__ import annotations

import torch

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.format import Format, Parts, Settings
from steerbench.generators.checkpoints.state_dicts import Tensors
from steerbench.generators.checkpoints.weights import Weights
from steerbench.generators.dcgan import ACTIVATIONS, DCGAN


def misfits(tensors: Tensors) -> list[str]:
    """Return what a discriminator of the same example, whose names are the same, lacks."""
    first = tensors["main.0.weight"]
    grows = first.ndim == 4 and first.shape[1] != tensors["main.1.weight"].shape[0]
    return ["main.0.weight as a transposed convolution"] if grows else []


def convert(weights: Weights, settings: Settings) -> Parts:
    """Return settings and weights of the generator."""
    numbers = weights.numbers(r"main\.(\d+)\.weight")
    convolutions = [i for i in numbers if weights.tensors[f"main.{i}.weight"].ndim == 4]
    if convolutions != list(range(0, 3 * len(convolutions), 3)):
        raise CheckpointError(
            f"The transposed convolutions of {weights.what} stand at {convolutions}; every third "
            "place was expected. Wrap the module itself with sb.wrap."
        )
    shapes = [weights.take(f"main.{i}.weight", 4).shape for i in convolutions]
    if any(shape[2:] != (4, 4) for shape in shapes):
        raise CheckpointError(f"The kernels of {weights.what} are not 4 by 4. Use sb.wrap.")
    state = {
        name: tensor if name.endswith("num_batches_tracked") else weights.take(name)
        for name, tensor in weights.tensors.items()
        if name.startswith("main.")
    }
    for i in convolutions[:-1]:
        state.setdefault(f"main.{i + 1}.num_batches_tracked", torch.zeros((), dtype=torch.int64))
    config = {
        "z_dim": shapes[0][0],
        "widths": [shape[1] for shape in shapes],
        "bias": "main.0.bias" in weights,
        **settings,
    }
    return config, state


FORMAT = Format(
    name="dcgan",
    title="the DCGAN of PyTorch's examples",
    architecture=DCGAN,
    required=("main.0.weight", "main.1.weight", "main.1.running_mean", "main.3.weight"),
    convert=convert,
    options={
        "activation": tuple(ACTIVATIONS),
        "negative_slope": 0.2,
        "last": ("tanh", "sigmoid", "none"),
    },
    misfits=misfits,
)
