"""Pictures in and out: exact bytes, every mode and orientation, garbage, grids, files."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from steerbench import image, store
from steerbench.errors import FileError, ImageError, NotFoundError, ShapeError

RED = torch.tensor([1.0, -1.0, -1.0])


def photo(height=6, width=9, seed=0):
    return np.random.RandomState(seed).randint(0, 256, (height, width, 3), dtype=np.uint8)


def file_of(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(tensor):
    return image.to_uint8(tensor)[0]


# -- tensors and bytes --------------------------------------------------------------------------


def test_every_byte_survives_the_round_trip():
    x = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    assert np.array_equal(image.to_uint8(image.from_uint8(x)), x)
    assert image.from_uint8(x).min() == -1
    assert image.from_uint8(x).max() == 1


def test_out_of_range_is_clamped_and_the_argument_is_not():
    x = torch.tensor([-5.0, 5.0, float("inf"), -float("inf")]).view(1, 1, 2, 2)
    assert image.to_uint8(x).ravel().tolist() == [0, 255, 255, 0]
    assert x.max() == float("inf")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_any_float_dtype_shows(dtype):
    x = torch.zeros(3, 4, 4, dtype=dtype, requires_grad=True)
    assert image.to_uint8(x).shape == (1, 4, 4, 3)
    assert image.show(x).size == (132, 132)


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        (torch.full((3, 2, 2), float("nan")), ImageError, "values are NaN"),
        (torch.zeros(2, 2), ShapeError, r"\[2, 2\]"),
        (torch.zeros(1, 2, 2, 3), ShapeError, "channels first"),
        (torch.zeros(0, 3, 2, 2), ShapeError, "at least one pixel"),
        (torch.zeros(3, 2, 2, dtype=torch.uint8), ShapeError, "uint8"),
        (np.zeros((3, 2, 2)), ShapeError, "ndarray"),
        ([], ShapeError, "list"),
        ([torch.zeros(3, 2, 2), torch.zeros(3, 4, 4)], ShapeError, "one size"),
        (None, ShapeError, "NoneType"),
    ],
)
def test_what_is_no_picture_is_refused(bad, error, says):
    for function in (image.to_uint8, image.show):
        with pytest.raises(error, match=says):
            function(bad)


def test_one_picture_where_one_is_wanted():
    with pytest.raises(ShapeError, match="grid"):
        image.to_pil(torch.zeros(2, 3, 4, 4))
    assert image.to_pil(torch.zeros(1, 4, 4)).mode == "L"
    with pytest.raises(ShapeError, match="float64"):
        image.from_uint8(np.zeros((4, 4, 3)))


# -- reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["path", "str", "bytes", "memoryview", "pil", "array", "upload"])
def test_every_source_gives_the_same_picture(how, tmp_path):
    x = photo()
    data = file_of(Image.fromarray(x))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    upload = {"name": "a.png", "type": "image/png", "size": len(data), "content": memoryview(data)}
    sources = {
        "path": path,
        "str": str(path),
        "bytes": data,
        "memoryview": memoryview(data),
        "pil": Image.fromarray(x),
        "array": x,
        "upload": (upload,),
    }
    result = image.read(sources[how])
    assert result.shape == (1, 3, 6, 9)
    assert result.dtype == torch.float32
    assert np.array_equal(pixels(result), x)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr", "HSV"])
def test_every_mode_becomes_rgb(mode):
    picture = Image.new("RGB", (5, 4), "white")
    result = image.read(picture.convert("P" if mode == "PA" else mode).convert(mode))
    assert result.shape == (1, 3, 4, 5)
    assert (result > 0.99).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_transparent_is_white(kind):
    clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    clear.putpixel((1, 2), (255, 0, 0, 255))
    result = image.read(file_of(clear, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert torch.equal(result[0, :, 2, 1], RED)
    assert (result[0, :, 0] == 1).all()


def test_half_transparent_black_is_grey_and_keyed_colours_are_clear():
    half = image.read(np.array([[[0, 0, 0, 128]]], dtype=np.uint8))
    assert pixels(half).ravel().tolist() == [127] * 3
    keyed = file_of(Image.new("RGB", (2, 2), (9, 9, 9)), transparency=(9, 9, 9))
    assert (image.read(keyed) == 1).all()
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert (image.read(file_of(palette, "GIF", transparency=0)) == 1).all()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("I;16", "PNG"), ("I;16", "TIFF"), ("I;16B", "TIFF"), ("I", "TIFF")]
    + [(mode, None) for mode in ("I;16", "I;16B", "I")],
)
def test_sixteen_bits(mode, kind):
    samples = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    picture = Image.fromarray(samples.astype(np.int32)) if mode == "I" else Image.fromarray(samples)
    if mode == "I;16B":
        picture = Image.frombytes(mode, (4, 1), samples.astype(">u2").tobytes())
    result = image.read(picture if kind is None else file_of(picture, kind))
    assert pixels(result)[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]]), [0, 128, 255]),
        (np.array([[0.0, 255.0]], dtype=np.float32), [0, 255]),
        (np.array([[False, True]]), [0, 255]),
        (np.array([[0, 200]]), [0, 200]),
        (np.array([[0, 65535]], dtype=np.int64), [0, 255]),
        (np.array([[3, 65535]], dtype=">u2"), [0, 255]),
    ],
)
def test_arrays_of_any_depth(samples, expected):
    assert pixels(image.read(samples))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation, kind):
    upright = Image.new("RGB", (24, 16), "white")
    upright.paste((255, 0, 0), (0, 0, 12, 8))
    # How a camera stores what, seen with this orientation, is upright.
    stored = upright
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    if orientation in undo:
        stored = upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(stored, kind, exif=exif)
    result = pixels(image.read(data)).astype(int)
    assert result.shape == (16, 24, 3)
    assert np.abs(result - np.asarray(upright)).mean() < 8
    assert np.array_equal(pixels(image.read(Image.open(io.BytesIO(data)))), result)


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    data = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert torch.equal(image.read(data)[0, :, 0, 0], RED)


def test_a_callers_picture_is_left_alone():
    picture = Image.fromarray(photo())
    exif = picture.getexif()
    exif[0x0112] = 6
    image.read(picture, size=4)
    assert picture.size == (9, 6)
    assert picture.getexif()[0x0112] == 6


@pytest.mark.parametrize(
    ("source", "error", "says"),
    [
        (b"", ImageError, "empty"),
        (b"garbage" * 99, ImageError, "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ImageError, "not a picture"),
        (b"<html>no</html>", ImageError, "not a picture"),
        ({"name": "x.png", "content": b""}, ImageError, "x.png"),
        (7, ImageError, "int"),
        ((), ImageError, "tuple"),
        (np.zeros((2, 2, 7)), ShapeError, r"\[2, 2, 7\]"),
        (np.zeros((0, 2)), ShapeError, r"\[0, 2\]"),
        (np.array([[-1.0, 1.0]]), ImageError, "passed as a tensor"),
        (np.array([[float("nan")]]), ImageError, "nan"),
        (np.array([["a"]]), ImageError, "expected numbers"),
        (torch.zeros(2, 3, 4, 4), ShapeError, "one by one"),
    ],
)
def test_garbage_is_refused_with_a_reason(source, error, says):
    with pytest.raises(error, match=says):
        image.read(source)


def test_missing_and_unreadable_files(tmp_path):
    (tmp_path / "portrait.png").write_bytes(b"")
    with pytest.raises(NotFoundError, match=r"portrait\.png"):
        image.read(tmp_path / "potrait.png")
    with pytest.raises(NotFoundError):
        image.read(tmp_path / "nowhere" / "a.png")
    with pytest.raises(FileError):
        image.read(tmp_path)
    with pytest.raises(FileError):
        image.read("\0.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(50_000, 50_000), (11_000, 10_000)])
def test_absurd_sizes_are_refused_before_decoding(size):
    file = file_of(Image.new("1", (1, 1)))
    chunk = b"IHDR" + struct.pack(">II", *size) + file[24:29]
    with pytest.raises(ImageError, match="million pixels"):
        image.read(file[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + file[33:])


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=150, deadline=None)
@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"]))
def test_damaged_files_are_a_picture_or_an_image_error(data, kind):
    blob = bytearray(file_of(Image.fromarray(photo(8, 8)), kind))
    if data.draw(st.booleans()):
        blob = blob[: data.draw(st.integers(0, len(blob)))]
    for _ in range(data.draw(st.integers(0, 4))):
        if blob:
            blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    try:
        result = image.read(bytes(blob), size=4)
    except ImageError:
        return
    assert result.shape == (1, 3, 4, 4)


# -- sizes --------------------------------------------------------------------------------------


def test_center_crop_keeps_proportions_and_none_keeps_everything():
    wide = torch.full((3, 10, 30), -1.0)
    wide[:, :, 10:20] = 1.0
    assert (image.read(wide, size=5) == 1).all()
    squeezed = image.read(wide, size=6, crop="none")
    assert squeezed.shape == (1, 3, 6, 6)
    assert squeezed[0, 0, 0, 0] < -0.999
    assert image.read(wide, size=(10, 30)).equal(wide[None])
    assert image.read(torch.zeros(1, 1, 4000), size=8).shape == (1, 3, 8, 8)


@settings(max_examples=40, deadline=None)
@given(*[st.integers(1, 40)] * 4, st.sampled_from(["center", "none"]))
def test_any_size_from_any_size(height, width, new_height, new_width, crop):
    x = torch.rand(3, height, width) * 2 - 1
    result = image.read(x, size=(new_height, new_width), crop=crop)
    assert result.shape == (1, 3, new_height, new_width)
    assert result.abs().max() <= 1 + 1e-6


def test_resize_is_antialiased_and_differentiable():
    checker = torch.tensor([[-1.0, 1.0], [1.0, -1.0]]).repeat(32, 32)[None, None]
    assert image.resize(checker, 8)[..., 1:-1, 1:-1].abs().max() < 0.1
    x = torch.zeros(1, 1, 8, 8, requires_grad=True)
    image.resize(x, 4).sum().backward()
    assert x.grad.sum() > 0
    assert image.resize(torch.zeros(1, 8, 8).half(), 4).dtype == torch.float16


@pytest.mark.parametrize("size", [0, -1, (4,), (4, 0), 2.5, "big", (10**6, 10**6)])
def test_sizes_that_make_no_sense(size):
    with pytest.raises(ShapeError, match="size="):
        image.resize(torch.zeros(3, 4, 4), size)


def test_an_unknown_crop_is_refused():
    with pytest.raises(ImageError, match="'centre'"):
        image.read(torch.zeros(3, 4, 4), crop="centre")


# -- looking and saving -------------------------------------------------------------------------


def test_grid_places_every_picture():
    x = torch.linspace(-1, 0.9, 5)[:, None, None, None].expand(5, 3, 4, 6)
    sheet = image.grid(x, columns=3, padding=2, background=1.0)
    assert sheet.shape == (3, 14, 26)
    for index in range(5):
        row, column = divmod(index, 3)
        place = sheet[:, 2 + 6 * row : 6 + 6 * row, 2 + 8 * column : 8 + 8 * column]
        assert (place == x[index, 0, 0, 0]).all()
    assert (sheet[:, 8:12, 18:24] == 1).all()
    assert image.grid(x[:2], columns=9).shape == (3, 8, 18)
    assert image.grid(x[:1], padding=0).equal(x[0])
    with pytest.raises(ShapeError, match="columns=0"):
        image.grid(x, columns=0)


def test_enlarge_repeats_pixels():
    x = torch.rand(2, 1, 3, 4)
    assert image.enlarge(x, 3)[:, :, 1::3, 2::3].equal(x)
    with pytest.raises(ShapeError, match="resize"):
        image.enlarge(x, 1.5)


def test_show_makes_small_pictures_visible_and_leaves_large_ones():
    assert image.show(torch.zeros(4, 3, 32, 32)).size == (262, 262)
    assert image.show(torch.zeros(64, 3, 64, 64)).size[0] <= 1100
    assert image.show(torch.zeros(3, 300, 300)).size == (304, 304)
    assert image.show([torch.zeros(3, 8, 8)] * 2, scale=1).size == (22, 12)


def test_captions_are_drawn_under_their_pictures_and_stay_there():
    x = torch.ones(2, 1, 64, 64)
    sheet = np.asarray(image.show(x, captions=["a", "a very long caption " * 9], scale=1))
    assert sheet.shape == (64 + 18 + 4, 2 * 66 + 2)
    assert (sheet[66:84, 2:66] < 128).any()
    assert (sheet[66:84, 68:132] < 128).any()
    assert (sheet[:66] == 255).all()
    assert (sheet[:, 132:] == 255).all()
    with pytest.raises(ShapeError, match="1 captions for 2"):
        image.show(x, captions=["a"])


@pytest.mark.parametrize("channels", [1, 3])
def test_encoding_and_saving(channels, tmp_path):
    x = torch.rand(channels, 16, 16) * 2 - 1
    assert np.array_equal(
        np.asarray(Image.open(io.BytesIO(image.encode_png(x)))).reshape(16, 16, channels),
        image.to_uint8(x)[0],
    )
    smooth = torch.linspace(-1, 1, 16).expand(channels, 16, 16)
    jpeg = image.read(image.encode_jpeg(smooth, quality=95))
    assert (jpeg - smooth.expand(3, 16, 16)).abs().mean() < 0.05
    for name in ("a.png", "a.JPG", "grid.png"):
        image.save(torch.stack([x, x]) if "grid" in name else x, tmp_path / name)
    assert image.read(tmp_path / "grid.png").shape == (1, 3, 20, 38)
    assert sorted(os.listdir(tmp_path)) == ["a.JPG", "a.png", "grid.png"]


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    image.save(torch.zeros(3, 4, 4), path)
    before = path.read_bytes()
    with pytest.raises(ImageError, match="NaN"):
        image.save(torch.full((3, 4, 4), float("nan")), path)

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(store.os, "replace", refuse)
    with pytest.raises(FileError, match=r"Permission denied.*read-only"):
        image.save(torch.ones(3, 4, 4), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


def test_what_cannot_be_written_says_so(tmp_path):
    with pytest.raises(ImageError, match=r"\.gif"):
        image.save(torch.zeros(3, 4, 4), tmp_path / "a.gif")
    with pytest.raises(FileError, match="folder exists"):
        image.save(torch.zeros(3, 4, 4), tmp_path / "no" / "a.png")
    with pytest.raises(ShapeError, match="PNG"):
        image.encode_jpeg(torch.zeros(1, 1, 70_000))


def test_a_figure_becomes_the_picture_that_it_shows() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1, 0.5), dpi=40, facecolor="red")
    FigureCanvasAgg(figure)
    picture = image.from_figure(figure)
    assert picture.shape == (1, 3, 20, 40)
    assert picture[0, :, 0, 0].tolist() == [1, -1, -1]
