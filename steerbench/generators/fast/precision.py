"""What "fast" means on this machine: measured once, not guessed.

Half precision halves the memory traffic everywhere, and on processors with instructions for it
(AMX, AVX512-BF16, a GPU's tensor cores) multiplies the arithmetic; on others it is emulated and
slower than float32. Which ones those are, a small convolution tells in some milliseconds.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F

from steerbench.generators.fast import tuning
from steerbench.timing import best_of


@cache
def fast_dtype(device: str) -> torch.dtype | None:
    """Return half precision that pictures are fast in on a kind of device; none where float32 is.

    On CUDA bfloat16, or float16 on cards before it; on MPS float16.
    """
    if device == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float16
    if device == "mps":
        return torch.float16
    quicker = _seconds(torch.bfloat16) < _seconds(torch.float32)
    return torch.bfloat16 if quicker else None


@torch.no_grad()
def _seconds(dtype: torch.dtype) -> float:
    """Return the least time of a convolution on the CPU, of a size as in mid-network."""
    x = torch.ones(1, 64, 64, 64, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3, dtype=dtype).contiguous(memory_format=torch.channels_last)
    # The first try also prepares the kernel.
    return best_of(lambda: F.conv2d(x, weight, padding=1), 1 + tuning.TUNING.tries)
