"""Where does a request go? `route(...)` with path, method and 15 headers, over few and many rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from benchmarks import meshes, workload
from benchmarks.case import Case
from benchmarks.lookup.cases import Query

HEADERS = {
    "accept": "text/html,application/xhtml+xml",
    "accept-encoding": "gzip, deflate, br",
    "accept-language": "en-GB,en;q=0.8",
    "authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.e30",
    "cache-control": "no-cache",
    "content-length": "0",
    "content-type": "application/json",
    "cookie": "session=8f14e45f; theme=dark",
    "origin": "https://shop.example.com",
    "referer": "https://shop.example.com/cart",
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "user-agent": "Mozilla/5.0",
    "x-forwarded-for": "203.0.113.7",
    "x-request-id": "7b1c5a6e",
    "x-user-region": "eu",
}
_HEAD = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}}}
spec:
  hosts: [{host}]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: 10.0.0.1}}, {{address: 10.0.0.2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {name}}}
spec:
  hosts: [{host}]
  http:
"""
_TO = "    route: [{{destination: {{host: {host}, port: {{number: 80}}}}}}]\n"
Engine = Literal["native", "fallback"]


def _rules(name: str, matches: list[str]) -> str:
    host = f"{name}.example.com"
    rules = "".join(
        f"  - match: [{{{match}}}]\n{_TO.format(host=host)}" if match else f"  -{_TO[3:].format(host=host)}"
        for match in matches
    )
    return _HEAD.format(name=name, host=host) + rules


def text() -> str:
    """Hosts with 1, 3 and 20 rules (two read a header, hit in the last), a regex, and 200 prefixes (hit in the last)."""
    header = "headers: {{{name}: {{exact: {value}}}}}"
    reads = [header.format(name="x-tenant", value="gold"), header.format(name="x-beta", value="enabled")]
    prefixes = [f"uri: {{prefix: /api/v1/part-{number}/}}" for number in range(17)]
    return "---\n".join(
        [
            _rules("one", [""]),
            _rules("three", [*reads, ""]),
            _rules("twenty", [reads[0], *prefixes, reads[1], ""]),
            _rules("regex", ["uri: {regex: '/api/v[0-9]+/part-[a-z]+/.*'}", ""]),
            _rules("prefixes", [f"uri: {{prefix: /api/v1/part-{number:03d}/}}" for number in range(200)]),
        ]
    )


# name: (host, path, rule that takes it, what we owe against the dict)
_ASKED = {
    "1 rule": ("one.example.com", "/api/v1/orders/17?full=1", 0, 4.0),
    "3 rules": ("three.example.com", "/api/v1/orders/17?full=1", 2, 4.0),
    "20 rules": ("twenty.example.com", "/api/v1/orders/17?full=1", 19, 4.0),
    "1 regex": ("regex.example.com", "/api/v1/part-x/17?full=1", 0, 6.0),
    "200 prefixes": ("prefixes.example.com", "/api/v1/part-199/17?full=1", 199, 8.0),
}
_REPEAT = 10_000


def cases() -> list[Case]:
    """Each table of rules on both engines, beside the dict and a native method that only makes an object."""
    known = {(workload.asked(number), 80): number for number in range(1000)}
    keys: list[Query] = [*known] * (_REPEAT // 1000)

    def dict_run(_: None) -> None:
        for host, port in keys:
            known[(host, port)]

    found = [Case("dict", dict_run, _REPEAT)]
    for engine in meshes.ENGINES:
        registry = meshes.text_registry(engine, text())
        assert not registry.diagnostics, registry.diagnostics
        if engine == "native":
            found.append(_empty())
        for name, (host, path, rule, owed) in _ASKED.items():
            assert registry.route(host, 80, path=path, headers=HEADERS).route_index == rule
            held = (("dict", owed), *([("empty method", 2.2)] if "rules" in name else [])) if engine == "native" else ()
            found.append(Case(f"route, {name}, {engine}", _route(registry.route, host, path), _REPEAT, owed=held))
    return found


def _route(route: Callable[..., object], host: str, path: str) -> Callable[[None], None]:
    def run(_: None) -> None:
        for _number in range(_REPEAT):
            route(host, 80, path=path, method="GET", headers=HEADERS)

    return run


def _empty() -> Case:
    from roadstead.core import engine

    empty = engine("native")._Probe().empty

    def run(_: None) -> None:
        for _number in range(_REPEAT):
            empty("one.example.com", 80, path="/api/v1/orders/17?full=1", method="GET", headers=HEADERS)

    return Case("empty method", run, _REPEAT)


def bare_loop() -> Case:
    def run(_: None) -> None:
        for _number in range(_REPEAT):
            pass

    return Case("loop", run, _REPEAT)
