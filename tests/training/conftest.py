"""A cache of few small pictures, for training in miniature."""

from __future__ import annotations

from pathlib import Path

import pytest

from steerbench.training import pictures
from steerbench.training.pictures import Pictures


@pytest.fixture(scope="package")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "SHARD", 16)
        pictures.render(folder, 32, resolution=32, world_name="rooms")
    return folder


@pytest.fixture
def small(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Pictures:
    monkeypatch.setattr(pictures, "SHARD", 16)
    return Pictures(cache, with_masks=True)
