"""Odd input is answered or refused, by both engines alike: nothing crashes, nothing hangs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from tests.core.units import PRESENT, exact, forward, header, prefix, published, service, unit, virtual_host, web

from roadstead import _lowered as low

HOST, NAME = "a.test", "outbound|80||a.test"

HOSTS = [
    "",
    ".",
    "..",
    ":",
    "::",
    ":::",
    "[",
    "]",
    "[]",
    "[]:80",
    "[::1",
    "::1]",
    "[a.test]",
    "*",
    "*.",
    ".*",
    "a" * 100_000,
    ".".join(["a"] * 50_000),
    "." * 5_000,
    "\x00",
    "a.test\x00",
    "\x00.test",
    "a.test:" + "9" * 1_000,
    "a.test:-1",
    "a test",
    "münchen.test",
    "MÜNCHEN.test",
    "İ.test",
    "ﬁ.test",
    "点看.test",
    "💥",
    "a\u0301.test",
    "999.999.999.999",
    "1.2.3",
    "0x7f.1",
    "fe80::1%eth0",
    "::ffff:10.0.0.1",
    "10.0.0.1/8",
]


def odd(module: ModuleType) -> Any:
    return published(
        module,
        web(HOST, forward(NAME, path=prefix("/x"), headers=(header("x", PRESENT),)), forward(NAME, path=prefix("/"))),
        unit("wild", service("*.test", 80), virtual_host(forward(NAME), domains=("*.test",))),
        unit("münchen", service("münchen.test", 80)),
        unit("net", service("net.example", 80, addresses=("10.0.0.0/8", "::/0"))),
    )


@pytest.mark.parametrize("host", HOSTS, ids=range(len(HOSTS)))
def test_hosts(engine: ModuleType, host: str) -> None:
    eng = odd(engine)
    found = eng.find(host, 80)
    decision = eng.route(host, 80)
    connected = eng.connect(host, 80)
    assert decision.kind in ("forward", "passthrough", "not_found")
    assert connected.kind == "passthrough"
    assert (decision.authority, decision.reasons[0].partition(":")[0]) == (host, "host")
    assert found is None or found.host in (HOST, "*.test", "münchen.test", "net.example")
    assert decision.pick().address or decision.cluster_name == "PassthroughCluster"


def test_unicode_is_folded_as_ascii_only(engine: ModuleType) -> None:
    eng = odd(engine)
    assert eng.find("münchen.test", 80).host == "münchen.test"
    assert eng.find("MüNCHEN.TEST", 80).host == "münchen.test"
    assert eng.find("MÜNCHEN.test", 80).host == "*.test"
    assert eng.find("\u212a.test", 80).host == "*.test"


PATHS = [
    "",
    "x",
    "?",
    "#",
    "/?",
    "/#?",
    "/" * 100_000,
    "/x" + "%" * 1_000,
    "/\x00",
    "/é",
    "/💥",
    "/x?" + "&" * 10_000,
    "/x?" + "k=v&" * 10_000,
    "*",
    "http://other.test/x",
]


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_paths(engine: ModuleType, path: str) -> None:
    decision = odd(engine).route(HOST, 80, path, headers={"x": ""})
    # What is not ASCII is no HTTP for a sidecar.
    taken = "forward" if path.startswith("/") else "not_found"
    assert decision.kind == (taken if path.isascii() else "passthrough")
    assert decision.path == path


def test_odd_headers(engine: ModuleType) -> None:
    lines = [("", ""), ("x" * 10_000, "v"), ("é", "ü"), ("\x00", "\x00"), ("x", "\x00"), ("X", "é" * 10_000)]
    eng = published(engine, web(HOST, forward(NAME, headers=(header("x", exact("\x00")),))))
    decision = eng.route(HOST, 80, headers=lines)
    assert decision.kind == "forward"
    assert decision.apply(lines) == lines


def test_odd_names_of_headers_and_parameters(engine: ModuleType) -> None:
    rule = forward(NAME, headers=(header("é", PRESENT), header("", PRESENT)), queries=(low.QueryMatch("", PRESENT),))
    eng = published(engine, web(HOST, rule))
    assert eng.route(HOST, 80, "/?=1", headers={"é": "1", "": "1"}).kind == "forward"
    assert eng.route(HOST, 80, "/?a=1", headers={"é": "1", "": "1"}).kind == "not_found"


SURROGATE = "\ud800"


def test_surrogates(engine: ModuleType) -> None:
    """Text that no bytes stand for is refused as such."""
    eng = odd(engine)
    calls: tuple[Callable[[], object], ...] = (
        lambda: eng.find(SURROGATE, 80),
        lambda: eng.route(SURROGATE, 80),
        lambda: eng.connect(SURROGATE, 80),
        lambda: eng.connect(HOST, 80, sni=SURROGATE),
        lambda: eng.route(HOST, 80, "/" + SURROGATE),
        lambda: eng.route(HOST, 80, "/x", headers={"x": SURROGATE}),
        lambda: engine.HostColumn([SURROGATE]),
    )
    for call in calls:
        with pytest.raises(UnicodeEncodeError):
            call()


WRONG: dict[str, Callable[[Any], object]] = {
    "host": lambda eng: eng.route(1, 80),
    "host of find": lambda eng: eng.find(None, 80),
    "port": lambda eng: eng.route(HOST, "80"),
    "port of find": lambda eng: eng.find(HOST, "80"),
    "path": lambda eng: eng.route(HOST, 80, 1),
    "method": lambda eng: eng.route(HOST, 80, "/", 1),
    "headers": lambda eng: eng.route(HOST, 80, "/x", "GET", 1),
    "header": lambda eng: eng.route(HOST, 80, "/x", "GET", {"x": 1}),
    "header lines": lambda eng: eng.route(HOST, 80, "/x", "GET", [1]),
    "draw": lambda eng: eng.route(HOST, 80, draw="1"),
    "a unit": lambda eng: eng.builder().put("unit"),
    "hash key": lambda eng: eng.route(HOST, 80).pick(hash_key="text"),
    "keyword": lambda eng: eng.route(HOST, 80, nonsense=1),
    "sni": lambda eng: eng.connect(HOST, 80, sni=1),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_types(engine: ModuleType, what: str) -> None:
    """Types are for type checkers: an engine may raise or make something of it, and is unharmed."""
    eng = odd(engine)
    with contextlib.suppress(Exception):
        WRONG[what](eng)
    assert eng.route(HOST, 80).kind == "forward"


@pytest.mark.parametrize("port", [-1, 65536, 2**40])
def test_ports_out_of_range(engine: ModuleType, port: int) -> None:
    eng = odd(engine)
    calls: tuple[Callable[[], object], ...] = (
        lambda: eng.find(HOST, port),
        lambda: eng.route(HOST, port),
        lambda: eng.connect(HOST, port),
    )
    for call in calls:
        with pytest.raises(OverflowError):
            call()


@pytest.mark.parametrize("draw", [-1, 2**64])
def test_draws_out_of_range(engine: ModuleType, draw: int) -> None:
    with pytest.raises(OverflowError):
        odd(engine).route(HOST, 80, draw=draw)


@pytest.mark.parametrize(
    ("policy", "kind", "cluster", "flags"),
    [
        (low.ALLOW_ANY, "passthrough", "PassthroughCluster", ""),
        (low.REGISTRY_ONLY, "refused", "BlackHoleCluster", "UH"),
        (low.GATEWAY, "forward", "outbound|80||a.test", ""),
    ],
)
def test_a_path_beyond_ascii_is_no_http(engine: ModuleType, policy: int, kind: str, cluster: str, flags: str) -> None:
    """Envoy's inspector takes it for bytes; a router has no inspector."""
    eng = published(engine, web("a.test", forward("outbound|80||a.test")), outbound=policy)
    for given in ({}, {"original_destination": ("192.0.2.9", 80)}):
        decision = eng.route("a.test", 80, "/\u00e4", **given)
        assert (decision.kind, decision.cluster_name, decision.flags) == (kind, cluster, flags)
        assert ("sniff:as-connection" in decision.reasons) == (kind != "forward")
        assert eng.route("a.test", 80, "/%C3%A4", **given).kind == "forward"
