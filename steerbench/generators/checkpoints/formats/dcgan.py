"""State dicts of the DCGAN in PyTorch's examples: ``main.0.weight``, ``main.1.weight``, ...

The file says nothing of itself; code length, widths, picture size and channels follow from the
shapes. Old files lack ``num_batches_tracked``; files of several processes begin with ``module.``.

Reference: https://github.com/pytorch/examples/tree/main/dcgan
"""

from __future__ import annotations

import torch
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.reading import Contents
from steerbench.generators.checkpoints.weights import Weights, lacking
from steerbench.generators.dcgan import DCGAN

TITLE = "the DCGAN of PyTorch's examples"
REQUIRED = ("main.0.weight", "main.1.weight", "main.1.running_mean", "main.3.weight")
ROOTS: tuple[tuple[str, ...], ...] = ((), ("netG",), ("generator",), ("state_dict",), ("G",))


def _tensors(contents: Contents, root: tuple[str, ...]) -> dict[str, Tensor]:
    return {k.removeprefix("module."): v for k, v in contents.tensors(*root).items()}


def recognise(contents: Contents) -> list[str]:
    """What the file lacks to be of this format; empty where it is one."""
    found = min(
        (_tensors(contents, root) for root in ROOTS), key=lambda t: len(lacking(t, REQUIRED))
    )
    missing = lacking(found, REQUIRED)
    upward = not missing and found["main.0.weight"].ndim == 4
    # A discriminator of the same example has the same names; its convolutions grow.
    grows = upward and found["main.0.weight"].shape[1] != found["main.1.weight"].shape[0]
    return ["main.0.weight as a transposed convolution"] if grows else missing


def convert(contents: Contents) -> DCGAN:
    """The generator of a file."""
    root = next(path for path in ROOTS if not lacking(_tensors(contents, path), REQUIRED))
    weights = Weights(_tensors(contents, root), TITLE)
    numbers = weights.numbers(r"main\.(\d+)\.weight")
    convolutions = [i for i in numbers if weights.tensors[f"main.{i}.weight"].ndim == 4]
    if convolutions != list(range(0, 3 * len(convolutions), 3)):
        raise CheckpointError(
            f"The transposed convolutions of {TITLE} stand at {convolutions}; every third place "
            "was expected. Wrap the module itself with sb.wrap."
        )
    shapes = [weights.take(f"main.{i}.weight", 4).shape for i in convolutions]
    if any(shape[2:] != (4, 4) for shape in shapes):
        raise CheckpointError(f"The kernels of {TITLE} are not 4 by 4. Use sb.wrap.")
    state = {
        name: tensor if name.endswith("num_batches_tracked") else weights.take(name)
        for name, tensor in weights.tensors.items()
    }
    for i in convolutions[:-1]:
        state.setdefault(f"main.{i + 1}.num_batches_tracked", torch.zeros((), dtype=torch.int64))
    config = {"z_dim": shapes[0][0], "widths": [shape[1] for shape in shapes]}
    return DCGAN.build(config, state, name=contents.path.stem)
