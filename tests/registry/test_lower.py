"""Mesh → columns: every field arrives, and what is equal is one object."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from roadstead import Node, Registry
from roadstead import _lowered as low
from roadstead.mesh import HostMesh, OutlierDetection
from roadstead.registry.lower import Lowering

TEXT = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: here}
spec:
  hosts: [a.com]
  addresses: [240.0.0.1]
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 81, name: more, protocol: HTTP}
  - {number: 90, name: tcp, protocol: TCP}
  resolution: STATIC
  endpoints:
  - {address: 10.0.0.1, locality: r1/z1, weight: 3, labels: {v: "1"}}
  - {address: 10.0.0.2, labels: {v: "2"}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: here}
spec:
  hosts: [a.com]
  http:
  - match: [{uri: {prefix: /r}}]
    redirect: {uri: /x, redirectCode: 302}
  - match: [{uri: {exact: /d}, headers: {X-A: {exact: b}}, queryParams: {q: {regex: c+}}, ignoreUriCase: true}]
    directResponse: {status: 418, body: {string: tea}}
  - match: [{withoutHeaders: {x-b: {}}}]
    route:
    - {destination: {host: a.com, subset: one}, weight: 30, headers: {request: {set: {h: i}}}}
    - {destination: {host: a.com}, weight: 70}
    headers: {request: {add: {j: k}, remove: [l]}, response: {set: {m: "50%% %% off"}}}
    rewrite: {uri: /new, authority: other.com}
    mirrors: [{destination: {host: a.com, subset: one}, percentage: {value: 5}}]
    fault: {delay: {fixedDelay: 2s, percentage: {value: 10}}, abort: {httpStatus: 500, percentage: {value: 1}}}
  - route: [{destination: {host: a.com}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: here}
spec:
  host: a.com
  trafficPolicy:
    loadBalancer: {consistentHash: {httpHeaderName: x-user}}
    connectionPool: {tcp: {maxConnections: 7}, http: {http1MaxPendingRequests: 8, http2MaxRequests: 9, maxRetries: 10}}
  subsets: [{name: one, labels: {v: "1"}}]
"""


@pytest.fixture(scope="module")
def host() -> HostMesh:
    return Registry.from_text(TEXT, backend="fallback", node=Node(namespace="here")).mesh.hosts["a.com"]


@pytest.fixture(scope="module")
def unit(host: HostMesh) -> low.Unit:
    return Lowering().unit(host)


def columns(value: object) -> Iterator[tuple[object, ...]]:
    """Every named tuple in a unit."""
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            yield value
        for item in value:
            yield from columns(item)


def test_every_column_has_all_its_fields(unit: low.Unit) -> None:
    kinds = set()
    for column in columns(unit):
        kinds.add(type(column).__name__)
        assert len(column) == len(type(column)._fields), column  # type: ignore[attr-defined]
    assert kinds >= {"Unit", "Service", "Port", "Cluster", "LocalityGroup", "Endpoint", "LbConfig", "Limits"}
    assert kinds >= {"VirtualHost", "Route", "Match", "Destination", "Redirect", "Mirror", "Fault", "HeaderOp", "Chain"}


def test_clusters(unit: low.Unit) -> None:
    first, subset, *_ = unit.clusters
    assert (first.name, first.type, first.port_override) == ("outbound|80||a.com", low.EDS, 0)
    assert (first.lb.policy, first.lb.panic_threshold, first.lb.ring_min) == (low.RING_HASH, 0, 1024)
    assert first.limits == low.Limits(7, 8, 9, 10, None)
    assert [(group.locality, [one.address for one in group.endpoints]) for group in first.groups] == [
        ("", ["10.0.0.2"]),
        ("r1/z1", ["10.0.0.1"]),
    ]
    assert first.groups[1].endpoints[0][:5] == ("10.0.0.1", 80, low.IP, 3, low.UNKNOWN)
    assert [one.address for group in subset.groups for one in group.endpoints] == ["10.0.0.1"]
    assert len({id(cluster.lb) for cluster in unit.clusters}) == 1


def test_what_callers_read_of_every_decision_is_shared(unit: low.Unit, host: HostMesh) -> None:
    for lowered, cluster in zip(unit.clusters, host.clusters, strict=True):
        assert lowered.handle is None
        assert lowered.policy == (
            cluster.connection_pool,
            cluster.outlier_detection,
            cluster.health_checks,
            cluster.load_balancer,
            cluster.tls,
        )
    assert len({id(cluster.policy) for cluster in unit.clusters}) == 1
    routes = [route for virtual_host in host.virtual_hosts for route in virtual_host.routes]
    lowered_routes = [route for virtual_host in unit.virtual_hosts for route in virtual_host.routes]
    for made, route in zip(lowered_routes, routes, strict=True):
        assert made.policy == (route.timeout, route.retry, route.cors, None)


def test_routes(unit: low.Unit) -> None:
    redirect, direct, forward, last = unit.virtual_hosts[0].routes
    assert (redirect.action, redirect.redirect) == (low.REDIRECT, low.Redirect(path="/x", code=302))
    assert (direct.action, direct.direct_status, direct.direct_body) == (low.DIRECT_RESPONSE, 418, b"tea")
    assert direct.match == low.Match(
        low.ValueMatch(low.EXACT, "/d", True),
        (low.HeaderMatch("x-a", low.ValueMatch(low.EXACT, "b")),),
        (low.QueryMatch("q", low.ValueMatch(low.REGEX, "c+")),),
    )
    assert [(one.cluster, one.weight) for one in forward.destinations] == [
        ("outbound|80|one|a.com", 30),
        ("outbound|80||a.com", 70),
    ]
    assert forward.destinations[0].request_ops == (low.HeaderOp(low.SET, "h", "i"),)
    assert forward.request_ops == (low.HeaderOp(low.REMOVE, "l"), low.HeaderOp(low.ADD, "j", "k"))
    assert forward.response_ops == (low.HeaderOp(low.SET, "m", "50% % off"),)
    assert (forward.prefix_rewrite, forward.host_rewrite) == ("/new", "other.com")
    assert forward.mirrors == (low.Mirror("outbound|80|one|a.com", 50_000),)
    assert forward.cors is None
    assert forward.fault == low.Fault(2.0, 100_000, 10_000, 500, -1)
    assert last.match == low.Match(None)
    assert last.hash_policies[0][:2] == (low.HASH_HEADER, "x-user")


def test_services_and_chains(unit: low.Unit, host: HostMesh) -> None:
    (service,) = unit.services
    assert (service.host, service.namespace, service.addresses) == ("a.com", "here", ("240.0.0.1",))
    assert [(port.number, port.name, port.protocol) for port in service.ports] == [
        (80, "http", low.PROTO_HTTP),
        (81, "more", low.PROTO_HTTP),
        (90, "tcp", low.PROTO_TCP),
    ]
    (chain,) = unit.chains
    assert (chain.host, chain.port, chain.addresses, chain.transport) == ("a.com", 90, ("240.0.0.1",), 0)
    assert (unit.key, unit.order) == (host.key, host.order)


def test_addresses_with_equal_ports_are_one_service(host: HostMesh) -> None:
    (service,) = host.services
    other = msgspec.structs.replace(service, address="240.0.0.2")
    third = msgspec.structs.replace(service, address="240.0.0.3", ports=service.ports[:1])
    unit = Lowering().unit(msgspec.structs.replace(host, services=(service, other, third)))
    assert [one.addresses for one in unit.services] == [("240.0.0.1", "240.0.0.2"), ("240.0.0.3",)]


def test_equal_policies_are_lowered_once(host: HostMesh) -> None:
    lowering = Lowering()
    policy = msgspec.structs.replace(host.clusters[0].policy, origins=())
    one, two = (
        lowering.unit(msgspec.structs.replace(host, clusters=(cluster,))).clusters[0]
        for cluster in (host.clusters[0], msgspec.structs.replace(host.clusters[0], policy=policy))
    )
    assert one.lb is two.lb
    assert one.limits is two.limits
    assert one.outlier_detection is two.outlier_detection


@pytest.mark.parametrize(
    ("written", "lowered"),
    [
        (None, None),
        (OutlierDetection(), low.OutlierDetection()),
        (
            OutlierDetection(
                consecutive_5xx=0,
                enforcing_consecutive_5xx=0,
                consecutive_gateway_failure=3,
                enforcing_consecutive_gateway_failure=100,
                interval=1.5,
                base_ejection_time=400.0,
                max_ejection_percent=50,
                error_codes=("429", "503"),
                always_eject_one_host=True,
            ),
            low.OutlierDetection(
                0,
                0,
                3,
                100,
                5,
                100,
                False,
                1.5,
                400.0,
                400.0,
                0.0,
                50,
                always_eject_one_host=True,
                error_codes=(429, 503),
            ),
        ),
        (
            OutlierDetection(
                consecutive_local_origin_failure=2,
                enforcing_consecutive_local_origin_failure=100,
                split_external_local_origin_errors=True,
            ),
            low.OutlierDetection(5, 100, 5, 0, 2, 100, True),
        ),
    ],
)
def test_outlier_detection(
    host: HostMesh, written: OutlierDetection | None, lowered: low.OutlierDetection | None
) -> None:
    """Envoy's defaults stand where nothing is set; an ejection lasts no longer than 300 s, or the base time."""
    policy = msgspec.structs.replace(host.clusters[0].policy, outlier_detection=written)
    cluster = msgspec.structs.replace(host.clusters[0], policy=policy)
    made = Lowering().unit(msgspec.structs.replace(host, clusters=(cluster,))).clusters[0]
    assert made.outlier_detection == lowered
