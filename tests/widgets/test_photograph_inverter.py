"""The panel that takes a photograph: what it shows, refuses and keeps."""

from __future__ import annotations

import datetime
import io

import numpy as np
import pytest
import torch
from PIL import Image

from steerbench.inversion import Initialisation
from steerbench.widgets import PhotographInverter

SECONDS = 60
FEW = Initialisation(n_samples=8)
WHEN = {"last_modified": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)}


def file(width: int, height: int, kind: str = "PNG", **more) -> bytes:
    pixels = np.random.RandomState(0).randint(0, 255, (height, width, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **more)
    return buffer.getvalue()


def put(panel: PhotographInverter, content: bytes) -> None:
    """What the browser does when a file was chosen."""
    panel.upload.value = (
        {"name": "a.png", "type": "image/png", "size": 1, "content": content} | WHEN,
    )
    assert panel.wait(SECONDS)


@pytest.fixture
def panel(toy_generator) -> PhotographInverter:
    return PhotographInverter(toy_generator, n_steps=6, init=FEW)


def test_an_upload_is_searched_for_and_shown(panel):
    put(panel, file(90, 60))
    assert panel.inversion is not None
    assert panel.inversion.latent.space == "w+"
    assert panel.wanted.data != panel.found.data
    assert panel.found.original_data == panel.wanted.data
    assert "PSNR" in panel.notice.note
    assert panel.stop.disabled
    first = panel.inversion
    panel.crop.value = "none"
    assert panel.wait(SECONDS)
    assert not torch.equal(panel.inversion.wanted, first.wanted)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b"not a picture", "not a picture"),
        (file(20_000, 8), "20000 x 8"),
        (file(8, 8, "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8))]), "animation"),
    ],
)
def test_garbage_is_refused_and_what_was_found_stays(panel, content, says):
    put(panel, file(32, 32))
    before, seen = panel.inversion, panel.found.data
    put(panel, content)
    assert says in panel.notice.error
    assert panel.inversion is before
    assert panel.found.data == seen
    assert panel.stop.disabled


def test_stop_keeps_the_best_so_far(toy_generator):
    panel = PhotographInverter(toy_generator, n_steps=100_000, init=FEW)
    panel.upload.value = (
        {"name": "a.png", "type": "image/png", "size": 1, "content": file(16, 16)} | WHEN,
    )
    while not panel.found.data:
        assert not panel.wait(0.05)
    panel.stop.click()
    assert panel.wait(SECONDS)
    assert panel.inversion.ended == "stopped"
    assert "Stopped early" in panel.notice.note
