from __future__ import annotations

import pytest

from benchmarks import meshes
from benchmarks.conftest import Timed
from benchmarks.metrics.cases import cases


@pytest.mark.parametrize("at", range(3), ids=["call", *meshes.ENGINES])
def test_metrics(timed: Timed, at: int) -> None:
    timed(cases()[at], "metrics")
