from __future__ import annotations

import pytest

from benchmarks.instructions import Counts, compare

_HERE = {"rustc": "1.95", "valgrind": "3.19"}


@pytest.mark.parametrize(
    ("counted", "elsewhere", "good"),
    [
        ({"find": 100.0, "pick": 50.0}, False, True),
        ({"find": 102.9, "pick": 20.0}, False, True),
        ({"find": 103.1, "pick": 50.0}, False, False),
        ({"find": 119.0, "pick": 50.0}, True, True),
        ({"find": 121.0, "pick": 50.0}, True, False),
        ({"find": 100.0}, False, False),
        ({"find": 100.0, "pick": 50.0, "route": 1.0}, False, False),
    ],
    ids=["equal", "within", "beyond", "within, otherwise compiled", "beyond, otherwise compiled", "missing", "new"],
)
def test_counts_are_held_within_a_tolerance(counted: dict[str, float], elsewhere: bool, good: bool) -> None:
    recorded = Counts(_HERE, {"find": 100.0, "pick": 50.0})
    said: list[str] = []
    now = Counts({**_HERE, "rustc": "1.96"} if elsewhere else _HERE, counted)
    assert compare(now, recorded, said.append) is good
    assert any("--record" in line for line in said) is not good
