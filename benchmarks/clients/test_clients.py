from __future__ import annotations

import pytest

from benchmarks.clients.cases import cases
from benchmarks.conftest import Timed


@pytest.mark.parametrize("at", range(6))
def test_clients(timed: Timed, at: int) -> None:
    with cases() as made:
        timed(made[at], "clients")
