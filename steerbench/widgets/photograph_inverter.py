"""Upload a photograph and watch a generator find its code.

>>> import torch
>>> import steerbench as sb
>>> G = sb.wrap(torch.nn.Sequential(torch.nn.ConvTranspose2d(8, 3, 8)), latent_shape=(8, 1, 1))
>>> panel = PhotographInverter(G, n_steps=5)
>>> panel.invert(torch.zeros(1, 3, 8, 8))
>>> panel.inversion.images.shape
torch.Size([1, 3, 8, 8])

In a notebook the last line of a cell shows it. The photograph is on the left, what the generator
draws of it on the right; *Stop* keeps what was found so far. A file that is no picture is refused
in words, and what was found before stays.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import ipywidgets
from torch import Tensor

from steerbench.errors import ArgumentError
from steerbench.generators import BaseGenerator
from steerbench.inversion import (
    Inversion,
    OptimisationConfig,
    OutOfDomainWarning,
    PhotoFit,
    invert,
)
from steerbench.widgets.latest_worker import LatestWorker
from steerbench.widgets.notice import Notice
from steerbench.widgets.picture import Picture
from steerbench.widgets.style import button, column, row, style_sheet

CROPS = [("the middle", "center"), ("all of it, squeezed", "none")]
FRAME_SECONDS = 0.2
"""How often the picture is sent anew while it is searched for."""


class PhotographInverter(ipywidgets.VBox):
    """An upload button, the photograph, and what the generator makes of it.

    Args:
        generator: What draws the pictures.
        n_steps: How many at most.
        space: Where to search; None for the default of `sb.invert`.
        size: The width of each picture on the screen, in pixels.
        options: Passed on to `sb.invert`.

    Attributes:
        inversion: What was found last, or None.
        upload: The button.
        notice: Says what went wrong, and how near the picture is.
    """

    def __init__(
        self,
        generator: BaseGenerator,
        *,
        n_steps: int = 100,
        space: str | None = None,
        size: int = 192,
        **options: Any,
    ) -> None:
        self.generator = generator
        given = {"n_steps": n_steps, "space": space, "config": OptimisationConfig(precision="fast")}
        self.options = given | options
        self.inversion: Inversion | None = None
        self._photograph: Any = None
        self._stopped = False
        self._turn = LatestWorker(self._search)
        self.upload = ipywidgets.FileUpload(accept="image/*", multiple=False)
        self.crop = ipywidgets.Dropdown(options=CROPS, description="Keep")
        self.stop = button("Stop", "stop", "Keep what was found so far")
        self.stop.disabled = True
        self.notice = Notice()
        self.wanted, self.found = Picture(size), Picture(size)
        self.upload.observe(self._on_upload, "value")
        self.crop.observe(lambda change: self._again(), "value")
        self.stop.on_click(lambda clicked: self._end())
        tools = row(self.upload, self.crop, self.stop)
        pictures = row(self.wanted, self.found)
        super().__init__([style_sheet(), column([tools, pictures, self.notice])])
        self.add_class("sb-panel")

    def invert(self, photograph: Any) -> None:
        """Search the code of a photograph, and wait for it.

        Args:
            photograph: Whatever `sb.invert` takes for one picture.
        """
        self._photograph = photograph
        self._again()
        self.wait()

    def wait(self, seconds: float | None = None) -> bool:
        """Until the search has ended; whether it did in time."""
        return self._turn.wait(seconds)

    def _on_upload(self, change: Any) -> None:
        if change["new"]:
            self._photograph = change["new"][0]
            self._again()

    def _again(self) -> None:
        if self._photograph is not None:
            self._stopped = False
            self._turn.wake()

    def _end(self) -> None:
        self._stopped = True

    def _search(self) -> None:
        photograph, crop, sent = self._photograph, self.crop.value, time.monotonic()

        def watch(step: int, images: Tensor, losses: Tensor) -> bool:
            nonlocal sent
            if step == 0 or time.monotonic() - sent > FRAME_SECONDS:
                best = int(losses.nan_to_num(float("inf")).argmin())
                self.found.show(images[best])
                sent = time.monotonic()
            newer = self._photograph is not photograph or self.crop.value != crop
            return not (self._stopped or newer)

        self.stop.disabled = False
        self.notice.clear()
        with self.notice.guard(), warnings.catch_warnings():
            warnings.simplefilter("ignore", OutOfDomainWarning)  # the notice says it
            found = invert(
                self.generator,
                photograph,
                photo=PhotoFit(crop),
                callback=watch,
                **self.options,
            )
            if len(found) != 1:
                raise ArgumentError(f"{len(found)} pictures were given. Give one at a time.")
            self._show(found)
        self.stop.disabled = True

    def _show(self, found: Inversion) -> None:
        self.inversion, row = found, found.report.iloc[0]
        self.wanted.show(found.wanted)
        self.found.show(found.images)
        self.found.show_original(found.wanted)
        ended = "" if found.ended == "finished" else " Stopped early."
        strange = (
            " It is unlike anything that this model draws, so expect another picture."
            if row["ood_score"] > 1
            else ""
        )
        self.notice.tell(
            f"PSNR {row['psnr']:.1f} dB, SSIM {row['ssim']:.2f}, {found.seconds:.1f} s."
            f"{ended}{strange}"
        )
