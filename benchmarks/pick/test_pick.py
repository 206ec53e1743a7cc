from __future__ import annotations

import pytest

from benchmarks.case import Case
from benchmarks.conftest import Timed
from benchmarks.pick.cases import cases


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_pick(timed: Timed, case: Case) -> None:
    timed(case, "pick")
