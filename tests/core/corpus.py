"""The golden corpus: what is in its files, and how they are written. `python -m tests.core.corpus` records them anew.

The inputs are those of the tables beside this file, whose values were written by hand from the specification; recording
adds what the fallback says of them in full, so that other readers (the native core's tests, embedded programs) need no Python."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.core import (
    exchanges,
    test_connect,
    test_cors,
    test_exchange,
    test_experiments,
    test_find,
    test_formats,
    test_hash,
    test_pick,
    test_route,
)
from tests.core.units import cluster, exact, forward, group, prefix, published, redirect, unit, virtual_host, web

from roadstead import _fallback
from roadstead import _lowered as low
from roadstead.errors import EngineError, Unavailable
from roadstead.steps import Step, Try

FOLDER = Path(__file__).parent / "golden"
PICKS = 8
Case = dict[str, Any]

# Columns as JSON: tuples by position are lists, bytes are Latin-1 text, handles are null.


def to_json(value: object) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value if isinstance(value, str | int | float | bool) else None


def from_json(kind: Any, data: Any) -> Any:
    """The column of a type from its JSON."""
    if isinstance(kind, types.UnionType):
        kind = next(one for one in typing.get_args(kind) if one is not types.NoneType)
        return None if data is None else from_json(kind, data)
    if kind is bytes:
        return data.encode("latin-1")
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        of = [kinds[0]] * len(data) if kinds[-1] is ... else kinds
        return tuple([from_json(one, item) for one, item in zip(of, data, strict=True)])
    if isinstance(kind, type) and issubclass(kind, tuple):
        hints = typing.get_type_hints(kind)
        return kind(*[from_json(hints[name], item) for name, item in zip(hints, data, strict=True)])
    return data


# Answers


def found(engine: Any, asked: list[Any]) -> Any:
    service = engine.find(*asked)
    return service and service.host


def decided(decision: Any) -> Case:
    """All that a decision tells, and what its next picks are."""
    return {
        "kind": decision.kind,
        "status": decision.status,
        "flags": decision.flags,
        "service": decision.service and decision.service.host,
        "cluster": decision.cluster_name,
        "route": decision.route_index,
        "destination": decision.destination_index,
        "path": decision.path,
        "authority": decision.authority,
        "request_headers": to_json(decision.request_headers),
        "response_headers": to_json(decision.response_headers),
        "redirect": to_json(decision.redirect),
        "direct_response": to_json(decision.direct_response),
        "fault": to_json(decision.fault),
        "mirrors": to_json(decision.mirrors),
        "set_cookies": to_json(decision.set_cookies),
        "hash": None if decision.hash is None else f"{decision.hash:016x}",
        "application_tls": decision.application_tls,
        "reasons": to_json(decision.reasons),
        "picks": [pick(decision) for _ in range(PICKS)] if decision.cluster is not None else [],
    }


def pick(decision: Any) -> str:
    try:
        endpoint = decision.pick()
    except (Unavailable, EngineError) as refused:
        return type(refused).__name__
    return f"{endpoint.address}:{endpoint.port}"


def stepped(step: Step) -> list[Any]:
    """A step as [its class, its fields …]; a lease is its endpoint."""
    fields = [item.decode("latin-1") if isinstance(item, bytes) else item for item in step]
    if isinstance(step, Try):
        fields[0] = f"{step.lease.endpoint.address}:{step.lease.endpoint.port}"
    return [type(step).__name__, *to_json(fields)]


def carried(engine: Any, asked: Case) -> list[list[Any]]:
    """The steps of an exchange, from the one that it begins with, over its reports: [instant, report, arguments by position, by name]."""
    exchange = engine.route(**asked["route"]).exchange(0, **asked.get("terms", {}))
    steps = [stepped(exchange.step)]
    for now, name, arguments, named in asked["reports"]:
        steps.append(stepped(getattr(exchange, name)(*arguments, **named, now=now)))
    exchange.cancel(0)
    return steps


def ejected(engine: Any, asked: Case) -> Case:
    """What steps give, each [instant, what, how]: "lease", with how it ends, its endpoint; "sweep", nanoseconds until the
    next tick with something to do; "health", [address, port, mark], nothing. Then what is told of the cluster."""
    route, told = asked["route"], []
    cluster = engine.route(**route).cluster
    for number, (now, what, how) in enumerate(asked["steps"]):
        if what == "sweep":
            told.append(engine.sweep(now))
        elif what == "health":
            told.append(engine.set_health(cluster.name, *how))
        else:
            told.append(used(engine.route(**route | {"draw": number}), how, now))
    stats = {key: value for key, value in cluster.stats.items() if key.startswith("outlier_detection.")}
    return {"steps": told, "stats": stats, "endpoints": list(cluster.endpoint_stats())}


def used(decision: Any, how: Case, now: int) -> str:
    """The endpoint of a lease that ends like that."""
    try:
        lease = decision.lease()
    except Unavailable as refused:
        return type(refused).__name__
    lease.finish(**how, now=now)
    return f"{lease.endpoint.address}:{lease.endpoint.port}"


def answer(engine: Any, asked: Case) -> Any:
    """What an engine says to a question: {"find": [...]}, {"route": {...}}, {"connect": {...}}, {"exchange": {...}} or
    {"ejections": {...}}."""
    if "find" in asked:
        return found(engine, asked["find"])
    if "exchange" in asked:
        return carried(engine, asked["exchange"])
    if "ejections" in asked:
        return ejected(engine, asked["ejections"])
    if "connect" in asked:
        return decided(engine.connect(**asked["connect"]))
    given = dict(asked["route"])
    if given.get("headers") is not None:
        given["headers"] = [tuple(line) for line in given["headers"]]
    if given.get("original_destination") is not None:
        given["original_destination"] = tuple(given["original_destination"])
    return decided(engine.route(**given))


def engine_of(module: Any, file: Case) -> Any:
    units = [from_json(low.Unit, one) for one in file["units"]]
    return published(module, *units, outbound=file["outbound"], seed=file["seed"], clock=lambda: 0)


# Inputs


def inputs() -> Iterator[tuple[str, str, list[low.Unit], list[Case]]]:
    """Name, what it shows, units, questions."""
    yield (
        "find",
        "Who owns a host and port.",
        list(test_find.NAMES),
        [{"find": [host, port]} for host, port, _ in test_find.CASES],
    )
    yield (
        "connect",
        "Filter chains by address, network, server name and transport.",
        list(test_connect.UNITS),
        [
            {"connect": {"host": host, "port": port, "sni": sni, "draw": at}}
            for at, (host, port, sni, _) in enumerate(test_connect.CASES)
        ],
    )
    yield (
        "virtual-hosts",
        "Domains: exact, longest suffix, longest prefix, everything.",
        _domains(),
        [{"route": {"host": host, "port": 80, "draw": at}} for at, host in enumerate(test_experiments.AUTHORITIES)],
    )
    yield (
        "schemes",
        "Ports and schemes, declared and not.",
        [test_route.tls_unit()],
        [
            {"route": {"host": test_route.HOST, "port": port, "path": "/api/x", "scheme": scheme, "draw": at}}
            for at, (port, scheme, *_) in enumerate(test_route.SCHEMES)
        ],
    )
    yield _conditions()
    yield _actions()
    yield _hashes()
    yield _balance()
    yield _cors()
    yield _formats()
    yield _exchanges()
    yield _ejections()


def _domains() -> list[low.Unit]:
    return [unit(name, virtual_host(forward("c"), domains=(name,))) for name in test_experiments.DOMAINS]


def _conditions() -> tuple[str, str, list[low.Unit], list[Case]]:
    """A host for each condition; the question is asked of the host that has it."""
    units, asked = [], []
    conditions: list[tuple[dict[str, Any], Case]] = []
    conditions += [({"path": match}, {"path": path}) for match, path, _ in test_route.PATHS]
    conditions += [
        ({"headers": (match,)}, {"path": "/x?k=v", "method": "POST", "headers": to_json(lines)})
        for match, lines, _ in test_route.HEADERS
    ]
    conditions += [({"queries": (match,)}, {"path": path}) for match, path, _ in test_route.QUERIES]
    for at, (condition, question) in enumerate(conditions):
        host = f"h{at}.test"
        units.append(unit(host, virtual_host(forward("c", **condition), domains=(host,))))
        asked.append({"route": {"host": host, "port": 80, "draw": at, **question}})
    return "conditions", "Path, header and query conditions, one a host.", units, asked


def _actions() -> tuple[str, str, list[low.Unit], list[Case]]:
    ops = test_route.OPS
    fault = low.Fault(1.5, 300_000, 100_000, 503, 14)
    mirrors = (low.Mirror("m1", 500_000), low.Mirror("m2", 1_000_000))
    rules = [
        forward(("a", 1), ("none", 0), ("b", 3), path=prefix("/weights")),
        forward(low.Destination("a", 0, ops, ops, "destination.test"), path=prefix("/ops"))._replace(
            request_ops=ops[1:]
        ),
        forward("a", path=prefix("/host"))._replace(host_rewrite="route.test"),
        forward("a", path=prefix("/fault"))._replace(fault=fault, mirrors=mirrors),
        low.Route(None, low.Match(prefix("/direct")), low.DIRECT_RESPONSE, direct_status=418, direct_body=b"\x00tea"),
    ]
    asked = [("/weights", draw) for draw in range(5)] + [("/ops", 0), ("/host", 0), ("/direct", 0)]
    asked += [("/fault", draw) for draw in (0, 1, 2, 10, 99_999, 499_999, 500_000, 500_001, 999_999)]
    units = [web("a.test", *rules)]
    questions = [{"route": {"host": "a.test", "port": 80, "path": path, "draw": draw}} for path, draw in asked]
    for at, (match, text, expression, path, _) in enumerate(test_route.REWRITES):
        host = f"rewrite{at}.test"
        units.append(web(host, forward("a", path=match)._replace(prefix_rewrite=text, regex_rewrite=expression)))
        questions.append({"route": {"host": host, "port": 80, "path": path, "draw": 0}})
    for at, (action, host, path, _) in enumerate(test_route.REDIRECTS):
        own = host.replace("a.test", f"redirect{at}.test")
        units.append(
            web(f"redirect{at}.test", redirect(action, path=prefix("/old") if path.startswith("/old") else None))
        )
        questions.append({"route": {"host": own, "port": 80, "path": path, "draw": 0}})
    return "actions", "Weights, rewrites, redirects, header operations, faults, mirrors.", units, questions


def _cors() -> tuple[str, str, list[low.Unit], list[Case]]:
    """A host for each policy."""
    policies = [low.Cors(), test_cors.CORS, test_cors.STRICT, test_cors.ANY]
    units = [
        web(f"cors{at}.test", forward(f"outbound|80||cors{at}.test")._replace(cors=cors))
        for at, cors in enumerate(policies)
    ]
    asked = [
        {"host": f"cors{policies.index(cors)}.test", "port": 80, "path": "/x", "method": method, "draw": 0,
         "headers": to_json(list(test_cors.asking(origin, wanted).items()))}
        for cors, method, origin, wanted, _ in test_cors.PREFLIGHTS
    ]  # fmt: skip
    return "cors", "CORS, by the policy of a host.", units, [{"route": one} for one in asked]


def _formats() -> tuple[str, str, list[low.Unit], list[Case]]:
    """A host for each value of the tables."""
    units, asked = [], []
    for at, operations in enumerate([one for one, _ in (*test_formats.VALUES, *test_formats.ANSWERS)]):
        host = f"format{at}.test"
        rule = forward(f"outbound|80||{host}")._replace(request_ops=operations, response_ops=operations)
        units.append(web(host, rule))
        headers = [["x-in", "one"], ["X-In", "two"], ["x-long", "\u00e9\u00e9"], ["x-out", "was"]]
        asked.append({"route": {"host": host, "port": 80, "path": "/old/x?q=1", "draw": 0, "headers": headers,
                                "source_ip": "192.0.2.7"}})  # fmt: skip
    return "formats", "Values of header operations that are made for each request.", units, asked


def _hashes() -> tuple[str, str, list[low.Unit], list[Case]]:
    kinds = (
        (low.HashPolicy(low.HASH_HEADER, "x-user"),),
        (low.HashPolicy(low.HASH_COOKIE, "ck"),),
        *[(policy,) for policy, _ in test_hash.MADE],
        (low.HashPolicy(low.HASH_SOURCE_IP),),
        (low.HashPolicy(low.HASH_QUERY, "q"),),
        (low.HashPolicy(low.HASH_HEADER, "x-user"), low.HashPolicy(low.HASH_QUERY, "q", terminal=True), low.HashPolicy(low.HASH_SOURCE_IP)),
    )  # fmt: skip
    headers = [["x-user", "b"], ["cookie", 'x=1; ck="a"'], ["X-User", "a"]]
    units, questions = [], []
    for number, policies in enumerate(kinds):
        for policy in (low.RING_HASH, low.MAGLEV):
            host = f"h{number}-{policy}.test"
            lb = low.LbConfig(policy=policy, ring_min=10, table_size=11)
            rule = forward(f"outbound|80||{host}")._replace(hash_policies=policies)
            units.append(web(host, rule, endpoints=(test_experiments.weighted(1, 2, 3),), lb=lb))
            for draw, lines in enumerate((headers, None)):
                question = {"host": host, "port": 80, "path": "/?q=v", "headers": lines, "source_ip": "127.0.0.1"}
                questions.append({"route": question | {"draw": draw}})
    return "hashes", "Hash policies, made cookies, ring and Maglev.", units, questions


def _balance() -> tuple[str, str, list[low.Unit], list[Case]]:
    ok, bad, degraded, draining = low.HEALTHY, low.UNHEALTHY, low.DEGRADED, low.DRAINING
    hosts = test_pick.hosts
    shapes: dict[str, tuple[low.LocalityGroup, ...]] = {
        "plain": (hosts(ok, ok, ok),),
        "weights": (test_experiments.weighted(1, 2, 3),),
        "priorities": test_experiments.THREE,
        "degraded": (hosts(ok, degraded, degraded, bad),),
        "draining": (hosts(draining, bad, degraded, ok),),
        "localities": (hosts(ok, bad, weight=1), group("10.9.0.0:80", "10.9.0.1:80", locality="b", weight=2)),
        "nobody": (hosts(bad, bad),),
        "empty": (),
    }
    units, questions = [], []
    for shape, given in shapes.items():
        for policy in range(low.CLUSTER_PROVIDED + 1):
            for panic in (0, 50):
                host = f"{shape}-{policy}-{panic}.test"
                lb = low.LbConfig(policy, panic, locality_weighted=shape == "localities", ring_min=10, table_size=11)
                units.append(web(host, endpoints=given, lb=lb))
                questions += [{"route": {"host": host, "port": 80, "draw": draw}} for draw in (1, 2**63 + 7)]
    own = cluster("none", kind=low.ORIGINAL_DST, lb=low.LbConfig(policy=low.CLUSTER_PROVIDED), port_override=9090)
    units.append(unit("none", own, virtual_host(forward("none", path=exact("/")), domains=("none.test",))))
    questions.append({"route": {"host": "none.test", "port": 80, "original_destination": ["192.0.2.1", 1], "draw": 0}})
    return "balance", "Each policy over priorities, panic, degraded hosts and localities.", units, questions


def _exchanges() -> tuple[str, str, list[low.Unit], list[Case]]:
    """The scripts, each asked of a host of its own; one cluster for all."""
    units = [unit("cluster", cluster(exchanges.NAME, *exchanges.THREE))]
    questions: list[Case] = []
    for at, (_, rule, script) in enumerate(test_exchange.SCRIPTS):
        host = f"h{at}.test"
        units.append(unit(host, virtual_host(rule, domains=(host,))))
        reports = []
        for now, name, *arguments in script[1::2]:
            more = arguments[-1:] == ["more"]
            named = {"end_stream": False} if more else {}
            reports.append([now * exchanges.MS, name, arguments[: len(arguments) - more], named])
        questions.append({"exchange": {"route": {"host": host, "port": 80, "draw": 0}, "reports": reports}})
    headers = {
        "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "2", "x-envoy-upstream-rq-timeout-ms": "900",
        "content-type": "application/grpc", "grpc-timeout": "1500m",
    }  # fmt: skip
    for terms in (
        {},
        {"trusted": True},
        {"trusted": True, "replayable": False},
        {"received": False},
        {"pending": True},
    ):
        asked = {"host": "h0.test", "port": 80, "headers": headers, "draw": 2**63 + 7}
        reports = [[10, "ready", [], {}], [20, "received", [], {}], [2 * 10**9, "expired", [], {}]]
        questions.append({"exchange": {"route": asked, "terms": terms, "reports": reports}})
    mirrors = (low.Mirror(exchanges.NAME, 1_000_000), low.Mirror("gone", 1_000_000))
    retry = low.Retry("unavailable,envoy-ratelimited", 3, previous_hosts=True)
    rule = exchanges.route(retry, mirrors=mirrors)
    units.append(unit("copies", virtual_host(rule, domains=("copies.test",))))
    answers = [{"grpc-status": "14"}, {"grpc-status": "0", "X-Envoy-RateLimited": "true"}, {"grpc-status": "13"}]
    reports = []
    for at, lines in enumerate(answers):
        reports += [
            [at * 10**9, "response", [200, lines], {"end_stream": False}],
            [at * 10**9 + 10**9, "expired", [], {}],
        ]
    asked = {"host": "copies.test", "port": 80, "draw": 5}
    questions.append({"exchange": {"route": asked, "reports": [*reports, [9 * 10**9, "ended", [], {}]]}})
    return "exchanges", "Requests on their way: what to do after each report.", units, questions


def _ejections() -> tuple[str, str, list[low.Unit], list[Case]]:
    """Round robin over endpoints of which the first fails, or all do, for two minutes."""
    second = 10**9
    ends: list[Case] = [{"status": status} for status in (500, 503, 200)]
    ends += [{"error": error} for error in ("connect_failure", "timeout", "reset")] + [{"grpc_status": 14}]
    policies = {
        "defaults": low.OutlierDetection(),
        "half": low.OutlierDetection(5, 100, 3, 100, max_ejection_percent=50),
        "all": low.OutlierDetection(2, max_ejection_percent=100, base_ejection_time=5.0),
        "one": low.OutlierDetection(2, always_eject_one_host=True, interval=3.0, base_ejection_time=1.0),
        "split": low.OutlierDetection(
            consecutive_5xx=2,
            consecutive_local_origin_failure=2,
            split_external_local_origin_errors=True,
            max_ejection_percent=100,
        ),
        "chance": low.OutlierDetection(1, 50, max_ejection_percent=100, max_ejection_time_jitter=4.0),
        "codes": low.OutlierDetection(2, error_codes=(503, 429), max_ejection_percent=100),
    }
    units, questions = [], []
    for name, policy in policies.items():
        for at, end in enumerate(ends):
            host = f"{name}-{at}.test"
            lb = low.LbConfig(low.ROUND_ROBIN)
            units.append(web(host, endpoints=[f"10.0.0.{last}:80" for last in range(3)], lb=lb, outliers=policy))
            # Each case has a time of its own, at whose end nothing is left.
            start = 1000 * second * len(questions)
            steps: list[list[Any]] = [[start + now * second // 2, "lease", end] for now in range(20)]
            steps += [[start, "health", ["10.0.0.0", 80, low.HEALTHY]], [start + 10 * second, "lease", end]]
            for now in (11, 30, 40, 41, 900):
                steps += [[start + now * second, "sweep", None], [start + now * second, "lease", {}]]
            questions.append({"ejections": {"route": {"host": host, "port": 80}, "steps": steps}})
    return "ejections", "Outlier detection: how leases end, who is ejected, who is back at a tick.", units, questions


def record(about: str, units: list[low.Unit], asked: list[Case]) -> Case:
    file: Case = {"about": about, "seed": 0, "outbound": low.ALLOW_ANY, "units": to_json(units)}
    engine = engine_of(_fallback, file)
    file["cases"] = [{"asked": one, "answer": answer(engine, one)} for one in asked]
    return file


def text_of(file: Case) -> str:
    """One line for each unit and case, so that a difference can be read."""
    head = {key: file[key] for key in ("about", "seed", "outbound")}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    for key in ("units", "cases"):
        items = ",\n".join(json.dumps(one, ensure_ascii=True) for one in file[key])
        lines.append(f'"{key}": [\n{items}\n]' + ("," if key == "units" else ""))
    return "{\n" + "\n".join(lines) + "\n}\n"


def main() -> None:
    for name, about, units, asked in inputs():
        (FOLDER / f"{name}.json").write_text(text_of(record(about, units, asked)))


if __name__ == "__main__":
    main()
