"""What all tests share: quiet threads, the folder of recorded data, and two generators.

``shared_path("real/celeba-dcgan-32")`` gives a path in the shared folder of recorded data, or
skips the test with the reason where the folder is not there. Nothing else in the tests looks for
that folder.
"""

from __future__ import annotations

import os

# Before torch: threads that spin while they wait slow each other down a hundredfold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from steerbench.cli import docs
from steerbench.generators import BaseGenerator, StyleGAN2, load
from steerbench.generators.stylegan2.network import StyleGAN2Network

torch.set_num_threads(1)

SHARED = Path(os.environ.get("STEERBENCH_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared_path() -> Callable[[str], Path]:
    """A function from a name below the shared folder to its path; absent, the test is skipped."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"{path} is not there; set STEERBENCH_SHARED to the folder that holds it")
        return path

    return find


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of the run's own: what a person keeps neither helps nor changes."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("STEERBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of the reference, built once and strictly."""
    folder = tmp_path_factory.mktemp("reference") / "site"
    docs.build(folder)
    return folder


def make_toy(seed: int = 0, widths: dict[int, int] | None = None) -> StyleGAN2:
    """A small StyleGAN2 of random weights, 16x16, with off-zero biases and noise strengths."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        widths = widths or {4: 16, 8: 12, 16: 8}
        network = StyleGAN2Network(z_dim=16, w_dim=16, mapping_layers=2, widths=widths)
        for name, parameter in network.named_parameters():
            if name.endswith(("bias", "noise_strength")):
                parameter.data.add_(0.1 * torch.randn_like(parameter))
        network.mapping.w_avg.normal_(std=0.1)
    return StyleGAN2(network, name=f"toy-{seed}")


@pytest.fixture(scope="session")
def toy_generator() -> StyleGAN2:
    """One toy StyleGAN2 for the whole run; generators are never changed by what uses them."""
    return make_toy()


@pytest.fixture(scope="session")
def other_toy_generator() -> StyleGAN2:
    """Another one of the same shape: what belongs to the first must be refused by it."""
    return make_toy(seed=1)


@pytest.fixture(scope="session")
def rooms() -> BaseGenerator:
    """The embedded default generator."""
    return load("rooms")
