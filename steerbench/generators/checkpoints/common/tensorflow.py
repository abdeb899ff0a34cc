"""What NVIDIA's pickles of the TensorFlow years are made of, read without TensorFlow.

A file holds the tuple ``(G, D, Gs)``, of which Gs is the average over training and the one to use.
Each is a ``Network``: its settings, its variables by name, the Python source of the function that
built it, which is never looked at, and the networks within it (``mapping``, ``synthesis``), whose
variables are found here as ``mapping/Dense0/weight``. Kernels lie as height, width, inputs,
outputs, and dense weights as inputs, outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from steerbench.errors import CheckpointError
from steerbench.generators.checkpoints.common.layers import four_taps
from steerbench.generators.checkpoints.safe.records import Record
from steerbench.generators.checkpoints.weights import Weights


@dataclass(frozen=True, eq=False)
class Network:
    """One network of a file.

    Attributes:
        settings: What it was built with; the settings of its parts give way to its own.
        function: The name of the function that built it.
    """

    settings: Mapping[str, Any]
    function: str

    def number(self, name: str, default: float) -> float:
        """Return a setting that is a number.

        Raises:
            CheckpointError: It is something else.
        """
        value = self.settings.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CheckpointError(f"The setting {name} is {str(value)[:40]!r}, not a number.")
        return float(value)

    def expect(self, **usual: Any) -> None:
        """Refuse a network whose settings are not the usual ones.

        Raises:
            CheckpointError: One of them is another.
        """
        for name, value in usual.items():
            given = self.settings.get(name, value)
            if not isinstance(given, bool | int | float | str) or given != value:
                raise CheckpointError(
                    f"The network was made with {name} = {str(given)[:40]!r}; only {value!r} is "
                    "read. Build it with its authors' code and use sb.wrap."
                )


def network(module: Record) -> Network:
    """Return what a network's record says of it besides its variables."""
    return Network(_settings(module), str(module.get("build_func_name")))


def _settings(record: Record) -> dict[str, Any]:
    parts, own = record.get("components"), record.get("static_kwargs")
    settings: dict[str, Any] = {}
    for part in parts.values() if isinstance(parts, dict) else ():
        inner = part.get("static_kwargs") if isinstance(part, Record) else None
        settings |= inner if isinstance(inner, dict) else {}
    return settings | (own if isinstance(own, dict) else {})


def level_of_detail(weights: Weights) -> float:
    """Return how far a network that grows still is from its last resolution; 0 where it is there.

    The variable is the network's own, or that of its synthesis.
    """
    found = [float(weights.scalar(n)) for n in ("synthesis/lod", "lod") if n in weights]
    return found[0] if found else 0.0


def kernel(weight: Tensor) -> Tensor:
    """Return a kernel of height, width, inputs, outputs as outputs, inputs, height, width."""
    return weight.permute(3, 2, 0, 1)


def low_pass(taps: Any) -> Tensor:
    """Return a filter ``[taps, taps]`` that sums to one, from a setting that lists its taps."""
    line = torch.from_numpy(np.array(taps, dtype=np.float32))
    square = torch.outer(line, line) if line.ndim == 1 else line
    return square / square.sum()


def resample_filter(network: Network) -> Tensor:
    """Return the filter of StyleGAN2's layers that change the resolution, as four by four taps."""
    taps = network.settings.get("resample_kernel", [1, 3, 3, 1])
    return four_taps(low_pass([1, 1] if taps is None else taps))


def bound(network: Network) -> float | None:
    """Return the bound on activations, where there is one."""
    given = network.settings.get("conv_clamp")
    return None if given is None else network.number("conv_clamp", 0.0)


__all__ = [
    "Network",
    "bound",
    "kernel",
    "level_of_detail",
    "low_pass",
    "network",
    "resample_filter",
]
