"""`find_many` and `route_many`: the same answers as one at a time, in buffers."""

from __future__ import annotations

from array import array
from types import ModuleType

import pytest
from tests.core.units import forward, prefix, published, service, unit, web

from roadstead import _lowered as low
from roadstead.errors import EngineError

NAME = "outbound|80||a.test"
UNITS = (
    web("a.test", forward(NAME, path=prefix("/x")), forward((NAME, 1), ("gone", 1), path=prefix("/w"))),
    web("*.b.test"),
    unit("v", service("v.test", 443, addresses=("10.0.0.0/8",))),
)
HOSTS = ["a.test", "A.test.", "x.b.test", "b.test", "10.1.1.1", "a.test:80", "", "nobody"]


def test_find_many(engine: ModuleType) -> None:
    eng = published(engine, *UNITS)
    column = engine.HostColumn(HOSTS)
    assert len(column) == len(HOSTS)
    out = array("i", [-9] * len(HOSTS))
    for port in (80, 443):
        eng.find_many(column, array("H", [port] * len(HOSTS)), out)
        services = eng.services()
        found = [None if index < 0 else services[index] for index in out]
        assert found == [eng.find(host, port) for host in HOSTS]
    assert [index for index in out if index >= 0]


def test_route_many(engine: ModuleType) -> None:
    eng = published(engine, *UNITS)
    paths = ["/x", "/x/y", "/", "/", "/", "/w", "/x", "/x"]
    draws = array("Q", [0, 1, 2, 3, 4, 5, 2**64 - 1, 7])
    ports = array("H", [80] * len(HOSTS))
    out = array("i", [0] * len(HOSTS))
    eng.route_many(engine.HostColumn(HOSTS), ports, out, paths=engine.HostColumn(paths), draws=draws)
    for host, path, draw, index in zip(HOSTS, paths, draws, out, strict=True):
        decision = eng.route(host, 80, path, draw=draw)
        expected = eng.clusters().index(decision.cluster) if decision.kind == "forward" else -1
        assert index == expected, host
    assert out[0] >= 0
    eng.route_many(engine.HostColumn(HOSTS), ports, out)
    assert list(out[:2]) == [-1, -1]
    assert out[2] >= 0


def test_memory_of_any_kind(engine: ModuleType) -> None:
    eng = published(engine, *UNITS)
    column = engine.HostColumn(iter(HOSTS[:2]))
    ports = memoryview(bytearray(array("H", [80, 80]).tobytes())).cast("H")
    out = memoryview(bytearray(8)).cast("i")
    eng.find_many(column, ports, out)
    assert out[0] == out[1] >= 0


def test_nothing(engine: ModuleType) -> None:
    eng = published(engine, *UNITS)
    eng.find_many(engine.HostColumn([]), array("H"), array("i"))
    eng.route_many(engine.HostColumn(()), array("H"), array("i"))


WRONG = {
    "type of ports": (array("I", [80, 80]), array("i", [0, 0])),
    "type of results": (array("H", [80, 80]), array("I", [0, 0])),
    "floats": (array("H", [80, 80]), array("f", [0, 0])),
    "bytes": (bytes(4), array("i", [0, 0])),
    "too few ports": (array("H", [80]), array("i", [0, 0])),
    "too many results": (array("H", [80, 80]), array("i", [0, 0, 0])),
    "read-only results": (array("H", [80, 80]), memoryview(bytes(8)).cast("i")),
    "gaps": (memoryview(array("H", [80] * 4))[::2], array("i", [0, 0])),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_buffers(engine: ModuleType, what: str) -> None:
    eng = published(engine, *UNITS)
    column = engine.HostColumn(HOSTS[:2])
    ports, out = WRONG[what]
    with pytest.raises(EngineError):
        eng.find_many(column, ports, out)
    with pytest.raises(EngineError):
        eng.route_many(column, ports, out)


def test_wrong_columns(engine: ModuleType) -> None:
    eng = published(engine, *UNITS)
    ports, out = array("H", [80, 80]), array("i", [0, 0])
    column = engine.HostColumn(HOSTS[:2])
    with pytest.raises(EngineError):
        eng.route_many(column, ports, out, paths=engine.HostColumn(["/"]))
    with pytest.raises(EngineError):
        eng.route_many(column, ports, out, draws=array("Q", [1]))
    with pytest.raises(EngineError):
        eng.route_many(column, ports, out, draws=array("q", [1, 2]))


def test_not_strings(engine: ModuleType) -> None:
    with pytest.raises(TypeError):
        engine.HostColumn(["a", 1])
    with pytest.raises(TypeError):
        engine.HostColumn(None)


def test_a_tls_port_is_not_plain(engine: ModuleType) -> None:
    tls = unit("t", service("t.test", (443, low.PROTO_TLS)))
    eng = published(engine, *UNITS, tls)
    out = array("i", [0])
    eng.route_many(engine.HostColumn(["t.test"]), array("H", [443]), out)
    assert out[0] == -1
