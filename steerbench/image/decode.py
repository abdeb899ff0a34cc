"""Anybody's picture, as plain RGB bytes.

`decode` is the first half of `steerbench.image.read`. Pictures come from strangers, in any mode,
depth, orientation and size, or as garbage; the answer is a right picture or an `ImageError` that
says what was wrong.

- Transparent pixels are laid on white; of an animation the first frame is taken.
- The EXIF orientation is applied, so that a photograph stands as its photographer saw it.
- Bytes are divided by 255, 16-bit samples by 65535. Where the depth is left open (Pillow's modes
  I and F, arrays of floats or wide integers), it is the smallest of 1 (floats only), 8, 16 and
  31 bits that holds the brightest sample.
- The size is read from the file's header and refused above `MAX_PIXELS` before decoding. Only
  formats that Pillow decodes by itself are tried: EPS, for one, would start another program.

>>> decode(np.zeros((2, 3), dtype=np.uint16)).shape
(2, 3, 3)
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from steerbench.errors import (
    FileError,
    ImageError,
    MissingFileError,
    ShapeError,
    closest,
)

MAX_PIXELS = 100_000_000
"""The largest picture that is decoded, in pixels."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "ICO")
"""The formats that are accepted, by Pillow's names."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode(source: Any, *, still: bool = False, side: int | None = None) -> np.ndarray:
    """Decode one picture to uint8 RGB [H, W, 3].

    Args:
        source: a path, the bytes of a file, a Pillow image, an array [H, W] or [H, W, 1 to 4]
            (floats in [0, 1]), or what an ipywidgets FileUpload gives (its value, or one of its
            dictionaries).
        still: refuse an animation instead of taking its first frame.
        side: refuse a picture with a longer side than this, in pixels, before decoding it.

    Raises:
        NotFoundError: there is no such file.
        FileError: the file cannot be opened.
        ImageError: this is not a picture, it is damaged, or it is larger than `MAX_PIXELS`.
        ShapeError: an array has another shape.
    """
    if isinstance(source, np.ndarray):
        image = _from_array(source)
        _check_kind(image, "an array", still, side)
        return _flatten(image)
    if isinstance(source, Image.Image):
        return _from_pillow(source, "the Pillow image", still, side)
    if isinstance(source, (str, os.PathLike)):
        name = f"{os.fspath(source)!r}"
        return _from_bytes(_read_file(Path(source)), name, still, side)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _from_bytes(bytes(source), f"a file of {len(source)} bytes", still, side)
    if isinstance(source, Mapping) and "content" in source:
        name = f"the upload {source.get('name')!r}"
        return _from_bytes(bytes(source["content"]), name, still, side)
    if isinstance(source, Sequence) and len(source) == 1:
        return decode(source[0], still=still, side=side)
    raise ImageError(
        f"Got a {type(source).__name__}, expected one picture: a path, the bytes of a file, a "
        "Pillow image, an array [H, W, C] or an upload."
    )


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        names = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        raise MissingFileError(
            f"There is no file {str(path)!r}. {closest(path.name, names)}"
        ) from error
    except (OSError, ValueError) as error:
        raise FileError(
            f"Cannot read {str(path)!r}: {error}. Check that it is a file and may be read."
        ) from error


def _from_bytes(data: bytes, name: str, still: bool, side: int | None) -> np.ndarray:
    if not data:
        raise ImageError(f"Got {name}, which is empty; a picture was expected. Fetch it again.")
    Image.init()
    formats = [kind for kind in FORMATS if kind in Image.OPEN]
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            return _from_pillow(image, name, still, side)
    except Image.DecompressionBombError as error:
        raise _size_error(name, str(error)) from error
    except ImageError:
        raise
    except Image.UnidentifiedImageError as error:
        raise ImageError(
            f"Got {name}, which is not a picture of a known format. "
            f"Save it as one of {', '.join(FORMATS)}."
        ) from error
    except Exception as error:
        raise _damage(name, error) from error


def _check_kind(image: Image.Image, name: str, still: bool, side: int | None) -> None:
    """Refuse animations and strips where they are not wanted."""
    if side is not None and max(image.size) > side:
        raise ImageError(
            f"Got {name}, which is {image.width} x {image.height} pixels; a side may have {side}. "
            "Cut out the part that is meant."
        )
    # A phone's MPO is one photograph that carries smaller copies of itself.
    frames = getattr(image, "n_frames", 1) if still and image.format != "MPO" else 1
    if frames > 1:
        raise ImageError(
            f"Got {name}, an animation of {frames} pictures; one was expected. Save the one that "
            "is meant, as PNG."
        )


def _from_pillow(
    image: Image.Image, name: str, still: bool = False, side: int | None = None
) -> np.ndarray:
    if image.width * image.height > MAX_PIXELS:
        raise _size_error(name, f"{image.width} x {image.height} pixels")
    if image.width * image.height == 0:
        raise ImageError(f"Got {name}, which has no pixels ({image.width} x {image.height}).")
    _check_kind(image, name, still, side)
    try:
        image.load()
        upright = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        pixels = _flatten(image)
    except ImageError:
        raise
    except Exception as error:
        raise _damage(name, error) from error
    if upright is None:
        return pixels
    return np.asarray(Image.fromarray(pixels).transpose(upright))


def _flatten(image: Image.Image) -> np.ndarray:
    """Turn any mode to RGB on white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_to_bytes(np.asarray(image)))
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"))


def _from_array(array: np.ndarray) -> Image.Image:
    given = list(array.shape)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4) or array.size == 0:
        raise ShapeError(f"Got an array {given}, expected [H, W] or [H, W, C] with C from 1 to 4.")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise _size_error("an array", f"{given}")
    if array.dtype.kind not in "buif":
        raise ImageError(f"Got an array of {array.dtype}, expected numbers.")
    pixels = _to_bytes(array)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _to_bytes(samples: np.ndarray) -> np.ndarray:
    """Turn samples of any depth to bytes; 16-bit ones keep their own black and white."""
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype == np.bool_:
        return samples.astype(np.uint8) * np.uint8(255)
    whites = [255.0, 65535.0, 2.0**31 - 1]
    if samples.dtype.kind == "f":
        whites = [1.0, 255.0, 65535.0]
    if samples.dtype == np.uint16:
        whites = [65535.0]
    lowest, highest = float(samples.min()), float(samples.max())
    white = next((white for white in whites if highest <= white), None)
    if white is None or not lowest >= 0:
        raise ImageError(
            f"Got samples of {samples.dtype} from {lowest:g} to {highest:g}, expected numbers "
            f"from 0 to one of {', '.join(f'{white:g}' for white in whites)}. A picture in "
            "[-1, 1] is passed as a tensor [C, H, W]."
        )
    return (samples.astype(np.float64) * (255 / white)).round().astype(np.uint8)


def _damage(name: str, error: Exception) -> ImageError:
    # Of any kind: Pillow's decoders let nearly every exception through on damaged data.
    return ImageError(
        f"Got {name}, which is damaged or cannot be converted ({type(error).__name__}: {error}). "
        "Open it in a picture program and save it again, as PNG."
    )


def _size_error(name: str, found: str) -> ImageError:
    return ImageError(
        f"Got {name}: {found}, at most {MAX_PIXELS // 10**6} million pixels are decoded. "
        "Reduce it in a picture program first."
    )
