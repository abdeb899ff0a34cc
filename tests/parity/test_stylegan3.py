"""StyleGAN3 against what its authors' code recorded: every array of every fixture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from steerbench.generators import StyleGAN3
from tests.parity.recorded import Recorded
from tests.parity.test_checkpoints import check_gradient

SharedPath = Callable[[str], Path]


@pytest.mark.parametrize("fixture", ["sg3_t_64", "sg3_r_64"])
def test_stylegan3(fixture: str, shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path(f"fixtures/{fixture}"))
    generator = recorded.generator
    assert isinstance(generator, StyleGAN3)
    label = recorded.given("c") if recorded.given("c").size else None
    z = generator.latent(recorded.given("z"), label=label)
    recorded.check("w_avg", generator.mean_code)
    recorded.check("ws_psi1", generator.to(z, "w+").data)
    recorded.check("ws_psi0.7", generator.to(z, "w+", truncation=0.7).data)
    recorded.check("ws_psi-0.5", generator.to(z, "w+", truncation=-0.5).data)
    recorded.check(
        "ws_psi0.5_cut4", generator.to(z, "w+", truncation=0.5, truncation_cutoff=4).data
    )
    recorded.check("img_const", generator.render(z))
    recorded.check("img_none", generator.render(z, noise="none"))
    recorded.check("img_psi0.7_const", generator.render(generator.to(z, "w+", truncation=0.7)))
    mixed = generator.latent(recorded.given("ws_mix"), "w+")
    recorded.check("img_mix_none", generator.render(mixed, noise="none"))
    own = generator.latent(recorded.given("wplus"), "w+")
    recorded.check("img_wplus_const", generator.render(own))
    styles = generator.to(z, "s").data
    for name in recorded.named("style/"):
        layer = name.removeprefix("style/").removesuffix(".affine")
        recorded.check(name, styles[:, generator.slices[layer]])
    for name in recorded.named("act/"):
        layer = name.removeprefix("act/")
        recorded.check(name, generator.capture(z[0], [layer])[layer])
    check_gradient(recorded, "ws_psi1", "grad_ws")
    rows = generator.latent(recorded.given("ws_psi1")[:1], "w+")
    for name in recorded.named("transform_"):
        moved = generator.with_transform(inverse=recorded.given(name))
        recorded.check(name.replace("transform_", "img_"), moved.render(rows))
    layer = next(
        part
        for part in generator.parts
        if getattr(part, "plan", None) and part is generator.parts[4]
    )
    recorded.check("up_filter_L3", layer.up_filter)
    recorded.check("down_filter_L3", layer.down_filter)
    recorded.all_but()
