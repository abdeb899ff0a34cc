"""Published formats against what their authors' code recorded: every array of every fixture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from steerbench.generators.dcgan import DCGAN
from steerbench.generators.eigengan import EigenGAN
from steerbench.generators.glow import Glow
from steerbench.generators.pggan import PGGAN, pixel_norm
from steerbench.generators.stylegan2 import StyleGAN2
from tests.parity.recorded import Recorded, network

SharedPath = Callable[[str], Path]


def check_gradient(recorded: Recorded, start: str, name: str) -> None:
    # In float64: where a rectifier's input is nearly zero, rounding decides its slope.
    generator = recorded.generator.double()
    codes = generator.latent(recorded.tensor(start)[:1].double(), "w+").requires_grad_()
    (generator.render(codes) * recorded.tensor("grad_probe")).sum().backward()
    assert codes.grad is not None
    recorded.check(name, codes.grad)


@pytest.mark.parametrize("fixture", ["sg2ada_skip64", "sg2ada_cond64"])
def test_stylegan2_ada(fixture: str, shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path(f"fixtures/{fixture}"))
    generator = recorded.generator
    assert isinstance(generator, StyleGAN2)
    label = recorded.given("c") if recorded.given("c").size else None
    z = generator.latent(recorded.given("z"), label=label)
    recorded.check("w_avg", generator.network.mapping.w_avg)
    recorded.check("ws_psi1", generator.to(z, "w+").data)
    recorded.check("ws_psi0.7", generator.to(z, "w+", truncation=0.7).data)
    recorded.check("ws_psi-0.5", generator.to(z, "w+", truncation=-0.5).data)
    recorded.check(
        "ws_psi0.5_cut4", generator.to(z, "w+", truncation=0.5, truncation_cutoff=4).data
    )
    recorded.check("img_const", generator.render(z))
    recorded.check("img_none", generator.render(z, noise="none"))
    recorded.check("img_psi0.7_const", generator.render(generator.to(z, "w+", truncation=0.7)))
    if generator.classes:
        soft = generator.latent(recorded.given("z"), label=recorded.given("c_soft"))
        recorded.check("ws_c_soft", generator.to(soft, "w+").data)
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
    logits = generator.discriminator(recorded.tensor("img_const"), label)
    recorded.check("D_logits_img_const", logits[:, None])
    raw = network(recorded.path, "G")
    raw_z = raw.latent(recorded.given("z"), label=label)
    recorded.check("G_not_ema_img_none", raw.render(raw_z, noise="none"))
    recorded.all_but()


def test_rosinality(shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path("fixtures/rosinality_sg2_64"))
    generator = recorded.generator
    assert isinstance(generator, StyleGAN2)
    z = generator.latent(recorded.given("z"))
    rows = generator.to(z, "w+")
    recorded.check("latent_avg", generator.network.mapping.w_avg)
    recorded.check("w", generator.to(z, "w").data)
    recorded.check("latents_wplus", rows.data)
    recorded.check("img_const", generator.render(z))
    recorded.check("img_none", generator.render(z, noise="none"))
    drawn = generator.to(z, "w+", truncation=0.7)
    recorded.check("img_trunc0.7_const", generator.render(drawn))
    joined = torch.cat([rows.data[:1, :4], rows.data[1:2, 4:]], dim=1)
    mixed = generator.render(generator.latent(joined, "w+"))
    recorded.check("img_mix_inject4_const", mixed)
    own = generator.latent(recorded.given("wplus"), "w+")
    recorded.check("img_wplus_const", generator.render(own))
    styles, names = generator.to(z, "s").data, rosinality_names(generator)
    for name in recorded.named("style/"):
        layer = names[name.removeprefix("style/").removesuffix(".conv.modulation")]
        recorded.check(name, styles[:, generator.slices[layer]])
    for name in recorded.named("act/"):
        layer = names[name.removeprefix("act/")]
        recorded.check(name, generator.capture(z[0], [layer])[layer])
    check_gradient(recorded, "latents_wplus", "grad_wplus")
    recorded.all_but("factor_")


def rosinality_names(generator: StyleGAN2) -> dict[str, str]:
    convolutions = [site.name for site in generator.sites if "conv" in site.name]
    paints = [site.name for site in generator.sites if "torgb" in site.name]
    names = {"conv1": convolutions[0], "to_rgb1": paints[0]}
    names |= {f"convs.{i}": name for i, name in enumerate(convolutions[1:])}
    return names | {f"to_rgbs.{i}": name for i, name in enumerate(paints[1:])}


def test_genforce_stylegan2(shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path("fixtures/genforce_stylegan2_64"))
    generator = recorded.generator
    assert isinstance(generator, StyleGAN2)
    z = generator.latent(recorded.given("z"))
    recorded.check("w", generator.to(z, "w").data)
    recorded.check("w_avg", generator.network.mapping.w_avg)
    recorded.check("wp", generator.to(z, "w+").data)
    for name, psi, cutoff in [("wp_psi0.7_layers8", 0.7, 8), ("wp_psi0.5_layers4", 0.5, 4)]:
        rows = generator.to(z, "w+", truncation=psi, truncation_cutoff=cutoff)
        recorded.check(name, rows.data)
        if psi == 0.7:
            recorded.check("img_trunc0.7_layers8", generator.render(rows))
    recorded.check("img_const", generator.render(z))
    convolutions = [site.name for site in generator.sites if "conv" in site.name]
    paints = [site.name for site in generator.sites if "torgb" in site.name]
    styles = generator.to(z, "s").data
    for name in recorded.named("style/"):
        part = name.removeprefix("style/")
        number = int(part.removeprefix("output_style").removeprefix("style"))
        layer = paints[number] if part.startswith("output") else convolutions[number]
        recorded.check(name, styles[:, generator.slices[layer]])
    for name in recorded.named("act/"):
        layer = convolutions[int(name.removeprefix("act/layer"))]
        recorded.check(name, generator.capture(z[0], [layer])[layer])
    recorded.all_but("sefa/")


def test_dcgan(shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path("fixtures/dcgan_64_rgb"))
    generator = recorded.generator
    assert isinstance(generator, DCGAN)
    z = generator.latent(recorded.given("z"))
    recorded.check("img_eval", generator.render(z))
    for name in recorded.named("act/"):
        layer = name.removeprefix("act/")
        recorded.check(name, generator.capture(z[0], [layer])[layer])
    in_training = generator.with_batch_statistics()
    own = in_training.latent(recorded.given("z"))
    recorded.check("img_train_batchstats", in_training.render(own))
    recorded.all_but()


def test_genforce_pggan(shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path("fixtures/genforce_pggan_64"))
    generator = recorded.generator
    assert isinstance(generator, PGGAN)
    z = generator.latent(recorded.given("z"))
    recorded.check("z_normalised", pixel_norm(z.data))
    recorded.check("img", generator.render(z))
    faded = generator.at_level(1.5)
    recorded.check("img_lod1.5", faded.render(faded.latent(recorded.given("z"))))
    for name in recorded.named("act/"):
        layer = name.removeprefix("act/")
        recorded.check(name, generator.capture(z[0], [layer])[layer])
    recorded.all_but("sefa/")


def test_interfacegan_pggan(shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path("fixtures/interfacegan_pggan_32"))
    generator = recorded.generator
    recorded.check("img", generator.render(generator.latent(recorded.given("z"))))
    recorded.all_but()


def test_ganzoo_pgan(shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path("fixtures/ganzoo_pgan_32"))
    generator = recorded.generator
    assert isinstance(generator, PGGAN)
    z = generator.latent(recorded.given("z"))
    recorded.check("img", generator.render(z))
    recorded.check("alpha", torch.tensor(generator.network.level))
    # Recorded before the rectifier, which our layers end with.
    for name, layer in [("act/formatLayer", "b4.dense"), ("act/scale1", "b16.conv1")]:
        after = generator.capture(z[0], [layer])[layer]
        before = torch.where(after < 0, after / 0.2, after)
        recorded.check(name, before.reshape(recorded.arrays[name].shape))
    raw = network(recorded.path, "netG")
    recorded.check("img_netG", raw.render(raw.latent(recorded.given("z"))))
    recorded.all_but()


def test_eigengan(shared_path: SharedPath) -> None:
    recorded = Recorded(shared_path("fixtures/eigengan_64"))
    generator = recorded.generator
    assert isinstance(generator, EigenGAN)
    code = torch.cat([recorded.tensor("eps"), recorded.tensor("zs").flatten(1)], dim=1)
    z = generator.latent(code)
    recorded.check("img", generator.render(z))
    for place in range(4):
        moved = code[:1].clone()
        moved[:, list(generator.slices.values())[1 + place].start + 1] += 4
        image = generator.render(generator.latent(moved))
        recorded.check(f"img_block{place}_basis1_plus4", image)
    for name in recorded.named("act/"):
        layer = name.removeprefix("act/")
        recorded.check(name, generator.capture(z[0], [layer])[layer])
    coordinates = z.data[:, generator.slices["b8"]]
    recorded.check("proj0", generator.network.block(0).point(coordinates).flatten(1))
    recorded.all_but()


def test_glow(shared_path: SharedPath) -> None:
    folders = sorted(shared_path("fixtures").glob("glow_*"))
    assert folders
    for folder in folders:
        recorded = Recorded(folder)
        generator = recorded.generator
        assert isinstance(generator, Glow)
        x = recorded.tensor("x")
        images = 2 * x  # the recorded network's pictures lie in [-0.5, 0.5]
        parts, raws, log_p, logdet = generator.network(x)
        recorded.check("log_p", log_p)
        recorded.check("logdet", logdet)
        for name in recorded.named("z_out/"):
            recorded.check(name, raws[int(name.removeprefix("z_out/"))])
        latent = generator.encode(images)
        assert torch.equal(latent.data, torch.cat([part.flatten(1) for part in parts], dim=1))
        recorded.check("x_reconstructed", generator.render(latent) / 2)
        in_bits = x[0].numel() * torch.log(torch.tensor(2.0))
        recorded.check("log_p", generator.log_prob(images) + in_bits - logdet)
        eps = [recorded.tensor(name).flatten(1) for name in recorded.named("eps/")]
        code = generator.latent(torch.cat(eps, dim=1))
        recorded.check("x_sampled", generator.render(code) / 2)
        recorded.all_but()
