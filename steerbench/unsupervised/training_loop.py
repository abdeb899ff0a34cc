"""Many small steps of an optimiser, in a run that can be broken off and taken up again.

All that a step draws comes from its number, so that nothing has to be remembered but the
parameters, what the optimiser remembers of them, and how many steps are done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from steerbench import store
from steerbench.runs import RunFile


def draw_source(seed: int, step: int) -> torch.Generator:
    """Return the random numbers of one step."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


def build_module(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """Make a module that draws its first weights from a seed, and disturb nobody's draws."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def run(
    module: nn.Module,
    optimiser: torch.optim.Optimizer,
    step: Callable[[int], Sequence[float]],
    n_steps: int,
    file: RunFile,
    *,
    names: Sequence[str],
    title: str,
) -> pd.DataFrame:
    """Run steps from where a file says, and keep in it how far they are.

    Args:
        module: All that is learned.
        optimiser: Of its parameters.
        step: Takes a step by its number, and gives what is worth watching, one number a name.
        n_steps: How many in all.
        file: Of the run.
        names: Of the numbers.
        title: Of the progress bar.

    Returns:
        A table, one row a step: ``step`` and the numbers.
    """
    known = file.read()
    history = known.get("history", torch.zeros(0, len(names), dtype=torch.float64))
    if known:
        module.load_state_dict(store.under(known, "module."))
        store.restore_optimiser(optimiser, store.under(known, "optimiser."))
    rows = history.tolist()

    def tensors() -> dict[str, Tensor]:
        kept = {f"module.{k}": v for k, v in module.state_dict().items()}
        kept |= {f"optimiser.{k}": v for k, v in store.optimiser_tensors(optimiser).items()}
        return kept | {"history": torch.tensor(rows, dtype=torch.float64).reshape(-1, len(names))}

    with tqdm(total=n_steps, initial=len(rows), desc=title, unit="step", delay=1) as progress:
        for index in range(len(rows), n_steps):
            rows.append([float(value) for value in step(index)])
            progress.set_postfix({k: f"{v:.3g}" for k, v in zip(names, rows[-1])}, refresh=False)
            progress.update()
            file.write(tensors)
    if len(rows) > len(history):
        file.write(tensors, now=True)
    table = pd.DataFrame(rows, columns=list(names))
    table.insert(0, "step", range(len(rows)))
    return table
