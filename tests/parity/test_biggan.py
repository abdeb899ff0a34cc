"""Both published BigGAN code bases against what they recorded: every array."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from steerbench.generators.biggan import BigGAN
from tests.parity.recorded import Recorded

SharedPath = Callable[[str], Path]


def test_hugging_face(shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path("fixtures/biggan_hf_64"))
    generator = recorded.generator
    assert isinstance(generator, BigGAN)
    unit, labels = recorded.given("z_unit"), recorded.given("class_onehot")
    for name in recorded.named("img_t"):
        truncation = float(name.removeprefix("img_t"))
        z = generator.latent(unit * np.float32(truncation), label=labels)
        recorded.check(name, generator.render(z, truncation=truncation))
    soft = generator.latent(unit[:1] * np.float32(0.5), label=recorded.given("class_mix"))
    recorded.check("img_classmix_t0.5", generator.render(soft, truncation=0.5))

    z = generator.latent(unit * np.float32(0.4), label=labels)
    condition = generator.to(z, "c").data
    recorded.check("cond_t0.4", condition)
    recorded.check("class_embed", condition[:, generator.spaces["c"].slices["class"]])
    truncated = generator.at_truncation(0.4)
    first = truncated.capture(z, ["gen_z"])["gen_z"]
    recorded.check("gen_z_t0.4", first.movedim(1, 3).flatten(1))
    for name in recorded.named("act/"):
        layer = name.removeprefix("act/")
        recorded.check(name, truncated.capture(z[0], [layer])[layer])
    recorded.all_but()


def test_brock(shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path("fixtures/biggan_ajbrock_64"))
    generator = recorded.generator
    assert isinstance(generator, BigGAN)
    z = generator.latent(recorded.given("z"), label=recorded.given("y"))
    recorded.check("img", generator.render(z))
    embeddings = generator.to(z, "c").data[:, generator.spaces["c"].slices["class"]]
    recorded.check("shared", embeddings)
    own = generator.with_class(z[0], recorded.tensor("shared_mix"))
    recorded.check("img_mix", generator.render(own))
    for name in recorded.named("act/"):
        layer = name.removeprefix("act/")
        recorded.check(name, generator.capture(z[0], [layer])[layer])
    recorded.all_but()
