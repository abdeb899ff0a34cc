"""The checks of chapter 03 pass for a right answer and know the usual mistakes."""

from __future__ import annotations

import pytest
import torch

import steerbench as sb
from steerbench import check
from steerbench.errors import NotFoundError, SteerbenchError


@pytest.fixture
def seen() -> tuple[torch.Tensor, float, torch.Tensor]:
    """A unit's activations, its threshold, and labels that lie where it is active."""
    random = torch.Generator().manual_seed(0)
    activations = torch.randn(6, 8, 8, generator=random)
    enlarged = torch.nn.functional.interpolate(activations[:, None], (32, 32), mode="bilinear")
    noise = 0.5 * torch.randn(6, 32, 32, generator=random)
    return activations, 0.6, (enlarged[:, 0] + noise > 0.8).long()


def test_overlap_knows_the_usual_mistakes(seen):
    activations, threshold, labels = seen
    enlarged = torch.nn.functional.interpolate(activations[:, None], (32, 32), mode="bilinear")
    region, pixels = enlarged[:, 0] > threshold, labels == 1
    both, either = (region & pixels).sum(), (region | pixels).sum()
    each = torch.stack([(r & p).sum() / (r | p).sum() for r, p in zip(region, pixels)]).mean()
    assert check.overlap(both / either, *seen, 1)
    wrong = {
        both / region.sum(): "share of the region",
        both / pixels.sum(): "share of the concept",
        each: "each picture's",
        0.99: "Got 0.990",
        "many": "one number",
        torch.nan: "one number",
    }
    for answer, says in wrong.items():
        verdict = check.overlap(answer, *seen, 1)
        assert not verdict
        assert says in verdict.says
    with pytest.raises(SteerbenchError, match="one unit"):
        check.overlap(0.5, activations[:, None], threshold, labels, 1)


class Lamps(torch.nn.Module):
    """Eight units; the first draws a lamp, the others the wall and the floor."""

    def __init__(self):
        super().__init__()
        self.units = torch.nn.Conv2d(8, 8, 1, bias=False)
        self.units.weight.data = torch.eye(8)[:, :, None, None]

    def forward(self, z):
        maps = torch.zeros(len(z), 8, 4, 4)
        maps[:, 0, 1, 1] = 1
        maps[:, 1:] = z[:, :, None, None].abs().clamp(max=1)
        x = self.units(maps)
        return torch.stack([x[:, 0] * 2 - 1, x[:, 1:4].mean(1), x[:, 4:].mean(1)], dim=1)


def test_removes_asks_for_more_than_chance_and_for_the_rest_to_stay():
    generator = sb.wrap(Lamps(), latent_shape=(7,))
    judge = sb.predictor(lambda x: (x[:, 0] > 0).long(), ["room", "lamp"])

    def verdict(answer, concept="lamp"):
        return check.removes(answer, concept, generator, judge)

    assert verdict(sb.UnitEdit("units", (0,)))
    assert "Not yet" in verdict(sb.UnitEdit("units", (1, 2))).says
    assert "Too much" in verdict(sb.UnitEdit("units", tuple(range(8)), "set", -1.0)).says
    assert "sb.UnitEdit" in verdict([0]).says
    with pytest.raises(NotFoundError, match="'lamp'"):
        verdict(sb.UnitEdit("units", (0,)), "lanp")
