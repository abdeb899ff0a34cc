"""StyleGAN of genforce and HiGAN against what their authors' code recorded, SeFa included."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from steerbench.generators.checkpoints.common.stylegan1 import OPTIONS
from steerbench.generators.stylegan1 import StyleGAN1
from tests.parity.recorded import Recorded
from tests.parity.test_sefa import compare

SharedPath = Callable[[str], Path]


@pytest.mark.parametrize("fixture", ["genforce_stylegan1_128", "genforce_stylegan1_cond32"])
def test_genforce_stylegan1(fixture: str, shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path(f"fixtures/{fixture}"), OPTIONS)
    generator = recorded.generator
    assert isinstance(generator, StyleGAN1)
    label = recorded.given("label") if "label" in recorded.arrays else None
    z = generator.latent(recorded.given("z"), label=label)
    recorded.check("w", generator.to(z, "w").data)
    recorded.check("w_avg", generator.mean_code)
    recorded.check("wp", generator.to(z, "w+").data)
    for psi, cutoff in ((0.7, 8), (0.5, 4)):
        rows = generator.to(z, "w+", truncation=psi, truncation_cutoff=cutoff)
        recorded.check(f"wp_psi{psi}_layers{cutoff}", rows.data)
        if psi == 0.7:
            recorded.check("img_trunc0.7_layers8", generator.render(rows))
    recorded.check("img_const", generator.render(z))
    recorded.check("img_lod0.5", generator.at_level(0.5).render(z))
    styles, slices = generator.to(z, "s").data, list(generator.slices.values())
    for name in recorded.named("style/"):
        recorded.check(name, styles[:, slices[int(name.removeprefix("style/style"))]])
    for name in recorded.named("act/"):
        layer = name.removeprefix("act/")
        recorded.check(name, generator.capture(z[0], [layer])[layer])
    for layers in recorded.named("sefa/"):
        if re.fullmatch(r"sefa/.*/layers", layers):
            check_sefa(recorded, generator, layers.removesuffix("layers"))
    recorded.all_but()


def check_sefa(recorded: Recorded, generator: StyleGAN1, prefix: str) -> None:
    rows = recorded.given(f"{prefix}layers").tolist()
    values, vectors = (recorded.given(f"{prefix}eigen{kind}") for kind in ("values", "vectors"))
    for space in ("w", "w+"):
        assert compare(generator.affine(space, rows), values, vectors) > 5


def test_higan_stylegan(shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path("fixtures/higan_stylegan_32"))
    generator = recorded.generator
    assert isinstance(generator, StyleGAN1)
    z = generator.latent(recorded.given("z"))
    recorded.check("w", generator.to(z, "w").data)
    recorded.check("w_avg", generator.mean_code)
    psi, cutoff = (recorded.meta["config"][f"truncation_{key}"] for key in ("psi", "layers"))
    rows = generator.to(z, "w+", truncation=psi, truncation_cutoff=cutoff)
    recorded.check("wp_trunc", rows.data)
    recorded.check("img_trunc_const", generator.render(rows))
    recorded.check("img_const", generator.render(z))
    recorded.all_but()
