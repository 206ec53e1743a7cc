"""One name over time, by the rules of Envoy's DNS clusters and the policies beyond them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadstead.dns import Answer, Policy
from roadstead.dns.names import NameState

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
FAIL = None
NONE = Answer(())


def told(policy: Policy, *said: tuple[float, Answer | None], draw: float = 0.0) -> NameState:
    """A state after these words at these times."""
    state = NameState(policy)
    for now, answer in said:
        if answer is None:
            state.failed("SERVFAIL", now, draw)
        else:
            state.took(answer, now, draw)
    return state


TWO, OTHER = Answer((A, B), 30), Answer((C, A), 30)
STALE = Policy(stale_if_error=100)
GRACE = Policy(grace=20)
# (policy, what was said, at, all addresses, the first)
VIEWS = [
    (Policy(), [], 0, (), ()),
    (Policy(), [(0, TWO)], 1, (A, B), (A,)),
    (Policy(), [(0, TWO), (30, OTHER)], 31, (A, C), (C,)),
    (Policy(), [(0, TWO), (30, Answer((B, A), 30))], 31, (A, B), (B,)),
    # A failure keeps what there was, for ever; no such name empties STRICT_DNS alone.
    (Policy(), [(0, TWO), (30, FAIL)], 1e9, (A, B), (A,)),
    (Policy(), [(0, TWO), (30, NONE)], 31, (), (A,)),
    (Policy(), [(0, FAIL)], 1, (), ()),
    (Policy(), [(0, NONE), (60, TWO)], 61, (A, B), (A,)),
    (STALE, [(0, TWO), (30, NONE)], 99, (A, B), (A,)),
    (STALE, [(0, TWO), (30, NONE)], 100, (), ()),
    (STALE, [(0, TWO), (30, FAIL)], 99, (A, B), (A,)),
    (STALE, [(0, TWO), (30, FAIL)], 100, (), ()),
    (STALE, [(0, TWO), (30, FAIL), (90, TWO)], 189, (A, B), (A,)),
    (STALE, [(0, TWO), (150, OTHER)], 151, (A, C), (C,)),
    (GRACE, [(0, TWO), (30, OTHER)], 49, (A, C, B), (C,)),
    (GRACE, [(0, TWO), (30, OTHER)], 50, (A, C), (C,)),
    (GRACE, [(0, TWO), (30, OTHER), (40, TWO)], 41, (A, B, C), (A,)),
    (GRACE, [(0, TWO), (30, NONE)], 40, (A, B), (A,)),
    (GRACE, [(0, TWO), (30, NONE)], 50, (), (A,)),
]


@pytest.mark.parametrize(("policy", "said", "at", "addresses", "first"), VIEWS)
def test_what_a_name_means(
    policy: Policy,
    said: list[tuple[float, Answer | None]],
    at: float,
    addresses: tuple[str, ...],
    first: tuple[str, ...],
) -> None:
    state = told(policy, *said)
    assert (state.addresses(at), state.first(at)) == (addresses, first)


BACK_OFF = Policy(failure_base=0.5, failure_max=3)
# (policy, what was said, draw, asked again so many seconds after the last word)
DUE = [
    (Policy(), [(0, TWO)], 0.0, 30),
    (Policy(), [(0, TWO)], 0.5, 30.05),
    (Policy(), [(0, Answer((A,), 0))], 0.5, 60.05),
    (Policy(), [(0, NONE)], 0.0, 60),
    (Policy(), [(0, FAIL)], 0.5, 60),
    (Policy(refresh=7), [(0, FAIL)], 0.5, 7),
    (Policy(ttl_floor=40), [(0, TWO)], 0.0, 40),
    (Policy(ttl_ceiling=10), [(0, TWO)], 0.0, 10),
    (BACK_OFF, [(0, FAIL)], 0.5, 0.25),
    (BACK_OFF, [(0, FAIL)] * 2, 0.5, 0.5),
    (BACK_OFF, [(0, FAIL)] * 3, 0.5, 1.0),
    (BACK_OFF, [(0, FAIL)] * 9, 0.5, 1.5),
    (BACK_OFF, [(0, FAIL)] * 3 + [(0, TWO), (0, FAIL)], 0.5, 0.25),
    (Policy(failure_base=0.5), [(0, FAIL)] * 9, 0.5, 2.5),
    (BACK_OFF, [(0, FAIL)], 0.0, 0.001),
]


@pytest.mark.parametrize(("policy", "said", "draw", "after"), DUE)
def test_when_it_is_asked_again(
    policy: Policy, said: list[tuple[float, Answer | None]], draw: float, after: float
) -> None:
    assert told(policy, *said, draw=draw).due == pytest.approx(after)


@pytest.mark.parametrize(
    ("field", "value"),
    [("refresh", 0), ("jitter", -1), ("ttl_floor", -1), ("grace", -0.1), ("stale_if_error", -1), ("failure_base", -1)],
)
def test_a_policy_that_makes_no_sense_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        Policy(**{field: value})


ANSWERS = st.one_of(
    st.none(), st.lists(st.sampled_from([A, B, C]), unique=True, max_size=3).map(lambda a: Answer(tuple(a), 5))
)
POLICIES = st.builds(Policy, stale_if_error=st.none() | st.just(40.0), grace=st.sampled_from([0.0, 15.0]))


@given(POLICIES, st.lists(st.tuples(st.integers(1, 50), ANSWERS), max_size=12), st.integers(1, 100))
def test_nothing_changes_before_it_is_said(policy: Policy, said: list[tuple[int, Answer | None]], wait: int) -> None:
    """Between two words the addresses change at `changes_at` and not before; none is there twice; none was made up."""
    now, words = 0, []
    for pause, answer in said:
        now += pause
        words.append((float(now), answer))
    state = told(policy, *words)
    changes = state.changes_at(now)
    before = state.addresses(now)
    end = now + wait if changes is None else min(now + wait, changes - 0.001)
    if end >= now:
        assert state.addresses(end) == before
        assert state.first(end) == state.first(now)
    if changes is not None:
        assert changes > now
        assert (state.addresses(changes), state.first(changes)) != (before, state.first(now))
    assert len(set(before)) == len(before)
    assert set(before) <= {address for _, answer in words if answer for address in answer.addresses}
