from __future__ import annotations

import pytest

from benchmarks import meshes
from benchmarks.conftest import Timed
from benchmarks.update.cases import cases


@pytest.mark.parametrize("size", meshes.SIZES)
@pytest.mark.parametrize(
    "at", range(4), ids=[f"{what}-{engine}" for engine in meshes.ENGINES for what in ("endpoint", "document")]
)
def test_update(timed: Timed, size: int, at: int) -> None:
    timed(cases(size)[at], f"update {size}")
