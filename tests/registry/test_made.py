"""Mesh objects are compiled again when they are read: nobody keeps them, and each belongs to its own snapshot."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from tests.registry import universe
from tests.registry.test_incremental import ROUTER, SIDECAR, Steps, check, steps, text_of

from roadstead import Node, Registry
from roadstead.mesh import HostMesh, Mesh, OutlierDetection
from roadstead.registry import made as module
from roadstead.registry.view import View

HOST = """
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: here}
spec:
  hosts: [a.com]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 90, name: tcp, protocol: TCP}]
  resolution: DNS
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: here}
spec: {host: a.com, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 5}}}
---
"""


def rule(timeout: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: a, namespace: here}}
spec:
  hosts: [a.com]
  http:
  - {{match: [{{uri: {{prefix: /x}}}}], route: [{{destination: {{host: a.com}}}}]}}
  - {{name: timed, timeout: {timeout}s, retries: {{attempts: {timeout}}}, route: [{{destination: {{host: a.com}}}}]}}
"""


def read(registry: Registry) -> tuple[Any, ...]:
    decision, connection = registry.route("a.com", 80), registry.connect("a.com", 90)
    return decision, connection, registry.find("a.com", 80), registry.cluster("outbound|80||a.com")


def told(held: tuple[Any, ...]) -> tuple[Any, ...]:
    """All mesh objects that are read through what is held."""
    decision, connection, service, cluster = held
    return (decision.route, decision.virtual_host, connection.route, service.spec, cluster.spec, decision.service.spec)


@pytest.mark.usefixtures("forgetful")
def test_what_is_read_belongs_to_its_own_snapshot(engine_name: str) -> None:
    registry = Registry.from_text(HOST + rule(1), node=Node(namespace="here"), backend=engine_name)
    first = read(registry)
    registry.apply(put=rule(2))
    second = read(registry)
    registry.apply(put=HOST.replace("consecutive5xxErrors: 5", "consecutive5xxErrors: 7"))
    third = read(registry)
    registry.apply(delete="VirtualService/here/a")
    registry.apply(delete=["ServiceEntry/here/a", "DestinationRule/here/a"])
    assert registry.find("a.com", 80) is None
    for held, timeout, errors in ((first, 1, 5), (second, 2, 5), (third, 2, 7)):
        route, virtual_host, chain, service, spec, own = told(held)
        decision = held[0]
        assert (route.name, route.timeout, route.retry.attempts) == ("timed", timeout, timeout)
        assert (decision.timeout, decision.retry) == (timeout, route.retry)
        assert virtual_host.routes[1] == route
        assert chain.destinations[0].cluster == "outbound|90||a.com"
        assert (service.host, own) == ("a.com", service)
        assert spec.outlier_detection.consecutive_5xx == errors
        assert decision.cluster.outlier_detection == spec.outlier_detection
        assert decision.connection_pool == spec.connection_pool


@pytest.mark.usefixtures("forgetful")
def test_what_is_read_outlives_the_registry(engine_name: str) -> None:
    registry = Registry.from_text(HOST + rule(3), node=Node(namespace="here"), backend=engine_name)
    held = read(registry)
    expected = told(held)
    del registry
    gc.collect()
    assert told(held) == expected


def test_equal_policies_are_one_object(engine_name: str) -> None:
    text = "---\n".join(
        [(HOST + rule(1)).replace("a.com", f"{name}.com").replace("name: a,", f"name: {name},") for name in "abc"]
    )
    registry = Registry.from_text(text, node=Node(namespace="here"), backend=engine_name)
    decisions = [registry.route(f"{name}.com", 80) for name in "abc"]
    clusters = [decision.cluster for decision in decisions]
    assert all(isinstance(cluster and cluster.outlier_detection, OutlierDetection) for cluster in clusters)
    for name in ("outlier_detection", "connection_pool", "load_balancer"):
        assert len({id(getattr(cluster, name)) for cluster in clusters}) == 1
    assert len({id(decision.retry) for decision in decisions}) == 1


def test_hosts_are_not_kept(engine_name: str) -> None:
    count = 2 * module.RECENT
    text = "---\n".join(
        [HOST.replace("a.com", f"a{at}.com").replace("name: a,", f"name: a{at},") for at in range(count)]
    )
    registry = Registry.from_text(text, backend=engine_name)
    assert len(registry.mesh.hosts) == count
    assert living() <= module.RECENT + 16
    for at in range(count):
        assert registry.route(f"a{at}.com", 80).route is not None
    assert living() <= module.RECENT + 16


def living() -> int:
    gc.collect()
    return sum(type(one) is HostMesh for one in gc.get_objects())


def test_a_mesh_that_is_held_is_not_compiled_again(engine_name: str) -> None:
    registry = Registry.from_text(HOST + rule(1), node=Node(namespace="here"), backend=engine_name)
    mesh = registry.mesh
    assert registry.mesh.hosts["a.com"] is mesh.hosts["a.com"]
    cluster = registry.cluster("outbound|80||a.com")
    assert cluster is not None
    assert cluster.spec is mesh.hosts["a.com"].clusters[0]


@pytest.mark.usefixtures("forgetful")
def test_readers_see_one_snapshot_while_another_thread_changes_it(engine_name: str) -> None:
    registry = Registry.from_text(HOST + rule(1), node=Node(namespace="here"), backend=engine_name)
    done = threading.Event()
    wrong: list[object] = []

    def look() -> None:
        while not done.is_set():
            decision = registry.route("a.com", 80)
            route: Any = decision.route
            if (route.timeout, route.retry) != (decision.timeout, decision.retry):
                wrong.append((route, decision.timeout))

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for timeout in range(2, 60):
        registry.apply(put=rule(timeout))
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []


def kept(view: View) -> Iterator[tuple[Any, Any]]:
    """Everything of a view that has a mesh object, with the object."""
    mesh: Mesh = view.mesh
    known = {cluster.name: cluster for host in mesh.hosts.values() for cluster in host.clusters}
    services = [service for host in mesh.hosts.values() for service in host.services]
    for cluster in view.clusters():
        if cluster is not None:
            yield cluster, known[cluster.name]
    for service in view.services():
        if service is not None:
            assert service.spec in services
            yield service, service.spec


def follow(node: Node, changes: Steps) -> None:
    registry = Registry(node=node, backend="fallback")
    views = [registry, *[registry.view(other) for other in (SIDECAR, ROUTER)]]
    known: dict[universe.Key, universe.Document] = {}
    held: list[tuple[Any, Any]] = []
    for put, delete in changes:
        registry.apply(put=put, delete=["/".join(key) for key in delete])
        for key in delete:
            known.pop(key, None)
        known |= {universe.key_of(document): document for document in put}
        held += [pair for view in views for pair in kept(view)]
    for one, expected in held:
        assert one.spec == expected
    scratch = Registry.from_text(text_of(known.values()), node=node, backend="fallback")
    check(registry, scratch)
    for view in views[1:]:
        check(view, scratch.view(view.node))


@pytest.mark.usefixtures("forgetful")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps(universe.documents))
def test_after_any_changes_all_that_was_handed_out_tells_what_it_told(changes: Steps) -> None:
    follow(SIDECAR, changes)


@pytest.mark.usefixtures("forgetful")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps(universe.around_gateways))
def test_the_same_for_routers(changes: Steps) -> None:
    follow(ROUTER, changes)
