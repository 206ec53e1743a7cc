"""`route`: virtual host, conditions, destinations, and what a route does to a request."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
from tests.core.test_pick import mix
from tests.core.units import (
    PRESENT,
    cluster,
    exact,
    forward,
    header,
    prefix,
    published,
    redirect,
    regex,
    service,
    suffix,
    to,
    unit,
    virtual_host,
    web,
)

from roadstead import _lowered as low

HOST = "a.test"
CLUSTER = "outbound|80||a.test"
ELSE = forward("else")
PATH, HEADER, QUERY = "path", "header", "query"

PATHS = [
    (exact("/x"), "/x", True),
    (exact("/x"), "/x?q=1", True),
    (exact("/x"), "/x#f", True),
    (exact("/x"), "/x/", False),
    (exact("/x"), "/X", False),
    (exact("/x", ignore_case=True), "/X", True),
    (exact("/x?q"), "/x?q", False),
    (prefix("/p"), "/p", True),
    (prefix("/p"), "/px", True),
    (prefix("/p"), "/p/x", True),
    (prefix("/p"), "/q?/p", False),
    (prefix("/p"), "/P", False),
    (prefix("/P", ignore_case=True), "/px", True),
    (prefix("/pq?x"), "/pq?x", False),
    (prefix("/"), "/", True),
    (None, "/anything", True),
    (None, "*", False),
    (suffix(".js"), "/a/b.js", True),
    (suffix(".js"), "/a/b.js?v=1", True),
    (suffix(".js"), "/a/b.css", False),
    (regex("/r[0-9]+"), "/r12?z=1", True),
    (regex("/r[0-9]+"), "/r12x", False),
    (regex("/r[0-9]+"), "x/r12", False),
    (regex("/(a|ab)c"), "/abc", True),
    (regex("(?i)/ABC"), "/abc", True),
    (regex("/."), "/\n", False),
    (regex("/é+"), "/éé", True),
    (regex("/.."), "/é", True),
]


@pytest.mark.parametrize(("match", "path", "taken"), PATHS)
def test_path(engine: ModuleType, match: low.ValueMatch | None, path: str, taken: bool) -> None:
    # A sidecar takes no path beyond ASCII for HTTP.
    outbound = None if path.isascii() else low.GATEWAY
    eng = published(engine, web(HOST, forward(CLUSTER, path=match)), outbound=outbound)
    decision = eng.route(HOST, 80, path)
    assert (decision.kind, decision.route_index) == (("forward", 0) if taken else ("not_found", -1))
    assert (decision.status, decision.flags) == ((0, "") if taken else (404, "NR"))


Pairs = list[tuple[str, str]]
HEADERS: list[tuple[low.HeaderMatch, Pairs, bool]] = [
    (header("x-a", exact("1")), [("x-a", "1")], True),
    (header("x-a", exact("1")), [("X-A", "1")], True),
    (header("x-a", exact("1")), [("x-a", "2")], False),
    (header("x-a", exact("1")), [], False),
    (header("x-a", exact("A", ignore_case=True)), [("x-a", "a")], True),
    (header("x-a", exact("2")), [("x-a", "1"), ("x-a", "2")], True),
    (header("x-a", exact("1,2")), [("x-a", "1"), ("x-a", "2")], False),
    (header("x-a", exact("1,2")), [("x-a", "1,2")], True),
    (header("x-a", prefix("ab")), [("x-a", "abc")], True),
    (header("x-a", prefix("ab")), [("x-a", "xab")], False),
    (header("x-a", prefix("AB", ignore_case=True)), [("x-a", "abc")], True),
    (header("x-a", suffix("bc")), [("x-a", "abc")], True),
    (header("x-a", suffix("bc")), [("x-a", "bcx")], False),
    (header("x-a", regex("a.c")), [("x-a", "abc")], True),
    (header("x-a", regex("a.c")), [("x-a", "abcd")], False),
    (header("x-a", PRESENT), [("x-a", "")], True),
    (header("x-a", PRESENT), [("x-b", "")], False),
    # Inverted: no line may match; an absent header fails, but for PRESENT.
    (header("x-a", exact("1"), invert=True), [("x-a", "2")], True),
    (header("x-a", exact("1"), invert=True), [("x-a", "2"), ("x-a", "1")], False),
    (header("x-a", exact("1"), invert=True), [], False),
    (header("x-a", PRESENT, invert=True), [], True),
    (header("x-a", PRESENT, invert=True), [("x-a", "")], False),
    # Missing as empty: the empty string is tested.
    (header("x-a", exact(""), missing_as_empty=True), [], True),
    (header("x-a", exact("1"), missing_as_empty=True), [], False),
    (header("x-a", exact("1"), invert=True, missing_as_empty=True), [], True),
    (header("x-a", regex("a*"), missing_as_empty=True), [], True),
    # Pseudo headers; Host is the authority.
    (header(":method", exact("POST")), [], True),
    (header(":method", exact("GET")), [], False),
    (header(":authority", exact("a.test")), [], True),
    (header("host", exact("a.test")), [], True),
    (header(":scheme", exact("http")), [], True),
    (header(":path", exact("/x?k=v")), [], True),
    (header(":unknown", PRESENT), [(":unknown", "1")], False),
]


@pytest.mark.parametrize("as_mapping", [False, True])
@pytest.mark.parametrize(("match", "headers", "taken"), HEADERS)
def test_header(engine: ModuleType, match: low.HeaderMatch, headers: Pairs, taken: bool, as_mapping: bool) -> None:
    if as_mapping and len(dict(headers)) < len(headers):
        headers = headers[-1:]
        taken = taken and not match.invert
    eng = published(engine, web(HOST, forward(CLUSTER, headers=(match,))))
    given: Any = dict(headers) if as_mapping else headers
    decision = eng.route(HOST, 80, "/x?k=v", "POST", given)
    assert (decision.kind == "forward") is taken


def test_headers_may_be_an_iterator(engine: ModuleType) -> None:
    conditions = (header("x-a", exact("1")), header("x-b", exact("2")))
    policy = low.HashPolicy(low.HASH_HEADER, "x-a")
    rule = forward(CLUSTER, headers=conditions)._replace(hash_policies=(policy,))
    eng = published(engine, web(HOST, rule))
    decision = eng.route(HOST, 80, headers=iter([("x-a", "1"), ("x-b", "2")]))
    assert decision.kind == "forward"
    assert decision.hash == eng.route(HOST, 80, headers={"x-a": "1", "x-b": "2"}).hash is not None


def test_keys_that_come_again_and_again_are_read_each_time(engine: ModuleType) -> None:
    """A dict's keys may be told by identity: what another dict, or the same one later, says must not be mixed up."""
    eng = published(engine, web(HOST, forward(CLUSTER, headers=(header("x-a", exact("1")),)), ELSE))

    def index(headers: Any) -> int:
        return eng.route(HOST, 80, headers=headers).route_index

    names = [f"x-header-{number}" for number in range(12)]
    same: Any = dict.fromkeys(names, "1")
    for _ in range(20):
        assert index(same) == 1
    for spelling in ("X-A", "x-A", "x-a"):
        for _ in range(4):
            assert index({**same, spelling: "1"}) == 0
            assert index({**same, spelling: "2"}) == 1
            assert index(same) == 1
    same["X-A"] = "1"
    assert index(same) == 0
    del same["X-A"]
    assert index(same) == 1
    for number in range(3000):
        made = f"x-{number}"
        assert index({made: "1"}) == index({made: "1", **same}) == 1
        assert index({made: "1", "X-a".upper(): "1"}) == 0
    assert index(same) == 1


QUERIES = [
    (low.QueryMatch("k", exact("v")), "/?k=v", True),
    (low.QueryMatch("k", exact("v")), "/?a=1&k=v&b=2", True),
    (low.QueryMatch("k", exact("v")), "/", False),
    (low.QueryMatch("k", exact("v")), "/?", False),
    # The first occurrence only, names with case, nothing decoded.
    (low.QueryMatch("k", exact("v")), "/?k=w&k=v", False),
    (low.QueryMatch("k", exact("v")), "/?K=v", False),
    (low.QueryMatch("k", exact("v")), "/?k=%76", False),
    (low.QueryMatch("k", exact("a=b")), "/?k=a=b", True),
    (low.QueryMatch("k", PRESENT), "/?k", True),
    (low.QueryMatch("k", PRESENT), "/?k=", True),
    (low.QueryMatch("k", PRESENT), "/?kk=1", False),
    (low.QueryMatch("k", exact("")), "/?k", True),
    (low.QueryMatch("k", prefix("ab")), "/?k=abc", True),
    (low.QueryMatch("k", suffix("bc")), "/?k=abc", True),
    (low.QueryMatch("k", regex("[a-c]+")), "/?k=abc", True),
    (low.QueryMatch("k", regex("[a-c]+")), "/?k=abcd", False),
]


@pytest.mark.parametrize(("match", "path", "taken"), QUERIES)
def test_query(engine: ModuleType, match: low.QueryMatch, path: str, taken: bool) -> None:
    eng = published(engine, web(HOST, forward(CLUSTER, queries=(match,))))
    assert (eng.route(HOST, 80, path).kind == "forward") is taken


def test_first_route_wins_and_all_conditions_hold(engine: ModuleType) -> None:
    rules = (
        forward("one", path=prefix("/a"), headers=(header("x", exact("1")),), queries=(low.QueryMatch("q", PRESENT),)),
        forward("two", path=prefix("/a")),
        forward("three", path=prefix("/a/b")),
        forward("four"),
    )
    eng = published(engine, web(HOST, *rules))
    assert eng.route(HOST, 80, "/a/b?q", headers={"x": "1"}).cluster_name == "one"
    assert eng.route(HOST, 80, "/a/b", headers={"x": "1"}).cluster_name == "two"
    assert eng.route(HOST, 80, "/a/b?q").cluster_name == "two"
    assert eng.route(HOST, 80, "/b").cluster_name == "four"


def test_many_routes_keep_their_order(engine: ModuleType) -> None:
    """Indexed or scanned, the first in the list wins."""
    rules = []
    for number in range(60):
        rules.append(forward(f"e{number}", path=exact(f"/e/{number}"), headers=(header("x", PRESENT),)))
        rules.append(forward(f"p{number}", path=prefix(f"/e/{number}")))
        rules.append(forward(f"r{number}", path=regex(f"/r/{number}(/.*)?")))
        rules.append(forward(f"i{number}", path=prefix(f"/I/{number}", ignore_case=True)))
    rules.append(forward("late", path=exact("/e/7")))
    eng = published(engine, web(HOST, *rules))
    cases = {
        "/e/7": "p7",
        "/e/10": "p1",
        "/e/59/x": "p5",
        "/r/42/x": "r42",
        "/r/42x": None,
        "/i/33": "i3",
        "/I/3": "i3",
        "/": None,
        "": None,
    }
    for path, name in cases.items():
        decision = eng.route(HOST, 80, path)
        assert (decision.cluster_name or None) == name, path
    assert eng.route(HOST, 80, "/e/9", headers={"x": ""}).cluster_name == "e9"


DOMAINS = ("foo.bar.com", "*.bar.com", "*-x.bar.com", "foo.*", "foo.bar.*", "p.com", "*")


def test_virtual_host_order(engine: ModuleType) -> None:
    """Exact, then the longest suffix, then the longest prefix, then everything; wildcards take a character."""
    units = [unit(domain, virtual_host(forward(CLUSTER, handle=domain), domains=(domain,))) for domain in DOMAINS]
    eng = published(engine, *units)
    cases = {
        "foo.bar.com": "foo.bar.com",
        "FOO.bar.com:80": "foo.bar.com",
        "a.bar.com": "*.bar.com",
        "a-x.bar.com": "*-x.bar.com",
        "-x.bar.com": "*.bar.com",
        "bar.com": "*",
        ".bar.com": "*",
        "foo.bar.org": "foo.bar.*",
        "foo.baz": "foo.*",
        "foo.x.bar.com": "*.bar.com",
        "foo": "*",
        "p.com:8080": "p.com",
        "p.com:9": "p.com",
        "x": "*",
    }
    for host, domain in cases.items():
        assert eng.route(host, 80).route == domain, host


def test_weights(engine: ModuleType) -> None:
    """`draw % total` in list order; a destination may weigh nothing."""
    eng = published(engine, web(HOST, forward(("one", 1), ("none", 0), ("three", 3))))
    found = [eng.route(HOST, 80, draw=draw) for draw in range(8)]
    assert [decision.cluster_name for decision in found] == ["one", "three", "three", "three"] * 2
    assert [decision.destination_index for decision in found] == [0, 2, 2, 2] * 2
    assert "weight:2" in found[1].reasons
    assert eng.route(HOST, 80, draw=2**64 - 1).cluster_name == "three"


def test_missing_cluster(engine: ModuleType) -> None:
    decision = published(engine, web(HOST, forward("missing"))).route(HOST, 80)
    assert (decision.kind, decision.status, decision.flags) == ("no_cluster", 503, "NC")
    assert decision.cluster is None
    assert decision.cluster_name == "missing"
    assert decision.reasons == ("host:exact", "route:0", "cluster:missing")


PREFIX, WHOLE = prefix("/old"), exact("/old/x")
REWRITES: list[tuple[low.ValueMatch | None, str | None, tuple[str, str] | None, str, str]] = [
    (PREFIX, "/new", None, "/old/x?q=1", "/new/x?q=1"),
    (prefix("/pr/"), "/new/", None, "/pr/a?b=1", "/new/a?b=1"),
    (prefix("/pr2"), "/", None, "/pr2/a", "//a"),
    (prefix("/OLD", ignore_case=True), "/new", None, "/old/x", "/new/x"),
    (WHOLE, "/new", None, "/old/x?q=1", "/new?q=1"),
    (regex("/old/.*"), "/new", None, "/old/x?q=1", "/new?q=1"),
    (None, "/new/", None, "/old", "/new/old"),
    (None, None, ("^/old/(.*)$", "/new/\\1"), "/old/x?q=/old/y", "/new/x?q=/old/y"),
    (None, None, ("o", "0"), "/foo/boo", "/f00/b00"),
    (None, None, ("x", "y"), "/foo", "/foo"),
    (None, None, ("(a)(b)?", "<\\0\\2>"), "/a/ab", "/<a>/<abb>"),
    (None, None, ("", "-"), "/ab", "-/-a-b-"),
    (None, None, ("b*", "-"), "/abc", "-/-a-c-"),
    (None, None, ("/", "\\\\"), "/a", "\\a"),
]


@pytest.mark.parametrize(("match", "text", "expression", "path", "sent"), REWRITES)
def test_path_rewrite(
    engine: ModuleType,
    match: low.ValueMatch | None,
    text: str | None,
    expression: tuple[str, str] | None,
    path: str,
    sent: str,
) -> None:
    rule = forward(CLUSTER, path=match)._replace(prefix_rewrite=text, regex_rewrite=expression)
    assert published(engine, web(HOST, rule)).route(HOST, 80, path).path == sent


def test_authority(engine: ModuleType) -> None:
    """A destination's host rewrite is applied first, so the route's wins; without any the host is sent as it came."""
    own = low.Destination(CLUSTER, 0, host_rewrite="destination.test")
    both = forward(own, path=prefix("/both"))._replace(host_rewrite="route.test")
    eng = published(engine, web(HOST, both, forward(own, path=prefix("/one")), forward(CLUSTER)))
    assert eng.route(HOST, 80, "/both").authority == "route.test"
    assert eng.route(HOST, 80, "/one").authority == "destination.test"
    assert eng.route("A.test:8080", 80, "/").authority == "A.test:8080"


R = low.Redirect
REDIRECTS = [
    (R(scheme="https"), "a.test", "/x?q=1", "https://a.test/x?q=1"),
    (R(scheme="https"), "a.test:80", "/", "https://a.test/"),
    (R(scheme="https"), "a.test:443", "/", "https://a.test:443/"),
    (R(scheme="https"), "a.test:8080", "/", "https://a.test:8080/"),
    (R(scheme="https", keep_port=True), "a.test:80", "/", "https://a.test:80/"),
    (R(scheme="http", host="b.test"), "a.test:80", "/", "http://b.test/"),
    (R(host="b.test"), "a.test:8080", "/x", "http://b.test/x"),
    (R(port=8443), "a.test:80", "/", "http://a.test:8443/"),
    (R(host="b.test", port=81), "a.test", "/", "http://b.test:81/"),
    (R(path="/new"), "a.test", "/old?q=1", "http://a.test/new?q=1"),
    (R(path="/new?n=1"), "a.test", "/old?q=1", "http://a.test/new?n=1"),
    (R(prefix_rewrite="/new"), "a.test", "/old/x?q=1", "http://a.test/new/x?q=1"),
]


@pytest.mark.parametrize(("action", "host", "path", "location"), REDIRECTS)
def test_redirect(engine: ModuleType, action: low.Redirect, host: str, path: str, location: str) -> None:
    match = prefix("/old") if path.startswith("/old") else None
    eng = published(engine, web(HOST, redirect(action, path=match)))
    decision = eng.route(host, 80, path)
    assert (decision.kind, decision.status, decision.redirect) == ("redirect", 301, (301, location))
    assert (decision.cluster, decision.direct_response, decision.destination_index) == (None, None, -1)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirect_code(engine: ModuleType, code: int) -> None:
    decision = published(engine, web(HOST, redirect(R(path="/n", code=code)))).route(HOST, 80)
    assert (decision.status, decision.redirect) == (code, (code, "http://a.test/n"))


def test_direct_response(engine: ModuleType) -> None:
    rule = low.Route(None, low.Match(None), low.DIRECT_RESPONSE, direct_status=418, direct_body=b"\x00tea")
    rule = rule._replace(response_ops=(low.HeaderOp(low.ADD, "x", "1"),))
    decision = published(engine, web(HOST, rule)).route(HOST, 80)
    assert (decision.kind, decision.status, decision.flags) == ("direct_response", 418, "")
    assert decision.direct_response == (418, b"\x00tea")
    assert decision.redirect is None
    assert decision.response_headers == (("add", "x", "1"),)


OPS = (
    low.HeaderOp(low.REMOVE, "X-Gone"),
    low.HeaderOp(low.SET, "x-set", "new"),
    low.HeaderOp(low.SET, "x-fresh", "f"),
    low.HeaderOp(low.SET, "x-empty", ""),
    low.HeaderOp(low.ADD, "x-add", "more"),
    low.HeaderOp(low.ADD, "x-nothing", ""),
)


def test_header_operations(engine: ModuleType) -> None:
    rule = forward(low.Destination(CLUSTER, 0, OPS[:1], OPS[:1]))._replace(request_ops=OPS[1:], response_ops=OPS[1:])
    decision = published(engine, web(HOST, rule)).route(HOST, 80)
    words = (
        ("remove", "X-Gone", ""),
        ("set", "x-set", "new"),
        ("set", "x-fresh", "f"),
        ("set", "x-empty", ""),
        ("add", "x-add", "more"),
        ("add", "x-nothing", ""),
    )
    assert decision.request_headers == decision.response_headers == words
    given = [
        ("x-gone", "1"),
        ("X-Set", "a"),
        ("k", "v"),
        ("x-set", "b"),
        ("x-add", "one"),
        ("x-empty", "e"),
        ("X-GONE", "2"),
    ]
    expected = [("x-set", "new"), ("k", "v"), ("x-add", "one"), ("x-empty", "e"), ("x-fresh", "f"), ("x-add", "more")]
    for form in (list, tuple, iter):
        assert decision.apply(form(given)) == decision.apply_response(form(given)) == expected
    assert decision.apply({}) == [("x-set", "new"), ("x-fresh", "f"), ("x-add", "more")]


def test_delays_and_aborts_have_their_own_parts_of_the_draw(engine: ModuleType) -> None:
    fault = low.Fault(
        delay=1.5, delay_numerator=300_000, abort_numerator=100_000, abort_status=503, abort_grpc_status=14
    )
    mirrors = (low.Mirror("m1", 500_000), low.Mirror("m2", 500_000), low.Mirror("all", 1_000_000), low.Mirror("no", 0))
    eng = published(engine, web(HOST, forward(CLUSTER)._replace(fault=fault, mirrors=mirrors)))
    table = {
        0: ((1.5, 503, 14), ()),
        1: (None, ("m1", "m2", "all")),
        2: ((0.0, 503, 14), ()),
        10: ((1.5, 0, -1), ("m1", "m2", "all")),
        499_999: ((1.5, 0, -1), ("m1", "m2", "all")),
        500_001: (None, ("all",)),
    }
    for draw, (expected, copies) in table.items():
        decision = eng.route(HOST, 80, draw=draw)
        assert (decision.fault, decision.mirrors) == (expected, copies), draw
    # From the contract's words: mix(draw) % 1_000_000 and mix(draw) // 1_000_000 % 1_000_000.
    for draw in range(500):
        delayed, aborted = mix(draw) % 1_000_000 < 300_000, mix(draw) // 1_000_000 % 1_000_000 < 100_000
        expected = (1.5 * delayed, 503 * aborted, 14 if aborted else -1) if delayed or aborted else None
        assert eng.route(HOST, 80, draw=draw).fault == expected, draw


def test_abort_alone(engine: ModuleType) -> None:
    fault = low.Fault(abort_numerator=1_000_000, abort_status=400)
    decision = published(engine, web(HOST, forward(CLUSTER)._replace(fault=fault))).route(HOST, 80)
    assert decision.fault == (0.0, 400, -1)
    assert published(engine, web(HOST)).route(HOST, 80).fault is None


def tls_unit() -> low.Unit:
    """443 speaks TLS and has rules for requests made here; 8443 speaks TLS; 80 is HTTP; 90 is TCP; 91 is sniffed."""
    return unit(
        HOST,
        service(HOST, (443, low.PROTO_TLS), (8443, low.PROTO_TLS), 80, (90, low.PROTO_TCP), (91, low.PROTO_AUTO)),
        *[cluster(f"outbound|{port}||{HOST}", "10.0.0.1:1") for port in (443, 8443, 80, 90, 91)],
        virtual_host(forward(f"outbound|443||{HOST}", path=prefix("/api")), domains=(HOST,), port=443, tls=True),
        virtual_host(forward(f"outbound|80||{HOST}"), domains=(HOST,), port=80),
        virtual_host(forward(f"outbound|91||{HOST}"), domains=(HOST,), port=91),
        *[
            low.Chain(f"chain{port}", HOST, port, (), (), (HOST,), 1, to(f"outbound|{port}||{HOST}"))
            for port in (443, 8443)
        ],
        low.Chain("tcp", HOST, 90, (), (), (), 0, to(f"outbound|90||{HOST}")),
        low.Chain("auto", HOST, 91, (), (), (), 0, to(f"outbound|91||{HOST}")),
    )


SCHEMES = [
    # port, scheme, kind, cluster port, application TLS, reasons without those of host, route and weight
    (443, None, "forward", 443, True, ()),
    (None, "https", "forward", 443, True, ("port:default:443",)),
    (None, None, "forward", 80, False, ("port:default:80",)),
    (None, "http", "forward", 80, False, ("port:default:80",)),
    (8443, None, "forward", 8443, True, ()),
    (8443, "https", "forward", 8443, True, ()),
    (443, "http", "passthrough", None, False, ("sniff:http-on-tls", "policy:allow_any")),
    (80, "https", "passthrough", None, True, ("sniff:tls-on-http", "policy:allow_any")),
    (90, None, "forward", 90, False, ()),
    (90, "https", "forward", 90, True, ()),
    (91, None, "forward", 91, False, ()),
    (91, "https", "forward", 91, True, ()),
    (99, None, "passthrough", None, False, ("port:undeclared:80,90,91,443,8443", "policy:allow_any")),
]


@pytest.mark.parametrize(("port", "scheme", "kind", "to_port", "tls", "reasons"), SCHEMES)
def test_scheme_and_port(
    engine: ModuleType,
    port: int | None,
    scheme: str | None,
    kind: str,
    to_port: int | None,
    tls: bool,
    reasons: tuple[str, ...],
) -> None:
    decision = published(engine, tls_unit()).route(HOST, port, "/api/x", scheme=scheme)
    name = "PassthroughCluster" if to_port is None else f"outbound|{to_port}||{HOST}"
    assert (decision.kind, decision.cluster_name, decision.application_tls) == (kind, name, tls)
    rest = [one for one in decision.reasons if not one.startswith(("host:", "route:", "weight:"))]
    assert tuple(rest) == reasons


def test_rules_on_a_tls_port(engine: ModuleType) -> None:
    decision = published(engine, tls_unit()).route(HOST, 443, "/other")
    assert (decision.kind, decision.status) == ("not_found", 404)
    assert decision.reasons == ("host:exact", "route:none")


POLICIES = [
    (low.ALLOW_ANY, "passthrough", 0, "", "PassthroughCluster", "policy:allow_any"),
    (low.REGISTRY_ONLY, "refused", 502, "", "BlackHoleCluster", "policy:registry_only"),
    (low.GATEWAY, "not_found", 404, "NR", "", ""),
]


@pytest.mark.parametrize(("policy", "kind", "status", "flags", "name", "reason"), POLICIES)
def test_unknown_host(
    engine: ModuleType, policy: int, kind: str, status: int, flags: str, name: str, reason: str
) -> None:
    eng = published(engine, web(HOST), outbound=policy)
    decision = eng.route("unknown.test", 80)
    assert (decision.kind, decision.status, decision.flags, decision.cluster_name) == (kind, status, flags, name)
    assert decision.reasons == (("host:unknown", reason) if reason else ("host:unknown",))
    assert (decision.service, decision.route, decision.virtual_host, decision.route_index) == (None, None, None, -1)


def test_egress_cluster(engine: ModuleType) -> None:
    eng = engine.Engine(seed=0)
    builder = eng.builder()
    builder.put(unit("egress", cluster("egress", "10.0.0.9:80")))
    builder.set_outbound(low.ALLOW_ANY, egress_cluster="egress")
    eng.publish(builder)
    decision = eng.route("unknown.test", 80)
    assert (decision.kind, decision.cluster_name, decision.pick().address) == ("forward", "egress", "10.0.0.9")
    builder = eng.builder()
    builder.delete("egress")
    eng.publish(builder)
    decision = eng.route("unknown.test", 80)
    assert (decision.kind, decision.cluster_name, decision.flags) == ("no_cluster", "egress", "NC")


REASONS = [
    ("a.test", 80, "host:exact"),
    ("A.TEST.", 80, "host:exact"),
    ("x.wild.test", 80, "host:wildcard:*.wild.test"),
    ("240.0.0.9", 90, "host:vip"),
    ("10.2.3.4", 90, "host:cidr:10.0.0.0/8"),
    ("a.test", 9, "host:exact"),
    ("x.wild.test", 9, "host:wildcard:*.wild.test"),
    ("nobody", 80, "host:unknown"),
    ("99.0.0.1", 80, "host:unknown"),
]


@pytest.mark.parametrize(("host", "port", "reason"), REASONS)
def test_host_reason(engine: ModuleType, host: str, port: int, reason: str) -> None:
    tcp = (90, low.PROTO_TCP)
    eng = published(
        engine,
        web(HOST),
        web("*.wild.test"),
        unit(
            "vip",
            service("vip.test", tcp, addresses=("240.0.0.9",)),
            cluster("v", "1.1.1.1:1"),
            chain_to("vip.test", "v", ("240.0.0.9",), ()),
        ),
        unit(
            "net",
            service("net.test", tcp, addresses=("10.0.0.0/8",)),
            cluster("n", "1.1.1.1:1"),
            chain_to("net.test", "n", (), ("10.0.0.0/8",)),
        ),
    )
    assert eng.route(host, port).reasons[0] == reason


def chain_to(host: str, name: str, addresses: tuple[str, ...], cidrs: tuple[str, ...]) -> low.Chain:
    return low.Chain(None, host, 90, addresses, cidrs, (), 0, to(name))


def test_explain(engine: ModuleType) -> None:
    rules = (
        forward(CLUSTER, path=prefix("/api")),
        forward(CLUSTER, path=exact("/x")),
        forward(CLUSTER, path=regex("/r+")),
        forward(CLUSTER, headers=(header("x-a", suffix("v")),)),
        forward(CLUSTER, headers=(header("x-b", exact("v"), invert=True),)),
        forward(CLUSTER, headers=(header("x-c", PRESENT),)),
        forward(CLUSTER, queries=(low.QueryMatch("k", exact("v")),)),
        forward(CLUSTER, queries=(low.QueryMatch("p", PRESENT),)),
        forward(CLUSTER),
        ELSE,
    )
    eng = published(engine, web(HOST, *rules))
    decision = eng.route(HOST, 80, "/y", headers={"x-b": "v"})
    assert [tuple(step) for step in eng.explain(decision)] == [
        (0, 0, 'path prefix "/api"'),
        (1, 0, 'path "/x"'),
        (2, 0, 'path regex "/r+"'),
        (3, 0, 'header x-a suffix "v"'),
        (4, 0, 'header x-b not "v"'),
        (5, 0, "header x-c present"),
        (6, 0, 'query k "v"'),
        (7, 0, "query p present"),
        (8, 1, ""),
    ]
    assert list(eng.explain(eng.route("unknown.test", 80))) == []


def test_explain_nothing_taken(engine: ModuleType) -> None:
    eng = published(engine, web(HOST, forward(CLUSTER, path=prefix("/api"))))
    assert [tuple(step) for step in eng.explain(eng.route(HOST, 80))] == [(0, 0, 'path prefix "/api"')]
