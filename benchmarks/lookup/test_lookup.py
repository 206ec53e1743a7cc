from __future__ import annotations

import pytest

from benchmarks import meshes
from benchmarks.conftest import Timed
from benchmarks.lookup.cases import cases


@pytest.mark.parametrize("size", meshes.SIZES)
@pytest.mark.parametrize("cold", [False, True], ids=["hot", "cold"])
@pytest.mark.parametrize("at", range(3), ids=["dict", *meshes.ENGINES])
def test_lookup(timed: Timed, size: int, cold: bool, at: int) -> None:
    timed(cases(size, cold=cold)[at], f"lookup {size} {'cold' if cold else 'hot'}")
