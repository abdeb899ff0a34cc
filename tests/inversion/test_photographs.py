"""Photographs of strangers: any mode, depth, orientation and size, or garbage."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import steerbench as sb
from steerbench.errors import ImageError
from steerbench.inversion.photographs import PhotoFit, align_points, fit_photograph, fit_pictures

SIZE = (32, 32)


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """Red on the left, blue on the right, a white upper edge."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 200
    pixels[:, width // 2 :, 2] = 200
    pixels[: height // 8] = 255
    return Image.fromarray(pixels)


def file(image: Image.Image, kind: str = "PNG", **more) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "F"])
def test_any_mode_becomes_a_picture(mode):
    image = scene()
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif mode != "RGB":
        image = image.convert("L").convert(mode) if mode in ("F", "1") else image.convert(mode)
    found = fit_photograph(image, SIZE)
    assert found.shape == (1, 3, *SIZE)
    assert -1 <= found.min() < found.max() <= 1
    assert found[0, :, :2].mean() > found[0, :, 8:].mean()  # the white edge is still above


def test_a_phone_held_sideways_is_put_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = scene().transpose(Image.Transpose.ROTATE_90)
    found = fit_photograph(file(turned, "JPEG", exif=exif, quality=95), SIZE)
    assert (found - fit_photograph(scene(), SIZE)).abs().mean() < 0.1


def test_crops_as_asked():
    middle, whole = fit_photograph(scene(), SIZE), fit_photograph(scene(), SIZE, PhotoFit("none"))
    assert middle[0, 0, 16, 0] > 0.5
    assert whole.shape == middle.shape
    left = fit_photograph(scene(), SIZE, PhotoFit((0, 16, 48, 64)))
    assert (left[0, 0] > 0.3).all()
    beyond = fit_photograph(scene(), SIZE, PhotoFit((-48, 16, 0, 64)))
    assert (beyond[0, 0] > 0.3).all()  # the border is repeated


def test_alignment_brings_points_where_they_should_be():
    """A picture that was turned, scaled and moved, and its undoing by two of its points."""
    plain = sb.world("rooms").sample(1, seed=0, resolution=128).images
    eyes = [(0.4, 0.5), (0.65, 0.5)]
    there = [(51.2, 64.0), (83.2, 64.0)]
    turned = align_points(plain, (128, 128), there, [(0.5, 0.35), (0.55, 0.6)])
    back = align_points(turned, (128, 128), [(64.0, 44.8), (70.4, 76.8)], eyes)
    inner = (slice(None), slice(None), slice(48, 80), slice(48, 80))
    assert (back - plain)[inner].abs().mean() < 0.06
    assert torch.allclose(align_points(plain, (128, 128), there, eyes), plain, atol=1e-4)


def test_shrinking_by_alignment_skips_no_pixels():
    checks = torch.ones(1, 3, 256, 256)
    checks[:, :, ::2, ::2] = checks[:, :, 1::2, 1::2] = -1
    small = align_points(checks, (32, 32), [(0, 0), (256, 0)], [(0, 0), (1, 0)])
    assert small.abs().max() < 0.1


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(40), "not a picture|damaged"),
        (file(scene(20_000, 40)), "20000 x 40"),
        (scene(20_000, 40), "20000 x 40"),
        (np.zeros((4, 20_000, 3), np.uint8), "20000 x 4"),
        (
            file(scene(), "GIF", save_all=True, append_images=[scene(96, 64).rotate(90)]),
            "animation of 2",
        ),
    ],
)
def test_garbage_is_refused_with_the_reason(given, why, toy_generator):
    with pytest.raises(ImageError, match=why):
        fit_photograph(given, SIZE)
    with pytest.raises(ImageError, match=why):
        sb.invert(toy_generator, given, n_steps=1)


@pytest.mark.parametrize(
    "options",
    [
        {"crop": "middle"},
        {"crop": (0, 0, 0, 9)},
        {"crop": (0, 0, 40, 9)},
        {"crop": 7},
        {"align": ([(0, 0)], [(0, 0)])},
        {"align": ([(1, 1), (1, 1)], [(0, 0), (1, 0)])},
        {"align": ([(1, 1), (9, 1)], [(0.5, 0.5), (0.5, 0.5)])},
    ],
)
def test_crops_and_points_that_make_no_sense_are_refused(options):
    with pytest.raises(ImageError):
        fit_photograph(scene(), SIZE, PhotoFit(**options))


def test_a_large_photograph_takes_little_memory():
    found = fit_photograph(Image.new("RGB", (9000, 8000), (255, 128, 0)), SIZE)
    assert torch.allclose(found[0, :, 5, 5], torch.tensor([1.0, 0.004, -1.0]), atol=1e-2)


def test_several_uploads_and_grey_generators():
    uploads = tuple({"name": f"{i}.png", "content": file(scene())} for i in range(3))
    assert fit_pictures(uploads, SIZE).shape == (3, 3, *SIZE)
    assert fit_pictures(uploads, SIZE, channels=1).shape == (3, 1, *SIZE)
    assert fit_pictures(torch.zeros(1, 16, 16), SIZE).shape == (1, 3, *SIZE)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF"])
)
def test_any_bytes_are_a_picture_or_a_clear_error(tail, head):
    with contextlib.suppress(ImageError):
        assert fit_photograph(head + tail, SIZE).shape == (1, 3, *SIZE)
