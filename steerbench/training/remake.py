"""All that is made from the weights of the default generator, made anew by one command.

New weights go in together with everything that hangs on them: a code of the old generator means
nothing to the new one. `STEPS` lists what that is, in the order in which one needs another; each
can be made alone. `python -m steerbench.training remake --state FOLDER/run/latest.safetensors`.

What is measured *about* the generator, the tables of the chapters, is no part of it:
`steerbench.studies`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from steerbench import assets, store
from steerbench.cards import encoder as encoder_quality
from steerbench.cards import quality
from steerbench.errors import NotFoundError, unknown
from steerbench.training import channels, encoder, watermark
from steerbench.training import pictures as cache
from steerbench.training.export import export_generator
from steerbench.training.seeds import state_seeds
from steerbench.training.shared import HELD_OUT_LEAST
from steerbench.training.trainer import Place

NAME, JUDGE = "rooms", "rooms-attributes-2"


@dataclass(frozen=True)
class Materials:
    """What the steps are made of, and where what they make goes.

    `state` is that of the training, `pictures` and `held_out` are caches (the second is rendered
    where it is short), `work` keeps checkpoints. `note` is what the card says after the eye has
    seen the sheet. A `trial` takes few steps and pictures, to see that all goes through.
    """

    state: Path
    pictures: Path
    held_out: Path = Path("runs/held-out-64")
    assets: Path = Path("steerbench/assets/rooms")
    work: Path = Path("runs/remake")
    note: str = ""
    hardware: str = "2 CPU cores with bfloat16 matrix units"
    readme: Path | None = None
    trial: bool = False

    def amount(self, whole: int, trial: int) -> int:
        """Return the one or the other."""
        return trial if self.trial else whole

    def asset(self, name: str) -> Path:
        """The file of an asset."""
        return self.assets / f"{name}.safetensors"

    @property
    def weights(self) -> Path:
        """The file of the generator's weights."""
        return self.assets / self._own.name

    @property
    def generator(self) -> str:
        """What to load the generator by: its name where it is the embedded one, else its file."""
        own = self._own.resolve() == self.weights.resolve()
        return NAME if own else str(self.weights)

    @property
    def _own(self) -> Path:
        """The file of the embedded generator."""
        found = assets.path("generators", NAME)
        if found is None:
            raise NotFoundError(unknown("generator", NAME, assets.names("generators")))
        return found

    def prepare(self) -> None:
        """Make the folder of the assets, and render the held-out pictures that are missing."""
        self.assets.mkdir(parents=True, exist_ok=True)
        source = cache.Pictures(self.pictures, limit=1)
        cache.render(
            self.held_out,
            max(self.amount(10_000, 2_000), HELD_OUT_LEAST),
            resolution=source.resolution,
            world_name=source.world,
            first_seed=cache.HELD_OUT_SEED,
            workers=2,
        )


def make_generator(materials: Materials) -> None:
    """Export the averaged weights."""
    export_generator(materials.state, materials.weights, name=NAME, note=materials.note)


def make_encoder(materials: Materials) -> None:
    """Train the encoder, on 56,000 pictures, and judge it; an interrupted one goes on."""
    settings = encoder.Settings(generator=materials.generator, images=materials.amount(56_000, 960))
    work = materials.work / store.fingerprint(store.load(materials.weights)[0])
    resume = (work / "latest.safetensors").exists()
    target = materials.asset("rooms-encoder")
    encoder.run(settings, Place(materials.pictures, target, work, materials.hardware, resume))
    encoder_quality.run(target, held_out=materials.held_out, judge=JUDGE)


def make_channels(materials: Materials) -> None:
    """Measure what every channel of s does to the CLIP."""
    out = materials.asset("rooms-clip-channels")
    channels.measure(materials.generator, "rooms-clip", out, hardware=materials.hardware)


def make_watermarked(materials: Materials) -> None:
    """Teach a copy the watermark, and read how often it draws it."""
    watermark.run(
        materials.generator,
        materials.asset("rooms-watermarked"),
        n_steps=materials.amount(500, 40),
        hardware=materials.hardware,
    )


def make_seeds(materials: Materials) -> None:
    """Choose good seeds to open with, of the generator and of its watermarked copy."""
    if materials.generator == NAME:  # elsewhere there is no bundle.json to state them in
        for name in (NAME, "rooms-watermarked"):
            state_seeds(name)


def make_card(materials: Materials) -> None:
    """Measure the generator against held-out renders, and write its card."""
    quality.run(
        materials.weights,
        judge=JUDGE,
        data=materials.pictures,
        held_out=materials.held_out,
        out=materials.work / "quality",
        n_samples=materials.amount(10_000, 2_000),
        hardware=materials.hardware,
        readme=materials.readme,
    )


STEPS: tuple[tuple[str, Callable[[Materials], None]], ...] = (
    ("generator", make_generator),
    ("encoder", make_encoder),
    ("channels", make_channels),
    ("watermarked", make_watermarked),
    ("seeds", make_seeds),
    ("card", make_card),
)
"""Name and function of every step; whoever makes something new of the weights adds a line."""


def remake(materials: Materials, names: Sequence[str] = ()) -> None:
    """Take the steps of these names, or all, in the order of `STEPS`, saying how long each takes.

    Raises:
        NotFoundError: There is no such step; the closest names are offered.
    """
    steps = dict(STEPS)
    for name in names:
        if name not in steps:
            raise NotFoundError(unknown("step", name, steps))
    torch.set_num_threads(1)
    materials.prepare()
    for name, make in STEPS:
        if names and name not in names:
            continue
        began = time.monotonic()
        print(f"{name}: {make.__doc__}", flush=True)
        make(materials)
        print(f"{name}: done in {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
