"""Rules of VirtualService, by number. Most stand in one HTTP rule, which is what the tables write."""

from __future__ import annotations

import pytest

from .cases import said

ROUTE = "route: [{destination: {host: b.test}}]"


def http(rule: str) -> str:
    return f"{{hosts: [a.test], http: [{{{rule}}}]}}"


RIGHT = [
    ROUTE,
    f"match: [{{uri: {{prefix: ''}}, headers: {{':method': {{exact: GET}}, x: {{}}}}, withoutHeaders: {{y: {{regex: '*'}}}}}}], {ROUTE}",
    "route: [{destination: {host: b.test}, weight: 1}, {destination: {host: c.test, subset: v1, port: {number: 80}}}]",
    "redirect: {uri: /x, redirectCode: 308}",
    "redirect: {port: 443}",
    "redirect: {derivePort: FROM_REQUEST_PORT}",
    "directResponse: {status: 600, body: {string: no}}".replace("no", "'no'"),
    f"{ROUTE}, rewrite: {{authority: x}}, headers: {{request: {{set: {{Host: z1}}, remove: [a]}}}}".replace(
        "rewrite: {authority: x}, ", ""
    ),
    f"{ROUTE}, retries: {{attempts: 0}}",
    f"{ROUTE}, retries: {{attempts: 3, perTryTimeout: 2s, retryOn: '5xx,connect-failure,503'}}",
    f"{ROUTE}, fault: {{delay: {{fixedDelay: 5s, percentage: {{value: 0.1}}}}, abort: {{}}}}",
    f"{ROUTE}, timeout: 1h30m",
    f"{ROUTE}, corsPolicy: {{allowOrigins: [{{exact: x}}], allowMethods: [GET, '*'], maxAge: 10s}}",
    f"{ROUTE}, headers: {{request: {{add: {{x: '%REQ(y)% 100%%'}}}}}}",
]

WRONG = [
    ("redirect: {uri: /x}, " + ROUTE, [("VS-23", "route")]),
    ("directResponse: {status: 200, body: {bytes: MUTUAL}}", [("DEC-10", "directResponse.body.bytes")]),
    ("directResponse: {status: 200}, rewrite: {uri: /x}", [("VS-24", "rewrite")]),
    ("match: [{uri: {exact: /}}]", [("VS-25", "")]),
    (f"{ROUTE}, mirror: {{host: c.test}}, mirrors: [{{destination: {{host: d.test}}}}]", [("VS-26", "mirror")]),
    (f"match: [{{headers: {{'a b': {{}}}}}}], {ROUTE}", [("VS-28", "match[0].headers.a b")]),
    (f"match: [{{method: {{prefix: ''}}}}], {ROUTE}", [("VS-29", "match[0].method.prefix")]),
    (f"match: [{{uri: {{regex: ''}}}}], {ROUTE}", [("VS-30", "match[0].uri.regex")]),
    (
        f"match: [{{queryParams: {{x: {{regex: '{'a' * 1025}'}}}}}}], {ROUTE}",
        [("VS-31", "match[0].queryParams.x.regex")],
    ),
    (f"match: [{{uri: {{exact: a, prefix: b}}}}], {ROUTE}", [("K-VS-1", "match[0].uri.prefix")]),
    (f"match: [{{port: 65536}}], {ROUTE}", [("VS-32", "match[0].port")]),
    (f"match: [{{sourceLabels: {{a: 'b c'}}}}], {ROUTE}", [("VS-33", "match[0].sourceLabels")]),
    (f"match: [{{sourceNamespace: a_b}}], {ROUTE}", [("VS-35", "match[0].sourceNamespace")]),
    (
        f"match: [{{headers: {{'@request.auth.claims.sub': {{exact: x}}}}}}], {ROUTE}",
        [("VS-9", "match[0].headers.@request.auth.claims.sub")],
    ),
    (f"headers: {{request: {{set: {{':path': x}}}}}}, {ROUTE}", [("VS-36", "headers.request.set.:path")]),
    (f"headers: {{response: {{remove: [HOST]}}}}, {ROUTE}", [("VS-37", "headers.response.remove[0]")]),
    (f"headers: {{response: {{add: {{x: '100%'}}}}}}, {ROUTE}", [("VS-38", "headers.response.add.x")]),
    (f"corsPolicy: {{allowOrigins: [{{}}]}}, {ROUTE}", [("VS-39", "corsPolicy.allowOrigins[0]")]),
    (f"corsPolicy: {{allowMethods: [get]}}, {ROUTE}", [("VS-41", "corsPolicy.allowMethods[0]")]),
    (f"corsPolicy: {{exposeHeaders: ['a b']}}, {ROUTE}", [("VS-42", "corsPolicy.exposeHeaders[0]")]),
    (f"corsPolicy: {{maxAge: 1.5s}}, {ROUTE}", [("VS-44", "corsPolicy.maxAge")]),
    (f"fault: {{}}, {ROUTE}", [("VS-45", "fault")]),
    (
        f"fault: {{abort: {{httpStatus: 503, percentage: {{value: 101}}}}}}, {ROUTE}",
        [("VS-46", "fault.abort.percentage")],
    ),
    (f"fault: {{abort: {{grpcStatus: unavailable}}}}, {ROUTE}", [("VS-47", "fault.abort.grpcStatus")]),
    (f"fault: {{abort: {{http2Error: X}}}}, {ROUTE}", [("VS-48", "fault.abort.http2Error")]),
    (f"fault: {{abort: {{httpStatus: 100}}}}, {ROUTE}", [("VS-49", "fault.abort.httpStatus")]),
    (f"fault: {{delay: {{exponentialDelay: 1s}}}}, {ROUTE}", [("VS-52", "fault.delay.exponentialDelay")]),
    (f"mirror: {{host: c.test}}, mirrorPercent: 101, {ROUTE}", [("VS-53", "mirrorPercent")]),
    (f"mirror: {{host: c.test}}, mirrorPercentage: {{value: -1}}, {ROUTE}", [("VS-55", "mirrorPercentage.value")]),
    (f"mirrors: [{{}}], {ROUTE}", [("VS-57", "mirrors[0].destination")]),
    (
        f"mirrors: [{{destination: {{host: c.test}}, percentage: {{value: 101}}}}], {ROUTE}",
        [("VS-59", "mirrors[0].percentage.value")],
    ),
    ("redirect: {uri: /x, prefixRewrite: /y}", [("VS-60", "redirect")]),
    ("match: [{uri: {exact: /a}}], redirect: {prefixRewrite: /y}", [("VS-61", "redirect.prefixRewrite")]),
    ("redirect: {redirectCode: 302}", [("VS-62", "redirect")]),
    ("redirect: {uri: /x, redirectCode: 200}", [("VS-63", "redirect.redirectCode")]),
    ("redirect: {scheme: ftp}", [("VS-64", "redirect.scheme")]),
    ("redirect: {port: 65536}", [("VS-65", "redirect.port")]),
    ("redirect: {port: 80, derivePort: FROM_PROTOCOL_DEFAULT}", [("K-VS-1", "redirect.derivePort")]),
    ("directResponse: {}", [("VS-68", "directResponse.status")]),
    (f"directResponse: {{status: 200, body: {{string: '{'x' * (1024 * 1024 + 1)}'}}}}", [("DOC-1", "")]),
    (f"retries: {{attempts: -1}}, {ROUTE}", [("VS-69", "retries.attempts")]),
    (f"retries: {{retryOn: 5xx}}, {ROUTE}", [("VS-70", "retries")]),
    (f"retries: {{attempts: 1, retryOn: '5xx, reset'}}, {ROUTE}", [("VS-72", "retries.retryOn")]),
    (f"retries: {{attempts: 1, backoff: 1us}}, {ROUTE}", [("DEC-6", "retries.backoff")]),
    (f"rewrite: {{uri: /, uriRegexRewrite: {{match: a, rewrite: b}}}}, {ROUTE}", [("VS-73", "rewrite")]),
    (f"rewrite: {{}}, {ROUTE}", [("VS-74", "rewrite")]),
    (f"rewrite: {{uriRegexRewrite: {{match: a}}}}, {ROUTE}", [("VS-75", "rewrite.uriRegexRewrite.rewrite")]),
    (f"rewrite: {{authority: x}}, headers: {{request: {{set: {{host: z1}}}}}}, {ROUTE}", [("VS-76", "")]),
    (f"headers: {{request: {{set: {{host: z1}}, add: {{':authority': z2}}}}}}, {ROUTE}", [("VS-76", "")]),
    ("route: [{}]", [("VS-77", "route[0].destination")]),
    ("route: [{destination: {host: b.test}, weight: -1}]", [("VS-78", "route[0].weight")]),
    ("route: [{destination: {host: b.test}}, {destination: {host: c.test}}]", [("VS-79", "route")]),
    ("route: [{destination: {host: '*'}}]", [("VS-80", "route[0].destination.host")]),
    ("route: [{destination: {host: 10.0.0.1}}]", [("VS-81", "route[0].destination.host")]),
    ("route: [{destination: {host: b.test, subset: a_b}}]", [("VS-82", "route[0].destination.subset")]),
    ("route: [{destination: {host: b.test, port: {}}}]", [("VS-83", "route[0].destination.port.number")]),
    (f"timeout: 0s, {ROUTE}", [("DEC-6", "timeout")]),
    (f"delegate: {{name: x}}, {ROUTE}", [("VS-21", "route")]),
    ("delegate: {name: x}, redirect: {uri: /}", [("VS-20", "redirect")]),
]


@pytest.mark.parametrize("rule", RIGHT)
def test_right(rule: str) -> None:
    assert said("VirtualService", http(rule)) == []
    assert said("VirtualService", http(rule), "extended") == []


@pytest.mark.parametrize(("rule", "wanted"), WRONG, ids=[f"{number}" for number in range(len(WRONG))])
def test_wrong(rule: str, wanted: list[tuple[str, str]]) -> None:
    below = [(code, f"http[0].{path}".rstrip(".") if code != "DOC-1" else "") for code, path in wanted]
    found = said("VirtualService", http(rule))
    assert list(dict.fromkeys(found)) == below


@pytest.mark.parametrize(
    ("spec", "code", "path"),
    [
        (f"{{gateways: [mesh], http: [{{{ROUTE}}}]}}", "VS-1", "gateways"),
        ("{http: [{delegate: {name: x}}]}", "VS-22", "http[0].delegate"),
        (f"{{hosts: [a.test], gateways: [/x], http: [{{{ROUTE}}}]}}", "VS-6", "gateways[0]"),
        (f"{{hosts: [a.test], gateways: [./x], http: [{{{ROUTE}}}]}}", "VS-7", "gateways[0]"),
        (f"{{hosts: [a.test], gateways: [ns/x_y], http: [{{{ROUTE}}}]}}", "VS-8", "gateways[0]"),
        (f"{{hosts: [a.test], gateways: [x_y], http: [{{{ROUTE}}}]}}", "VS-5", "gateways[0]"),
        (f"{{hosts: [a_b], http: [{{{ROUTE}}}]}}", "VS-10", "hosts[0]"),
        (f"{{hosts: ['*'], http: [{{{ROUTE}}}]}}", "VS-11", "hosts[0]"),
        (f"{{hosts: [a.test, '*.test'], http: [{{{ROUTE}}}]}}", "VS-12", "hosts[1]"),
        ("{hosts: [a.test]}", "VS-13", ""),
        (f"{{hosts: [a.test], exportTo: ['~'], http: [{{{ROUTE}}}]}}", "EXP-2", "exportTo[0]"),
        (f"{{hosts: [a.test], tls: [{{{ROUTE}}}]}}", "VS-90", "tls[0].match"),
        (f"{{hosts: [a.test], tls: [{{match: [{{port: 1}}], {ROUTE}}}]}}", "VS-91", "tls[0].match[0].sniHosts"),
        (
            f"{{hosts: [a.test], tls: [{{match: [{{sniHosts: [a_b]}}], {ROUTE}}}]}}",
            "VS-93",
            "tls[0].match[0].sniHosts[0]",
        ),
        (
            f"{{hosts: [a.test], tls: [{{match: [{{sniHosts: [b.test]}}], {ROUTE}}}]}}",
            "VS-94",
            "tls[0].match[0].sniHosts[0]",
        ),
        ("{hosts: [a.test], tls: [{match: [{sniHosts: [a.test]}]}]}", "VS-99", "tls[0].route"),
        (
            f"{{hosts: [a.test], tcp: [{{match: [{{destinationSubnets: [x]}}], {ROUTE}}}]}}",
            "VS-95",
            "tcp[0].match[0].destinationSubnets[0]",
        ),
        (
            "{hosts: [a.test], tcp: [{route: [{destination: {host: '*'}}]}]}",
            "VS-80",
            "tcp[0].route[0].destination.host",
        ),
    ],
)
def test_wrong_around_the_rules(spec: str, code: str, path: str) -> None:
    assert said("VirtualService", spec) == [(code, path)]


@pytest.mark.parametrize(
    "spec",
    [
        f"{{hosts: ['*'], gateways: [gw], http: [{{{ROUTE}}}]}}",
        f"{{hosts: [a.test], gateways: [mesh, 'not/checked/by/istio'], http: [{{{ROUTE}}}]}}",
        f"{{http: [{{{ROUTE}}}]}}",
        f"{{hosts: [10.0.0.1], tcp: [{{{ROUTE}}}]}}",
        "{hosts: [a.test], http: [{delegate: {name: x}}]}",
        f"{{hosts: [a.test], tls: [{{match: [{{sniHosts: [a.test]}}], {ROUTE}}}]}}",
        f"{{hosts: ['*'], gateways: [gw], tls: [{{match: [{{sniHosts: [outbound_.80_._.b.test]}}], {ROUTE}}}]}}",
        # Of connections nobody looks at what namespace they are said to come from.
        f"{{hosts: [a.test], tls: [{{match: [{{sniHosts: [a.test], sourceNamespace: a_b}}], {ROUTE}}}]}}",
        f"{{hosts: [a.test], tcp: [{{match: [{{sourceNamespace: a_b}}], {ROUTE}}}]}}",
    ],
)
def test_right_around_the_rules(spec: str) -> None:
    assert said("VirtualService", spec) == []


SNI = "tls: [{match: [{port: 443, sniHosts: [%s]}], route: [{destination: {host: a.test}}]}]"


@pytest.mark.parametrize(
    ("hosts", "gateways", "name", "wanted"),
    [
        ("'*.test'", "[ns/gw]", "outbound_.443_._.a.test", []),
        ("outbound_.443_._.a.test", "[ns/gw]", "outbound_.443_._.a.test", []),
        # Names of the mesh's own are for gateways.
        ("'*.test'", "[mesh]", "outbound_.443_._.a.test", [("VS-93", "tls[0].match[0].sniHosts[0]")]),
        ("'*.test'", "[ns/gw]", "outbound_.x_._.a.test", [("VS-93", "tls[0].match[0].sniHosts[0]")]),
        ("'*.test'", "[ns/gw]", "outbound_.443_.a.test", [("VS-93", "tls[0].match[0].sniHosts[0]")]),
        (
            "outbound_.443_.a.test",
            "[ns/gw]",
            "a.test",
            [("VS-10", "hosts[0]"), ("VS-94", "tls[0].match[0].sniHosts[0]")],
        ),
    ],
)
def test_names_of_the_meshs_own(hosts: str, gateways: str, name: str, wanted: list[tuple[str, str]]) -> None:
    assert said("VirtualService", f"{{hosts: [{hosts}], gateways: {gateways}, {SNI % name}}}") == wanted
