"""Which endpoint? `pick()` over 50 weighted endpoints in 6 localities, and a whole decision beside plain Python."""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks import meshes, workload
from benchmarks.case import Case
from benchmarks.lookup.cases import Query

_REPEAT = 10_000
_POLICIES = {
    "LEAST_REQUEST": ("simple: LEAST_REQUEST", 1.2),
    "ROUND_ROBIN": ("simple: ROUND_ROBIN", 1.0),
    "RANDOM": ("simple: RANDOM", None),
    "ring hash": ("consistentHash: {httpHeaderName: x-user, ringHash: {}}", None),
    "Maglev": ("consistentHash: {httpHeaderName: x-user, maglev: {}}", None),
}
PATH = "/api/v1/orders/17"


def _host(policy: str) -> str:
    return policy.lower().replace(" ", "-").replace("_", "-") + ".example.com"


def text() -> str:
    """One host a policy."""
    return "---\n".join(_documents(policy, settings) for policy, (settings, _) in _POLICIES.items())


def _documents(policy: str, settings: str) -> str:
    rows = []
    for k in range(50):
        region = ("us-west", "us-east", "eu-west")[k % 3]
        rows.append(
            f"  - {{address: 10.0.0.{k + 1}, locality: {region}/{region}-{'ab'[k // 3 % 2]}, weight: {1 + k % 5}}}\n"
        )
    return (
        f"apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {_host(policy)}}}\nspec:\n"
        f"  hosts: [{_host(policy)}]\n  ports: [{{number: 80, name: http, protocol: HTTP}}]\n  resolution: STATIC\n"
        f"  endpoints:\n{''.join(rows)}---\n"
        f"apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {_host(policy)}}}\nspec:\n"
        f"  host: {_host(policy)}\n  trafficPolicy: {{loadBalancer: {{{settings}}}}}\n"
    )


def cases() -> list[Case]:
    """pick() of one decision, again and again; route + pick of both engines and of the best plain Python."""
    known = {(workload.asked(number), 80): number for number in range(1000)}
    keys: list[Query] = [*known] * (_REPEAT // 1000)

    def dict_run(_: None) -> None:
        for host, port in keys:
            known[(host, port)]

    found = [Case("dict", dict_run, _REPEAT)]
    for engine in meshes.ENGINES:
        registry = meshes.text_registry(engine, text())
        for policy, (_, owed) in _POLICIES.items():
            decision = registry.route(_host(policy), 80, PATH, headers={"x-user": "17"})
            held = (("dict", owed),) if owed and engine == "native" else ()
            found.append(Case(f"pick, {policy}, {engine}", _pick(decision.pick), _REPEAT, owed=held))
        held = (("dict", 60.0),) if engine == "fallback" else ()
        found.append(Case(f"route + pick, {engine}", _both(registry.route), _REPEAT, owed=held))
    found.append(Case("route + pick, plain Python", _plain(), _REPEAT))
    return found


def _pick(pick: Callable[[], object]) -> Callable[[None], None]:
    def run(_: None) -> None:
        for _number in range(_REPEAT):
            pick()

    return run


def _both(route: Callable[..., object]) -> Callable[[None], None]:
    host = _host("ROUND_ROBIN")

    def run(_: None) -> None:
        for _number in range(_REPEAT):
            route(host, 80, path=PATH, method="GET").pick()  # type: ignore[attr-defined]

    return run


def _plain() -> Callable[[None], None]:
    """What a careful programmer writes for this one mesh: dicts, one default rule, a shuffled weighted cycle."""
    cycle = [f"10.0.0.{k + 1}" for k in range(50) for _ in range(1 + k % 5)]
    random.Random(1).shuffle(cycle)
    tables = {(_host("ROUND_ROBIN"), 80): [(None, "/", cycle)]}
    positions = dict.fromkeys(tables, 0)

    def decide(host: str, port: int, path: str, method: str) -> str:
        key = (host.lower(), port)
        for wanted, prefix, endpoints in tables[key]:
            if (wanted is None or wanted == method) and path.startswith(prefix):
                at = positions[key] = (positions[key] + 1) % len(endpoints)
                return endpoints[at]
        raise LookupError(host)

    def run(_: None) -> None:
        for _number in range(_REPEAT):
            decide("round-robin.example.com", 80, PATH, "GET")

    return run


def bare_loop() -> Case:
    def run(_: None) -> None:
        for _number in range(_REPEAT):
            pass

    return Case("loop", run, _REPEAT)
