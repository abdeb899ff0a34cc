"""A picture that changes many times a second, with the original under it to compare.

Small pictures travel as PNG, which takes a millisecond there and loses nothing; larger ones as
JPEG, which is ten times quicker to make. Both are the same bytes for the same pixels, so a picture
that comes back comes back exactly.

The original lies over the picture, invisible, and is shown while the picture or an element of
class ``sb-compare`` in the same panel is held down. The browser does this alone (see
`steerbench.widgets.style`): at once, and also while the kernel is busy.
"""

from __future__ import annotations

import ipywidgets
from torch import Tensor

from steerbench.image import encode_jpeg, encode_png

LARGEST_PNG = 128
"""The longest side, in pixels, of what is sent as PNG."""
QUALITY = 92


class Picture(ipywidgets.Box):
    """One picture, enlarged to ``size`` pixels, and its original.

    Args:
        size: The width on the screen, in pixels.

    Attributes:
        data: The file that is shown now.
        original_data: The file that is shown while comparing.
    """

    def __init__(self, size: int = 384) -> None:
        self._shown = _image("sb-shown")
        self._original = _image("sb-original")
        layout = {"width": f"{size}px", "max_width": "100%"}
        super().__init__([self._shown, self._original], layout=layout)
        self.add_class("sb-picture")

    def show(self, image: Tensor) -> None:
        """Change the picture, ``[1, C, H, W]`` or ``[C, H, W]`` in [-1, 1]."""
        _send(self._shown, image)

    def show_original(self, image: Tensor) -> None:
        """Change what is seen while comparing."""
        _send(self._original, image)

    @property
    def data(self) -> bytes:
        return bytes(self._shown.value)

    @property
    def original_data(self) -> bytes:
        return bytes(self._original.value)


def encode(image: Tensor) -> tuple[str, bytes]:
    """The format and the bytes in which a picture travels.

    >>> import torch
    >>> encode(torch.zeros(3, 64, 64))[0], encode(torch.zeros(3, 256, 256))[0]
    ('png', 'jpeg')
    """
    if max(image.shape[-2:]) <= LARGEST_PNG:
        return "png", encode_png(image)
    return "jpeg", encode_jpeg(image, QUALITY)


def _image(name: str) -> ipywidgets.Image:
    image = ipywidgets.Image()  # without a tooltip, on which the browser's side of Image fails
    image.add_class(name)
    return image


def _send(widget: ipywidgets.Image, image: Tensor) -> None:
    kind, data = encode(image)
    with widget.hold_sync():
        widget.format = kind
        widget.value = data
