"""Recipes and directions that the former edition saved replay to the last bit.

``former/`` holds three of each, the weights they need, and the pictures and codes that the edition
which wrote them drew. The order in which numbers are added depends on the kind of processor, the
number of threads and the version of torch, so where these differ pictures are compared to 1e-5.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

import steerbench as sb
from steerbench import store

FORMER = Path(__file__).parent / "former"
RECIPES = {"light": "rooms", "units": "rooms", "eigen": "rooms-eigengan"}
DIRECTIONS = {"sefa": "rooms", "ganspace": "rooms", "basis": "rooms-eigengan"}


@cache
def generator(name: str) -> sb.types.Generator:
    return sb.load(FORMER / f"{name}.safetensors")


@cache
def recorded() -> tuple[dict[str, Tensor], bool]:
    """What the former edition drew, and whether this machine can be held to its bits."""
    tensors, header = store.load(FORMER / "expected.safetensors")
    kind = torch.backends.cpu.get_cpu_capability()
    here = {"torch": torch.__version__, "capability": kind, "threads": torch.get_num_threads()}
    return tensors, here.items() <= header.items()


def agree(drawn: Tensor, name: str) -> bool:
    tensors, exact = recorded()
    if exact:
        return torch.equal(drawn, tensors[name])
    return torch.allclose(drawn, tensors[name], atol=1e-5)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_draws_what_it_drew(name: str) -> None:
    G, recipe = generator(RECIPES[name]), sb.Recipe.load(FORMER / f"{name}.json")
    moved, _ = G.prepare(recipe.latent(G), recipe.edits)
    assert agree(moved.data, f"recipe.{name}.latent")
    assert agree(recipe.render(G), f"recipe.{name}")


@pytest.mark.parametrize("name", DIRECTIONS)
def test_a_direction_goes_where_it_went(name: str) -> None:
    G = generator(DIRECTIONS[name])
    direction = sb.Direction.load(FORMER / f"{name}.safetensors")
    latent = G.to(G.sample(2, seed=17), direction.space) + 1.75 * direction
    assert agree(latent.data, f"direction.{name}")
    assert agree(G.render(latent), f"direction.{name}.image")


def test_saving_again_changes_nothing(tmp_path: Path) -> None:
    for name in RECIPES:
        recipe = sb.Recipe.load(FORMER / f"{name}.json")
        recipe.save(tmp_path / name)
        for suffix in (".json", ".safetensors"):
            again = (tmp_path / name).with_suffix(suffix).read_bytes()
            assert again == (FORMER / name).with_suffix(suffix).read_bytes()
