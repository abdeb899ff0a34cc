"""Names from what directions do: right where something was planted, "unclear" where not."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import steerbench as sb
from steerbench.errors import SteerbenchError
from steerbench.metrics import names_table, suggest_names
from steerbench.metrics.naming import UNCLEAR, benjamini_hochberg

NAMES = ("lamp_on", "night", "yaw", "wood")


class Flat(nn.Module):
    """64 pixels, each one coordinate of the code."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return (0.05 * z).view(-1, 1, 8, 8)


def generator():
    return sb.wrap(Flat(), latent_shape=(64,))


def read():
    return sb.predictor(lambda x: x.flatten(1)[:, :4], names=NAMES)


def planted(name: str, **effects: float):
    vector = torch.zeros(64)
    for attribute, effect in effects.items():
        vector[NAMES.index(attribute)] = effect
    return sb.Direction(name, "z", vector)


def randoms(count: int, seed: int = 0):
    vectors = torch.randn(count, 64, generator=torch.Generator().manual_seed(seed))
    return [sb.Direction(f"random {i}", "z", vector) for i, vector in enumerate(vectors)]


def card(directions, null: int = 99):
    return sb.scorecard(
        directions, generator(), read(), n_samples=8, n_null=null, n_null_samples=8, alphas=(1,)
    )


def test_names_say_what_goes_up_and_down():
    found = suggest_names(
        card(
            [
                planted("PC 1", lamp_on=1.0, night=-1.0),
                planted("PC 2", yaw=-1.0),
                planted("PC 3", wood=1.0, yaw=0.05),
            ]
        )
    )
    assert sorted(found[0].name.split(", ")) == ["lamp on +", "night -"]
    assert [each.name for each in found[1:]] == ["yaw -", "wood +"]
    assert [each.proposal.name for each in found] == [each.name for each in found]
    assert found[1].proposal.provenance.scores["effect on yaw"] < 0
    assert "corrected p 0.0" in str(found[1])
    table = names_table(found)
    assert table.loc["PC 2", ["name", "attribute"]].tolist() == ["yaw -", "yaw"]


def test_random_directions_stay_unclear():
    found = suggest_names(card(randoms(40)))
    assert sum(each.name != UNCLEAR for each in found) <= 1
    unclear = next(each for each in found if each.name == UNCLEAR)
    assert "random directions do as much" in unclear.note
    assert unclear.proposal.name == unclear.direction.name


def test_one_good_direction_among_many_needs_more_random_ones_and_it_says_so():
    directions = [planted("PC 1", yaw=1.0), *randoms(19)]
    few, many = (suggest_names(card(directions, null))[0] for null in (59, 499))
    assert few.name == UNCLEAR
    assert "measure with more" in few.note
    assert many.name == "yaw +"


def test_a_name_that_occurs_twice_gets_a_number():
    found = suggest_names(card([planted("PC 1", yaw=1.0), planted("PC 2", yaw=1.0)]))
    assert [each.name for each in found] == ["yaw +", "yaw + (2)"]


def test_only_the_strongest_attributes_are_named():
    made = card([planted("PC 1", lamp_on=1.0, night=1.1, yaw=1.2)])
    assert len(suggest_names(made, limit=2)[0].name.split(", ")) == 2
    assert len(suggest_names(made, limit=1)[0].name.split(", ")) == 1
    assert len(suggest_names(made, limit=3)[0].name.split(", ")) == 3


def test_another_namer_sees_the_evidence_and_may_decline():
    seen = []

    def namer(direction, evidence):
        seen.append((direction.name, evidence.index[0], bool(evidence["named"].iloc[0])))
        return None if direction.name == "PC 2" else "a word of mine"

    directions = [planted("PC 1", yaw=1.0), planted("PC 2", wood=1.0)]
    found = suggest_names(card(directions), namer=namer)
    assert seen == [("PC 1", "yaw", True), ("PC 2", "wood", True)]
    assert [each.name for each in found] == ["a word of mine", UNCLEAR]


def test_names_go_to_files(tmp_path):
    renamed = suggest_names(card([planted("PC 1", yaw=1.0)]))[0].proposal
    renamed.save(tmp_path / "yaw.safetensors")
    assert sb.Direction.load(tmp_path / "yaw.safetensors").name == "yaw +"


def test_without_a_null_there_are_no_names():
    with pytest.raises(SteerbenchError, match="n_null=99"):
        suggest_names(card([planted("PC 1", yaw=1.0)], null=0))
    with pytest.raises(SteerbenchError, match="level=2"):
        suggest_names(card([planted("PC 1", yaw=1.0)]), level=2)


def test_benjamini_and_hochberg_on_their_own_example():
    """Section 3.2 of the paper: at 0.05 the four smallest of fifteen are rejected."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240,
         0.4262, 0.5719, 0.6528, 0.7590, 1.0000]  # fmt: skip
    assert benjamini_hochberg(p, 0.05).tolist() == [True] * 4 + [False] * 11
    assert not benjamini_hochberg([0.9, 0.8], 0.05).any()
