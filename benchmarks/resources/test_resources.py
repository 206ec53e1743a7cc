from __future__ import annotations

import pytest

from benchmarks import meshes
from benchmarks.conftest import Timed
from benchmarks.resources.cases import cases


@pytest.mark.parametrize("size", [size for size in meshes.SIZES if size <= 10_000])
@pytest.mark.parametrize("at", range(3), ids=["PyYAML", "cold", "changed"])
def test_resources(timed: Timed, size: int, at: int) -> None:
    timed(cases(size)[at], f"resources {size}")
