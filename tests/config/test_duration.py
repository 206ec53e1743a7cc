"""Durations in Go's syntax."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.config import duration

UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0), ("1.5s", 1.5), ("100ms", 0.1), ("1m", 60.0), ("1h30m", 5400.0), ("500us", 0.0005), ("500µs", 0.0005),
        ("-1s", -1.0), ("+2s", 2.0), ("0", 0.0), ("-0", 0.0), ("0s", 0.0), ("1.s", 1.0), (".5s", 0.5), ("1ns", 1e-9),
        ("2562047h47m16s", 9223372036.0), ("1h1h", 7200.0),
    ],
)  # fmt: skip
def test_seconds(text: str, seconds: float) -> None:
    assert duration.seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not a duration"), ("10", "no unit"), ("1d", "unknown unit 'd'"), ("s", "not a duration"), (".s", "not a duration"),
        ("1 s", "unknown unit ' s'"), ("1s ", "not a duration"), ("--1s", "not a duration"), ("1S", "unknown unit 'S'"),
        ("2562047h47m17s", "out of range"), ("1e3s", "unknown unit 'e'"), ("-", "not a duration"), ("\u0661s", "not a duration"),
    ],
)  # fmt: skip
def test_what_is_no_duration(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        duration.seconds(text)


@pytest.mark.parametrize(
    ("text", "strict", "free"),
    [
        ("1ms", "", ""), ("0s", "too short", ""), ("999us", "too short", ""), ("1.5ms", "not a whole number of milliseconds", ""),
        ("-1s", "too short", ""), ("1.0005s", "not a whole number of milliseconds", ""), ("x", "not a duration", "not a duration"),
    ],
)  # fmt: skip
def test_rules_of_the_model(text: str, strict: str, free: str) -> None:
    for rule, wanted in (("whole milliseconds", strict), ("any", free)):
        complaint = duration.complaint(text, rule)
        assert wanted in complaint
        assert bool(wanted) is bool(complaint)


@given(st.lists(st.tuples(st.integers(0, 10**5), st.sampled_from(list(UNITS))), min_size=1, max_size=4), st.booleans())
def test_terms_add_up(terms: list[tuple[int, str]], negative: bool) -> None:
    text = ("-" if negative else "") + "".join(f"{number}{unit}" for number, unit in terms)
    total = sum(number * UNITS[unit] for number, unit in terms)
    assert duration.nanoseconds(text) == (-total if negative else total)


@given(st.text(alphabet="0123456789.smhnu-+ d", max_size=8))
def test_any_text_is_a_number_or_an_error(text: str) -> None:
    try:
        length = duration.seconds(text)
    except ValueError as error:
        complaint = str(error)
        length = 0.0
    else:
        complaint = ""
    assert isinstance(length, float)
    assert not complaint or repr(text) in complaint
