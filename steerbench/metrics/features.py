"""Features of pictures, for the distances between sets of them.

Any function from pictures ``[N, C, H, W]`` in [-1, 1] to ``[N, D]`` will do: a predictor's
``features`` (the best choice where it knows such pictures, as `sb.bundle(G).judge` does), a torch
module, or the Inception network whose features published Fréchet distances use.
`extract_features` applies one to any number of pictures in batches and checks what comes out.

`inception` reads a file of the user's; nothing is ever downloaded. Two files fit, told
apart by what is in them:

- 1,008 classes: the network of 2015, ported from TensorFlow, as pytorch-fid and torch-fidelity
  publish it (``pt_inception-2015-12-05-*.pth``). Its average pools leave the border out, and its
  last block takes a maximum
- 1,000 classes: torchvision's ``inception_v3``, which gives other numbers

Pictures are enlarged to 299 pixels by PyTorch's bilinear interpolation, as pytorch-fid does;
TensorFlow's is slightly off the grid, so that figures differ from those in papers by a little.
Compare figures of one extractor only.

Reference: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for
Computer Vision" (2015, arXiv 1512.00567).

>>> extract_features(lambda images: images.mean((2, 3)), torch.zeros(5, 3, 8, 8)).shape
torch.Size([5, 3])
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steerbench.compat import ensure_torchvision
from steerbench.errors import CheckpointError, MissingFileError, PredictorError
from steerbench.generators.checkpoints import read, state_dicts

Extractor = Callable[[Tensor], Tensor]


def extract_features(
    extractor: Extractor, images: Tensor | Iterable[Tensor], *, batch_size: int = 64
) -> Tensor:
    """Extract features ``[N, D]`` of pictures, without gradients, in float32 on the CPU.

    Args:
        extractor: ``predictor.features``, a module, or what `inception` gives.
        images: ``[N, C, H, W]`` in [-1, 1], or batches of such.
        batch_size: How many pictures at a time, where they come in one tensor.

    Raises:
        PredictorError: What comes out is not ``[N, D]``, or holds NaN or infinity.
    """
    parts = images.split(batch_size) if isinstance(images, Tensor) else images
    found = []
    with torch.no_grad():
        for part in parts:
            features = torch.as_tensor(extractor(part)).detach().float().cpu()
            if features.ndim != 2 or len(features) != len(part):
                raise PredictorError(
                    f"The extractor gave {list(features.shape)} for {len(part)} pictures; expected "
                    "[N, D], one row a picture. Flatten or pool what it gives."
                )
            if not bool(torch.isfinite(features).all()):
                raise PredictorError("The features of a picture hold NaN or infinity.")
            found.append(features)
    if not found:
        raise PredictorError("No picture was given.")
    return torch.cat(found)


def inception(path: str | os.PathLike[str]) -> Extractor:
    """Read the Inception network of a file, as an extractor of 2,048 features.

    Args:
        path: A state dict (``.pth`` or ``.safetensors``) on this machine.

    Raises:
        NotFoundError: There is no such file.
        CheckpointError: It is not such a network; nothing in it is executed.
    """
    if not Path(path).is_file():
        raise MissingFileError(
            f"There is no file {os.fspath(path)!r}. The Inception weights are not part of "
            "steerbench and are not downloaded: fetch pytorch-fid's "
            "'pt_inception-2015-12-05-6726825d.pth' or torchvision's inception_v3 yourself and "
            "give its path, or use the features of a predictor."
        )
    found = [dict(state.tensors) for state in state_dicts(read(path).value)]
    known = (tensors for tensors in found if "fc.bias" in tensors)
    return Inception(next(known, {}), os.fspath(path))


class Inception(nn.Module):
    """Pictures ``[N, 1 or 3, H, W]`` in [-1, 1] to the 2,048 means of the last maps.

    Attributes:
        side: The height and width that it looks at, in pixels.
        mean: What torchvision's weights were trained on, of pictures in [0, 1].
        std: Likewise.
        published: Whether it is the network of 2015, which has 1,008 classes.
    """

    side = 299
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, tensors: dict[str, Tensor], name: str = "the weights") -> None:
        super().__init__()
        classes = len(tensors.get("fc.bias", ()))
        if not classes or "Mixed_7c.branch_pool.conv.weight" not in tensors:
            raise CheckpointError(
                f"{name} holds no Inception network: 'fc.bias' and 'Mixed_7c' were expected, as in "
                "torchvision's and pytorch-fid's state dicts."
            )
        self.published = classes == 1008
        self.network = _network(classes, self.published)
        own = {k: v.float() for k, v in tensors.items() if not k.startswith("AuxLogits.")}
        for key, value in self.network.state_dict().items():
            if key.endswith("num_batches_tracked"):
                own.setdefault(key, torch.zeros((), dtype=torch.long))
            elif key not in own or own[key].shape != value.shape:
                raise CheckpointError(f"{key!r} of {name} is missing or of another shape.")
        kept = {key: own[key] for key in self.network.state_dict()}
        self.network.load_state_dict(kept, assign=True)
        self.network.fc = nn.Identity()
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        x = images.float().clamp(-1, 1)
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        x = F.interpolate(x, size=(self.side, self.side), mode="bilinear", align_corners=False)
        if not self.published:
            mean, std = (torch.tensor(v).to(x)[:, None, None] for v in (self.mean, self.std))
            x = (x / 2 + 0.5 - mean) / std
        return self.network(x)


def _network(classes: int, published: bool) -> Any:
    """Build the architecture without weights."""
    ensure_torchvision()
    from torchvision.models import inception as parts

    blocks: list[Any] = [parts.BasicConv2d, parts.InceptionA, parts.InceptionB]
    blocks += [parts.InceptionC, parts.InceptionD, parts.InceptionE, parts.InceptionAux]
    if published:
        for index in (1, 3, 5):
            blocks[index] = _pooling(blocks[index], _average)
    with torch.device("meta"):
        network = parts.Inception3(
            classes, aux_logits=False, inception_blocks=blocks, init_weights=False
        )
        if published:
            network.Mixed_7c = _pooling(parts.InceptionE, _maximum)(2048)
    return network


def _pooling(block: Any, pool: Callable[[Tensor], Tensor]) -> Any:
    """Make a block whose last branch pools in another way."""

    class Pooling(block):  # type: ignore[misc]
        def _forward(self, x: Tensor) -> list[Tensor]:
            outputs: list[Tensor] = super()._forward(x)
            return [*outputs[:-1], self.branch_pool(pool(x))]

    return Pooling


def _average(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def _maximum(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, stride=1, padding=1)
