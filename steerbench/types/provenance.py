"""Where something came from: enough to find it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Provenance:
    """How something was found: enough to find it again.

    Attributes:
        method: The finder's name.
        hyperparameters: What it was given.
        generator: The generator's name.
        fingerprint: The generator's fingerprint.
        seed: Of the finder's random numbers.
        n_samples: How many samples it looked at.
        scores: What was measured of the result.
        reference: The paper.
        version: Of steerbench.
    """

    method: str = ""
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    generator: str = ""
    fingerprint: str = ""
    seed: int | None = None
    n_samples: int | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""
    version: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return plain

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Provenance:
        """The inverse of `to_json`; unknown keys of newer versions are left out."""
        known = {k: v for k, v in values.items() if k in cls.__dataclass_fields__}
        return cls(**known)
