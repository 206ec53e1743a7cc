"""`pytest benchmarks` runs the same cases under pytest-benchmark, a group for each question and size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

from benchmarks.case import Case

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

Timed: TypeAlias = Callable[[Case, str], None]


@pytest.fixture
def timed(benchmark: BenchmarkFixture) -> Timed:
    """Time one case; `group` is the question and size it belongs to."""

    def run(case: Case, group: str) -> None:
        benchmark.group = group
        benchmark.name = case.name
        benchmark.extra_info["operations"] = case.operations
        benchmark.pedantic(  # type: ignore[no-untyped-call]
            case.run, setup=lambda: ((case.prepare(),), {}), rounds=5, warmup_rounds=1
        )

    return run
