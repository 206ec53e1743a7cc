"""A cluster whose endpoints are not known yet."""

from __future__ import annotations

from collections.abc import Generator
from types import ModuleType
from typing import Any

import pytest
from tests.core.units import endpoint, group, publish, published, web

from roadstead import EndpointsPending, NoHealthyEndpoint

NAME = "outbound|80||a.test"


class Word:
    """A resolver's first word that is there at once. asked: how often it was asked for; after: what happens then."""

    def __init__(self, after: Any = None) -> None:
        self.asked = 0
        self._after = after

    def __call__(self) -> Word:
        self.asked += 1
        return self

    def wait(self, timeout: float | None = None) -> None:
        if self._after is not None:
            self._after()

    def __await__(self) -> Generator[object, None, None]:
        self.wait()
        yield from ()


def test_a_pick_asks_and_says_so(engine: ModuleType) -> None:
    eng = published(engine, web("a.test"))
    word = Word(lambda: eng.update_endpoints(NAME, [group("10.0.0.2:80")]))
    eng.hold(NAME, word)
    decision = eng.route("a.test", 80)
    assert decision.kind == "forward"
    assert eng.cluster(NAME).endpoints == ()
    for attempt in (decision.pick, decision.lease, lambda: decision.pick(exclude=[decision])):
        with pytest.raises(EndpointsPending, match=r"outbound\|80\|\|a\.test") as caught:
            attempt()
        assert (caught.value.status, caught.value.flags) == (503, "")
    assert (word.asked, eng.cluster(NAME).stats["upstream_cx_none_healthy"]) == (3, 3)
    caught.value.wait()
    assert decision.pick().address == "10.0.0.2"
    assert word.asked == 3


async def test_it_can_be_awaited(engine: ModuleType) -> None:
    eng = published(engine, web("a.test"))
    eng.hold(NAME, Word(lambda: eng.update_endpoints(NAME, [group("10.0.0.2:80")])))
    try:
        eng.route("a.test", 80).pick()
    except EndpointsPending as pending:
        await pending
    assert eng.route("a.test", 80).pick().address == "10.0.0.2"


def test_nothing_was_found(engine: ModuleType) -> None:
    eng = published(engine, web("a.test"))
    eng.hold(NAME, Word())
    eng.update_endpoints(NAME, [])
    with pytest.raises(NoHealthyEndpoint):
        eng.route("a.test", 80).pick()


def test_a_configuration_that_brings_endpoints_ends_it(engine: ModuleType) -> None:
    eng = published(engine, web("a.test"))
    eng.hold(NAME, Word())
    publish(eng, web("a.test", endpoints=[endpoint("10.0.0.3:80")]))
    assert eng.route("a.test", 80).pick().address == "10.0.0.3"


def test_an_unknown_cluster(engine: ModuleType) -> None:
    with pytest.raises(KeyError):
        published(engine).hold("nope", Word())
