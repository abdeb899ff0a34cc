"""The architectures of the real generators, written out from their stated conventions."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn


class FaceVAEDecoder(nn.Module):
    """The decoder of a CelebA VAE, 64x64: ``[N, 10]`` normal to pictures in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.lin1, self.lin2, self.lin3 = (
            nn.Linear(10, 256),
            nn.Linear(256, 256),
            nn.Linear(256, 512),
        )
        self.convT_64 = nn.ConvTranspose2d(32, 32, 4, 2, 1)
        self.convT1 = nn.ConvTranspose2d(32, 32, 4, 2, 1)
        self.convT2 = nn.ConvTranspose2d(32, 32, 4, 2, 1)
        self.convT3 = nn.ConvTranspose2d(32, 3, 4, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.lin1(z).relu()
        x = self.lin3(self.lin2(x).relu()).relu().reshape(-1, 32, 4, 4)
        x = self.convT_64(x).relu()
        return self.convT3(self.convT2(self.convT1(x).relu()).relu()).sigmoid()


def face_vae(folder: Path) -> FaceVAEDecoder:
    state = torch.load(folder / "model.pt", map_location="cpu", weights_only=True)
    module = FaceVAEDecoder()
    prefix = "decoder."
    module.load_state_dict(
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    )
    return module


class FaceVAEEncoder(nn.Module):
    """The encoder of the same: pictures in [-1, 1] to the mean of z ``[N, 10]``."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 4, 2, 1)
        self.conv2, self.conv3, self.conv_64 = (nn.Conv2d(32, 32, 4, 2, 1) for _ in range(3))
        self.lin1, self.lin2 = nn.Linear(512, 256), nn.Linear(256, 256)
        self.mu_logvar_gen = nn.Linear(256, 20)

    def forward(self, images: Tensor) -> Tensor:
        x = (images + 1) / 2
        for part in (self.conv1, self.conv2, self.conv3, self.conv_64):
            x = part(x).relu()
        x = self.lin2(self.lin1(x.flatten(1)).relu()).relu()
        return self.mu_logvar_gen(x).unflatten(1, (10, 2))[..., 0]


def face_encoder(folder: Path) -> FaceVAEEncoder:
    state = torch.load(folder / "model.pt", map_location="cpu", weights_only=True)
    module, prefix = FaceVAEEncoder(), "encoder."
    module.load_state_dict(
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    )
    return module.eval().requires_grad_(False)
