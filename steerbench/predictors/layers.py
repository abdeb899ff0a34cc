"""The convolution that predictors are made of, and how its normalisation is folded away.

A network learns with batch normalisation after each convolution and is kept with it folded into
the weights, which changes no reading and makes it faster.

Reference: Ioffe, Szegedy, "Batch Normalization" (2015, arXiv 1502.03167).

>>> learned = nn.Sequential(Convolution(3, 8, norm=True), nn.Flatten()).eval()
>>> kept = nn.Sequential(Convolution(3, 8), nn.Flatten())
>>> _ = kept.load_state_dict(fold_normalisation(learned))
>>> images = torch.rand(2, 3, 16, 16)
>>> torch.allclose(kept(images), learned(images), atol=1e-5)
True
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class Convolution(nn.Sequential):
    """Convolution, batch normalisation if asked for, and ReLU.

    Args:
        inputs, outputs: Channels.
        size: Side of the kernel, odd; the border is filled with zeros.
        stride: 2 halves height and width.
        norm: Whether batch normalisation follows, as it does while learning.
    """

    def __init__(
        self, inputs: int, outputs: int, size: int = 3, stride: int = 1, *, norm: bool = False
    ) -> None:
        convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=not norm)
        middle = [nn.BatchNorm2d(outputs)] if norm else []
        super().__init__(convolution, *middle, nn.ReLU(inplace=True))
        self.norm = norm


@torch.no_grad()
def fold_normalisation(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a network whose every `Convolution` has its normalisation folded in.

    They fit the same network built without normalisation. The network is put in evaluation mode.
    """
    network.eval()
    state = dict(network.state_dict())
    for name, module in network.named_modules():
        if not isinstance(module, Convolution) or not module.norm:
            continue
        prefix = f"{name}." if name else ""
        kept = fuse_conv_bn_eval(module[0], module[1])  # type: ignore[type-var, arg-type]
        inside = {f"{prefix}{key}" for key in module.state_dict()}
        state = {key: value for key, value in state.items() if key not in inside}
        state |= {f"{prefix}0.{key}": value for key, value in kept.state_dict().items()}
    return state
