"""StyleGAN3's sampling rates and low-pass filters: the plan by which its layers treat signals.

Activations stand for a continuous signal. Layer ``i`` passes frequencies up to its cutoff ``f_c``
and stops them from ``f_t`` on; both grow geometrically with ``i``, and the sampling rate ``s`` is
the least power of two that holds ``f_t``:

    f_c[i] = f_c0 (f_cN / f_c0)^e      f_t[i] = f_t0 (f_tN / f_t0)^e
    e = min(i / (N - n_critical), 1)   s[i] = 2^ceil(log2(min(2 f_t[i], resolution)))

The transition band of a layer's filter has the half width ``max(f_t[i], s[i] / 2) - f_c[i]``.

Frequencies and rates are per width of the picture; a canvas is larger than the picture by a margin
on each side. The filters are windowed by Kaiser's window: a sinc in each dimension, or for
configuration R a jinc, the same in all directions.

Reference: Karras, Aittala, Laine, Härkönen, Hellsten, Lehtinen, Aila, "Alias-Free Generative
Adversarial Networks" (2021, arXiv 2106.12423), section 3 and appendix C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class InputPlan:
    """The Fourier features: how many, on a canvas of which size and rate, below which cutoff."""

    channels: int
    size: int
    rate: float
    bandwidth: float


@dataclass(frozen=True)
class LayerPlan:
    """One layer: its channels and kernel, its canvases, and the rates and bands between them.

    Attributes:
        name: As in published files.
        inputs: Channels of what it reads.
        outputs: Channels of what it gives.
        kernel: Height and width of its convolution.
        in_size: Height and width of what it reads, with margins.
        out_size: Of what it gives.
        in_rate: Samples a picture's width, of what it reads.
        out_rate: Of what it gives.
        rate: Of the signal that the rectifier sees.
        in_cutoff: The frequency that the upsampling filter passes.
        out_cutoff: The frequency that the downsampling filter passes.
        in_half_width: Half the width of the former's transition band.
        out_half_width: Half the width of the latter's.
        up_taps: Length of the upsampling filter; 1 for none.
        down_taps: Length of the downsampling filter; 1 for none.
        radial: Whether the downsampling filter is the same in all directions.
        paints: Whether it gives the picture: neither rectified nor demodulated.
        clamp: The bound on activations, where there is one.
    """

    name: str
    inputs: int
    outputs: int
    kernel: int
    in_size: int
    out_size: int
    in_rate: int
    out_rate: int
    rate: int
    in_cutoff: float
    out_cutoff: float
    in_half_width: float
    out_half_width: float
    up_taps: int
    down_taps: int
    radial: bool = False
    paints: bool = False
    clamp: float | None = 256.0

    @property
    def up(self) -> int:
        """The factor by which the signal is upsampled."""
        return self.rate // self.in_rate

    @property
    def down(self) -> int:
        """The factor by which it is downsampled again."""
        return self.rate // self.out_rate

    @property
    def fine_size(self) -> int:
        """Height and width of the upsampled signal."""
        return (self.out_size - 1) * self.down + self.down_taps

    @property
    def first(self) -> int:
        """Where the upsampled signal begins in the full convolution with the upsampling filter.

        The centres of both canvases coincide: half of what is too much is cut off before.
        """
        given = (self.in_size + self.kernel - 1) * self.up
        padding = self.fine_size + self.up_taps - 1 - given
        return self.up_taps - 1 - (padding + self.up) // 2

    def up_filter(self) -> Tensor | None:
        """Return the upsampling filter ``[up_taps]``."""
        return lowpass(self.up_taps, self.in_cutoff, 2 * self.in_half_width, self.rate)

    def down_filter(self) -> Tensor | None:
        """Return the downsampling filter, ``[down_taps]`` or radial ``[down_taps, down_taps]``."""
        design = radial_lowpass if self.radial else lowpass
        return design(self.down_taps, self.out_cutoff, 2 * self.out_half_width, self.rate)


def plan_layers(
    resolution: int,
    *,
    channels: int = 3,
    channel_base: int = 32768,
    channel_max: int = 512,
    num_layers: int = 14,
    num_critical: int = 2,
    first_cutoff: float = 2.0,
    first_stopband: float = 2**2.1,
    last_stopband_rel: float = 2**0.3,
    margin_size: int = 10,
    conv_kernel: int = 3,
    filter_size: int = 6,
    lrelu_upsampling: int = 2,
    use_radial_filters: bool = False,
    conv_clamp: float | None = 256.0,
) -> tuple[InputPlan, list[LayerPlan]]:
    """Return the layers of a network with these settings, which are named as in published code.

    The defaults are configuration T; configuration R has ``conv_kernel=1``,
    ``use_radial_filters=True`` and twice the channels.

    >>> first, layers = plan_layers(256)
    >>> [layer.name for layer in layers][-3:]
    ['L12_276_128', 'L13_256_128', 'L14_256_3']
    """
    step = np.minimum(np.arange(num_layers + 1) / (num_layers - num_critical), 1)
    cutoff = _between(first_cutoff, resolution / 2, step)
    stopband = _between(first_stopband, last_stopband_rel * resolution / 2, step)
    rate = np.array([_power_of_two(min(2 * band, resolution)) for band in stopband])
    half_width = np.maximum(stopband, rate / 2) - cutoff
    size = [*(rate[:-2] + 2 * margin_size), resolution, resolution]
    width = [*np.rint(np.minimum(channel_base / 2 / cutoff[:-1], channel_max)), channels]
    layers = []
    for here in range(num_layers + 1):
        before, paints = max(here - 1, 0), here == num_layers
        finest = int(max(rate[before], rate[here])) * (1 if paints else lrelu_upsampling)
        up, down = finest // rate[before], finest // rate[here]
        layer = LayerPlan(
            name=f"L{here}_{size[here]}_{int(width[here])}",
            inputs=int(width[before]),
            outputs=int(width[here]),
            kernel=1 if paints else conv_kernel,
            in_size=int(size[before]),
            out_size=int(size[here]),
            in_rate=int(rate[before]),
            out_rate=int(rate[here]),
            rate=finest,
            in_cutoff=float(cutoff[before]),
            out_cutoff=float(cutoff[here]),
            in_half_width=float(half_width[before]),
            out_half_width=float(half_width[here]),
            up_taps=int(filter_size * up) if up > 1 and not paints else 1,
            down_taps=int(filter_size * down) if down > 1 and not paints else 1,
            radial=use_radial_filters and here < num_layers - num_critical,
            paints=paints,
            clamp=conv_clamp,
        )
        layers.append(layer)
    return InputPlan(int(width[0]), int(size[0]), float(rate[0]), float(cutoff[0])), layers


def _between(first: float, last: float, step: np.ndarray) -> np.ndarray:
    """Go from the first number to the last, geometrically, at steps from 0 to 1."""
    return first * (last / first) ** step


def _power_of_two(least: float) -> int:
    return 2 ** math.ceil(math.log2(least))


def kaiser(taps: int, width: float, rate: float) -> np.ndarray:
    """Return Kaiser's window ``[taps]`` for a transition band of this width.

    Args:
        taps: How many.
        width: Of the transition band.
        rate: The sampling rate.

    Reference: Kaiser, "Nonrecursive Digital Filter Design Using the I0-sinh Window Function"
    (1974, IEEE International Symposium on Circuits and Systems).
    """
    attenuation = 2.285 * (taps - 1) * math.pi * width / (rate / 2) + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation > 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    return np.kaiser(taps, beta)


def lowpass(taps: int, cutoff: float, width: float, rate: float) -> Tensor | None:
    """Return a windowed sinc ``[taps]`` that sums to one; none for a single tap.

    Args:
        taps: How many.
        cutoff: The frequency where the pass band ends.
        width: Of the transition band.
        rate: The sampling rate.
    """
    if taps == 1:
        return None
    places = (np.arange(taps) - (taps - 1) / 2) / rate
    line = np.sinc(2 * cutoff * places) * kaiser(taps, width, rate)
    return torch.tensor(line / line.sum(), dtype=torch.float32)


def radial_lowpass(taps: int, cutoff: float, width: float, rate: float) -> Tensor | None:
    """Return a windowed jinc ``[taps, taps]`` that sums to one; none for a single tap.

    Args:
        taps: How many.
        cutoff: The frequency where the pass band ends.
        width: Of the transition band.
        rate: The sampling rate.
    """
    if taps == 1:
        return None
    # Here, because most networks have no such filter, and loading any should be quick.
    from scipy.special import j1

    places = (np.arange(taps) - (taps - 1) / 2) / rate
    radius = np.maximum(np.hypot(places[:, None], places), 1e-12)
    window = kaiser(taps, width, rate)
    disc = j1(2 * cutoff * math.pi * radius) / radius * np.outer(window, window)
    return torch.tensor(disc / disc.sum(), dtype=torch.float32)


__all__ = ["InputPlan", "LayerPlan", "lowpass", "plan_layers", "radial_lowpass"]
